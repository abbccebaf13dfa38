// SPDX-License-Identifier: Apache-2.0

package shell_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/workshopctl/workshopctl/pkg/terminal/process"
	"github.com/workshopctl/workshopctl/pkg/terminal/shell"
	"github.com/workshopctl/workshopctl/pkg/terminal/wire"
)

// viewer is a page that keeps everything the terminal prints.
type viewer struct {
	t    *testing.T
	page *shell.Page

	mu      sync.Mutex
	cond    sync.Cond
	screen  bytes.Buffer
	state   string
	size    wire.Size
	credits int
}

func view(t *testing.T, term *shell.Terminal, name string, size wire.Size) *viewer {
	t.Helper()
	v := &viewer{t: t}
	v.cond.L = &v.mu
	set := func(f func()) { v.mu.Lock(); f(); v.cond.Broadcast(); v.mu.Unlock() }
	v.page = term.Attach(wire.Hello{Client: name, Size: size}, shell.Notify{
		Size:   func(s wire.Size) { set(func() { v.size = s }) },
		State:  func(s wire.State) { set(func() { v.state = s.Shell }) },
		Credit: func(n int) { set(func() { v.credits += n }) },
	})
	go func() {
		for {
			offset, out, anew, err := v.page.Next(t.Context(), make([]byte, 0, wire.MaxOutput))
			if err != nil {
				return
			}
			if anew == nil {
				_ = v.page.Ack(offset + uint64(len(out)))
				set(func() { v.screen.Write(out) })
			}
		}
	}()
	return v
}

// until waits for a condition; it fails the test after long enough.
func (v *viewer) until(what string, ok func() bool) {
	v.t.Helper()
	late := false
	timer := time.AfterFunc(20*time.Second, func() { v.mu.Lock(); late = true; v.cond.Broadcast(); v.mu.Unlock() })
	defer timer.Stop()
	v.mu.Lock()
	defer v.mu.Unlock()
	for !ok() {
		if late {
			v.t.Fatalf("no %s; state %s, size %v, screen:\n%q", what, v.state, v.size, v.screen.String())
		}
		v.cond.Wait()
	}
}

func (v *viewer) sees(text string) {
	v.t.Helper()
	v.until("text "+text, func() bool { return strings.Contains(v.screen.String(), text) })
}

func (v *viewer) types(text string) {
	v.t.Helper()
	if err := v.page.Input([]byte(text)); err != nil {
		v.t.Fatal(err)
	}
}

func newTerminal(t *testing.T, script string) *shell.Terminal {
	t.Helper()
	reaper, err := process.NewReaper()
	if err != nil {
		t.Fatal(err)
	}
	term := shell.New(shell.Config{Command: sh(script), Reaper: reaper, Logf: t.Logf})
	t.Cleanup(func() { term.Close(context.Background()) })
	return term
}

// sh is a shell, interactive or with a script.
func sh(script string) func() (*exec.Cmd, error) {
	return func() (*exec.Cmd, error) {
		cmd := exec.Command("/bin/sh")
		if script != "" {
			cmd.Args = append(cmd.Args, "-c", script)
		}
		cmd.Env = []string{"PATH=/usr/bin:/bin", "PS1=ready> ", "TERM=xterm"}
		return cmd, nil
	}
}

var usual = wire.Size{Columns: 80, Rows: 24}

func TestShellOutlivesItsPage(t *testing.T) {
	term := newTerminal(t, "")
	a := view(t, term, "a", usual)
	a.until("start", func() bool { return a.state == shell.Starting })
	if err := term.Start(); err != nil {
		t.Fatal(err)
	}
	a.sees("ready> ")
	a.types("kept=value; echo $((40+2))\r")
	a.sees("42\r\n")
	a.page.Detach(true)

	b := view(t, term, "b", usual)
	b.sees("42\r\n") // the screen is there again,
	b.types("echo it is $kept\r")
	b.sees("it is value") // and so is the shell
	if term.Traffic() == 0 {
		t.Error("no traffic counted")
	}
}

func TestSizeFollowsTheActivePage(t *testing.T) {
	term := newTerminal(t, "")
	a := view(t, term, "a", wire.Size{Columns: 100, Rows: 30})
	if err := term.Start(); err != nil {
		t.Fatal(err)
	}
	a.sees("ready> ")
	b := view(t, term, "b", wire.Size{Columns: 70, Rows: 20})
	for _, v := range []*viewer{a, b} {
		v.until("size of b", func() bool { return v.size == wire.Size{Columns: 70, Rows: 20} })
	}
	b.types("stty size\r")
	b.sees("20 70")
	a.types("stty size\r")
	a.sees("30 100")
	b.until("size of a", func() bool { return b.size == wire.Size{Columns: 100, Rows: 30} })
	b.page.Resize(wire.Size{Columns: 60, Rows: 10})
	b.types("stty size\r")
	b.sees("10 60")
}

