// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/workshopctl/workshopctl/pkg/workshop"
	"github.com/workshopctl/workshopctl/test/testhub"
)

// TestLimits: two workshops in a namespace. One is full, says so, and lets in
// who waits when there is room; a session of it is kept as long as its pod says.
// In the other an old session ends, and its page says before why.
func TestLimits(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	axe := testhub.Axe(t)
	chromium := newChromium(t, s)
	tr := newTrainer(t, s, "limits")
	small := []string{"--cpu-request", "10m", "--memory-request", "32Mi"}
	deploy := func(args ...string) string {
		return strings.TrimSpace(tr.run(t, append(append([]string{"deploy"}, args...), small...)...).stdout)
	}
	agedAt := deploy("aged", "--idle-timeout", "0", "--max-age", "5m")
	classAt := deploy("class", "--limit", "1", "--idle-timeout", "90s", "--admin-users", "trainer")

	ann := newAttendee(chromium, t, "ann", agedAt)
	ann.login(tr.secretOf(t, "aged", "USER_PASSWORD"))
	ann.prompt()
	password := tr.secretOf(t, "class", "USER_PASSWORD")
	jane, joe := newAttendee(chromium, t, "jane", classAt), newAttendee(chromium, t, "joe", classAt)
	jane.login(password)
	jane.prompt()

	step(t, "who comes when it is full reads so", func() {
		joe.login(password)
		eventually(t, time.Minute, "page", func(context.Context) error {
			return contains(eval[string](joe, "document.body.innerText"), "This workshop is full")
		})
		for _, theme := range []string{"light", "dark"} {
			joe.prefers(theme)
			joe.accessible(axe, "full, "+theme)
			joe.screenshot("page-full-" + theme)
		}
		status := tr.run(t, "status", "--workshop", "class").stdout
		for _, words := range []string{"1 of 1, which is full: 1 running", "nobody has used them for 90s", classAt + "hub/admin"} {
			if err := contains(status, words); err != nil {
				t.Error(err)
			}
		}
		if got := tr.run(t, "status", "--workshop", "class", "-o", "jsonpath={.sessions.limit} {.adminURL}").stdout; got != "1 "+classAt+"hub/admin" {
			t.Errorf("status in JSON: %s", got)
		}
	})

	kept := time.Now().Add(4 * time.Minute).Truncate(time.Second)
	step(t, "a session is kept by a word on its pod", func() {
		tr.keep(t, "jane", "soon") // means nothing, and hurts nobody
		tr.keep(t, "jane", kept.UTC().Format(time.RFC3339))
	})

	step(t, "each hub knows its own", func() {
		for workshop, want := range map[string]string{"class": "jane joe trainer", "aged": "ann"} {
			names := strings.Fields(tr.run(t, "hub", "api", "users", "--workshop", workshop, "--paginate", "-q", "{.items[*].name}").stdout)
			if slices.Sort(names); strings.Join(names, " ") != want {
				t.Errorf("users of %s: %s, want %s", workshop, names, want)
			}
		}
		if got := tr.run(t, "sessions", "list", "--workshop", "aged", "-o", "name").stdout; got != "session/ann\n" {
			t.Errorf("sessions of aged: %s", got)
		}
		r := tr.run(t, "list", "-A")
		for _, words := range []string{"limits      aged", "limits      class"} {
			if err := contains(r.stdout, words); err != nil {
				t.Error(err)
			}
		}
		if err := contains(r.stderr, "You may not list namespaces; these are the workshops of limits alone."); err != nil {
			t.Error(err)
		}
	})

	step(t, "the API refuses with words", func() {
		for want, args := range map[string][]string{
			"the hub answers 429":            {"POST", "users/joe/server"},
			"The workshop's own token may:":  {"groups"},
			"the hub answers 404: Not Found": {"users/nobody"},
			"is no path of the hub's API":    {"https://example.com/"},
		} {
			r := tr.try(t, append([]string{"hub", "api", "--workshop", "class"}, args...)...)
			if err := contains(r.stderr, want); err != nil || r.code == 0 || r.stdout != "" {
				t.Errorf("%v: exit code %d, %v\n%s", args, r.code, err, r.stdout)
			}
		}
	})

	step(t, "a token may what was asked for", func() {
		r := tr.run(t, "hub", "token", "--workshop", "class", "--scopes", "list:users", "--duration", "10m", "--note", "test")
		token := strings.TrimSpace(r.stdout)
		id := strings.Fields(r.stderr)[1]
		ask := func(method, path string) (int, string) {
			request, err := http.NewRequestWithContext(t.Context(), method, classAt+"hub/api/"+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", "token "+token)
			response, err := tr.httpClient(t).Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			return response.StatusCode, string(body)
		}
		if status, body := ask(http.MethodGet, "users"); status != 200 || contains(body, `"jane"`) != nil {
			t.Errorf("list: %d %s", status, body)
		}
		if status, body := ask(http.MethodDelete, "users/joe"); status != 403 {
			t.Errorf("delete: %d %s", status, body)
		}
		if got := tr.run(t, "hub", "token", "list", "--workshop", "class", "-o", "jsonpath={.items[*].note}").stdout; contains(got, "test") != nil {
			t.Errorf("tokens: %s", got)
		}
		tr.run(t, "hub", "token", "revoke", id, "--workshop", "class")
		if status, body := ask(http.MethodGet, "users"); status != 403 {
			t.Errorf("revoked: %d %s", status, body)
		}
	})

	step(t, "the page of a session that is kept says so instead of counting down", func() {
		eventually(t, 3*time.Minute, "banner", func(context.Context) error {
			text := eval[string](jane, `document.querySelector("#banners").innerText`)
			if strings.Contains(text, "Your trainer keeps this session until") {
				return nil
			}
			if time.Now().After(kept) {
				t.Fatal("it is too late for that")
			}
			return fmt.Errorf("it says %q", text)
		})
		jane.accessible(axe, "kept")
		jane.screenshot("page-kept")
		jane.clickText("#banners button", "OK")
	})

	step(t, "the page of an old session says why it ends, and that it can't be kept", func() {
		eventually(t, 5*time.Minute, "count-down", func(context.Context) error {
			return contains(eval[string](ann, `document.querySelector("#banners").innerText`), "because it has run for as long as sessions may")
		})
		if eval[bool](ann, `!!document.querySelector("#banners button")`) {
			t.Error("it has a button that wouldn't help")
		}
		ann.accessible(axe, "old")
		ann.screenshot("page-old")
		eventually(t, 3*time.Minute, "end of the old session", func(context.Context) error { return tr.gone(t, "ann") })
		eventually(t, time.Minute, "last word", func(context.Context) error {
			return contains(eval[string](ann, `document.querySelector("#banners").innerText`), "This session has stopped. Its files are kept.")
		})
	})

	step(t, "a session is kept no longer, and who waited comes in", func() {
		eventually(t, 5*time.Minute, "end of the session that was kept", func(context.Context) error {
			err := tr.gone(t, "jane")
			if err == nil && time.Now().Before(kept) {
				t.Fatal("it was stopped earlier")
			}
			return err
		})
		joe.prompt()
	})
}

// secretOf is a value of a workshop's Secret.
func (tr *trainer) secretOf(t *testing.T, name, key string) string {
	t.Helper()
	secret, err := tr.admin.CoreV1().Secrets(tr.namespace).Get(t.Context(), workshop.Names(name).HubPart(), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return string(secret.Data[key])
}

// keep writes onto the pod of a session until when it is kept.
func (tr *trainer) keep(t *testing.T, user, until string) {
	t.Helper()
	patch := fmt.Sprintf(`{"metadata": {"annotations": {%q: %q}}}`, workshop.KeepUntilAnnotation, until)
	for _, p := range tr.pods(t, "app.kubernetes.io/component=session") {
		if p.Annotations[workshop.UsernameAnnotation] != user {
			continue
		}
		if _, err := tr.admin.CoreV1().Pods(tr.namespace).Patch(t.Context(), p.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("%s has no pod", user)
}

// gone says whether a user has no pod any more.
func (tr *trainer) gone(t *testing.T, user string) error {
	t.Helper()
	for _, p := range tr.pods(t, "app.kubernetes.io/component=session") {
		if p.Annotations[workshop.UsernameAnnotation] == user {
			return errors.New("still there")
		}
	}
	return nil
}
