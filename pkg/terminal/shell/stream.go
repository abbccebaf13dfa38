// SPDX-License-Identifier: Apache-2.0

package shell

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/workshopctl/workshopctl/pkg/terminal/wire"
)

const (
	// MinScrollback is the least output that can be kept, in bytes: what is under
	// way to a page must be, with room for more.
	MinScrollback = 2 * wire.Window
	// DefaultScrollback is how much output outlives its display, in bytes.
	DefaultScrollback = 1 << 20
	// graceOfLost is how long output waits for a page whose connection broke.
	graceOfLost = time.Minute
	// gathered is how much output is worth a message of its own, in bytes: with
	// the next read of the terminal it would be more than one carries.
	gathered = wire.MaxOutput - 4<<10
)

// The reasons for which a page gets no more output.
var (
	// ErrReplaced: it has connected anew.
	ErrReplaced = errors.New("the page has connected anew")
	// ErrClosed: the terminal is closed.
	ErrClosed = errors.New("the terminal is closed")
)

// stream is the terminal's output: one sequence of bytes, the newest of them
// kept, and the pages that read it, each at its own pace.
//
// Flow control: the writer waits while every reader is more than
// [wire.Window] behind, so the fastest one sets the pace and loses nothing,
// and a page that has gone to sleep doesn't stop one that is awake. A page that
// falls out of the ring starts anew from its oldest byte. A reader whose
// connection broke counts for another minute, so that what it hasn't
// shown is still there when it comes back. Without readers the program runs
// free: a job goes on when its attendee goes home.
type stream struct {
	id string

	mu      sync.Mutex
	room    sync.Cond // signalled when the writer may have room again
	ring    *ring
	passed  modes // of the terminal at the ring's oldest byte
	readers map[string]*Reader
	closed  bool
	rushing bool // output waits for nobody
}

func newStream(scrollback int) *stream {
	if scrollback == 0 {
		scrollback = DefaultScrollback
	}
	limit := MinScrollback
	for limit < scrollback {
		limit *= 2
	}
	s := &stream{id: rand.Text(), ring: newRing(limit), readers: map[string]*Reader{}}
	s.room.L = &s.mu
	return s
}

// Reader is one page's place in the stream.
type Reader struct {
	stream *stream
	name   string
	wake   chan struct{} // has a token when there may be news

	// watches says that output never waits for this reader.
	watches bool

	// guarded by stream.mu
	sent, acked uint64
	want        uint64    // how much unsent output it is woken for
	reset       bool      // the page must start anew at sent
	full        time.Time // since when output waits for acknowledgements
	taken       uint64    // bytes of input
	known       bool      // it was here before
	lost        *time.Timer
	gone        bool
}

// attach gives the page called name its place: where it stopped, if its
// offset is of this stream and still kept, else at the oldest byte.
func (s *stream) attach(name, id string, offset uint64) *Reader {
	return s.attachAs(name, id, offset, false)
}

func (s *stream) attachAs(name, id string, offset uint64, watches bool) *Reader {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &Reader{stream: s, name: name, watches: watches, wake: make(chan struct{}, 1)}
	if id == s.id && offset >= s.ring.start && offset <= s.ring.end {
		r.sent, r.acked = offset, offset
	} else {
		s.startAnew(r)
	}
	if old := s.readers[name]; old != nil {
		// From now on its connection brings no more input: the count holds.
		r.taken, r.known = old.taken, true
		old.leave()
	}
	s.readers[name] = r
	if s.closed {
		r.leave()
	}
	r.poke()
	s.room.Broadcast()
	return r
}

// startAnew puts r at the oldest whole line kept.
func (s *stream) startAnew(r *Reader) {
	r.reset = true
	r.sent = s.ring.start
	if s.ring.start > 0 { // cut somewhere: look for the start of a line nearby
		var head [4096]byte
		n := s.ring.read(s.ring.start, head[:])
		if i := bytes.IndexByte(head[:n], '\n'); i >= 0 {
			r.sent += uint64(i) + 1
		}
	}
	r.acked = r.sent
}

// waitForRoom returns when a write is due, or an error once the stream is closed.
func (s *stream) waitForRoom() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.closed && s.allBehind() {
		s.room.Wait()
	}
	if s.closed {
		return ErrClosed
	}
	return nil
}

func (s *stream) allBehind() bool {
	behind := false
	for _, r := range s.readers {
		if r.watches {
			continue
		}
		if s.ring.end-min(r.acked, s.ring.end) < wire.Window {
			return false
		}
		behind = true
	}
	return behind && !s.rushing
}

// rush lets output go on whoever is behind.
func (s *stream) rush(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rushing = on
	s.room.Broadcast()
}

