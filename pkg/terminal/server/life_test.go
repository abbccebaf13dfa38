// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/workshopctl/workshopctl/pkg/terminal/server"
	"github.com/workshopctl/workshopctl/pkg/terminal/wire"
)

// TestNews: what is said of a session's end, and when that changes.
func TestNews(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	at := func(minutes float64) time.Time { return now.Add(time.Duration(minutes * float64(time.Minute))) }
	var never, none time.Time
	idle := server.Life{IdleTimeout: time.Hour}
	age := func(started float64) server.Life { return server.Life{MaxAge: 4 * time.Hour, Started: at(started)} }
	both := func(started float64) server.Life {
		return server.Life{IdleTimeout: time.Hour, MaxAge: 4 * time.Hour, Started: at(started)}
	}
	for name, test := range map[string]struct {
		life       server.Life
		used, kept time.Time
		want       wire.End
		next       time.Time
	}{
		"never":               {server.Life{}, at(-999), never, wire.End{}, none},
		"kept without an end": {server.Life{}, at(-999), at(9), wire.End{}, none},
		"far":                 {idle, at(-10), never, wire.End{}, at(45)},
		"near":                {idle, at(-57), never, wire.End{StopsIn: 180, Why: wire.EndIdle, UseHelps: true}, none},
		"overdue":             {idle, at(-61), never, wire.End{StopsIn: 1, Why: wire.EndIdle, UseHelps: true}, none},
		"short":               {server.Life{IdleTimeout: 2 * time.Minute}, at(-1), never, wire.End{}, at(0.5)},
		"old, far":            {age(-100), at(0), never, wire.End{}, at(135)},
		"old, near":           {age(-238), at(0), never, wire.End{StopsIn: 120, Why: wire.EndMaxAge}, none},
		"old first":           {both(-238), at(-10), never, wire.End{StopsIn: 120, Why: wire.EndMaxAge}, none},
		"idle first":          {both(-100), at(-58), never, wire.End{StopsIn: 120, Why: wire.EndIdle, UseHelps: true}, none},
		"idle, then old":      {both(-237), at(-58), never, wire.End{StopsIn: 120, Why: wire.EndIdle}, none},
		"kept, and used":      {idle, at(-10), at(180), wire.End{}, at(45)},
		"kept, and idle":      {idle, at(-57), at(180), wire.End{KeptUntil: at(180).Unix()}, at(175)},
		"kept, and old":       {age(-300), at(0), at(180), wire.End{KeptUntil: at(180).Unix()}, at(175)},
		"kept no longer":      {idle, at(-57), at(-1), wire.End{StopsIn: 180, Why: wire.EndIdle, UseHelps: true}, none},
		"soon kept no longer": {idle, at(-80), at(2), wire.End{StopsIn: 120, Why: wire.EndIdle, UseHelps: true, KeptUntil: at(2).Unix()}, none},
		"old, and soon kept no longer": {
			age(-300), at(0), at(2), wire.End{StopsIn: 120, Why: wire.EndMaxAge, KeptUntil: at(2).Unix()}, none,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, next := test.life.News(now, test.used, test.kept)
			if got != test.want || !next.Equal(test.next) {
				t.Errorf("%+v, next %s; want %+v, next %s", got, next, test.want, test.next)
			}
		})
	}
}

// TestMaxAge: a page that comes when the end is near is told so, and that use
// doesn't help; it is told when the trainer keeps the session.
func TestMaxAge(t *testing.T) {
	var kept atomic.Pointer[time.Time]
	kept.Store(new(time.Time))
	g := newGateway(t, time.Hour, func(o *server.Options) {
		o.Life = server.Life{MaxAge: time.Hour, Started: time.Now().Add(-56 * time.Minute), Kept: func() time.Time { return *kept.Load() }}
	})
	b := newBrowser(t, g)
	b.login(owner)
	conn, _ := b.socket(nil)
	b.hello(conn) // and nothing is read before what follows
	b.states(conn, func(s wire.State) bool {
		return s.StopsIn > 0 && s.StopsIn <= 240 && s.Why == wire.EndMaxAge && !s.UseHelps && s.KeptUntil == 0
	})
	until := time.Now().Add(time.Hour).Truncate(time.Second)
	kept.Store(&until)
	// Use has it looked at again at once.
	want(t, "keep", b.change(http.MethodPost, "keep").status, http.StatusNoContent)
	b.states(conn, func(s wire.State) bool { return s.StopsIn == 0 && s.KeptUntil == until.Unix() })
	page := b.get(prefix + "session").body
	for _, part := range []string{`"maxAge":3600`, `"stoppedWhy":"max-age"`, `"kept":true`, until.UTC().Format(time.RFC3339)} {
		if !strings.Contains(page, part) {
			t.Errorf("the session says %s, without %s", page, part)
		}
	}
}
