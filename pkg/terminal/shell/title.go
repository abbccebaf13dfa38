// SPDX-License-Identifier: Apache-2.0

package shell

import (
	"bytes"
	"strings"
	"unicode"
)

// longestTitle is where a title is cut, in bytes: it is shown in a tab.
const longestTitle = 128

// title follows the title that programs give their window: ESC ] 0 or 2 ; text,
// ended by BEL or ESC \. A sequence may come in pieces.
type title struct {
	text  string
	state byte // 0 text, 1 after ESC, 2 in the sequence, 3 after an ESC in it
	body  []byte
}

// feed reads output, and says whether the title is another one now.
func (t *title) feed(p []byte) (changed bool) {
	for len(p) > 0 {
		if t.state == 0 {
			i := bytes.IndexByte(p, 0x1b)
			if i < 0 {
				return changed
			}
			if rest := p[i+1:]; len(rest) >= 1 && rest[0] != ']' && rest[0] != 0x1b { // nearly all
				p = rest[1:]
				continue
			}
			t.state = 1
			p = p[i+1:]
			continue
		}
		b := p[0]
		p = p[1:]
		switch t.state {
		case 1:
			switch b {
			case ']':
				t.state, t.body = 2, t.body[:0]
			case 0x1b:
			default:
				t.state = 0
			}
		case 2:
			switch {
			case b == 0x07:
				changed = t.set() || changed
				t.state = 0
			case b == 0x1b:
				t.state = 3
			case b == 0x18 || b == 0x1a: // the terminal gives up here, too
				t.state = 0
			case len(t.body) < longestTitle+len("0;"):
				t.body = append(t.body, b)
			}
		case 3:
			if b == '\\' {
				changed = t.set() || changed
			}
			t.state = 0
			switch b {
			case ']':
				t.state, t.body = 2, t.body[:0]
			case 0x1b:
				t.state = 1
			}
		}
	}
	return changed
}

func (t *title) set() bool {
	kind, text, ok := bytes.Cut(t.body, []byte(";"))
	if !ok || string(kind) != "0" && string(kind) != "2" {
		return false
	}
	clean := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) { // a cut rune at the end is none
			return -1
		}
		return r
	}, strings.ToValidUTF8(string(text), ""))
	if clean == t.text {
		return false
	}
	t.text = clean
	return true
}
