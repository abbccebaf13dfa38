// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"net"
	"net/http"

	"github.com/coder/websocket"

	"github.com/workshopctl/workshopctl/pkg/terminal/wire"
)

// watcher is how a trainer takes part in a shell.
type watcher struct{ types bool }

// ServeLocal lets trainers watch on the listener, until the context ends. Who
// may connect there is for the listener to say: whoever does needs no login.
// They speak as pages do.
func (s *Server) ServeLocal(ctx context.Context, l net.Listener) error {
	h := &http.Server{
		Handler:           http.HandlerFunc(s.serveWatcher),
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

func (s *Server) serveWatcher(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/watch" {
		http.NotFound(w, r)
		return
	}
	terminal := s.shellOf(w, r)
	if terminal == nil {
		return
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(r.Context()))
	defer cancel(nil)
	k := &socket{watches: &watcher{types: r.URL.Query().Get("write") == "1"}, cancel: cancel, patience: s.Patience.Write, news: make(chan struct{}, 1)}
	if !s.register(k) {
		http.Error(w, "too many open pages", http.StatusServiceUnavailable)
		return
	}
	defer s.unregister(k)
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // it has answered
	}
	defer func() { _ = conn.CloseNow() }() // closed by now, as a rule
	k.conn = conn
	conn.SetReadLimit(wire.MaxMessage)
	as := "watches"
	if k.watches.types {
		as = "takes part in"
	}
	s.Logf("a trainer %s a shell", as)
	err = s.converse(ctx, k, terminal)
	s.Logf("a trainer has left a shell")
	var reason closing
	if errors.As(err, &reason) {
		_ = conn.Close(reason.code, reason.reason)
	}
}
