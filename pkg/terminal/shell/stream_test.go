// SPDX-License-Identifier: Apache-2.0

package shell

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/workshopctl/workshopctl/pkg/terminal/wire"
)

// noise is output that repeats nowhere, so that a byte out of place shows.
func noise(n int) []byte {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

func TestRing(t *testing.T) {
	const limit = 64 << 10
	all := noise(5*limit + 77)
	for _, piece := range []int{1 << 20, limit, limit + 1, 4096, 1000, 333} {
		t.Run(fmt.Sprint(piece), func(t *testing.T) {
			r := newRing(limit)
			var evicted []byte
			for p := all; len(p) > 0; p = p[min(piece, len(p)):] {
				r.write(p[:min(piece, len(p))], func(e []byte) { evicted = append(evicted, e...) })
				kept := make([]byte, r.used())
				if n := r.read(r.start, kept); n != len(kept) {
					t.Fatalf("read %d of %d", n, len(kept))
				}
				if got := append(bytes.Clone(evicted), kept...); !bytes.Equal(got, all[:r.end]) {
					t.Fatalf("after %d bytes: evicted and kept are not what was written", r.end)
				}
				if len(r.buf) > limit {
					t.Fatalf("%d bytes of memory", len(r.buf))
				}
			}
			if r.used() != limit {
				t.Errorf("keeps %d bytes, want %d", r.used(), limit)
			}
		})
	}
}

func TestRingIsSmallWhileQuiet(t *testing.T) {
	r := newRing(DefaultScrollback)
	r.write([]byte("$ "), nil)
	if len(r.buf) > firstRing {
		t.Errorf("%d bytes for two", len(r.buf))
	}
}

// page reads a stream as a browser does, and may be cut off.
type page struct {
	name, stream string
	got          []byte
	from         uint64 // offset of got[0]
	resets       int
}

// read reads until the stream has n bytes, or budget bytes were read by this connection.
func (p *page) read(ctx context.Context, s *stream, n uint64, budget int, welcome bool) error {
	r := s.attach(p.name, p.stream, p.from+uint64(len(p.got)))
	if welcome {
		p.welcome(r.Welcome())
	}
	for p.from+uint64(len(p.got)) < n {
		offset, out, anew, err := r.Next(ctx, make([]byte, 0, 1000+rand.IntN(wire.MaxOutput)))
		if err != nil {
			return err
		}
		if anew != nil {
			p.welcome(*anew)
			continue
		}
		if want := p.from + uint64(len(p.got)); offset != want {
			return fmt.Errorf("output at %d, want %d", offset, want)
		}
		budget -= len(out)
		if budget < 0 { // cut in the middle: some of it arrived
			p.got = append(p.got, out[:rand.IntN(len(out))]...)
			r.Detach(true)
			return nil
		}
		p.got = append(p.got, out...)
		if err := r.Ack(offset + uint64(len(out))); err != nil {
			return err
		}
	}
	r.Detach(false)
	return nil
}

func (p *page) welcome(w wire.Welcome) {
	p.stream = w.Stream
	if w.Reset {
		p.resets++
		p.got, p.from = nil, w.Offset
	}
}

// TestCutAnywhere: a page whose connection is cut at random points misses no byte
// and gets none twice, although the program prints much more than is kept.
func TestCutAnywhere(t *testing.T) {
	all := noise(30 << 20)
	s := newStream(0)
	p := &page{name: "p"}
	w := s.attach("p", "", 0) // the page is there before the first byte
	p.welcome(w.Welcome())
	go func() {
		for rest := all; len(rest) > 0; {
			if s.waitForRoom() != nil {
				return
			}
			n := min(1+rand.IntN(16<<10), len(rest))
			s.write(rest[:n])
			rest = rest[n:]
		}
	}()
	cuts := 0
	for len(p.got) < len(all) {
		if err := p.read(t.Context(), s, uint64(len(all)), rand.IntN(600<<10), true); err != nil {
			t.Fatal(err)
		}
		cuts++
	}
	s.close()
	if !bytes.Equal(p.got, all) {
		t.Error("what the page has differs from what was printed")
	}
	if p.resets != 1 || cuts < 20 {
		t.Errorf("%d resets, want the first alone; %d cuts", p.resets, cuts)
	}
}

func TestFlowControl(t *testing.T) {
	const much = 3 * DefaultScrollback
	fill := func(s *stream) (written int) {
		for written < much && !s.allBehind() {
			s.write(make([]byte, 4096))
			written += 4096
		}
		return written
	}
	t.Run("runs free without pages", func(t *testing.T) {
		if n := fill(newStream(0)); n < much {
			t.Errorf("stops after %d", n)
		}
	})
	t.Run("waits for the only page", func(t *testing.T) {
		s := newStream(0)
		s.attach("a", "", 0)
		if n := fill(s); n != wire.Window {
			t.Errorf("stops after %d, want %d", n, wire.Window)
		}
	})
	t.Run("the fastest page sets the pace", func(t *testing.T) {
		s := newStream(0)
		s.attach("asleep", "", 0)
		awake := s.attach("awake", "", 0)
		n := 0
		for n < much {
			n += fill(s)
			for {
				offset, out, _, err := awake.Next(t.Context(), make([]byte, 0, wire.MaxOutput))
				if err != nil {
					t.Fatal(err)
				}
				if err := awake.Ack(offset + uint64(len(out))); err != nil {
					t.Fatal(err)
				}
				if offset+uint64(len(out)) == s.ring.end {
					break
				}
			}
		}
	})
	t.Run("sends no page more than the window ahead", func(t *testing.T) {
		s := newStream(0)
		s.attach("a", "", 0)
		fast := s.attach("b", "", 0)
		s.write(make([]byte, DefaultScrollback))
		sent := 0
		for sent < wire.Window {
			_, out, _, err := fast.Next(t.Context(), make([]byte, 0, wire.MaxOutput))
			if err != nil {
				t.Fatal(err)
			}
			sent += len(out)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := errors.New("stop")
		cancel(stop)
		if _, _, _, err := fast.Next(ctx, make([]byte, 0, wire.MaxOutput)); !errors.Is(err, stop) {
			t.Errorf("more after %d bytes: %v", sent, err)
		}
	})
	t.Run("refuses acknowledgements of what was not sent", func(t *testing.T) {
		s := newStream(0)
		r := s.attach("a", "", 0)
		s.write([]byte("x"))
		if err := r.Ack(1); err == nil {
			t.Error("accepted")
		}
	})
}

// TestLostPageIsWaitedFor: for a minute, in a bubble of fake time.
func TestLostPageIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStream(0)
		s.attach("a", "", 0).Detach(true)
		s.write(make([]byte, wire.Window))
		room := make(chan error, 1)
		go func() { room <- s.waitForRoom() }()
		synctest.Wait()
		select {
		case <-room:
			t.Fatal("output did not wait for the page")
		default:
		}
		if err := <-room; err != nil { // fake time passes here
			t.Fatal(err)
		}
	})
}

