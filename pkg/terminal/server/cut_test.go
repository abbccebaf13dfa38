// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/workshopctl/workshopctl/pkg/terminal/wire"
)

// fragile is a connection that breaks after it has brought a number of bytes:
// wherever that is, in the middle of a frame as a rule. Half of them break with
// a word to the other side, the others go silent, as a laptop's does.
type fragile struct {
	net.Conn
	left   int
	silent bool
}

func (f *fragile) Read(p []byte) (int, error) {
	if f.left <= 0 {
		if !f.silent {
			_ = f.Conn.Close()
		}
		return 0, net.ErrClosed
	}
	n, err := f.Conn.Read(p[:min(len(p), f.left)])
	f.left -= n
	return n, err
}

func (f *fragile) Close() error {
	if f.silent {
		return nil
	}
	return f.Conn.Close()
}

// TestHundredCuts: a page whose connection is cut a hundred times, anywhere, while
// a program prints 50 MiB, has every byte once; and what it typed meanwhile has
// come once, too. It talks as the page's script does.
func TestHundredCuts(t *testing.T) {
	const size, cuts = 50 << 20, 100
	all := make([]byte, size)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(all)
	file := filepath.Join(t.TempDir(), "noise")
	if err := os.WriteFile(file, all, 0o600); err != nil {
		t.Fatal(err)
	}
	want := sha256.Sum256(all)
	g := newGateway(t, time.Hour)
	b := newBrowser(t, g)
	first := b.open(owner)
	// Raw: the terminal changes no byte. The program begins when the page is there.
	write(t, first, "istty raw -echo; echo rea''dy; dd bs=1 count=1 of=/dev/null 2>/dev/null; cat "+file+"; exec cat >"+file+".typed\r")
	p, seen := &wirePage{name: "cut"}, ""
	conn, _ := b.socket(nil)
	err := p.talk(t.Context(), conn, func(out []byte) bool {
		seen += string(out)
		return !strings.HasSuffix(seen, "ready\n")
	})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = first.CloseNow(), conn.CloseNow()

	at := []int{0}
	for range cuts {
		at = append(at, rand.IntN(size))
	}
	slices.Sort(at)
	var silent []net.Conn
	t.Cleanup(func() {
		for _, conn := range silent {
			_ = conn.Close()
		}
	})
	budget := 0
	browser := &http.Client{Jar: b.Jar, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
			if err != nil || budget == 0 {
				return conn, err
			}
			f := &fragile{Conn: conn, left: budget, silent: rand.IntN(4) == 0}
			if f.silent {
				silent = append(silent, conn)
			}
			return f, nil
		}}}

	got, started := sha256.New(), time.Now()
	done, connections := 0, 0
	for n := 1; done < size; n++ {
		budget = 0 // the last one stays
		if n < len(at) {
			budget = at[n] - at[n-1] + 1
		}
		connections++
		conn, resp, err := websocket.Dial(t.Context(), g.URL+prefix+"ws", &websocket.DialOptions{HTTPClient: browser, HTTPHeader: http.Header{"Origin": {g.URL}}})
		if err != nil {
			if budget == 0 || resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("connection %d: %v", n, err)
			}
			continue // cut within the answer's header
		}
		conn.SetReadLimit(1 << 20)
		err = p.talk(t.Context(), conn, func(out []byte) bool {
			out = out[:min(len(out), size-done)]
			got.Write(out)
			done += len(out)
			return done < size
		})
		if err != nil && budget == 0 {
			t.Fatalf("after %d bytes: %v", done, err)
		}
		_ = conn.CloseNow()
	}
	took := time.Since(started)
	if [sha256.Size]byte(got.Sum(nil)) != want {
		t.Error("what the page has differs from what was printed")
	}
	if p.resets != 1 || connections <= cuts {
		t.Errorf("%d resets, want the first alone; %d connections", p.resets, connections)
	}
	t.Logf("%d connections in %v, %.0f MiB/s", connections, took, size/took.Seconds()/(1<<20))

	// What was typed went to the program that runs since then.
	last, _ := b.socket(nil)
	write(t, last, fmt.Sprintf(`h{"client":"cut","stream":%q,"offset":%d,"columns":80,"rows":24}`, p.stream, p.received))
	p.await(t, last)
	var wanted strings.Builder
	for n := range p.typed {
		fmt.Fprintf(&wanted, "%07d\n", n)
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		typed, _ := os.ReadFile(file + ".typed")
		if string(typed) == wanted.String()[1:] { // the first byte has begun it
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("typed %d bytes, of which %d came, and differ at %q", wanted.Len()-1, len(typed), difference(wanted.String()[1:], string(typed)))
		}
	}
}

