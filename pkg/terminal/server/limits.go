// SPDX-License-Identifier: Apache-2.0

package server

import (
	"cmp"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Patience is how long others may take. The zero value of a field is the default.
type Patience struct {
	// Header is for the header of a request, Request for all of it with its
	// answer, or, of a transfer, for the time in which nothing moves.
	Header, Request time.Duration
	// Write is for one frame to a websocket, and for the page to acknowledge
	// output when it has been sent all that it may: then the websocket is closed.
	// One that comes back goes on where it stopped.
	Write time.Duration
}

func (p Patience) orDefault() Patience {
	return Patience{cmp.Or(p.Header, 10*time.Second), cmp.Or(p.Request, time.Minute), cmp.Or(p.Write, 30*time.Second)}
}

const (
	// maxConnections bounds the open connections, of whoever: a page has a few.
	// The proxy is the only one to make them, for those who are logged in and
	// those who aren't. What comes above that waits in the kernel.
	maxConnections = 256
	// maxHeader bounds the bytes of a request's header. Cookies of the whole site
	// come along.
	maxHeader = 64 << 10
)

// limit is the listener with at most n connections open at once.
func limit(l net.Listener, n int) net.Listener {
	return &limited{Listener: l, places: make(chan struct{}, n), closed: make(chan struct{})}
}

type limited struct {
	net.Listener
	places chan struct{}
	once   sync.Once
	closed chan struct{}
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &counted{Conn: conn, leave: sync.OnceFunc(func() { <-l.places })}, nil
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// counted is a connection that gives its place back when it is closed.
type counted struct {
	net.Conn
	leave func()
}

func (c *counted) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// paced lets an answer take as long as it likes, if it moves: who takes nothing
// of it for the time of a request is cut off.
func (s *Server) paced(w http.ResponseWriter) *pacedWriter {
	return &pacedWriter{ResponseWriter: w, control: http.NewResponseController(w), stall: s.Patience.Request}
}

type pacedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration
}

func (w *pacedWriter) moves() { _ = w.control.SetWriteDeadline(time.Now().Add(w.stall)) }

func (w *pacedWriter) WriteHeader(status int) {
	w.moves()
	w.ResponseWriter.WriteHeader(status)
}

func (w *pacedWriter) Write(p []byte) (int, error) {
	w.moves()
	return w.ResponseWriter.Write(p)
}

// FlushError is what [http.ResponseController] calls.
func (w *pacedWriter) FlushError() error {
	w.moves()
	return w.control.Flush()
}

// Unwrap is for [http.ResponseController].
func (w *pacedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// done gives the rest of the answer, and what is left of the request, their time.
func (w *pacedWriter) done() {
	w.moves()
	_ = w.control.SetReadDeadline(time.Now().Add(w.stall))
}

// reader reads the request's body, which may take as long as it likes, too.
func (w *pacedWriter) reader(body io.Reader) *pacedReader {
	return &pacedReader{Reader: body, writer: w}
}

type pacedReader struct {
	io.Reader
	writer *pacedWriter
	failed bool
}

func (r *pacedReader) Read(p []byte) (int, error) {
	w := r.writer
	now := time.Now()
	_ = w.control.SetReadDeadline(now.Add(w.stall))
	_ = w.control.SetWriteDeadline(now.Add(2 * w.stall)) // the answer comes after all of it
	n, err := r.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.failed = true
	}
	return n, err
}
