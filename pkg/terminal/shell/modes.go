// SPDX-License-Identifier: Apache-2.0

package shell

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// modes follows the switches that programs throw in the terminal (alternate
// screen, mouse, bracketed paste …) through the bytes that have left the
// ring. A page that starts from the ring's oldest byte would else show vim's
// screen in the scrollback.
//
// It reads CSI ? numbers h|l, ESC = and >, and the full reset ESC c; all
// else passes. A sequence may come in pieces.
type modes struct {
	on     map[int]bool // private modes that differ from a fresh terminal
	keypad bool
	state  byte // 0 text, 1 after ESC, 2 after ESC [, 3 in ESC [ ?
	args   []byte
}

// defaultOn are the private modes that a fresh xterm has on: wrap-around and a
// visible cursor.
var defaultOn = []int{7, 25}

// longestArgs ends the reading of a sequence that can't be a mode switch.
const longestArgs = 64

func (m *modes) feed(p []byte) {
	for len(p) > 0 {
		if m.state == 0 {
			i := bytes.IndexByte(p, 0x1b)
			if i < 0 {
				return
			}
			// Most sequences are colours and moves of the cursor, which are known by
			// their second byte or third.
			if rest := p[i+1:]; len(rest) >= 2 && rest[0] == '[' && rest[1] != '?' && rest[1] != 0x1b {
				p = rest[2:]
				continue
			}
			m.state = 1
			p = p[i+1:]
			continue
		}
		b := p[0]
		p = p[1:]
		switch m.state {
		case 1:
			m.state = 0
			switch b {
			case '[':
				m.state = 2
			case 0x1b:
				m.state = 1
			case 'c':
				m.on, m.keypad = nil, false
			case '=':
				m.keypad = true
			case '>':
				m.keypad = false
			}
		case 2:
			m.state = 0
			switch b {
			case '?':
				m.state, m.args = 3, m.args[:0]
			case 0x1b:
				m.state = 1
			}
		case 3:
			switch {
			case (b >= '0' && b <= '9' || b == ';') && len(m.args) < longestArgs:
				m.args = append(m.args, b)
			case b == 'h' || b == 'l':
				m.set(b == 'h')
				m.state = 0
			case b == 0x1b:
				m.state = 1
			default:
				m.state = 0
			}
		}
	}
}

func (m *modes) set(on bool) {
	for arg := range bytes.SplitSeq(m.args, []byte(";")) {
		n := 0
		for _, d := range arg {
			n = min(n*10+int(d-'0'), 1<<16)
		}
		if n == 0 {
			continue
		}
		if on == slices.Contains(defaultOn, n) {
			delete(m.on, n)
			continue
		}
		if m.on == nil {
			m.on = map[int]bool{}
		}
		if len(m.on) < longestArgs { // a stream of noise must not grow it for ever
			m.on[n] = on
		}
	}
}

// preamble brings a fresh terminal into these modes.
func (m *modes) preamble() string {
	var b strings.Builder
	numbers := make([]int, 0, len(m.on))
	for n := range m.on {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		fmt.Fprintf(&b, "\x1b[?%d%c", n, map[bool]byte{true: 'h', false: 'l'}[m.on[n]])
	}
	if m.keypad {
		b.WriteString("\x1b=")
	}
	return b.String()
}
