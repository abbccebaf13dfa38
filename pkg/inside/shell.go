// SPDX-License-Identifier: Apache-2.0

package inside

import (
	"context"
	"errors"
	"io"
	"sync"
)

// Terminal is the kind of the terminal that a person sits at.
type Terminal struct {
	Kind       string // TERM; empty for that of the attendee's page
	TrueColour bool
}

// Command runs a command in a session as its attendee has it, or their shell
// without one: with its environment, HOME and directory. Gateways of older
// versions don't help with that; /bin/sh then does what it can.
func (s Sessions) Command(ctx context.Context, pod string, t Terminal, p Program) error {
	command := p.Args
	p.Args = []string{"shell"}
	if t.Kind != "" {
		p.Args = append(p.Args, "--term", t.Kind)
	}
	if t.TrueColour {
		p.Args = append(p.Args, "--true-colour")
	}
	p.Args = append(append(p.Args, "--"), command...)
	var in *feed
	if p.In != nil {
		in = newFeed(p.In)
	}
	window := &window{from: p.Terminal}
	// Each gets input and sizes for as long as it runs.
	run := func(how func(context.Context, string, Program) error) error {
		within, cancel := context.WithCancel(ctx)
		defer cancel()
		p := p
		if in != nil {
			p.In = in.reader(within)
		}
		if p.Terminal != nil {
			p.Terminal = window.sizes(within)
		}
		return how(ctx, pod, p)
	}
	err := run(s.RunGateway)
	if !errors.Is(err, ErrOlder) || in != nil && !in.rewind() {
		return err
	}
	p.Args = append([]string{"/bin/sh", "-c", plainCommand, "sh"}, command...)
	return run(s.Run)
}

// plainCommand does in sh what newer gateways do, but for the certificates.
const plainCommand = `for w in $(env | sed -n 's/^\(JUPYTERHUB_[A-Z_]*\|JPY_API_TOKEN\)=.*/\1/p'); do unset "$w"; done; unset w
umask 002
if [ -d /opt/app-root/src ]; then cd /opt/app-root/src; else cd "$HOME" 2>/dev/null; fi
[ $# -gt 0 ] && exec "$@"
[ -x "$SHELL" ] || SHELL=/bin/bash
[ -x "$SHELL" ] || SHELL=/bin/sh
exec "$SHELL" -i`

// window is a terminal's window, whose size a second program is told as well.
type window struct {
	from <-chan Size

	mu   sync.Mutex
	size Size
}

func (w *window) sizes(ctx context.Context) <-chan Size {
	news := make(chan Size)
	go func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for {
			if w.size != (Size{}) {
				select {
				case news <- w.size:
				case <-ctx.Done():
					return
				}
			}
			select {
			case size, ok := <-w.from:
				if !ok {
					return
				}
				w.size = size
			case <-ctx.Done():
				return
			}
		}
	}()
	return news
}

// feed reads ahead from a stream that can't be told to stop, for two readers of
// which the second one has what the first one had, too.
type feed struct {
	from   io.Reader
	start  sync.Once
	chunks chan []byte
	err    error // valid when chunks is closed

	mu    sync.Mutex
	taken []byte // by the first reader
	much  bool   // it has taken more than that
	again []byte // for the second one
}

// maxTaken bounds what is kept for a second reader.
const maxTaken = 1 << 20

func newFeed(r io.Reader) *feed { return &feed{from: r, chunks: make(chan []byte)} }

func (f *feed) read() {
	for {
		buf := make([]byte, 32<<10)
		n, err := f.from.Read(buf)
		if n > 0 {
			f.chunks <- buf[:n]
		}
		if err != nil {
			f.err = err
			close(f.chunks)
			return
		}
	}
}

// take remembers what a reader has got.
func (f *feed) take(p []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.much = f.much || len(f.taken)+len(p) > maxTaken; f.much {
		f.taken = nil
		return
	}
	f.taken = append(f.taken, p...)
}

// rewind has the next reader begin anew, if that is still possible.
func (f *feed) rewind() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.again = f.taken
	return !f.much
}

// reader reads until the context ends.
func (f *feed) reader(ctx context.Context) io.Reader {
	f.start.Do(func() { go f.read() })
	f.mu.Lock()
	defer f.mu.Unlock()
	return &feedReader{ctx: ctx, feed: f, rest: f.again}
}

type feedReader struct {
	ctx  context.Context //nolint:containedctx // io.Reader takes none
	feed *feed
	rest []byte
}

func (r *feedReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		select {
		case <-r.ctx.Done():
			return 0, io.EOF
		case chunk, ok := <-r.feed.chunks:
			if !ok {
				return 0, r.feed.err
			}
			r.feed.take(chunk)
			r.rest = chunk
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
