// SPDX-License-Identifier: Apache-2.0

package users

import (
	"bytes"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"rsc.io/qr"

	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/hub"
	"github.com/workshopctl/workshopctl/pkg/session"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

func TestJoin(t *testing.T) {
	active := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	overview := session.Overview{
		Sessions: []session.Session{{User: "jane", State: session.Running}, {User: "guest", State: session.Idle}},
		Volumes:  []session.Volume{{User: "jane", Name: "terminals--jane"}, {User: "gone", Name: "terminals--gone"}},
	}
	known := []hub.User{{Name: "jane", LastActivity: active}, {Name: "trainer", Admin: true}, {Name: "was-admin", Admin: true}}
	hashes := map[string]string{"jane": "x", "jim": "y"}
	spec := workshop.Spec{Auth: workshop.AuthPassword, AllowedUsers: []string{"Jane"}, AdminUsers: []string{"trainer"}}
	for name, c := range map[string]struct {
		spec func(*workshop.Spec)
		want []User
	}{
		"closed": {nil, []User{
			{Name: "gone", Allowed: "no", Volume: "terminals--gone"},
			{Name: "guest", Allowed: "no", State: session.Idle},
			{Name: "jane", Allowed: "yes", Listed: true, OwnPassword: true, State: session.Running, Volume: "terminals--jane", LastActivity: active},
			{Name: "jim", Allowed: "no", OwnPassword: true},
			{Name: "trainer", Allowed: "yes", Listed: true, Admin: true},
			{Name: "was-admin", Allowed: "no"}, // the hub finds out at their next login
		}},
		"open": {func(s *workshop.Spec) { s.AllowedUsers = nil }, []User{
			{Name: "gone", Allowed: "yes", Volume: "terminals--gone"},
			{Name: "guest", Allowed: "yes", State: session.Idle},
			{Name: "jane", Allowed: "yes", OwnPassword: true, State: session.Running, Volume: "terminals--jane", LastActivity: active},
			{Name: "jim", Allowed: "yes", OwnPassword: true},
			{Name: "trainer", Allowed: "yes", Listed: true, Admin: true},
			{Name: "was-admin", Allowed: "yes"},
		}},
		"groups": {func(s *workshop.Spec) {
			s.Auth, s.AllowedGroups, s.AdminGroups = workshop.AuthOpenShift, []string{"class"}, []string{"staff"}
		}, []User{
			{Name: "Jane", Allowed: "yes", Listed: true}, // two people, to the cluster
			{Name: "gone", Allowed: "by group", Volume: "terminals--gone"},
			{Name: "guest", Allowed: "by group", State: session.Idle},
			{Name: "jane", Allowed: "by group", State: session.Running, Volume: "terminals--jane", LastActivity: active},
			{Name: "trainer", Allowed: "yes", Listed: true, Admin: true},
			{Name: "was-admin", Allowed: "yes", Admin: true},
		}},
	} {
		s := spec
		if c.spec != nil {
			c.spec(&s)
		}
		if diff := cmp.Diff(c.want, join(s, hashes, overview, known)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

var card = regexp.MustCompile(`(?s)<section class="card">(.*?)</section>`)

func TestHandout(t *testing.T) {
	h := handout{Workshop: `terminals`, URL: "https://workshop.example.com/", Passwords: true, Cards: []Credential{
		{Name: "jane", Password: "abcd-efgh-jkmn"}, {Name: `<script>alert("1")</script>&'`, Password: `"><img src=x>`},
		{Name: "trainer", Admin: true, Password: strings.Repeat("abcd-", 7) + "abcd"}, {Name: "kept"},
	}}
	page, err := h.page()
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	cards := card.FindAllStringSubmatch(text, -1)
	if len(cards) != 4 {
		t.Fatalf("%d cards", len(cards))
	}
	for i, want := range [][]string{
		{">workshop.<wbr>example.<wbr>com<", ">jane<", ">abcd-efgh-jkmn<"},
		{"&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt;&amp;&#39;", "&#34;&gt;&lt;img src=x&gt;"},
		{"(admin)", "password long"},
		{"as you have it already"},
	} {
		for _, w := range want {
			if !strings.Contains(cards[i][1], w) {
				t.Errorf("card %d lacks %s:\n%s", i, w, cards[i][1])
			}
		}
	}
	for _, bad := range []string{"<script", "<img", "src=", "href=", "url(", "@import"} {
		if strings.Contains(strings.ReplaceAll(text, "src=x", ""), bad) {
			t.Errorf("the page has %s: it is to need nothing, and to do nothing", bad)
		}
	}
	h.Passwords = false
	if page, err = h.page(); err != nil || strings.Contains(string(page), "<dt>Password") {
		t.Errorf("%v: passwords where attendees log in elsewhere", err)
	}
}

var rectangle = regexp.MustCompile(`M(\d+) (\d+)h(\d+)v1h-(\d+)z`)

// TestQR draws the SVG's rectangles again, and compares them with the code.
func TestQR(t *testing.T) {
	const url = "https://terminals-class.apps.cluster-name.example.com/"
	svg, err := drawQR(url)
	if err != nil {
		t.Fatal(err)
	}
	code, err := qr.Encode(url, qr.M)
	if err != nil {
		t.Fatal(err)
	}
	size := code.Size + 2*quiet
	if !strings.Contains(string(svg), `viewBox="0 0 `+strconv.Itoa(size)+" "+strconv.Itoa(size)+`"`) {
		t.Error("the picture has another size than the code")
	}
	picture := image.NewGray(image.Rect(0, 0, size, size))
	for _, m := range rectangle.FindAllStringSubmatch(string(svg), -1) {
		var n [4]int
		for i := range n {
			if n[i], err = strconv.Atoi(m[i+1]); err != nil {
				t.Fatal(err)
			}
		}
		if n[2] != n[3] {
			t.Errorf("%s is no rectangle", m[0])
		}
		for x := range n[2] {
			picture.SetGray(n[0]+x, n[1], color.Gray{Y: 255})
		}
	}
	for y := range size {
		for x := range size {
			if dark := picture.GrayAt(x, y).Y > 0; dark != code.Black(x-quiet, y-quiet) {
				t.Fatalf("module %d, %d is dark: %v", x, y, dark)
			}
		}
	}
}

func TestWriteHandout(t *testing.T) {
	file := filepath.Join(t.TempDir(), "handout.html")
	h := handout{Workshop: "terminals", URL: "https://workshop.example.com/", Cards: []Credential{{Name: "jane"}}}
	if err := os.WriteFile(file, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := writeHandout(file, false, h)
	if content, _ := os.ReadFile(file); fault.Code(err) != fault.Refused || string(content) != "mine" {
		t.Errorf("%v, and the file is %q", err, content)
	}
	if err := writeHandout(file, true, h); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, mode %v: others could read it", err, info.Mode())
	}
	if content, _ := os.ReadFile(file); !bytes.Contains(content, []byte(">jane<")) {
		t.Errorf("the file is %q", content)
	}
}
