// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestUsers is a class with a password for each: from the file to the terminal,
// and a new password for who has lost theirs, without a restart of the hub.
func TestUsers(t *testing.T) {
	s := newSandbox(t)
	chromium := newChromium(t, s)
	for name, hub := range s.hubs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			usersWalk(chromium, t, newTrainer(t, s, "users-"+name), hub)
		})
	}
}

func usersWalk(chromium context.Context, t *testing.T, tr *trainer, hub string) {
	address := strings.TrimSpace(tr.run(t, "deploy", "--auth", "password", "--hub-image", hub, "--cpu-request", "10m", "--memory-request", "32Mi").stdout)
	shared := tr.password(t)
	// The first password of somebody's own makes the Secret, beside a hub that
	// has been running without it.
	tr.counts(t, address, "early", strings.TrimSpace(tr.run(t, "users", "password", "early").stdout))
	tr.logs(t, address, "early", shared, 403)

	dir := t.TempDir()
	file := filepath.Join(dir, "class.csv")
	if err := os.WriteFile(file, []byte("name,password,admin\njane\njim\ntrainer,,true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var made struct {
		Items []struct{ Name, Password string }
	}
	if err := json.Unmarshal([]byte(tr.run(t, "users", "import", file, "-o", "json").stdout), &made); err != nil {
		t.Fatal(err)
	}
	passwords := map[string]string{}
	for _, c := range made.Items {
		passwords[c.Name] = c.Password
	}

	// The import has restarted the hub for the lists, so all of it counts by now.
	tr.logs(t, address, "jane", shared, 403)
	tr.logs(t, address, "mallory", shared, 403)
	tr.logs(t, address, "trainer", passwords["trainer"], 302)
	jane := newAttendee(chromium, t, "jane", address)
	jane.login(passwords["jane"])
	jane.prompt()
	jane.types("echo mine > mine.txt; cat mine.txt")
	jane.sees("mine", 10*time.Second)

	pod := tr.hubPod(t)
	fresh := strings.TrimSpace(tr.run(t, "users", "password", "jane").stdout)
	tr.counts(t, address, "jane", fresh)
	if now := tr.hubPod(t); now.UID != pod.UID || now.Status.ContainerStatuses[0].RestartCount != pod.Status.ContainerStatuses[0].RestartCount {
		t.Error("the hub has been restarted for a password")
	}
	tr.logs(t, address, "jane", passwords["jane"], 403)
	jane.types("echo undisturbed")
	jane.sees("undisturbed", 10*time.Second)

	// The page for who guesses too often says so.
	for range 12 {
		tr.loginStatus(t, address, "jim", "a guess of it")
	}
	jim := newAttendee(chromium, t, "jim", address)
	jim.login("another guess")
	eventually(t, 20*time.Second, "the page after too many wrong passwords", func(context.Context) error {
		return contains(eval[string](jim, "document.body.innerText"), "Wait a minute")
	})
	jim.screenshot("too-many-" + tr.namespace)

	list := tr.run(t, "users", "list").stdout
	for _, line := range []string{"jane", "own", "running"} {
		if err := contains(list, line); err != nil {
			t.Error(err)
		}
	}
	removed := tr.run(t, "users", "remove", "jane")
	if err := contains(removed.stderr, "Kept: the files of jane"); err != nil {
		t.Error(err)
	}
	tr.logs(t, address, "jane", fresh, 403)
	tr.logs(t, address, "jane", shared, 403)
	tr.handout(chromium, t, file, filepath.Join(dir, "handout.html"))
	tr.run(t, "delete", "terminals", "--yes", "--delete-volumes")
}

// handout looks at the page in the browser: nothing is missing, and nothing
// overflows its card.
func (tr *trainer) handout(chromium context.Context, t *testing.T, file, page string) {
	t.Helper()
	tr.run(t, "users", "import", file, "--new-passwords", "--handout", page)
	a := newAttendee(chromium, t, "printer", "file://"+page)
	a.do(chromedp.Navigate(a.url))
	eventually(t, 20*time.Second, "the handout", func(context.Context) error {
		if cards := eval[int](a, `document.querySelectorAll(".card .qr").length`); cards != 3 {
			return fmt.Errorf("%d cards", cards)
		}
		return nil
	})
	if spilt := eval[string](a, `[...document.querySelectorAll(".card")].filter(c => c.scrollWidth > c.clientWidth || c.scrollHeight > c.clientHeight).map(c => c.innerText).join()`); spilt != "" {
		t.Errorf("more than fits on the card: %s", spilt)
	}
	a.screenshot("handout-" + tr.namespace)
}

// counts waits until the hub knows a new password.
func (tr *trainer) counts(t *testing.T, address, user, password string) {
	t.Helper()
	began := time.Now()
	// Too many tries, on a slow machine, have to wait a minute.
	eventually(t, 3*time.Minute, "the new password of "+user, func(context.Context) error {
		if got := tr.loginStatus(t, address, user, password); got != 302 {
			return fmt.Errorf("login: %d", got)
		}
		return nil
	})
	t.Logf("the new password of %s counted after %.1f s", user, time.Since(began).Seconds())
}

// hubPod is the hub's.
func (tr *trainer) hubPod(t *testing.T) corev1.Pod {
	t.Helper()
	pods, err := tr.admin.CoreV1().Pods(tr.namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=hub"})
	if err != nil || len(pods.Items) != 1 {
		t.Fatalf("%v, %d pods of the hub", err, len(pods.Items))
	}
	return pods.Items[0]
}

// logs wants a login to be answered in a way.
func (tr *trainer) logs(t *testing.T, address, user, password string, want int) {
	t.Helper()
	if got := tr.loginStatus(t, address, user, password); got != want {
		t.Errorf("login of %s: %d, want %d", user, got, want)
	}
}

var formToken = regexp.MustCompile(`name="_xsrf" value="([^"]+)"`)

// loginStatus is how the hub answers a login in a browser of its own.
func (tr *trainer) loginStatus(t *testing.T, address, user, password string) int {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(tr.env["WORKSHOP_SANDBOX_CA"])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	client := &http.Client{Jar: jar, Transport: &http.Transport{DialContext: loopback, TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Get(address + "hub/login")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	xsrf := formToken.FindStringSubmatch(string(body))
	if xsrf == nil {
		t.Fatalf("no login form: %.300s", body)
	}
	response, err = client.PostForm(address+"hub/login", url.Values{"username": {user}, "password": {password}, "_xsrf": {xsrf[1]}})
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}
