// SPDX-License-Identifier: Apache-2.0

package shell

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/workshopctl/workshopctl/pkg/terminal/wire"
)

const (
	// First is the number of the shell that a session always has.
	First = 1
	// MaxShells bounds the shells of a session: each may keep a ring, and runs
	// programs of its own.
	MaxShells = 10
	// announceTime is how long changes of the list are collected: a program may
	// change its title with every line that it prints.
	announceTime = 100 * time.Millisecond
)

// The reasons for which a shell can't be opened or closed.
var (
	ErrTooMany = errors.New("the session has as many shells as it may have")
	ErrFirst   = errors.New("the session's first shell stays; it can be restarted")
	ErrUnknown = errors.New("the session has no shell of this number")
)

// Set is the shells of a session, each on a terminal of its own. A shell
// keeps its number until it is closed; a new one gets the lowest that is free.
// The first can't be closed. Another is closed when its shell exits, as
// the window of a terminal is.
type Set struct {
	config Config

	mu       sync.Mutex
	shells   map[int]*Terminal
	watchers map[*watcher]bool
	pending  bool   // an announcement is due
	passed   uint64 // traffic of those that are closed
	closed   bool

	announcing sync.Mutex // one at a time, so that the newest list comes last
}

type watcher struct{ tell func([]wire.Shell) }

// NewSet makes a set with its first shell, which isn't started yet.
func NewSet(c Config) *Set {
	s := &Set{config: c, shells: map[int]*Terminal{}, watchers: map[*watcher]bool{}}
	s.shells[First] = New(c)
	s.shells[First].changed = s.changed
	return s
}

// Get is the shell with the given number, nil if there is none.
func (s *Set) Get(number int) *Terminal {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shells[number]
}

// New opens a shell, starts it, and tells its number.
func (s *Set) New() (int, error) {
	t := New(s.config)
	number, err := s.add(t)
	if err != nil {
		return 0, err
	}
	if err := t.Start(); err != nil {
		_ = s.Close(context.Background(), number) // nothing runs there to wait for
		return 0, err
	}
	return number, nil
}

func (s *Set) add(t *Terminal) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	number := First
	for s.shells[number] != nil {
		number++
	}
	if s.closed || number > MaxShells {
		return 0, ErrTooMany
	}
	t.changed = s.changed
	t.exited = func() { _ = s.Close(context.Background(), number) } // closed meanwhile: as well
	s.shells[number] = t
	return number, nil
}

// Close hangs a shell up and forgets it.
func (s *Set) Close(ctx context.Context, number int) error {
	if number == First {
		return ErrFirst
	}
	s.mu.Lock()
	t := s.shells[number]
	if t == nil {
		s.mu.Unlock()
		return ErrUnknown
	}
	delete(s.shells, number)
	s.mu.Unlock()
	s.changed()
	t.Close(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passed += t.Traffic()
	return nil
}

// Shutdown hangs all shells up for good, and returns when they are gone.
func (s *Set) Shutdown(ctx context.Context) {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	var all sync.WaitGroup
	for _, t := range s.all() {
		all.Go(func() { t.Close(ctx) })
	}
	all.Wait()
}

// Traffic counts the bytes typed and printed in all shells since the
// container's start.
func (s *Set) Traffic() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := s.passed
	for _, t := range s.shells {
		sum += t.Traffic()
	}
	return sum
}

// List tells of all shells, in the order of their numbers.
func (s *Set) List() []wire.Shell {
	var list []wire.Shell
	for number, t := range s.all() {
		t.mu.Lock()
		list = append(list, wire.Shell{Number: number, Title: t.title.text, State: t.state})
		t.mu.Unlock()
	}
	slices.SortFunc(list, func(a, b wire.Shell) int { return a.Number - b.Number })
	return list
}

// all is a copy: what a terminal is asked under its own lock is never asked
// under the set's, for terminals report changes while they hold theirs.
func (s *Set) all() map[int]*Terminal {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[int]*Terminal, len(s.shells))
	for number, t := range s.shells {
		all[number] = t
	}
	return all
}

// Watch calls tell with the list now and after changes, until stop is called.
// tell must not block.
func (s *Set) Watch(tell func([]wire.Shell)) (stop func()) {
	w := &watcher{tell}
	s.announcing.Lock()
	defer s.announcing.Unlock()
	s.mu.Lock()
	s.watchers[w] = true
	s.mu.Unlock()
	tell(s.List())
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, w)
	}
}

// changed announces the list, soon.
func (s *Set) changed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending || len(s.watchers) == 0 {
		return
	}
	s.pending = true
	time.AfterFunc(announceTime, s.announce)
}

func (s *Set) announce() {
	s.announcing.Lock()
	defer s.announcing.Unlock()
	s.mu.Lock()
	s.pending = false
	s.mu.Unlock()
	list := s.List()
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.watchers {
		w.tell(list)
	}
}
