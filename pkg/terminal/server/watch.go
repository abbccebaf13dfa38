// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"net"
	"net/http"
)

// watcher is how a trainer takes part in a shell.
type watcher struct{ types bool }

// ServeLocal lets trainers watch, and tell something, on the listener, until the context ends. Who
// may connect there is for the listener to say: whoever does needs no login.
// They speak as pages do.
func (s *Server) ServeLocal(ctx context.Context, l net.Listener) error {
	h := &http.Server{
		Handler:           http.HandlerFunc(s.serveLocal),
		ReadHeaderTimeout: s.Patience.Header,
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	// Open websockets are told by Serve, which closes all.
	stop := context.AfterFunc(ctx, func() { _ = h.Close() })
	defer stop()
	if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (s *Server) serveLocal(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/watch":
		s.serveWatcher(w, r)
	case "/message":
		s.answer(w, r, http.MethodPost, s.serveMessage)
	default:
		http.NotFound(w, r)
	}
}

func (s *Server) serveWatcher(w http.ResponseWriter, r *http.Request) {
	terminal := s.shellOf(w, r)
	if terminal == nil {
		return
	}
	s.hold(w, r, &socket{watches: &watcher{types: r.URL.Query().Get("write") == "1"}}, terminal, nil)
}

// tellOf logs that a trainer has come, if it is one; the function it returns,
// that they have left.
func (s *Server) tellOf(t *watcher) (left func()) {
	if t == nil {
		return func() {}
	}
	as := "watches"
	if t.types {
		as = "takes part in"
	}
	s.Logf("a trainer %s a shell", as)
	return func() { s.Logf("a trainer has left a shell") }
}
