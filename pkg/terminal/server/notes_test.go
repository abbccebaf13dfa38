// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/workshopctl/workshopctl/pkg/terminal/server"
)

const notesBase = prefix + "notes/"

// writeNotes makes a directory of notes, with what doesn't belong to them
// around it.
func writeNotes(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "notes")
	for name, content := range map[string]string{
		"index.html": "<!DOCTYPE html><title>Start</title><pre class=execute>echo hi</pre>", "sub/index.html": "<p>Sub", "sub/my page.html": "<p>Page",
		"style.css": "p {}", "a.js": "1", "logo.svg": "<svg/>", "font.woff2": "f", "unknown.xyz": "?", ".git/config": "hidden", "wide.html": "\xff\xfe<\x00",
		"../secret.html": "secret",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"out.html": "../secret.html", "abs.html": "/etc/passwd", "up": "..", "proc": "/proc", "in.html": "sub/index.html"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.html"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func notesGateway(t *testing.T, dir, address, origins string) *gateway {
	t.Helper()
	notes, err := server.ParseNotes(dir, address, origins)
	if err != nil {
		t.Fatal(err)
	}
	return newGateway(t, time.Hour, func(o *server.Options) { o.Notes = notes })
}

// passBase logs in and returns the path of the notes for this browser.
func passBase(t *testing.T, b *browser, user string) string {
	t.Helper()
	b.login(user)
	a := b.get(notesBase)
	base := a.header.Get("Location")
	if a.status != http.StatusFound || !strings.HasPrefix(base, notesBase+"~") || !strings.HasSuffix(base, "/") {
		t.Fatalf("notes: %d to %q", a.status, base)
	}
	return base
}

func TestParseNotes(t *testing.T) {
	n, err := server.ParseNotes("", "https://Notes.example.com:443/start?x#y", "https://other.example.com, http://10.0.0.1:8080/")
	if err != nil || fmt.Sprint(n.Origins) != "[https://notes.example.com https://other.example.com http://10.0.0.1:8080]" {
		t.Errorf("%v, %v", n.Origins, err)
	}
	for _, wrong := range [][3]string{
		{"/notes", "https://example.com", ""}, {"notes", "", ""}, {"/", "", ""}, {"", "notes.html", ""}, {"", "ftp://example.com/", ""}, {"", "javascript:alert(1)", ""},
		{"", "https://a:b@example.com/", ""}, {"", "https://example.com", "https://*.example.com"}, {"", "https://example.com", "null"}, {"", "https://example.com", "https://x/path"},
		{"", "https://example.com; script-src *", ""},
	} {
		if n, err := server.ParseNotes(wrong[0], wrong[1], wrong[2]); err == nil {
			t.Errorf("%v gives %v", wrong, n)
		}
	}
}

func TestNotes(t *testing.T) {
	dir := writeNotes(t)
	g := notesGateway(t, dir, "", "")
	b := newBrowser(t, g)
	base := passBase(t, b, owner)
	b.Jar = newBrowser(t, g).Jar // a sandboxed frame's parts are asked for without a cookie

	page := b.get(base)
	script := `<script src="` + base + `.workshop/notes.js"></script>`
	if page.status != http.StatusOK || !strings.Contains(page.body, "<pre class=execute>echo hi</pre>") || strings.Count(page.body, script) != 1 {
		t.Errorf("page: %d %s", page.status, page.body)
	}
	for name, value := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
		"Cross-Origin-Resource-Policy": "cross-origin", "Access-Control-Allow-Origin": "*", "Cache-Control": "private, no-cache",
	} {
		if got := page.header.Get(name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	policy := page.header.Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "sandbox ") || strings.Contains(policy, "allow-same-origin") || strings.Contains(policy, "allow-top-navigation") ||
		!strings.Contains(policy, "script-src 'self' 'unsafe-inline';") {
		t.Errorf("policy %q", policy)
	}
	again := b.do(http.MethodGet, base, http.Header{"If-None-Match": {page.header.Get("ETag")}})
	want(t, "the same again", again.status, http.StatusNotModified)
	if err := os.WriteFile(filepath.Join(dir, "index.html"), []byte("<p>new"), 0o600); err != nil {
		t.Fatal(err)
	}
	again = b.do(http.MethodGet, base, http.Header{"If-None-Match": {page.header.Get("ETag")}})
	if again.status != http.StatusOK || !strings.Contains(again.body, "<p>new") {
		t.Errorf("a changed page: %d %s", again.status, again.body)
	}
	for name, kind := range map[string]string{
		"sub/": "text/html; charset=utf-8", "sub/my%20page.html": "text/html; charset=utf-8", "in.html": "text/html; charset=utf-8", "style.css": "text/css; charset=utf-8",
		"a.js": "text/javascript; charset=utf-8", "logo.svg": "image/svg+xml", "font.woff2": "font/woff2", "unknown.xyz": "application/octet-stream",
		".workshop/notes.js": "text/javascript; charset=utf-8",
	} {
		a := b.get(base + name)
		if a.status != http.StatusOK || a.header.Get("Content-Type") != kind {
			t.Errorf("%s: %d %s", name, a.status, a.header.Get("Content-Type"))
		}
		if !strings.HasPrefix(a.header.Get("Content-Security-Policy"), "sandbox ") {
			t.Errorf("%s: policy %q", name, a.header.Get("Content-Security-Policy"))
		}
	}
	if part := b.do(http.MethodGet, base+"font.woff2", http.Header{"Range": {"bytes=0-0"}}); part.status != http.StatusPartialContent {
		t.Errorf("a part: %d", part.status)
	}
	if to := b.get(base + "sub"); to.status != http.StatusFound || to.header.Get("Location") != base+"sub/" {
		t.Errorf("directory: %d to %q", to.status, to.header.Get("Location"))
	}
	if wide := b.get(base + "wide.html"); strings.Contains(wide.body, "script") {
		t.Error("a page in UTF-16 was changed")
	}
	want(t, "POST", b.do(http.MethodPost, base, nil).status, http.StatusMethodNotAllowed)
}

