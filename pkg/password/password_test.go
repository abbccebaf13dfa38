// SPDX-License-Identifier: Apache-2.0

package password_test

import (
	"crypto/rand"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/workshopctl/workshopctl/pkg/password"
)

func TestGenerate(t *testing.T) {
	for admin, shape := range map[bool]string{false: `^[a-km-np-z2-9]{4}(-[a-km-np-z2-9]{4}){2}$`, true: `^[a-km-np-z2-9]{4}(-[a-km-np-z2-9]{4}){7}$`} {
		seen := map[string]bool{}
		for range 200 {
			p, err := password.Generate(rand.Reader, admin)
			if err != nil {
				t.Fatal(err)
			}
			if !regexp.MustCompile(shape).MatchString(p) || seen[p] {
				t.Errorf("admin %v: %q", admin, p)
			}
			if problem := password.Problem(p, admin); problem != "" {
				t.Errorf("%q: %s", p, problem)
			}
			seen[p] = true
		}
	}
}

func TestProblem(t *testing.T) {
	for _, c := range []struct {
		password string
		admin    bool
		want     string
	}{
		{"12345678", false, ""},
		{"1234567", false, "8 characters"},
		{"ünïcödé!", false, ""},
		{"", false, "8 characters"},
		{"12345678", true, "32 characters"},
		{strings.Repeat("x", 32), true, ""},
		{strings.Repeat("x", 72), false, ""},
		{strings.Repeat("x", 73), false, "72 bytes"},
		{"1234567\x00", false, "can't be typed"},
		{"12345678\n", false, "can't be typed"},
		{"1234567\xff", false, "can't be typed"},
	} {
		if got := password.Problem(c.password, c.admin); c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%q (admin %v): %q, want %q", c.password, c.admin, got, c.want)
		}
	}
}

func TestHash(t *testing.T) {
	hash, err := password.Hash("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if bcrypt.CompareHashAndPassword([]byte(hash), []byte("correct horse")) != nil || bcrypt.CompareHashAndPassword([]byte(hash), []byte("correct hors")) == nil {
		t.Errorf("%s is no hash of it", hash)
	}
}
