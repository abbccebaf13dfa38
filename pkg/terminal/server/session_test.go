// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/workshopctl/workshopctl/pkg/terminal/server"
	"github.com/workshopctl/workshopctl/pkg/terminal/wire"
)

// TestIdle: the page is told that the end is near, and that it no longer is.
func TestIdle(t *testing.T) {
	g := newGateway(t, time.Hour, func(o *server.Options) { o.Life.IdleTimeout = 2 * time.Second })
	b := newBrowser(t, g)
	conn := b.open(owner)
	near := func(s wire.State) bool { return s.StopsIn > 0 }
	far := func(s wire.State) bool { return s.StopsIn == 0 }
	b.states(conn, near)
	if err := conn.Write(t.Context(), websocket.MessageBinary, []byte("i:\r")); err != nil {
		t.Fatal(err)
	}
	b.states(conn, far)
	b.states(conn, near)
	want(t, "keep", b.change(http.MethodPost, "keep").status, http.StatusNoContent)
	b.states(conn, far)
	g.hub.set(func() {
		if g.hub.activity != 1 {
			t.Errorf("the hub was told %d times that the session is kept, want 1", g.hub.activity)
		}
	})
	var session struct {
		User, Owner string
		IdleTimeout int
		StoppedAt   time.Time
	}
	if err := json.Unmarshal([]byte(b.get(prefix+"session").body), &session); err != nil {
		t.Fatal(err)
	}
	if session.User != owner || session.Owner != owner || session.IdleTimeout != 2 || session.StoppedAt.IsZero() {
		t.Errorf("session %+v", session)
	}
}

func TestStop(t *testing.T) {
	g := newGateway(t, time.Hour)
	b := newBrowser(t, g)
	b.login(owner)
	want(t, "stop where the hub lets it", b.change(http.MethodPost, "stop").status, http.StatusAccepted)
	g.hub.set(func() {
		if g.hub.stopped != 1 {
			t.Errorf("the hub was asked %d times to stop the session", g.hub.stopped)
		}
		g.hub.keeps = true
	})
	want(t, "stop where the hub doesn't", b.change(http.MethodPost, "stop").status, http.StatusConflict)
	g.hub.set(func() { g.hub.down = true })
	want(t, "stop while the hub is down", b.change(http.MethodPost, "stop").status, http.StatusBadGateway)
}

// TestChangesWantProof: neither a page of another origin nor a form without the
// token can keep or stop a session, nor can somebody else.
func TestChangesWantProof(t *testing.T) {
	g := newGateway(t, time.Hour)
	b := newBrowser(t, g)
	b.login(owner)
	csrf := b.csrf()
	mallory := newBrowser(t, g)
	mallory.login("mallory")
	for _, path := range []string{"keep", "stop"} {
		for name, test := range map[string]struct {
			by     *browser
			method string
			header http.Header
			status int
		}{
			"GET":          {b, http.MethodGet, http.Header{"Origin": {g.URL}, "X-Csrf-Token": {csrf}}, http.StatusMethodNotAllowed},
			"no origin":    {b, http.MethodPost, http.Header{"X-Csrf-Token": {csrf}}, http.StatusForbidden},
			"other origin": {b, http.MethodPost, http.Header{"Origin": {"https://evil.example"}, "X-Csrf-Token": {csrf}}, http.StatusForbidden},
			"no token":     {b, http.MethodPost, http.Header{"Origin": {g.URL}}, http.StatusForbidden},
			"wrong token":  {b, http.MethodPost, http.Header{"Origin": {g.URL}, "X-Csrf-Token": {"x"}}, http.StatusForbidden},
			"someone else": {mallory, http.MethodPost, http.Header{"Origin": {g.URL}, "X-Csrf-Token": {csrf}}, http.StatusForbidden},
			"nobody":       {newBrowser(t, g), http.MethodPost, http.Header{"Origin": {g.URL}, "X-Csrf-Token": {csrf}}, http.StatusUnauthorized},
		} {
			want(t, path+", "+name, test.by.do(test.method, prefix+path, test.header).status, test.status)
		}
	}
	g.hub.set(func() {
		if g.hub.activity != 0 || g.hub.stopped != 0 {
			t.Errorf("kept %d times, stopped %d times", g.hub.activity, g.hub.stopped)
		}
	})
}