func TestNotesKeepTheRestHidden(t *testing.T) {
	dir := writeNotes(t)
	b := newBrowser(t, notesGateway(t, dir, "", ""))
	base := passBase(t, b, owner)
	for _, name := range []string{
		"../secret.html", "%2e%2e/secret.html", "..%2fsecret.html", "sub/../../secret.html", "sub%2f..%2f..%2fsecret.html", "..%5csecret.html", "/etc/passwd", "%2fetc%2fpasswd",
		"out.html", "abs.html", "up/secret.html", "up/", "proc/self/environ", "pipe.html", ".git/config", ".git/", "sub/.", "none.html", "index.html/", "index.html%00.png", ".workshop/", "a//b",
	} {
		a := b.get(base + name)
		if a.status != http.StatusNotFound || strings.Contains(a.body, "secret\n") || strings.Contains(a.body, "root:") {
			t.Errorf("%s: %d %.200s", name, a.status, a.body)
		}
	}
}

// TestNotesOfAttendee: the directory may be one that attendees can replace by a
// link to where the gateway's own environment is.
func TestNotesOfAttendee(t *testing.T) {
	for _, target := range []string{"/proc/self", "/"} {
		dir := filepath.Join(t.TempDir(), "notes")
		if err := os.Symlink(target, dir); err != nil {
			t.Fatal(err)
		}
		b := newBrowser(t, notesGateway(t, dir, "", ""))
		base := passBase(t, b, owner)
		for _, name := range []string{"environ", "proc/self/environ", "self/environ", "task/self/environ"} {
			want(t, target+" "+name, b.get(base+name).status, http.StatusNotFound)
		}
	}
}

func TestNotesAreForThoseWhoAreIn(t *testing.T) {
	g := notesGateway(t, writeNotes(t), "", "")
	b := newBrowser(t, g)
	base := passBase(t, b, owner)
	stranger := newBrowser(t, g)
	want(t, "page without a login", stranger.do(http.MethodGet, notesBase+"sub/", html).status, http.StatusFound)
	want(t, "frame with another's pass", stranger.do(http.MethodGet, notesBase+"~wrong/style.css", nil).status, http.StatusUnauthorized)
	want(t, "empty pass", stranger.get(notesBase+"~/style.css").status, http.StatusUnauthorized)
	mallory := newBrowser(t, g)
	mallory.login("mallory")
	want(t, "somebody else", mallory.get(notesBase).status, http.StatusForbidden)
	// The directory may be the attendee's, and a page of theirs at the hub's
	// address can look like a login.
	admin := newBrowser(t, g)
	admin.login("admin")
	want(t, "admin", admin.get(notesBase).status, http.StatusForbidden)
	if page := admin.get(prefix); page.status != http.StatusOK || !strings.Contains(page.body, `<meta name="notes" content=""`) {
		t.Errorf("page for an admin: %d %s", page.status, page.body)
	}
	// An old address leads its owner to the page.
	if to := b.get(notesBase + "~old/sub/my%20page.html"); to.status != http.StatusFound || to.header.Get("Location") != base+"sub/my%20page.html" {
		t.Errorf("old pass: %d to %q", to.status, to.header.Get("Location"))
	}
	// The pass opens nothing but notes.
	for _, path := range []string{"", "session", "ws"} {
		if a := stranger.get(prefix + path + "?pass=" + strings.TrimSuffix(strings.TrimPrefix(base, notesBase+"~"), "/")); a.status == http.StatusOK || a.status == http.StatusNoContent {
			t.Errorf("%q opened by the pass: %d", path, a.status)
		}
	}
	want(t, "before the logout", b.get(base).status, http.StatusOK)
}

func TestPageKnowsItsNotes(t *testing.T) {
	frames := func(g *gateway) (string, string) {
		b := newBrowser(t, g)
		b.login(owner)
		page := b.get(prefix)
		_, frame, _ := strings.Cut(page.header.Get("Content-Security-Policy"), "; frame-src ")
		return page.body, frame
	}
	body, frame := frames(notesGateway(t, writeNotes(t), "", ""))
	if frame != "'self'" || !strings.Contains(body, `<meta name="notes" content="`+notesBase+`~`) {
		t.Errorf("frames %q, page %s", frame, body)
	}
	body, frame = frames(notesGateway(t, "", "https://notes.example.com/<x>", "https://more.example.com"))
	if frame != "https://notes.example.com https://more.example.com" || !strings.Contains(body, `content="https://notes.example.com/%3Cx%3E" data-pass="" data-origins="https://notes.example.com https://more.example.com"`) {
		t.Errorf("frames %q, page %s", frame, body)
	}
	g := newGateway(t, time.Hour, withPort(8080))
	body, frame = frames(g)
	if frame != "" || !strings.Contains(body, `<meta name="notes" content=""`) || !strings.Contains(body, `<meta name="apps" content="web">`) {
		t.Errorf("no notes: frames %q, page %s", frame, body)
	}
	b := newBrowser(t, g)
	b.login(owner)
	want(t, "no notes", b.get(notesBase).status, http.StatusNotFound)
	b = newBrowser(t, notesGateway(t, "/nonexistent", "", ""))
	base := passBase(t, b, owner)
	if a := b.get(base); a.status != http.StatusNotFound || !strings.Contains(a.body, "/nonexistent") {
		t.Errorf("missing directory: %d %s", a.status, a.body)
	}
}