func TestSleepingPageStartsAnew(t *testing.T) {
	s := newStream(0)
	r := s.attach("a", "", 0)
	r.Welcome()
	s.write([]byte("\x1b[?1049h\x1b[?2004h"))
	line := strings.Repeat("x", 99) + "\n"
	for range 2 * DefaultScrollback / len(line) {
		s.write([]byte(line))
	}
	_, _, anew, err := r.Next(t.Context(), make([]byte, 0, 1000))
	if err != nil || anew == nil || !anew.Reset {
		t.Fatalf("got %+v, %v; want a new start", anew, err)
	}
	if want := "\x1b[?1049h\x1b[?2004h"; anew.Preamble != want {
		t.Errorf("preamble %q, want %q", anew.Preamble, want)
	}
	offset, out, _, err := r.Next(t.Context(), make([]byte, 0, len(line)))
	if err != nil || offset != anew.Offset || string(out) != line {
		t.Errorf("then %q at %d, %v; want a whole line at %d", out, offset, err, anew.Offset)
	}
}

func TestNewerConnectionReplacesOlder(t *testing.T) {
	s := newStream(0)
	old := s.attach("a", "", 0)
	s.attach("a", s.id, 0)
	if _, _, _, err := old.Next(t.Context(), nil); !errors.Is(err, ErrReplaced) {
		t.Errorf("the older one gets %v", err)
	}
	old.Detach(true) // must not remove the newer one
	if len(s.readers) != 1 {
		t.Errorf("%d readers", len(s.readers))
	}
}

func TestModes(t *testing.T) {
	for name, test := range map[string]struct{ output, want string }{
		"plain":                  {"hello\r\n", ""},
		"vim":                    {"\x1b[?1049h\x1b[?1h\x1b=\x1b[?2004h", "\x1b[?1h\x1b[?1049h\x1b[?2004h\x1b="},
		"vim, ended":             {"\x1b[?1049h\x1b=\x1b[?1049l\x1b>", ""},
		"several at once":        {"\x1b[?1000;1006h", "\x1b[?1000h\x1b[?1006h"},
		"hidden cursor":          {"\x1b[?25l", "\x1b[?25l"},
		"shown again":            {"\x1b[?25l\x1b[?25h", ""},
		"full reset":             {"\x1b[?1049h\x1bc", ""},
		"other sequences":        {"\x1b[31m\x1b[2J\x1b[?1;2c\x1b]0;title\x07", ""},
		"an escape in a escape":  {"\x1b[?\x1b[?7l", "\x1b[?7l"},
		"nonsense without end":   {"\x1b[?" + strings.Repeat("1;", 99) + "h", ""},
		"a number without end":   {"\x1b[?99999999999999999999999h\x1b[?1h", "\x1b[?1h\x1b[?65536h"},
		"a mode called nothing":  {"\x1b[?h\x1b[?;h", ""},
		"an unfinished sequence": {"\x1b[?1049", ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, piece := range []int{1, 2, 3, 1000} {
				var m modes
				for p := []byte(test.output); len(p) > 0; p = p[min(piece, len(p)):] {
					m.feed(p[:min(piece, len(p))])
				}
				if got := m.preamble(); got != test.want {
					t.Errorf("in pieces of %d: %q, want %q", piece, got, test.want)
				}
			}
		})
	}
}
