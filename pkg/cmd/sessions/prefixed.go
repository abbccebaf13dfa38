// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/workshopctl/workshopctl/pkg/cmd/progress"
	"github.com/workshopctl/workshopctl/pkg/explain"
)

// colours tell neighbours apart; red is for errors.
var colours = []int{36, 33, 32, 35, 34, 96, 93, 92, 95, 94}

// prefixes are what lines of several users begin with, of one width.
func prefixes(w io.Writer, users []string) []string {
	width := 0
	for i, user := range users {
		users[i] = strings.Join(strings.Fields(explain.Clean(user)), " ")
		width = max(width, utf8.RuneCountInString(users[i]))
	}
	out := make([]string, len(users))
	for i, user := range users {
		out[i] = progress.Colour(w, colours[i%len(colours)], user+strings.Repeat(" ", width-utf8.RuneCountInString(user))+" |") + " "
	}
	return out
}

// prefixed writes whole lines, each with a prefix and clean, so that those of
// several users stay apart.
type prefixed struct {
	w      io.Writer
	mu     *sync.Mutex // of all that write to the same terminal
	prefix string
	line   []byte
}

// maxPrefixed bounds a line; longer ones go on in the next.
const maxPrefixed = 16 << 10

func (p *prefixed) Write(text []byte) (int, error) {
	n := len(text)
	for len(text) > 0 {
		i := bytes.IndexByte(text, '\n')
		part, rest := text, []byte(nil)
		if i >= 0 {
			part, rest = text[:i], text[i+1:]
		}
		p.line = append(p.line, part...)
		if i >= 0 || len(p.line) >= maxPrefixed {
			if err := p.emit(); err != nil {
				return 0, err
			}
		}
		text = rest
	}
	return n, nil
}

// flush writes a last line that has no end.
func (p *prefixed) flush() error {
	if len(p.line) == 0 {
		return nil
	}
	return p.emit()
}

func (p *prefixed) emit() error {
	line := strings.TrimRight(string(p.line), "\r")
	p.line = p.line[:0]
	// What a progress bar has written over is not shown.
	line = line[strings.LastIndexByte(line, '\r')+1:]
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := io.WriteString(p.w, strings.TrimRight(p.prefix+explain.Clean(line), " ")+"\n")
	return err
}

// bounded keeps the beginning of what is written.
type bounded struct {
	bytes.Buffer
	most int
	cut  bool
}

func (b *bounded) Write(p []byte) (int, error) {
	n := len(p)
	if room := b.most - b.Len(); len(p) > room {
		p, b.cut = p[:room], true
	}
	_, _ = b.Buffer.Write(p) // never fails
	return n, nil
}
