// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/workshopctl/workshopctl/pkg/terminal/hubauth"
	"github.com/workshopctl/workshopctl/pkg/terminal/shell"
	"github.com/workshopctl/workshopctl/pkg/terminal/wire"
)

// The reasons for which the gateway closes a websocket, with the codes by which
// the page knows them.
var (
	errReplaced  = closing{4000, "the page has connected anew"}
	errLoggedOut = closing{4001, "you are logged out"}
	errForbidden = closing{4003, "you may not use this session any more"}
	errNoShell   = closing{4004, "this shell is closed"}
	errStopping  = closing{websocket.StatusServiceRestart, "the session is stopping"}
	errProtocol  = closing{websocket.StatusPolicyViolation, "not a frame of this protocol"}
)

// errStalled needs no code: who takes no output reads no reason for it.
var errStalled = errors.New("the page takes no output")

type closing struct {
	code   websocket.StatusCode
	reason string
}

func (c closing) Error() string { return c.reason }

const (
	helloTime = 10 * time.Second
	// frameTime is how long bulky output is collected: a screen shows 60 frames
	// a second, and fewer, larger messages cost both sides less.
	frameTime = 4 * time.Millisecond
	bulky     = 2 << 10 // bytes: what a program prints at once, not an echo
)

// socket is one open websocket.
type socket struct {
	session *hubauth.Session // nil for a watcher
	watches *watcher         // nil for a page
	conn    *websocket.Conn
	cancel  context.CancelCauseFunc
	// patience is how long a frame may take, and what it holds be acknowledged.
	patience time.Duration

	// What the page is still to be told. Newer news of a kind replaces older.
	mu       sync.Mutex
	size     *wire.Size
	state    wire.State
	newState bool
	credit   int
	ping     bool // is to be answered
	news     chan struct{}
}

func (s *Server) serveSocket(w http.ResponseWriter, r *http.Request) {
	session := s.admit(w, r)
	if session == nil {
		return
	}
	if !s.sameOrigin(r) {
		http.Error(w, "wrong origin", http.StatusForbidden)
		return
	}
	terminal := s.shellOf(w, r)
	if terminal == nil {
		return
	}
	// The origin is checked above, with the proxies' headers.
	s.hold(w, r, &socket{session: session}, terminal, &websocket.AcceptOptions{InsecureSkipVerify: true})
}

// hold opens a websocket and serves it until it ends. It isn't compressed: that
// costs more time than it saves on a terminal's small messages.
func (s *Server) hold(w http.ResponseWriter, r *http.Request, k *socket, terminal *shell.Terminal, options *websocket.AcceptOptions) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(r.Context()))
	defer cancel(nil)
	k.cancel, k.patience, k.news = cancel, s.Patience.Write, make(chan struct{}, 1)
	if !s.register(k) {
		http.Error(w, "too many open pages", http.StatusServiceUnavailable)
		return
	}
	defer s.unregister(k)
	conn, err := websocket.Accept(w, r, options)
	if err != nil {
		return // it has answered
	}
	defer func() { _ = conn.CloseNow() }() // closed by now, as a rule
	k.conn = conn
	conn.SetReadLimit(wire.MaxMessage)
	left := s.tellOf(k.watches)
	err = s.converse(ctx, k, terminal)
	left()
	// Now, not when it is closed: that waits for a browser which may be asleep,
	// and whose page has connected anew meanwhile.
	s.unregister(k)
	var reason closing
	if errors.As(err, &reason) {
		_ = conn.Close(reason.code, reason.reason)
	}
}

func (s *Server) register(k *socket) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || len(s.sockets) >= maxSockets {
		return false
	}
	s.sockets[k] = true
	return true
}

func (s *Server) unregister(k *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sockets, k)
}

// closeSockets closes those of one session, or all for good, and says how many.
func (s *Server) closeSockets(session *hubauth.Session, why closing) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = s.closing || session == nil
	s.apps.close(session)
	for k := range s.sockets {
		if session == nil || k.session == session {
			k.cancel(why)
			n++
		}
	}
	return n
}

// converse serves one page until it or the gateway has had enough; the error
// says why. The page sees the given terminal, unless it names another one.
func (s *Server) converse(ctx context.Context, k *socket, terminal *shell.Terminal) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	hello, err := k.hello(ctx)
	if err != nil {
		return err
	}
	if hello.Shell != 0 {
		if terminal = s.Shells.Get(hello.Shell); terminal == nil {
			return errNoShell
		}
	}
	defer s.Shells.Watch(k.tellShells)()
	k.tellEnd(s.use) // which may be near by then
	s.tellFresh(k)
	notify := shell.Notify{Size: k.tellSize, State: k.tellState, Credit: k.tellCredit}
	var page *shell.Page
	if k.watches != nil {
		page = terminal.Watch(hello.Client, k.watches.types, notify)
	} else {
		page = terminal.Attach(hello, notify)
	}
	var writers sync.WaitGroup
	writers.Go(func() { cancel(k.sendOutput(ctx, page)) })
	writers.Go(func() { cancel(k.sendNews(ctx, page, s.KeepAlive)) })
	// Reading may not be cut by ctx: the library would drop the connection
	// without the reason that the page is to know.
	read := make(chan error, 1)
	go func() { read <- k.receive(page, s.use.mark) }()
	select {
	case err = <-read:
		cancel(err)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	// A page that says goodbye is closed; one that doesn't may come back.
	status := websocket.CloseStatus(err)
	page.Detach(k.watches == nil && status != websocket.StatusNormalClosure && status != websocket.StatusGoingAway)
	writers.Wait()
	switch {
	case errors.Is(err, shell.ErrReplaced):
		return errReplaced
	case errors.Is(err, shell.ErrClosed):
		return errNoShell
	}
	return err
}

