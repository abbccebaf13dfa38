// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/workshopctl/workshopctl/pkg/terminal/hubauth"
	"github.com/workshopctl/workshopctl/pkg/terminal/wire"
)

// Life is how long a session lives.
type Life struct {
	// IdleTimeout is after how long without use the hub stops it; 0: never.
	IdleTimeout time.Duration
	// MaxAge after Started it does so in any case; 0: never.
	MaxAge  time.Duration
	Started time.Time
	// Kept is the time until which it does neither, zero if there is none. It may
	// change at any time, and be nil.
	Kept func() time.Time
}

// end of a session, as far as it can be told.
type end struct {
	at  time.Time // zero: there is none
	why string
	// first is when it would be if it weren't kept until at.
	first time.Time
	kept  bool
}

func (l Life) end(used, kept time.Time) (e end) {
	if l.IdleTimeout > 0 {
		e = end{at: used.Add(l.IdleTimeout), why: wire.EndIdle}
	}
	if oldest := l.Started.Add(l.MaxAge); l.MaxAge > 0 && (e.at.IsZero() || oldest.Before(e.at)) {
		e = end{at: oldest, why: wire.EndMaxAge}
	}
	e.first = e.at
	if !e.at.IsZero() && kept.After(e.at) {
		e.at, e.kept = kept, true
	}
	return e
}

// warning is how long before its end that is told: five minutes, or less where
// sessions don't live for long.
func (l Life) warning(why string) time.Duration {
	if why == wire.EndMaxAge {
		return min(5*time.Minute, l.MaxAge/4)
	}
	return min(5*time.Minute, l.IdleTimeout/4)
}

// news are what a page should say of the end, and when that changes if nothing
// happens until then; zero: it won't.
func (l Life) news(now, used, kept time.Time) (news wire.End, next time.Time) {
	e := l.end(used, kept)
	if e.at.IsZero() {
		return news, next
	}
	if e.kept {
		news.KeptUntil = kept.Unix()
	}
	warning := l.warning(e.why)
	if left := e.at.Sub(now); left <= warning {
		// At least one, since 0 says that there is no end near.
		news.StopsIn, news.Why = max(1, int(math.Ceil(left.Seconds()))), e.why
		// Of no help if it ended soon all the same.
		later := l.end(now, kept)
		news.UseHelps = later.at.Sub(now) > l.warning(later.why)
		return news, next
	}
	next = e.at.Add(-warning)
	if soon := e.first.Add(-warning); e.kept && now.Before(soon) {
		// Nobody needs to know yet.
		return wire.End{}, soon
	}
	return news, next
}

// use knows when the session was last used, as far as it is seen from here, and
// so when the hub will stop it. What isn't seen from here (the hub's own pages)
// can only make it later. The page must not ask: asking is use.
type use struct {
	life Life

	mu      sync.Mutex
	last    time.Time
	told    wire.End
	at      time.Time     // the end that was told
	resumed chan struct{} // has a token when it is used after a warning
}

func newUse(life Life) *use {
	return &use{life: life, last: time.Now(), resumed: make(chan struct{}, 1)}
}

// mark records that it is used now.
func (u *use) mark() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.last = time.Now()
	if u.told != (wire.End{}) {
		select {
		case u.resumed <- struct{}{}:
		default:
		}
	}
}

func (u *use) kept() time.Time {
	if u.life.Kept == nil {
		return time.Time{}
	}
	return u.life.Kept()
}

// end is when the session will be stopped if it isn't used.
func (u *use) end() end {
	kept := u.kept()
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.life.end(u.last, kept)
}

// lookAgain is how often it is looked whether the session is kept.
const lookAgain = 15 * time.Second

// watch tells what is to be said of the end whenever that changes.
func (u *use) watch(ctx context.Context, tell func()) {
	if u.life.IdleTimeout == 0 && u.life.MaxAge == 0 {
		return
	}
	for {
		kept, now := u.kept(), time.Now()
		u.mu.Lock()
		news, next := u.life.news(now, u.last, kept)
		at := u.life.end(u.last, kept).at
		// A page counts down by itself.
		same := news.StopsIn > 0 == (u.told.StopsIn > 0) && news.Why == u.told.Why && news.UseHelps == u.told.UseHelps && news.KeptUntil == u.told.KeptUntil
		if same && news.StopsIn > 0 {
			same = at.Equal(u.at)
		}
		u.told, u.at = news, at
		u.mu.Unlock()
		if !same {
			tell()
		}
		wait := lookAgain
		if !next.IsZero() {
			wait = min(wait, next.Sub(now))
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-u.resumed:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// now is what a page should say of the end.
func (u *use) now() wire.End {
	u.mu.Lock()
	defer u.mu.Unlock()
	news := u.told
	if news.StopsIn > 0 {
		news.StopsIn = max(1, int(math.Ceil(time.Until(u.at).Seconds())))
	}
	return news
}

func (s *Server) tellEnd() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.sockets {
		k.tellEnd(s.use)
	}
}

// serveSession says whose session it is, to those who may know, and until when
// it lives. It also tells a page that has lost its websocket why.
func (s *Server) serveSession(w http.ResponseWriter, r *http.Request) {
	session := s.admit(w, r)
	if session == nil {
		return
	}
	answer := struct {
		User        string    `json:"user"`  // who asks
		Owner       string    `json:"owner"` // of the session
		IdleTimeout int       `json:"idleTimeout"`
		MaxAge      int       `json:"maxAge,omitempty"`
		StoppedAt   time.Time `json:"stoppedAt,omitzero"`
		StoppedWhy  string    `json:"stoppedWhy,omitempty"`
		Kept        bool      `json:"kept,omitempty"` // until then
	}{User: session.User().Name, Owner: s.Config.User, IdleTimeout: int(s.Life.IdleTimeout.Seconds()), MaxAge: int(s.Life.MaxAge.Seconds())}
	if end := s.use.end(); !end.at.IsZero() {
		answer.StoppedAt, answer.StoppedWhy, answer.Kept = end.at.UTC().Truncate(time.Second), end.why, end.kept
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // the browser may be gone
}

// serveKeep tells the hub that somebody is here.
func (s *Server) serveKeep(w http.ResponseWriter, r *http.Request) {
	if s.admitChange(w, r) == nil {
		return
	}
	if err := s.hub.ReportActivity(r.Context(), time.Now()); err != nil {
		s.Logf("keep the session: %v", err)
		http.Error(w, "the hub could not be told", http.StatusBadGateway)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// serveStop has the hub stop this session.
func (s *Server) serveStop(w http.ResponseWriter, r *http.Request) {
	session := s.admitChange(w, r)
	if session == nil {
		return
	}
	s.Logf("%s stops the session", session.User().Name)
	// The hub ends this process while it answers, so the request may be cut.
	err := s.hub.Stop(context.WithoutCancel(r.Context()))
	var slow net.Error
	switch {
	case errors.As(err, &slow) && slow.Timeout(): // it is at it
		w.WriteHeader(http.StatusAccepted)
	case errors.Is(err, hubauth.ErrDenied):
		s.Logf("stop the session: %v", err)
		http.Error(w, "the hub doesn't let a session stop itself; stop it on the hub's page", http.StatusConflict)
	case err != nil:
		s.Logf("stop the session: %v", err)
		http.Error(w, "the hub could not be asked", http.StatusBadGateway)
	default:
		w.WriteHeader(http.StatusAccepted)
	}
}
