// SPDX-License-Identifier: Apache-2.0

package shell

// ring keeps the newest bytes of a stream. It grows as it fills, up to its
// limit, so that a quiet terminal costs little memory.
type ring struct {
	limit      int    // a power of two
	buf        []byte // its length is a power of two
	start, end uint64 // offsets of the oldest byte kept and of the next to come
}

const firstRing = 16 << 10

func newRing(limit int) *ring {
	return &ring{limit: limit, buf: make([]byte, min(firstRing, limit))}
}

// write appends p and hands the bytes that fall out to evicted, oldest first.
func (r *ring) write(p []byte, evicted func([]byte)) {
	for len(p) > r.limit { // more than fits at once: piecewise, so that evicted sees all of it
		r.write(p[:r.limit], evicted)
		p = p[r.limit:]
	}
	for r.used()+len(p) > len(r.buf) && len(r.buf) < r.limit {
		r.grow()
	}
	if over := r.used() + len(p) - len(r.buf); over > 0 {
		r.spans(r.start, over, evicted)
		r.start += uint64(over)
	}
	for len(p) > 0 {
		n := copy(r.buf[r.at(r.end):], p)
		r.end += uint64(n)
		p = p[n:]
	}
}

// read copies from offset, which must lie between start and end.
func (r *ring) read(offset uint64, p []byte) int {
	n := 0
	r.spans(offset, min(len(p), int(r.end-offset)), func(span []byte) { n += copy(p[n:], span) })
	return n
}

func (r *ring) used() int { return int(r.end - r.start) }

func (r *ring) at(offset uint64) int { return int(offset & uint64(len(r.buf)-1)) }

// spans calls f with n bytes from offset, in one or two pieces.
func (r *ring) spans(offset uint64, n int, f func([]byte)) {
	for n > 0 {
		i := r.at(offset)
		span := r.buf[i:min(len(r.buf), i+n)]
		f(span)
		offset += uint64(len(span))
		n -= len(span)
	}
}

func (r *ring) grow() {
	bigger := ring{buf: make([]byte, 2*len(r.buf)), start: r.start, end: r.start, limit: r.limit}
	r.spans(r.start, r.used(), func(span []byte) { bigger.write(span, nil) })
	*r = bigger
}
