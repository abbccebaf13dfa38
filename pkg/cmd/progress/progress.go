// SPDX-License-Identifier: Apache-2.0

// Package progress tells on stderr what a command is doing: with a spinner on
// a terminal, in plain lines with the time elapsed elsewhere.
package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/briandowns/spinner"
	"golang.org/x/term"

	"github.com/workshopctl/workshopctl/pkg/explain"
)

// IsTerminal says whether a stream is a terminal, where a person can be asked.
func IsTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// understandsControl says whether a stream is a terminal that can be drawn on.
func understandsControl(w io.Writer) bool { return IsTerminal(w) && os.Getenv("TERM") != "dumb" }

// Colour wraps text in a colour (an SGR number: 31 red, 32 green, 33 yellow)
// if the stream is a terminal and the person has not asked for none
// (NO_COLOR, see no-color.org).
func Colour(w io.Writer, sgr int, text string) string {
	if !understandsControl(w) || os.Getenv("NO_COLOR") != "" {
		return text
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", sgr, text)
}

// Progress writes what goes on to one stream. Its methods may be called from
// several goroutines.
type Progress struct {
	w      io.Writer
	reword func(string) string
	now    func() time.Time
	start  time.Time

	mu      sync.Mutex
	spinner *spinner.Spinner // nil where no spinner turns
	step    string
	last    string // the last plain line, so that none is repeated
}

// New returns a Progress that writes to w. reword may change what it says.
func New(w io.Writer, reword func(string) string) *Progress {
	return &Progress{w: w, reword: reword, now: time.Now, start: time.Now()}
}

func (p *Progress) text(format string, args ...any) string {
	return p.reword(explain.Clean(fmt.Sprintf(format, args...)))
}

// Draws says whether what is said replaces what was said before, as it does on
// a terminal.
func (p *Progress) Draws() bool { return understandsControl(p.w) }

// Step begins something that takes a while.
func (p *Progress) Step(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.step = p.text(format, args...)
	p.show(p.step)
}

// Detail says how far the step is.
func (p *Progress) Detail(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	detail := p.text(format, args...)
	if understandsControl(p.w) && p.step != "" {
		detail = p.step + ": " + detail
	}
	p.show(detail)
}

// Count says how many parts of the step are done and how many have failed: as
// a bar on a terminal, elsewhere in a line about the last of them.
func (p *Progress) Count(done, failed, total int, last string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !understandsControl(p.w) {
		p.line("", 0, p.text("%s (%d of %d)", last, done+failed, total))
		return
	}
	text := fmt.Sprintf("%s %s %d/%d", p.step, bar(done+failed, total), done+failed, total)
	if failed > 0 {
		text += fmt.Sprintf(", %d failed", failed)
	}
	p.show(text)
}

// bar draws how much of a total is done.
func bar(done, total int) string {
	const width = 20
	full := width
	if total > 0 {
		full = min(width, done*width/total)
	}
	return strings.Repeat("█", full) + strings.Repeat("░", width-full)
}

// Done ends the step well, in words that replace it.
func (p *Progress) Done(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.step = ""
	p.stop()
	p.line("✓", 32, p.text(format, args...))
}

// Mark says that a part of the step is done, and goes on with the step.
func (p *Progress) Mark(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	spins := p.spinner != nil
	p.stop()
	p.line("✓", 32, p.text(format, args...))
	if spins {
		p.show(p.step)
	}
}

// Warn says something that needs attention, and goes on with the step.
func (p *Progress) Warn(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	spins := p.spinner != nil
	p.stop()
	_, _ = fmt.Fprintf(p.w, "%s %s\n", Colour(p.w, 33, "Warning:"), p.text(format, args...))
	if spins {
		p.show(p.step)
	}
}

// Note says something that a person should know, and goes on with the step.
func (p *Progress) Note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	spins := p.spinner != nil
	p.stop()
	_, _ = fmt.Fprintln(p.w, p.text(format, args...))
	if spins {
		p.show(p.step)
	}
}

// Stop ends the step without a word, or with a cross on a terminal if it has
// failed. More than one Stop does no harm.
func (p *Progress) Stop(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	spun := p.spinner != nil
	p.stop()
	if err != nil && spun && p.step != "" {
		p.line("✗", 31, p.step)
	}
	p.step = ""
}

func (p *Progress) show(text string) {
	if !understandsControl(p.w) {
		if text != p.last {
			p.line("", 0, text)
		}
		p.last = text
		return
	}
	suffix := " " + fit(text, p.width()-3)
	if p.spinner != nil {
		p.spinner.Lock()
		p.spinner.Suffix = suffix
		p.spinner.Unlock()
		return
	}
	s := spinner.New(spinner.CharSets[14], 100*time.Millisecond, spinner.WithWriterFile(p.w.(*os.File)))
	s.Suffix = suffix
	s.Start()
	p.spinner = s
}

func (p *Progress) stop() {
	if p.spinner != nil {
		p.spinner.Stop()
		p.spinner = nil
	}
}

func (p *Progress) line(mark string, sgr int, text string) {
	if understandsControl(p.w) {
		_, _ = fmt.Fprintf(p.w, "%s %s\n", Colour(p.w, sgr, mark), text)
		return
	}
	_, _ = fmt.Fprintf(p.w, "%6.1fs  %s\n", p.now().Sub(p.start).Seconds(), text)
}

func (p *Progress) width() int {
	if w, _, err := term.GetSize(int(p.w.(*os.File).Fd())); err == nil && w > 10 {
		return w
	}
	return 80
}

// fit shortens a text to one line of a spinner: a longer one would wrap, and
// leave its first half behind at each turn.
func fit(text string, width int) string {
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > width {
		return string(r[:width-1]) + "…"
	}
	return text
}
