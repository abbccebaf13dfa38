// SPDX-License-Identifier: Apache-2.0

// Package attach joins the shell of a session's attendee from outside: by
// running the gateway's own program beside it (package inside).
package attach

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/workshopctl/workshopctl/pkg/inside"
)

// ErrEnded says that the session or the shell has ended, or can't be joined; more
// is in the error's text.
var ErrEnded = errors.New("the shell can't be seen any more")

// Options of Shell.
type Options struct {
	Pod    string
	Number int
	Write  bool
	// In is what is typed; its end ends the connection. It must not be nil.
	In  io.Reader
	Out io.Writer
	// Resized is told the terminal's size, at first before any output comes, as
	// a rule.
	Resized func(inside.Size)
}

// Shell joins a shell until In or the shell ends, or the context does.
func Shell(ctx context.Context, sessions inside.Sessions, o Options) error {
	command := []string{"attach", "--shell", strconv.Itoa(o.Number)}
	if o.Write {
		command = append(command, "--write")
	}
	events := &events{resized: o.Resized}
	err := sessions.RunGateway(ctx, o.Pod, inside.Program{Args: command, In: o.In, Out: o.Out, ErrOut: events})
	return explained(err, events.said())
}

// explained says what an exec's end means.
func explained(err error, said string) error {
	var exit *inside.ExitError
	switch {
	case err == nil:
		return nil
	case strings.Contains(said, "no gateway that can be joined"):
		return inside.ErrOlder
	case errors.As(err, &exit):
		if said = strings.TrimPrefix(said, "workshop-terminal: "); said == "" {
			return ErrEnded
		}
		return fmt.Errorf("%w: %s", ErrEnded, said)
	}
	return err
}

// events takes what the gateway says beside the output: lines of JSON, and the
// text of errors.
type events struct {
	resized func(inside.Size)

	mu   sync.Mutex
	line []byte
	text []string
}

// maxLine bounds a line: the other end is a program in the attendee's hands.
const maxLine = 4 << 10

func (e *events) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, b := range p {
		if b != '\n' {
			if len(e.line) < maxLine {
				e.line = append(e.line, b)
			}
			continue
		}
		e.take(e.line)
		e.line = e.line[:0]
	}
	return len(p), nil
}

func (e *events) take(line []byte) {
	var event struct {
		Size *struct{ Columns, Rows uint16 }
	}
	if json.Unmarshal(line, &event) != nil {
		if len(e.text) < 3 {
			e.text = append(e.text, string(line))
		}
		return
	}
	if event.Size != nil && e.resized != nil {
		e.resized(inside.Size{Columns: int(event.Size.Columns), Rows: int(event.Size.Rows)})
	}
}

// said is what was no event: an error.
func (e *events) said() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	text := e.text
	if len(e.line) > 0 {
		text = append(text, string(e.line))
	}
	if len(text) == 0 {
		return ""
	}
	return strings.TrimSpace(text[0])
}