func (k *socket) hello(ctx context.Context) (wire.Hello, error) {
	ctx, cancel := context.WithTimeout(ctx, helloTime)
	defer cancel()
	kind, frame, err := k.conn.Read(ctx)
	if err != nil {
		return wire.Hello{}, err
	}
	m, err := wire.Parse(frame)
	if err != nil || kind != websocket.MessageBinary || m.Kind != wire.KindHello {
		return wire.Hello{}, errProtocol
	}
	return m.Hello, nil
}

// receive takes the page's frames. Each is use of the session, as proxies count.
func (k *socket) receive(page *shell.Page, used func()) error {
	for {
		kind, frame, err := k.conn.Read(context.Background())
		if err != nil {
			return err
		}
		used()
		m, err := wire.Parse(frame)
		if err != nil || kind != websocket.MessageBinary {
			return errProtocol
		}
		switch m.Kind {
		case wire.KindInput:
			err = page.Input(m.Input)
		case wire.KindAnswer:
			err = page.Answer(m.Input)
		case wire.KindPing:
			k.tell(func() { k.ping = true })
		case wire.KindResize:
			page.Resize(m.Size)
		case wire.KindAck:
			err = page.Ack(m.Offset)
		case wire.KindStart:
			// Its failure is told in the terminal.
			_ = page.Start()
		default:
			return errProtocol
		}
		switch {
		case errors.Is(err, shell.ErrReplaced), errors.Is(err, shell.ErrClosed):
			return err
		case err != nil:
			return closing{websocket.StatusPolicyViolation, err.Error()}
		}
	}
}

// sendOutput sends what the terminal prints.
func (k *socket) sendOutput(ctx context.Context, page *shell.Page) error {
	if err := k.write(ctx, websocket.MessageBinary, wire.AppendWelcome(nil, page.Welcome())); err != nil {
		return err
	}
	const header = 9
	buf := make([]byte, header, header+wire.MaxOutput)
	for {
		offset, frame, anew, err := page.Next(ctx, buf)
		if err != nil {
			return err
		}
		if anew != nil {
			frame = wire.AppendWelcome(nil, *anew)
		} else {
			wire.AppendOutputHeader(frame[:0], offset)
		}
		if err := k.write(ctx, websocket.MessageBinary, frame); err != nil {
			return err
		}
		if n := len(frame); n >= bulky && n < cap(buf) {
			page.Gather(ctx, frameTime)
		}
	}
}

// sendNews sends what else the page is to know, and the frame that keeps the
// connection open. It asks for no answer: proxies count what the browser sends
// as its user's activity, and an idle session would never be idle.
func (k *socket) sendNews(ctx context.Context, page *shell.Page, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if page.Stalled() > k.patience {
				return errStalled
			}
			if err := k.write(ctx, websocket.MessageText, []byte("still here")); err != nil {
				return err
			}
		case <-k.news:
			for _, frame := range k.takeNews() {
				if err := k.write(ctx, websocket.MessageBinary, frame); err != nil {
					return err
				}
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (k *socket) write(ctx context.Context, kind websocket.MessageType, frame []byte) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	// Not ctx itself: the library would cut the connection in the middle of a
	// frame, and the reason for closing it could not be told.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), k.patience)
	defer cancel()
	return k.conn.Write(ctx, kind, frame)
}

func (k *socket) tellSize(s wire.Size) { k.tell(func() { k.size = &s }) }
func (k *socket) tellCredit(bytes int) { k.tell(func() { k.credit += bytes }) }
func (k *socket) tellState(s wire.State) {
	k.tell(func() {
		s.Shells, s.Messages, s.End = k.state.Shells, k.state.Messages, k.state.End
		k.state, k.newState = s, true
	})
}
func (k *socket) tellShells(all []wire.Shell) {
	k.tell(func() { k.state.Shells, k.newState = all, true })
}

func (k *socket) tellEnd(u *use) {
	k.tell(func() { k.state.End, k.newState = u.now(), true })
}

func (k *socket) tell(change func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change()
	if k.size == nil && !k.newState && !k.ping && k.credit < wire.InputCredit {
		return
	}
	select {
	case k.news <- struct{}{}:
	default:
	}
}

func (k *socket) takeNews() (frames [][]byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.newState {
		frames = append(frames, wire.AppendState(nil, k.state))
	}
	if k.size != nil {
		frames = append(frames, wire.AppendSize(nil, *k.size))
	}
	if k.credit >= wire.InputCredit {
		frames = append(frames, wire.AppendCredit(nil, uint32(k.credit)))
		k.credit = 0
	}
	if k.ping {
		frames = append(frames, wire.AppendPing(nil))
	}
	k.size, k.newState, k.ping = nil, false, false
	return frames
}
