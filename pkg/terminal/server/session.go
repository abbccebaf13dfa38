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
)

// use knows when the session was last used, as far as it is seen from here, and
// so when the hub will stop it. What isn't seen from here (the hub's own pages)
// can only make it later. The page must not ask: asking is use.
type use struct {
	timeout time.Duration

	mu      sync.Mutex
	last    time.Time
	warned  bool
	resumed chan struct{} // has a token when it is used after a warning
}

func newUse(timeout time.Duration) *use {
	return &use{timeout: timeout, last: time.Now(), resumed: make(chan struct{}, 1)}
}

// mark records that it is used now.
func (u *use) mark() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.last = time.Now()
	if u.warned {
		select {
		case u.resumed <- struct{}{}:
		default:
		}
	}
}

// end is when the session will be stopped if it isn't used; zero: it won't.
func (u *use) end() time.Time {
	if u.timeout == 0 {
		return time.Time{}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.last.Add(u.timeout)
}

// warning is how long before its end that is told: five minutes, or less where
// sessions don't live for long.
func (u *use) warning() time.Duration { return min(5*time.Minute, u.timeout/4) }

// watch tells how many seconds are left when the end is near, and 0 when it no
// longer is.
func (u *use) watch(ctx context.Context, tell func(seconds int)) {
	if u.timeout == 0 {
		return
	}
	timer := time.NewTimer(u.timeout - u.warning())
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-u.resumed:
		case <-ctx.Done():
			return
		}
		left := time.Until(u.end())
		near := left <= u.warning()
		u.mu.Lock()
		changed := near != u.warned
		u.warned = near
		u.mu.Unlock()
		switch {
		case changed && near:
			// At least one, since 0 says that there is no end near.
			tell(max(1, int(math.Ceil(left.Seconds()))))
		case changed:
			tell(0)
		}
		if !near {
			timer.Reset(left - u.warning())
		}
	}
}

func (s *Server) tellStopsIn(seconds int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.sockets {
		k.tellStopsIn(seconds)
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
		User        string     `json:"user"`  // who asks
		Owner       string     `json:"owner"` // of the session
		IdleTimeout int        `json:"idleTimeout"`
		StoppedAt   *time.Time `json:"stoppedAt,omitempty"`
	}{User: session.User().Name, Owner: s.Config.User, IdleTimeout: int(s.IdleTimeout.Seconds())}
	if end := s.use.end(); !end.IsZero() {
		end = end.UTC().Truncate(time.Second)
		answer.StoppedAt = &end
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
