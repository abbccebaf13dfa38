// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/workshopctl/workshopctl/pkg/terminal/wire"
)

// protocol is how a server speaks with its page.
type protocol interface {
	// hello is the first message, if there is one.
	hello() (websocket.MessageType, []byte)
	// input is the message for what was typed.
	input(text string) (websocket.MessageType, []byte)
	// output is the terminal's output in a message; it may overwrite the message.
	output(message []byte) ([]byte, error)
	// ack is the message, if any, that says that all output so far was consumed.
	ack() []byte
}

// client is a terminal's page without a screen.
type client struct {
	protocol
	conn   *websocket.Conn
	buf    []byte
	unread []byte // output that was received and not yet returned
	// rate is how many bytes a second it consumes; 0: all that comes.
	rate     float64
	started  time.Time
	consumed int
	messages int
}

func dial(ctx context.Context, url string, p protocol, browser *http.Client, header http.Header) (*client, error) {
	conn, resp, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: browser, HTTPHeader: header})
	if err != nil {
		return nil, err
	}
	if resp.Body != nil {
		_ = resp.Body.Close()
	}
	conn.SetReadLimit(-1)
	c := &client{protocol: p, conn: conn, buf: make([]byte, 1<<20)}
	if kind, frame := p.hello(); frame != nil {
		err = conn.Write(ctx, kind, frame)
	}
	return c, err
}

func (c *client) close() { _ = c.conn.CloseNow() }

func (c *client) send(ctx context.Context, text string) error {
	kind, frame := c.input(text)
	return c.conn.Write(ctx, kind, frame)
}

// pace makes the client one that shows so many bytes a second, from now on.
func (c *client) pace(rate float64) { c.rate, c.started, c.consumed = rate, time.Now(), 0 }

// read is the output of the next message that has some.
func (c *client) read(ctx context.Context) ([]byte, error) {
	if out := c.unread; len(out) > 0 {
		c.unread = nil
		return out, nil
	}
	for {
		_, r, err := c.conn.Reader(ctx)
		if err != nil {
			return nil, err
		}
		n := 0
		for err == nil {
			var more int
			more, err = r.Read(c.buf[n:])
			n += more
			if n == len(c.buf) {
				c.buf = append(c.buf, make([]byte, n)...)
			}
		}
		if !errors.Is(err, io.EOF) {
			return nil, err
		}
		out, err := c.output(c.buf[:n])
		if err != nil {
			return nil, err
		}
		if len(out) == 0 {
			continue
		}
		c.messages++
		c.consumed += len(out)
		if c.rate > 0 {
			due := time.Duration(float64(c.consumed) / c.rate * float64(time.Second))
			if err := wait(ctx, due-time.Since(c.started)); err != nil {
				return nil, err
			}
		}
		if ack := c.ack(); ack != nil {
			if err := c.conn.Write(ctx, websocket.MessageBinary, ack); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
}

// until reads up to the first of the given byte, and counts the bytes before it.
func (c *client) until(ctx context.Context, mark byte) (int, error) {
	n := 0
	for {
		out, err := c.read(ctx)
		if err != nil {
			return n, fmt.Errorf("waiting for %q: %w", mark, err)
		}
		if i := bytes.IndexByte(out, mark); i >= 0 {
			c.unread = out[i+1:]
			return n + i, nil
		}
		n += len(out)
	}
}

// wait waits, unless the context ends first.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// workshopProtocol is the gateway's; see pkg/terminal/wire.
type workshopProtocol struct {
	name            string
	consumed, acked uint64
}

// ackStep is how often the page acknowledges, in bytes.
const ackStep = 64 << 10

func (p *workshopProtocol) hello() (websocket.MessageType, []byte) {
	body, _ := json.Marshal(wire.Hello{Client: p.name, Size: wire.Size{Columns: 80, Rows: 24}}) // always encodes
	return websocket.MessageBinary, append([]byte{byte(wire.KindHello)}, body...)
}

func (p *workshopProtocol) input(text string) (websocket.MessageType, []byte) {
	return websocket.MessageBinary, append([]byte{byte(wire.KindInput)}, text...)
}

func (p *workshopProtocol) output(message []byte) ([]byte, error) {
	const header = 9
	if len(message) == 0 {
		return nil, errors.New("empty message")
	}
	switch wire.Kind(message[0]) {
	case wire.KindWelcome:
		var w wire.Welcome
		if err := json.Unmarshal(message[1:], &w); err != nil {
			return nil, err
		}
		p.consumed, p.acked = w.Offset, w.Offset
	case wire.KindOutput:
		if offset := binary.BigEndian.Uint64(message[1:header]); offset != p.consumed {
			return nil, fmt.Errorf("output from byte %d after byte %d", offset, p.consumed)
		}
		p.consumed += uint64(len(message) - header)
		return message[header:], nil
	}
	return nil, nil
}

func (p *workshopProtocol) ack() []byte {
	if p.consumed-p.acked < ackStep {
		return nil
	}
	p.acked = p.consumed
	return binary.BigEndian.AppendUint64([]byte{byte(wire.KindAck)}, p.consumed)
}

// terminadoProtocol is terminado's: JSON lists in text messages, and no flow
// control.
type terminadoProtocol struct{}

func (terminadoProtocol) hello() (websocket.MessageType, []byte) {
	return websocket.MessageText, []byte(`["set_size", 24, 80, 480, 640]`)
}

func (terminadoProtocol) input(text string) (websocket.MessageType, []byte) {
	frame, _ := json.Marshal([]string{"stdin", text}) // always encodes
	return websocket.MessageText, frame
}

func (terminadoProtocol) ack() []byte { return nil }

// output decodes in place, and faster than encoding/json: the client shall not be
// what is measured.
func (terminadoProtocol) output(message []byte) ([]byte, error) {
	s, ok := bytes.CutPrefix(message, []byte(`["stdout", "`))
	if !ok {
		return nil, nil
	}
	if s, ok = bytes.CutSuffix(s, []byte(`"]`)); !ok {
		return nil, errors.New("a message without an end")
	}
	out := s[:0]
	for {
		i := bytes.IndexByte(s, '\\')
		if i < 0 {
			return append(out, s...), nil
		}
		out = append(out, s[:i]...)
		if len(s) < i+2 {
			return nil, errors.New("an escape without an end")
		}
		escaped := s[i+1]
		s = s[i+2:]
		switch escaped {
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'u':
			var r rune
			r, s = codeUnit(s)
			if utf16.IsSurrogate(r) && bytes.HasPrefix(s, []byte(`\u`)) {
				var low rune
				low, s = codeUnit(s[2:])
				r = utf16.DecodeRune(r, low)
			}
			out = utf8.AppendRune(out, r)
		default:
			out = append(out, escaped)
		}
	}
}

func codeUnit(s []byte) (rune, []byte) {
	if len(s) < 4 {
		return utf8.RuneError, nil
	}
	n, err := strconv.ParseUint(string(s[:4]), 16, 32)
	if err != nil {
		return utf8.RuneError, s[4:]
	}
	return rune(n), s[4:]
}
