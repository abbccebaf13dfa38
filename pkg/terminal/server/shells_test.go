// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/workshopctl/workshopctl/pkg/terminal/server"
	"github.com/workshopctl/workshopctl/pkg/terminal/shell"
	"github.com/workshopctl/workshopctl/pkg/terminal/wire"
)

// csrf is the token of the browser's session, from its page.
func (b *browser) csrf() string {
	b.t.Helper()
	found := regexp.MustCompile(`name="csrf" content="([^"]+)"`).FindStringSubmatch(b.get(prefix).body)
	if found == nil {
		b.t.Fatal("the page holds no CSRF token")
	}
	return found[1]
}

// change makes a request as the session's own page does.
func (b *browser) change(method, path string) answer {
	b.t.Helper()
	return b.do(method, prefix+path, http.Header{"Origin": {b.g.URL}, "X-Csrf-Token": {b.csrf()}})
}

// states reads until the page is told what ok accepts.
func (b *browser) states(conn *websocket.Conn, ok func(wire.State) bool) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	defer cancel()
	var last wire.State
	for {
		kind, frame, err := conn.Read(ctx)
		if err != nil {
			b.t.Fatalf("%v; told last: %+v", err, last)
		}
		if kind != websocket.MessageBinary || frame[0] != byte(wire.KindState) {
			continue
		}
		last = wire.State{}
		if err := json.Unmarshal(frame[1:], &last); err != nil {
			b.t.Fatal(err)
		}
		if ok(last) {
			return
		}
	}
}