// write appends p for all readers.
func (s *stream) write(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ring.write(p, s.passed.feed)
	for _, r := range s.readers {
		if s.ring.end-r.sent >= r.want {
			r.poke()
		}
	}
}

// close lets a waiting writer go.
func (s *stream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.room.Broadcast()
	for _, r := range s.readers {
		r.leave()
	}
}

// poke wakes the reader if it sleeps.
func (r *Reader) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// leave takes r out of the stream; the caller holds the lock.
func (r *Reader) leave() {
	if r.gone {
		return
	}
	r.gone = true
	if r.lost != nil {
		r.lost.Stop()
	}
	if r.stream.readers[r.name] == r {
		delete(r.stream.readers, r.name)
	}
	r.poke()
	r.stream.room.Broadcast()
}

// Detach ends the reading. lost says that the connection broke and the page is
// expected back: output waits for it for a while.
func (r *Reader) Detach(lost bool) {
	s := r.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.gone {
		return
	}
	if !lost || s.closed {
		r.leave()
		return
	}
	r.lost = time.AfterFunc(graceOfLost, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		r.leave()
	})
}

// Ack records that the page has consumed everything before offset.
func (r *Reader) Ack(offset uint64) error {
	s := r.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if offset > r.sent {
		return errors.New("the page acknowledges output that it was not sent")
	}
	if offset > r.acked { // an older one may be from before a reset
		r.acked, r.full = offset, time.Time{}
		r.poke()
		s.room.Broadcast()
	}
	return nil
}

// Stalled is for how long output has been waiting for the page to acknowledge
// any.
func (r *Reader) Stalled() time.Duration {
	r.stream.mu.Lock()
	defer r.stream.mu.Unlock()
	if r.full.IsZero() {
		return 0
	}
	return time.Since(r.full)
}

// Welcome says where the reader starts.
func (r *Reader) Welcome() wire.Welcome {
	s := r.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	w := r.welcome()
	if r.known {
		taken := r.taken
		w.Taken = &taken
	}
	return w
}

// take counts input, or refuses it if the page has connected anew, or the
// terminal is closed: the page sends again what wasn't counted.
func (r *Reader) take(bytes int) error {
	s := r.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.gone {
		return s.whyGone()
	}
	r.taken += uint64(bytes)
	return nil
}

// whyGone is for those who find themselves out of the stream; the caller holds
// the lock.
func (s *stream) whyGone() error {
	if s.closed {
		return ErrClosed
	}
	return ErrReplaced
}

func (r *Reader) welcome() wire.Welcome {
	w := wire.Welcome{Stream: r.stream.id, Offset: r.sent, Reset: r.reset}
	if r.reset {
		w.Preamble, w.Live = r.stream.passed.preamble(), r.stream.ring.end
	}
	r.reset = false
	return w
}

// Next waits for output and appends it to buf, at most until its capacity. If
// the page must start anew first, anew says from where, and nothing is
// appended. The error is [ErrReplaced], [ErrClosed] or the context's.
func (r *Reader) Next(ctx context.Context, buf []byte) (offset uint64, out []byte, anew *wire.Welcome, err error) {
	s := r.stream
	for {
		s.mu.Lock()
		if r.gone {
			err := s.whyGone()
			s.mu.Unlock()
			return 0, nil, nil, err
		}
		if r.sent < s.ring.start {
			s.startAnew(r)
			w := r.welcome()
			s.mu.Unlock()
			return 0, nil, &w, nil
		}
		room := wire.Window - int(r.sent-r.acked)
		if n := min(int(s.ring.end-r.sent), room, cap(buf)-len(buf)); n > 0 {
			offset = r.sent
			at := len(buf)
			buf = slices.Grow(buf, n)[:at+n]
			s.ring.read(offset, buf[at:])
			r.sent += uint64(n)
			s.mu.Unlock()
			return offset, buf, nil, nil
		}
		if room <= 0 && r.full.IsZero() {
			r.full = time.Now()
		}
		s.mu.Unlock()
		select {
		case <-r.wake:
		case <-ctx.Done():
			return 0, nil, nil, context.Cause(ctx)
		}
	}
}

// Gather waits, for as long as d at most, until a good deal of output has come
// together.
func (r *Reader) Gather(ctx context.Context, d time.Duration) {
	s := r.stream
	timer := time.NewTimer(d)
	defer timer.Stop()
	for late := false; ; {
		s.mu.Lock()
		enough := late || r.gone || s.ring.end-r.sent >= gathered
		r.want = gathered // to wake for each piece costs as much as reading it
		if enough {
			r.want = 0
			r.poke()
		}
		s.mu.Unlock()
		if enough {
			return
		}
		select {
		case <-r.wake:
		case <-timer.C:
			late = true
		case <-ctx.Done():
			late = true
		}
	}
}