// difference is what comes in got where it isn't want any more.
func difference(want, got string) string {
	i := 0
	for i < min(len(want), len(got)) && want[i] == got[i] {
		i++
	}
	return got[max(0, i-20):min(len(got), i+60)]
}

// wirePage is a page as far as the wire goes: it keeps what it has shown, and what it
// has typed that may not have come.
type wirePage struct {
	name, stream    string
	received, shown uint64
	typed, resets   int
	unsure          []byte
	base            uint64 // how much input came before unsure
}

// talk reads output, typing a line with each acknowledgement, until the connection
// breaks or show has enough.
func (p *wirePage) talk(ctx context.Context, conn *websocket.Conn, show func([]byte) bool) error {
	hello, err := json.Marshal(wire.Hello{Client: p.name, Stream: p.stream, Offset: p.received, Size: wire.Size{Columns: 80, Rows: 24}})
	if err != nil {
		return err
	}
	if err := conn.Write(ctx, websocket.MessageBinary, append([]byte{'h'}, hello...)); err != nil {
		return err
	}
	for more := true; more; {
		kind, frame, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		if kind != websocket.MessageBinary {
			continue
		}
		switch wire.Kind(frame[0]) {
		case wire.KindWelcome:
			if err := p.welcome(ctx, conn, frame[1:]); err != nil {
				return err
			}
		case wire.KindOutput:
			offset, out := binary.BigEndian.Uint64(frame[1:]), frame[9:]
			if offset != p.received {
				return fmt.Errorf("output at %d, want %d", offset, p.received)
			}
			p.received += uint64(len(out))
			more = show(out)
			if p.received-p.shown >= 64<<10 || !more {
				p.shown = p.received
				ack := binary.BigEndian.AppendUint64([]byte{'a'}, p.shown)
				if err := conn.Write(ctx, websocket.MessageBinary, ack); err != nil {
					return err
				}
				if err := p.types(ctx, conn); err != nil {
					return err
				}
			}
		case wire.KindCredit:
			n := binary.BigEndian.Uint32(frame[1:])
			p.base += uint64(n)
			p.unsure = p.unsure[n:]
		}
	}
	return nil
}

func (p *wirePage) types(ctx context.Context, conn *websocket.Conn) error {
	line := fmt.Appendf(nil, "%07d\n", p.typed)
	p.typed++
	p.unsure = append(p.unsure, line...)
	return conn.Write(ctx, websocket.MessageBinary, append([]byte{'i'}, line...))
}

func (p *wirePage) welcome(ctx context.Context, conn *websocket.Conn, body []byte) error {
	var w wire.Welcome
	if err := json.Unmarshal(body, &w); err != nil {
		return err
	}
	p.stream, p.received, p.shown = w.Stream, w.Offset, w.Offset
	if w.Reset {
		p.resets++
	}
	switch {
	case w.Taken != nil:
		p.unsure = p.unsure[*w.Taken-p.base:]
		p.base = *w.Taken
		if len(p.unsure) > 0 {
			return conn.Write(ctx, websocket.MessageBinary, append([]byte{'i'}, p.unsure...))
		}
	case p.typed > 0:
		return errors.New("the gateway doesn't know the page any more")
	}
	return nil
}

// await lets the page say what may not have come, and waits until that has.
func (p *wirePage) await(t *testing.T, conn *websocket.Conn) {
	t.Helper()
	for {
		_, frame, err := conn.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if wire.Kind(frame[0]) == wire.KindWelcome {
			if err := p.welcome(t.Context(), conn, frame[1:]); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
}