func TestShellEndsAndStartsAgain(t *testing.T) {
	term := newTerminal(t, "")
	a := view(t, term, "a", usual)
	if err := term.Start(); err != nil {
		t.Fatal(err)
	}
	a.types("exit 7\r")
	a.sees("The shell has ended: status 7. Press Enter")
	a.until("end", func() bool { return a.state == shell.Ended })
	if err := a.page.Start(); err != nil {
		t.Fatal(err)
	}
	a.until("new start", func() bool { return a.state == shell.Running })
	a.types("echo alive $((1+1))\r")
	a.sees("alive 2")
}

func TestRestartEndsWhatRuns(t *testing.T) {
	for name, job := range map[string]string{
		"a job in front":           "echo begun; sleep 1000\r",
		"a job behind":             "sleep 1000 & echo begun\r",
		"a shell that won't go":    "trap '' HUP; echo begun\r",
		"a job that won't go":      "sh -c 'trap \"\" HUP INT; echo begun; sleep 9; sleep 9'\r",
		"a holder of the terminal": "setsid sh -c 'sleep 3' & echo begun\r",
	} {
		t.Run(name, func(t *testing.T) {
			term := newTerminal(t, "")
			a := view(t, term, "a", usual)
			if err := term.Start(); err != nil {
				t.Fatal(err)
			}
			a.sees("ready> ")
			a.types("echo I am $$.\r")
			a.sees("I am ")
			a.types(job)
			a.sees("begun\r\n")
			if err := term.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			a.until("restart", func() bool { return a.state == shell.Running && strings.Contains(a.screen.String(), "has ended") })
			a.types("echo new $((2+2))\r")
			a.sees("new 4")
		})
	}
}

// TestPasteAgainstOutput: a program that prints more than it is given must not
// lock up with the input that waits for it.
func TestPasteAgainstOutput(t *testing.T) {
	term := newTerminal(t, `stty raw -echo; echo go; head -c 400000 | od -An -v -tx1; echo done`)
	a := view(t, term, "a", usual)
	if err := term.Start(); err != nil {
		t.Fatal(err)
	}
	a.sees("go")
	const total, piece = 400_000, 10_000
	for sent := 0; sent < total; sent += piece {
		a.types(strings.Repeat("x", piece))
		a.until("credit", func() bool { return sent+piece-a.credits <= wire.InputWindow })
	}
	a.sees("done")
	a.until("all credits", func() bool { return a.credits == total })
}

func TestInputIsBounded(t *testing.T) {
	term := newTerminal(t, "stty raw -echo; echo go; sleep 1000")
	a := view(t, term, "a", usual)
	if err := term.Start(); err != nil {
		t.Fatal(err)
	}
	a.sees("go")
	for range 100 {
		if a.page.Input(make([]byte, 16<<10)) != nil {
			return
		}
	}
	t.Error("takes any amount of input that nobody reads")
}

func TestNoShell(t *testing.T) {
	reaper, err := process.NewReaper()
	if err != nil {
		t.Fatal(err)
	}
	term := shell.New(shell.Config{
		Command: func() (*exec.Cmd, error) { return exec.Command("/nowhere/sh"), nil }, Reaper: reaper, Logf: t.Logf})
	a := view(t, term, "a", usual)
	if err := term.Start(); err == nil {
		t.Error("no error")
	}
	a.sees("can't be started")
	a.until("end", func() bool { return a.state == shell.Ended })
}

