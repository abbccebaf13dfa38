// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"bytes"
	"io"
	"strings"
)

// Filter hands a terminal's output on without what would do more than show
// something: what is printed in an attendee's terminal must not read or write
// the trainer's clipboard, have their terminal type an answer, print, or change
// its window.
type Filter struct {
	w     io.Writer
	out   bytes.Buffer
	state func(*Filter, byte)
	seq   []byte // an escape sequence that is being collected
	tail  int    // bytes of a UTF-8 character still to come
	lead  byte   // the first byte of one that may be a C1 control, or 0
}

// maxSequence bounds an escape sequence; longer ones are none.
const maxSequence = 128

// NewFilter makes a filter in front of w.
func NewFilter(w io.Writer) *Filter { return &Filter{w: w, state: (*Filter).text} }

// Write implements io.Writer.
func (f *Filter) Write(p []byte) (int, error) {
	f.out.Reset()
	for _, b := range p {
		f.state(f, b)
	}
	if f.out.Len() > 0 {
		if _, err := f.w.Write(f.out.Bytes()); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

const (
	bell   = 0x07
	escape = 0x1b
)

// text is outside of escape sequences.
func (f *Filter) text(b byte) {
	if f.tail > 0 {
		lead := f.lead
		f.lead = 0
		if b >= 0x80 && b < 0xc0 {
			f.tail--
			if lead == 0xc2 && b < 0xa0 {
				return // a C1 control in UTF-8
			}
			if lead != 0 {
				f.out.WriteByte(lead)
			}
			f.out.WriteByte(b)
			return
		}
		f.tail = 0 // broken off
	}
	switch {
	case b == escape:
		f.seq = append(f.seq[:0], b)
		f.state = (*Filter).escaped
	case b >= bell && b <= 0x0f || b >= 0x20 && b < 0x7f: // bell to shift in, and text
		f.out.WriteByte(b)
	case b < 0x20 || b == 0x7f: // ENQ asks for an answer; the others do nothing
	case b < 0xc0:
		f.out.WriteByte('?') // a C1 control to terminals without UTF-8
	default:
		f.tail = 1
		if b >= 0xe0 {
			f.tail++
		}
		if b >= 0xf0 {
			f.tail++
		}
		if b == 0xc2 {
			f.lead = b
			return
		}
		f.out.WriteByte(b)
	}
}

// escaped is after ESC.
func (f *Filter) escaped(b byte) {
	switch {
	case b == '[':
		f.seq = append(f.seq, b)
		f.state = (*Filter).control
	case b == ']', b == 'P', b == 'X', b == '^', b == '_':
		f.state = (*Filter).str
	case b == escape:
		f.seq = f.seq[:1]
	case b < 0x20:
		f.state = (*Filter).text
		f.text(b)
	case b < 0x30 && len(f.seq) < maxSequence: // intermediate
		f.seq = append(f.seq, b)
	default:
		f.state = (*Filter).text
		if b < 0x7f && b != 'Z' { // which asks who the terminal is
			f.out.Write(append(f.seq, b))
		}
	}
}

// control is after ESC [.
func (f *Filter) control(b byte) {
	switch {
	case b == escape:
		f.seq = append(f.seq[:0], b)
		f.state = (*Filter).escaped
	case b == 0x18, b == 0x1a:
		f.state = (*Filter).text
	case b < 0x20:
		f.text(b) // acts at once, as terminals have it
	case b < 0x40:
		if f.seq = append(f.seq, b); len(f.seq) > maxSequence {
			f.state = (*Filter).text
		}
	default:
		f.state = (*Filter).text
		if b < 0x7f {
			f.pass(f.seq[2:], b)
		}
	}
}

// shown are the final bytes of control sequences that only change what is
// seen.
const shown = "@ABCDEFGHIJKLMPSTXZ`abdefghlmrsuq"

// pass writes a control sequence, if it may go on.
func (f *Filter) pass(parameters []byte, final byte) {
	private := len(parameters) > 0 && parameters[0] >= '<' && parameters[0] <= '?'
	intermediate := bytes.IndexFunc(parameters, func(r rune) bool { return r < '0' })
	switch {
	case intermediate >= 0:
		// Cursor shape and soft reset have one; so do questions.
		if tail := string(parameters[intermediate:]); (tail != " " || final != 'q') && (tail != "!" || final != 'p') {
			return
		}
	case private && final != 'h' && final != 'l' && final != 'J' && final != 'K':
		return // keyboards, questions
	case strings.IndexByte(shown, final) < 0 || final == 'q':
		return
	case private && parameters[0] == '?' && (final == 'h' || final == 'l'):
		parameters = append([]byte{'?'}, modes(parameters[1:])...)
		if len(parameters) == 1 {
			return
		}
	}
	f.out.WriteString("\x1b[")
	f.out.Write(parameters)
	f.out.WriteByte(final)
}

// modes are those of a list which change only what is seen: no reports of mouse
// and focus.
func modes(list []byte) []byte {
	var kept [][]byte
	for mode := range bytes.SplitSeq(list, []byte(";")) {
		switch string(mode) {
		case "", "9", "1000", "1001", "1002", "1003", "1004", "1005", "1006", "1007", "1015", "1016", "2031", "2048":
		default:
			kept = append(kept, mode)
		}
	}
	return bytes.Join(kept, []byte(";"))
}

// str is within a string for the terminal itself: titles, clipboard, answers
// to questions, pictures. None is passed on.
func (f *Filter) str(b byte) {
	switch b {
	case bell, 0x18, 0x1a:
		f.state = (*Filter).text
	case escape:
		f.seq = append(f.seq[:0], b)
		f.state = (*Filter).strEscape
	}
}

// strEscape is after ESC within a string, which it ends.
func (f *Filter) strEscape(b byte) {
	if b == '\\' {
		f.state = (*Filter).text
		return
	}
	f.state = (*Filter).escaped
	f.escaped(b)
}
