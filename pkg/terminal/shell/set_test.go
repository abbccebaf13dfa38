// SPDX-License-Identifier: Apache-2.0

package shell_test

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/workshopctl/workshopctl/pkg/terminal/process"
	"github.com/workshopctl/workshopctl/pkg/terminal/shell"
	"github.com/workshopctl/workshopctl/pkg/terminal/wire"
)

func newSet(t *testing.T, command func() (*exec.Cmd, error)) *shell.Set {
	t.Helper()
	reaper, err := process.NewReaper()
	if err != nil {
		t.Fatal(err)
	}
	s := shell.NewSet(shell.Config{Command: command, Reaper: reaper, Logf: t.Logf})
	t.Cleanup(func() { s.Shutdown(context.Background()) })
	return s
}

func numbers(list []wire.Shell) (numbers []int) {
	for _, s := range list {
		numbers = append(numbers, s.Number)
	}
	return numbers
}

func open(t *testing.T, s *shell.Set, want int) {
	t.Helper()
	if number, err := s.New(); err != nil || number != want {
		t.Fatalf("got shell %d, %v; want %d", number, err, want)
	}
}

// list is what a watcher of the set was told last.
type list struct {
	t    *testing.T
	mu   sync.Mutex
	cond sync.Cond
	now  []wire.Shell
}

func watch(t *testing.T, s *shell.Set) *list {
	l := &list{t: t}
	l.cond.L = &l.mu
	t.Cleanup(s.Watch(func(all []wire.Shell) { l.mu.Lock(); l.now = all; l.cond.Broadcast(); l.mu.Unlock() }))
	return l
}

func (l *list) until(what string, ok func([]wire.Shell) bool) {
	l.t.Helper()
	late := false
	timer := time.AfterFunc(20*time.Second, func() { l.mu.Lock(); late = true; l.cond.Broadcast(); l.mu.Unlock() })
	defer timer.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for !ok(l.now) {
		if late {
			l.t.Fatalf("no %s; the list is %+v", what, l.now)
		}
		l.cond.Wait()
	}
}

func TestShellsKeepTheirNumbers(t *testing.T) {
	s := newSet(t, sh(""))
	told := watch(t, s)
	told.until("first shell", func(l []wire.Shell) bool { return slices.Equal(l, []wire.Shell{{Number: 1, State: shell.Starting}}) })
	open(t, s, 2)
	open(t, s, 3)
	two, three := view(t, s.Get(2), "a", usual), view(t, s.Get(3), "a", usual)
	two.types("kept=two\r")
	three.types("kept=three\r")
	two.types("echo $((1+1)) $kept\r")
	three.types("echo $((1+2)) $kept\r")
	two.sees("2 two\r\n")
	three.sees("3 three\r\n")
	before := s.Traffic()
	if err := s.Close(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if after := s.Traffic(); after < before {
		t.Errorf("traffic went from %d to %d", before, after)
	}
	if s.Get(2) != nil || s.Get(3) == nil {
		t.Error("the wrong one is closed")
	}
	told.until("close of 2", func(l []wire.Shell) bool { return slices.Equal(numbers(l), []int{1, 3}) })
	if _, _, _, err := two.page.Next(t.Context(), nil); !errors.Is(err, shell.ErrClosed) {
		t.Errorf("its page gets %v", err)
	}
	open(t, s, 2)
	if got := numbers(s.List()); !slices.Equal(got, []int{1, 2, 3}) {
		t.Errorf("shells %v", got)
	}
}

func TestShellsAreBounded(t *testing.T) {
	s := newSet(t, sh("exec sleep 1000"))
	for number := 2; number <= shell.MaxShells; number++ {
		open(t, s, number)
	}
	if number, err := s.New(); !errors.Is(err, shell.ErrTooMany) {
		t.Errorf("one more: %d, %v", number, err)
	}
	for number, want := range map[int]error{shell.First: shell.ErrFirst, 0: shell.ErrUnknown, -1: shell.ErrUnknown, shell.MaxShells + 1: shell.ErrUnknown} {
		if err := s.Close(t.Context(), number); !errors.Is(err, want) {
			t.Errorf("close of %d: %v, want %v", number, err, want)
		}
	}
	// However many ask at once.
	if err := s.Close(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var opened sync.Map
	for n := range 8 {
		all.Go(func() {
			if number, err := s.New(); err == nil {
				opened.Store(n, number)
			}
		})
	}
	all.Wait()
	count := 0
	opened.Range(func(_, number any) bool { count++; return number == 5 })
	if count != 1 {
		t.Errorf("%d were opened where one had room", count)
	}
}

// TestShellThatExits: the first shell waits to be started again, another one is
// closed like the window of a terminal; but what ends without its will stays
// and says so.
func TestShellThatExits(t *testing.T) {
	s := newSet(t, sh(""))
	if err := s.Get(shell.First).Start(); err != nil {
		t.Fatal(err)
	}
	open(t, s, 2)
	open(t, s, 3)
	told := watch(t, s)
	view(t, s.Get(1), "a", usual).types("exit 3\r")
	view(t, s.Get(2), "a", usual).types("exit 3\r")
	view(t, s.Get(3), "a", usual).types("kill -9 $$\r")
	told.until("end of all", func(l []wire.Shell) bool {
		return slices.Equal(l, []wire.Shell{{Number: 1, State: shell.Ended}, {Number: 3, State: shell.Ended}})
	})
	if err := s.Get(3).Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	told.until("restart", func(l []wire.Shell) bool { return len(l) == 2 && l[1].State == shell.Running })
	if err := s.Get(3).Restart(t.Context()); err != nil { // its exit on SIGHUP is ours
		t.Fatal(err)
	}
	view(t, s.Get(3), "b", usual).types("echo on $((40+2))\r")
	if got := numbers(s.List()); !slices.Equal(got, []int{1, 3}) {
		t.Errorf("shells %v", got)
	}
}

func TestShellThatCannotStart(t *testing.T) {
	s := newSet(t, func() (*exec.Cmd, error) { return exec.Command("/nowhere/sh"), nil })
	if number, err := s.New(); err == nil {
		t.Errorf("shell %d", number)
	}
	if got := numbers(s.List()); !slices.Equal(got, []int{1}) {
		t.Errorf("shells %v", got)
	}
}

func TestTitle(t *testing.T) {
	s := newSet(t, sh(""))
	open(t, s, 2)
	told := watch(t, s)
	two := view(t, s.Get(2), "a", usual)
	two.types("printf '\\033]0;vim: notes\\007'\r")
	told.until("title", func(l []wire.Shell) bool { return len(l) == 2 && l[0].Title == "" && l[1].Title == "vim: notes" })
	if err := s.Get(2).Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	told.until("no title", func(l []wire.Shell) bool { return l[1].Title == "" && l[1].State == shell.Running })
}

func TestNothingOpensAfterShutdown(t *testing.T) {
	s := newSet(t, sh(""))
	open(t, s, 2)
	a := view(t, s.Get(2), "a", usual)
	a.sees("ready> ")
	s.Shutdown(t.Context())
	if number, err := s.New(); err == nil {
		t.Errorf("shell %d", number)
	}
	a.until("end", func() bool { return a.state == shell.Ended })
	// A page that comes too late is told so.
	late := s.Get(2).Attach(wire.Hello{Client: "late", Size: usual}, shell.Notify{Size: func(wire.Size) {}, State: func(wire.State) {}})
	if _, _, _, err := late.Next(t.Context(), nil); !errors.Is(err, shell.ErrClosed) {
		t.Errorf("a late page gets %v", err)
	}
}
