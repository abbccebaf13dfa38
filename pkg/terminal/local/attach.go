// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/coder/websocket"

	"github.com/workshopctl/workshopctl/pkg/terminal/wire"
)

// Options of Attach.
type Options struct {
	Address string
	Shell   int
	Write   bool // what comes from In is typed into the shell
	In      io.Reader
	Out     io.Writer // the terminal's output, as it is
	Events  io.Writer // lines of JSON, see [wire.Event]
}

// ErrNoGateway says that nobody listens where the gateway does.
var ErrNoGateway = errors.New("no gateway that can be joined runs here")

const (
	chunk   = 16 << 10 // bytes of input in a frame
	ackStep = 64 << 10
)

// Attach joins a shell until In ends or the gateway has no more to tell. In is
// read to its end without Write, too: it says when to leave.
func Attach(ctx context.Context, o Options) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	query := "?shell=" + strconv.Itoa(o.Shell)
	if o.Write {
		query += "&write=1"
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return Dial(ctx, o.Address)
	}}}
	conn, answer, err := websocket.Dial(ctx, "http://gateway/watch"+query, &websocket.DialOptions{HTTPClient: client})
	if answer != nil && answer.Body != nil { // of a refusal
		defer func() { _ = answer.Body.Close() }()
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return ErrNoGateway
	case err != nil && answer != nil:
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
		return errors.New(strings.TrimSpace(string(text)))
	case err != nil:
		return err
	}
	defer func() { _ = conn.CloseNow() }() // closed by now, as a rule
	conn.SetReadLimit(wire.MaxOutput + 64<<10)
	a := &attached{Options: o, conn: conn}
	a.room.L = &a.mu
	hello, err := json.Marshal(wire.Hello{Client: rand.Text(), Size: wire.Size{Columns: 80, Rows: 24}})
	if err != nil {
		return err
	}
	if err := a.send(ctx, wire.KindHello, hello); err != nil {
		return err
	}
	go func() { cancel(a.copyIn(ctx)) }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close(websocket.StatusNormalClosure, "") })
	defer stop()
	err = a.copyOut()
	var closed websocket.CloseError
	switch {
	case errors.Is(context.Cause(ctx), io.EOF):
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &closed):
		return errors.New(closed.Reason)
	}
	return err
}

type attached struct {
	Options
	conn    *websocket.Conn
	writing sync.Mutex

	mu         sync.Mutex
	room       sync.Cond // signalled when input may go on
	uncredited int
	over       bool
}

func (a *attached) send(ctx context.Context, kind wire.Kind, body []byte) error {
	a.writing.Lock()
	defer a.writing.Unlock()
	return a.conn.Write(ctx, websocket.MessageBinary, append([]byte{byte(kind)}, body...))
}

// copyIn sends what comes in; the error is io.EOF at its end.
func (a *attached) copyIn(ctx context.Context) error {
	buf := make([]byte, chunk)
	for {
		n, err := a.In.Read(buf)
		if n > 0 && a.Write {
			a.mu.Lock()
			for a.uncredited > wire.InputWindow/2 && !a.over {
				a.room.Wait()
			}
			a.uncredited += n
			a.mu.Unlock()
			if err := a.send(ctx, wire.KindInput, buf[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}

// copyOut takes the gateway's frames.
func (a *attached) copyOut() error {
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.over = true
		a.room.Broadcast()
	}()
	begun := false
	var acked uint64
	for {
		kind, frame, err := a.conn.Read(context.Background())
		if err != nil {
			return err
		}
		if kind != websocket.MessageBinary { // only to keep the connection alive
			if err := a.tell(wire.Event{}); err != nil {
				return err
			}
			continue
		}
		if len(frame) == 0 {
			continue
		}
		body := frame[1:]
		switch wire.Kind(frame[0]) {
		case wire.KindWelcome:
			var w wire.Welcome
			if err := json.Unmarshal(body, &w); err != nil {
				return err
			}
			acked = w.Offset
			text := w.Preamble
			if begun { // some was passed over: what is on the screen is worth nothing
				text = "\x1b[!p\x1b[2J\x1b[H" + text
			}
			begun = true
			if _, err := io.WriteString(a.Out, text); err != nil {
				return err
			}
		case wire.KindOutput:
			if len(body) < 8 {
				return fmt.Errorf("an output frame of %d bytes", len(body))
			}
			if _, err := a.Out.Write(body[8:]); err != nil {
				return err
			}
			if end := binary.BigEndian.Uint64(body) + uint64(len(body)-8); end-acked >= ackStep {
				acked = end
				if err := a.send(context.Background(), wire.KindAck, binary.BigEndian.AppendUint64(nil, end)); err != nil {
					return err
				}
			}
		case wire.KindSize:
			if len(body) != 4 {
				return fmt.Errorf("a size frame of %d bytes", len(body))
			}
			if err := a.tell(wire.Event{Size: &wire.Size{Columns: binary.BigEndian.Uint16(body), Rows: binary.BigEndian.Uint16(body[2:])}}); err != nil {
				return err
			}
		case wire.KindCredit:
			if len(body) != 4 {
				return fmt.Errorf("a credit frame of %d bytes", len(body))
			}
			a.mu.Lock()
			a.uncredited -= int(binary.BigEndian.Uint32(body))
			a.room.Broadcast()
			a.mu.Unlock()
		}
	}
}

func (a *attached) tell(e wire.Event) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = a.Events.Write(append(line, '\n'))
	return err
}