func write(t *testing.T, conn *websocket.Conn, frames ...string) {
	t.Helper()
	for _, f := range frames {
		if err := conn.Write(t.Context(), websocket.MessageBinary, []byte(f)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestShells(t *testing.T) {
	g := newGateway(t, time.Hour)
	b := newBrowser(t, g)
	first := b.open(owner)
	a := b.change(http.MethodPost, "shells")
	want(t, "new", a.status, http.StatusCreated)
	if a.header.Get("Location") != prefix+"shell/2" || !strings.Contains(a.body, `"number":2`) {
		t.Errorf("%q at %q", a.body, a.header.Get("Location"))
	}
	b.states(first, func(s wire.State) bool {
		return len(s.Shells) == 2 && s.Shells[1].Number == 2 && s.Shell == shell.Running
	})

	// Each has its own page and websocket, and runs its own shell.
	want(t, "page", b.get(prefix+"shell/2").status, http.StatusOK)
	second, _ := b.socketAt("ws?shell=2", nil)
	write(t, second, `h{"client":"two","columns":80,"rows":24}`, "ikept=two; echo $((40+2)) $kept\r")
	b.sees(second, "42 two")
	write(t, first, "iecho $((40+1)) $kept.\r")
	b.sees(first, "41 .")
	// The hello may name it, too, and the same shell is seen twice.
	again, _ := b.socket(nil)
	write(t, again, `h{"client":"again","shell":2,"columns":80,"rows":24}`)
	b.sees(again, "42 two")

	// A title that a program sets is told to all.
	write(t, second, "iprintf '\\033]0;top\\007'\r")
	b.states(first, func(s wire.State) bool { return len(s.Shells) == 2 && s.Shells[1].Title == "top" })

	want(t, "restart", b.change(http.MethodPost, "restart?shell=2").status, http.StatusNoContent)
	write(t, second, "iecho $((40+3)) $kept.\r")
	b.sees(second, "43 .")
	write(t, first, "iecho $((40+4)) $((1+1))\r") // not restarted
	b.sees(first, "44 2")

	var list struct {
		Shells []wire.Shell
		Limit  int
	}
	if err := json.Unmarshal([]byte(b.get(prefix+"shells").body), &list); err != nil || len(list.Shells) != 2 || list.Limit != shell.MaxShells {
		t.Errorf("%+v, %v", list, err)
	}
	want(t, "close", b.change(http.MethodDelete, "shells/2").status, http.StatusNoContent)
	for _, conn := range []*websocket.Conn{second, again} {
		if why := b.ends(conn); why.Code != 4004 {
			t.Errorf("closed with %v", why)
		}
	}
	b.states(first, func(s wire.State) bool { return len(s.Shells) == 1 })
	page := b.get(prefix + "shell/2")
	want(t, "page of a closed one", page.status, http.StatusNotFound)
	if !strings.Contains(page.body, "Shell 2 is closed") || !strings.Contains(page.body, `href="`+prefix+`"`) {
		t.Errorf("the page says %s", page.body)
	}
	late, _ := b.socket(nil)
	write(t, late, `h{"client":"late","shell":2,"columns":80,"rows":24}`)
	if why := b.ends(late); why.Code != 4004 {
		t.Errorf("a late one is closed with %v", why)
	}
	want(t, "close again", b.change(http.MethodDelete, "shells/2").status, http.StatusNotFound)
	want(t, "close the first", b.change(http.MethodDelete, "shells/1").status, http.StatusConflict)
}

func TestShellAddresses(t *testing.T) {
	g := newGateway(t, time.Hour)
	b := newBrowser(t, g)
	// A login leads back to the shell's page.
	a := b.get(prefix + "shell/2")
	want(t, "without a session", a.status, http.StatusFound)
	back := b.get(b.callback(mustURL(t, a.header.Get("Location")).Query(), owner))
	if to := back.header.Get("Location"); to != prefix+"shell/2" {
		t.Errorf("the login leads to %q", to)
	}
	if _, err := g.shells.New(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path   string
		status int
		to     string
	}{
		{prefix + "shell/2", http.StatusOK, ""},
		{"/user/jane.doe%40example.com/shell/2", http.StatusFound, prefix + "shell/2"},
		{prefix + "shell/1", http.StatusFound, prefix},
		{prefix + "shell/3", http.StatusNotFound, ""},
		{prefix + "shell/02", http.StatusNotFound, ""},
		{prefix + "shell/+2", http.StatusNotFound, ""},
		{prefix + "shell/-2", http.StatusNotFound, ""},
		{prefix + "shell/2/", http.StatusNotFound, ""},
		{prefix + "shell/", http.StatusNotFound, ""},
		{prefix + "shell/../shells", http.StatusNotFound, ""},
		{prefix + "shell/99999999999999999999", http.StatusNotFound, ""},
	} {
		a := b.get(test.path)
		if a.status != test.status || a.header.Get("Location") != test.to {
			t.Errorf("%s: %d to %q, want %d to %q", test.path, a.status, a.header.Get("Location"), test.status, test.to)
		}
	}
	for path, status := range map[string]int{
		"ws?shell=2": http.StatusSwitchingProtocols, "ws?shell=1": http.StatusSwitchingProtocols, "ws?shell=": http.StatusSwitchingProtocols,
		"ws?shell=3": http.StatusNotFound, "ws?shell=0": http.StatusNotFound, "ws?shell=02": http.StatusNotFound, "ws?shell=x": http.StatusNotFound,
	} {
		_, got := b.socketAt(path, nil)
		want(t, path, got, status)
	}
	want(t, "restart of none", b.change(http.MethodPost, "restart?shell=3").status, http.StatusNotFound)
}

// TestChangesNeedTheirToken tries to change shells from elsewhere.
func TestChangesNeedTheirToken(t *testing.T) {
	g := newGateway(t, time.Hour)
	b, nobody, other := newBrowser(t, g), newBrowser(t, g), newBrowser(t, g)
	b.login(owner)
	other.login("admin")
	token := b.csrf()
	if _, err := g.shells.New(); err != nil {
		t.Fatal(err)
	}
	for _, request := range []struct{ method, path string }{
		{http.MethodPost, "shells"}, {http.MethodDelete, "shells/2"}, {http.MethodPost, "restart?shell=2"}, {http.MethodPost, "restart"},
	} {
		t.Run(request.method+" "+request.path, func(t *testing.T) {
			for name, test := range map[string]struct {
				who    *browser
				header http.Header
				status int
			}{
				"no token":          {b, http.Header{"Origin": {g.URL}}, http.StatusForbidden},
				"a wrong token":     {b, http.Header{"Origin": {g.URL}, "X-Csrf-Token": {token + "x"}}, http.StatusForbidden},
				"another's token":   {other, http.Header{"Origin": {g.URL}, "X-Csrf-Token": {token}}, http.StatusForbidden},
				"no origin":         {b, http.Header{"X-Csrf-Token": {token}}, http.StatusForbidden},
				"an opaque origin":  {b, http.Header{"Origin": {"null"}, "X-Csrf-Token": {token}}, http.StatusForbidden},
				"a page elsewhere":  {b, http.Header{"Origin": {"https://evil.example"}, "X-Csrf-Token": {token}}, http.StatusForbidden},
				"not logged in":     {nobody, http.Header{"Origin": {g.URL}, "X-Csrf-Token": {token}}, http.StatusUnauthorized},
				"a token in a form": {b, http.Header{"Origin": {g.URL}, "Content-Type": {"application/x-www-form-urlencoded"}}, http.StatusForbidden},
			} {
				want(t, name, test.who.do(request.method, prefix+request.path, test.header).status, test.status)
			}
		})
	}
	var numbers []int
	for _, s := range g.shells.List() {
		numbers = append(numbers, s.Number)
	}
	if !slices.Equal(numbers, []int{1, 2}) {
		t.Errorf("shells %v", numbers)
	}
	for _, request := range []struct{ method, path string }{
		{http.MethodPut, "shells"}, {http.MethodDelete, "shells"}, {http.MethodGet, "shells/2"}, {http.MethodPost, "shells/2"}, {http.MethodPost, "shell/2"},
	} {
		want(t, request.method+" "+request.path, b.change(request.method, request.path).status, http.StatusMethodNotAllowed)
	}
	want(t, "list for nobody", nobody.get(prefix+"shells").status, http.StatusUnauthorized)
	mallory := newBrowser(t, g)
	mallory.login("mallory")
	want(t, "list for someone else", mallory.get(prefix+"shells").status, http.StatusForbidden)
	_, status := mallory.socketAt("ws?shell=2", nil)
	want(t, "websocket for someone else", status, http.StatusForbidden)
	want(t, "page for someone else", mallory.get(prefix+"shell/2").status, http.StatusForbidden)
}

func TestTooManyShells(t *testing.T) {
	g := newGateway(t, time.Hour)
	b := newBrowser(t, g)
	b.login(owner)
	for number := 2; number <= shell.MaxShells; number++ {
		want(t, fmt.Sprint("shell ", number), b.change(http.MethodPost, "shells").status, http.StatusCreated)
	}
	a := b.change(http.MethodPost, "shells")
	want(t, "one more", a.status, http.StatusConflict)
	if !strings.Contains(a.body, "as many shells as it may have") {
		t.Errorf("it says %q", a.body)
	}
}

func TestShellsWithoutAShell(t *testing.T) {
	g := newGateway(t, time.Hour, func(o *server.Options) { o.Shells, o.Problem = nil, "There is no shell." })
	b := newBrowser(t, g)
	a := b.login(owner)
	want(t, "login", a.status, http.StatusFound)
	want(t, "list", b.get(prefix+"shells").status, http.StatusOK)
	if page := b.get(prefix + "shell/2"); page.status != http.StatusOK || !strings.Contains(page.body, "No terminal in this image") {
		t.Errorf("page: %d %s", page.status, page.body)
	}
}