func TestCloseReturns(t *testing.T) {
	term := newTerminal(t, "")
	a := view(t, term, "a", usual)
	if err := term.Start(); err != nil {
		t.Fatal(err)
	}
	a.sees("ready> ")
	a.types("trap '' HUP TERM; yes\r")
	a.sees("y\r\ny")
	term.Close(t.Context())
	if err := term.Start(); err != nil {
		t.Fatal(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.state != shell.Ended {
		t.Errorf("state %s", a.state)
	}
}

func ExampleTerminal_Say() {
	term := shell.New(shell.Config{})
	page := term.Attach(wire.Hello{Client: "c", Size: usual}, shell.Notify{Size: func(wire.Size) {}, State: func(wire.State) {}})
	term.Say("[%s]", "hello")
	_, out, _, _ := page.Next(context.Background(), make([]byte, 0, 100))
	fmt.Printf("%q\n", out)
	// Output: "\r\x1b[2m[hello]\x1b[0m\r\n"
}

// TestLastOutput: what a shell prints before it ends arrives, although a program
// that it leaves behind keeps the terminal open.
func TestLastOutput(t *testing.T) {
	term := newTerminal(t, "trap '' HUP; sleep 1000 & seq 1 200000; exit 3")
	a := view(t, term, "a", usual)
	if err := term.Start(); err != nil {
		t.Fatal(err)
	}
	a.sees("199999\r\n200000\r\n")
	a.sees("ended: status 3")
}

// TestInputAcrossConnections: a page that connects anew learns how much of what
// it typed has come, and its former connection brings no more.
func TestInputAcrossConnections(t *testing.T) {
	term := newTerminal(t, "")
	if err := term.Start(); err != nil {
		t.Fatal(err)
	}
	a := view(t, term, "a", usual)
	if w := a.page.Welcome(); w.Taken != nil {
		t.Errorf("a new page has typed %d", *w.Taken)
	}
	a.types("echo $((40+2))\r")
	a.sees("42\r\n")
	a.page.Detach(true)
	again := view(t, term, "a", usual)
	if w := again.page.Welcome(); w.Taken == nil || *w.Taken != 15 {
		t.Errorf("taken %v, want 15", w.Taken)
	}
	if err := a.page.Input([]byte("echo twice\r")); !errors.Is(err, shell.ErrReplaced) {
		t.Errorf("the former connection brings input: %v", err)
	}
	again.types("echo $((40+3))\r")
	again.sees("43\r\n")
	third := view(t, term, "a", usual)
	if w := third.page.Welcome(); w.Taken == nil || *w.Taken != 30 {
		t.Errorf("taken %v, want 30", w.Taken)
	}
	if strings.Contains(again.screen.String(), "twice") {
		t.Errorf("screen %q", again.screen.String())
	}
}

// TestOneAnswer: a program that asks the terminal gets one answer, however many
// pages there are.
func TestOneAnswer(t *testing.T) {
	term := newTerminal(t, "stty -echo -icanon; echo go; dd bs=1 count=6 2>/dev/null; echo .; sleep 1000")
	a, b := view(t, term, "a", usual), view(t, term, "b", usual) // b is active
	if err := term.Start(); err != nil {
		t.Fatal(err)
	}
	a.sees("go")
	for _, v := range []*viewer{a, b, a} {
		if err := v.page.Answer([]byte(map[*viewer]string{a: "aaa", b: "bbb"}[v])); err != nil {
			t.Fatal(err)
		}
	}
	b.types("xyz")
	b.sees("bbbxyz.")
}

// TestWatcher sees everything, types nothing unless it may, and counts neither
// for the size nor for the pace; the attendee's page knows of it.
func TestWatcher(t *testing.T) {
	term := newTerminal(t, "")
	jane := view(t, term, "jane", wire.Size{Columns: 90, Rows: 30})
	if err := term.Start(); err != nil {
		t.Fatal(err)
	}
	jane.sees("ready> ")
	states := make(chan wire.State, 100)
	var told wire.Size
	join := func(types bool) *shell.Page {
		p := term.Watch("trainer", types, shell.Notify{
			Size: func(s wire.Size) { told = s }, State: func(s wire.State) { states <- s }, Credit: func(int) {},
		})
		return p
	}
	watcher := join(false)
	if s := <-states; s.Watchers != 1 || s.Writers != 0 || told != (wire.Size{Columns: 90, Rows: 30}) {
		t.Errorf("state %+v, size %+v", s, told)
	}
	watcher.Resize(wire.Size{Columns: 10, Rows: 5})
	if err := watcher.Input([]byte("echo by the wat''cher\r")); err != nil {
		t.Fatal(err)
	}
	// It reads nothing of this, and nothing waits for it.
	jane.types("stty size; i=0; while [ $i -lt 30000 ]; do i=$((i+1)); echo \"$i $i $i $i $i\"; done; echo en''d\r")
	jane.sees("30 90")
	jane.sees("end\r")
	jane.until("silence of the watcher", func() bool { return !strings.Contains(jane.screen.String(), "by the wat") })
	watcher.Detach(false)
	for len(states) > 0 { // of the shell, meanwhile
		<-states
	}
	helper := join(true)
	if s := <-states; s.Watchers != 1 || s.Writers != 1 {
		t.Errorf("state %+v", s)
	}
	if err := helper.Input([]byte("echo by the hel''per\r")); err != nil {
		t.Fatal(err)
	}
	jane.sees("by the helper")
	jane.page.Detach(false)
	// Without the attendee the shell runs as free as before.
	if err := helper.Input([]byte("i=0; while [ $i -lt 60000 ]; do i=$((i+1)); echo \"$i $i $i $i $i\"; done; echo en''d again\r")); err != nil {
		t.Fatal(err)
	}
	back := view(t, term, "back", wire.Size{Columns: 90, Rows: 30})
	back.sees("end again\r")
	helper.Detach(false)
}
