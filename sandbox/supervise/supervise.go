// SPDX-License-Identifier: Apache-2.0

// Package supervise keeps programs running: it starts them in order of their
// needs, restarts those that end, with growing pauses, and keeps their output.
package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Unit is a program to keep running, or a task of this process.
type Unit struct {
	Name string
	// Args are the program and its arguments. Nil for a task.
	Args []string
	Env  []string
	// Task runs in this process until its context ends. Its context has a
	// logger's destination; see Log.
	Task func(ctx context.Context, log io.Writer) error
	// Ready says whether it does its work yet. Nil means at once.
	Ready func(ctx context.Context) error
	// After names the units that must have been ready once before this one
	// is started.
	After []string
}

// States of a unit.
const (
	Waiting    = "waiting"    // for those named by After
	Starting   = "starting"   // not ready yet
	Ready      = "ready"      //
	Restarting = "restarting" // it ended, and pauses before it is tried again
	Stopped    = "stopped"
)

// Status is how a unit is.
type Status struct {
	Name     string    `json:"name"`
	State    string    `json:"state"`
	PID      int       `json:"pid,omitempty"` // in the sandbox's PID namespace
	Since    time.Time `json:"since"`         // of the state
	Restarts int       `json:"restarts"`
	// Error is why it ended last, or why it isn't ready, with its last words.
	Error string `json:"error,omitempty"`
}

const (
	shortestPause = 200 * time.Millisecond
	longestPause  = 30 * time.Second
	// A unit that ran this long starts again with the shortest pause.
	longRun       = time.Minute
	probeInterval = 100 * time.Millisecond
	probeTimeout  = 3 * time.Second
	// A log of this size is put aside (as NAME.log.1) when its unit starts.
	logLimit = 32 << 20
)

// Supervisor runs units.
type Supervisor struct {
	logs string
	say  func(format string, args ...any)

	mu      sync.Mutex
	running map[string]*running
	order   []string
	// ready holds a channel for each unit, closed when it was ready once. It
	// stays when a unit is replaced by a newer one of the same name.
	ready map[string]chan struct{}
}

type running struct {
	unit   Unit
	cancel context.CancelFunc
	done   chan struct{}
	ready  chan struct{}

	mu     sync.Mutex
	status Status
}

// New returns a supervisor that writes each unit's output to NAME.log in the
// directory, and says what happens to them by say.
func New(logs string, say func(format string, args ...any)) *Supervisor {
	return &Supervisor{logs: logs, say: say, running: map[string]*running{}, ready: map[string]chan struct{}{}}
}

// Apply makes exactly these units run: it stops those that aren't named or
// have other arguments than before, and starts what is missing. Units run
// until ctx ends or Stop is called.
func (s *Supervisor) Apply(ctx context.Context, units []Unit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	want := map[string]Unit{}
	for _, u := range units {
		want[u.Name] = u
	}
	var stop []*running
	for name, r := range s.running {
		if u, ok := want[name]; !ok || !slices.Equal(u.Args, r.unit.Args) {
			stop = append(stop, r)
			delete(s.running, name)
		}
	}
	halt(stop)
	s.order = nil
	for _, u := range units {
		s.order = append(s.order, u.Name)
		if s.ready[u.Name] == nil {
			s.ready[u.Name] = make(chan struct{})
		}
	}
	for _, u := range units {
		if s.running[u.Name] != nil {
			continue
		}
		var needs []chan struct{}
		for _, name := range u.After {
			needs = append(needs, s.ready[name])
		}
		ctx, cancel := context.WithCancel(ctx)
		r := &running{unit: u, cancel: cancel, done: make(chan struct{}), ready: s.ready[u.Name]}
		r.set(Waiting, 0, nil)
		s.running[u.Name] = r
		go s.run(ctx, r, needs)
	}
}

// halt stops the units, all at the same time.
func halt(stop []*running) {
	for _, r := range stop {
		r.cancel()
	}
	for _, r := range stop {
		<-r.done
	}
}

// Stop stops the named units, or all. A unit ends well only while those that
// it comes after are there: so those that nothing comes after go first, at the
// same time, then those that nothing comes after any more.
func (s *Supervisor) Stop(names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := map[string]*running{}
	for name, r := range s.running {
		if len(names) == 0 || slices.Contains(names, name) {
			left[name] = r
		}
	}
	for len(left) > 0 {
		needed := map[string]bool{}
		for _, r := range left {
			for _, name := range r.unit.After {
				needed[name] = true
			}
		}
		var stop []*running
		for name, r := range left {
			if !needed[name] {
				stop = append(stop, r)
				delete(left, name)
			}
		}
		halt(stop)
	}
}

// Status asks all units how they are, at the same time.
func (s *Supervisor) Status(ctx context.Context) []Status {
	s.mu.Lock()
	var all []*running
	for _, name := range s.order {
		all = append(all, s.running[name])
	}
	s.mu.Unlock()
	statuses := make([]Status, len(all))
	var wg sync.WaitGroup
	for i, r := range all {
		wg.Go(func() {
			r.mu.Lock()
			statuses[i] = r.status
			r.mu.Unlock()
			if statuses[i].State == Ready && r.unit.Ready != nil {
				if err := probe(ctx, r.unit); err != nil {
					statuses[i].State, statuses[i].Error = Starting, "it was ready and isn't now: "+err.Error()
				}
			}
		})
	}
	wg.Wait()
	return statuses
}

func (r *running) set(state string, pid int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.status.State != state {
		r.status.Since = time.Now()
	}
	r.status.Name, r.status.State, r.status.PID = r.unit.Name, state, pid
	switch {
	case err != nil:
		r.status.Error = err.Error()
	case state == Ready:
		r.status.Error = ""
	}
	if state == Restarting {
		r.status.Restarts++
	}
}

func (s *Supervisor) run(ctx context.Context, r *running, needs []chan struct{}) {
	defer close(r.done)
	defer r.set(Stopped, 0, nil)
	for _, ready := range needs {
		select {
		case <-ready:
		case <-ctx.Done():
			return
		}
	}
	pause := shortestPause
	for {
		started := time.Now()
		err := s.once(ctx, r)
		if ctx.Err() != nil {
			s.say("%s: stopped", r.unit.Name)
			return
		}
		if err == nil {
			err = errors.New("it ended by itself")
		}
		if time.Since(started) > longRun {
			pause = shortestPause
		}
		s.say("%s: %v; again in %s", r.unit.Name, err, pause)
		if last := Tail(LogFile(s.logs, r.unit.Name), 5); last != "" {
			err = fmt.Errorf("%w; the last lines of its log:\n%s", err, last)
		}
		r.set(Restarting, 0, err)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		pause = min(2*pause, longestPause)
	}
}

// once runs the unit until it ends.
func (s *Supervisor) once(ctx context.Context, r *running) error {
	log, err := openLog(LogFile(s.logs, r.unit.Name))
	if err != nil {
		return err
	}
	defer log.Close()
	ctx, cancel := context.WithCancel(ctx)
	pid := 0
	var wait func() error
	if r.unit.Task != nil {
		wait = func() error { return r.unit.Task(ctx, log) }
	} else {
		cmd := exec.CommandContext(ctx, r.unit.Args[0], r.unit.Args[1:]...)
		cmd.Env, cmd.Stdout, cmd.Stderr, cmd.Dir = r.unit.Env, log, log, "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // not hit by a terminal's signals
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = 5 * time.Second
		if err := cmd.Start(); err != nil {
			cancel()
			return err
		}
		pid, wait = cmd.Process.Pid, cmd.Wait
	}
	r.set(Starting, pid, nil)
	s.say("%s: started", r.unit.Name)
	var probing sync.WaitGroup
	probing.Go(func() { s.untilReady(ctx, r, pid) })
	err = wait()
	cancel()
	probing.Wait()
	return err
}

func (s *Supervisor) untilReady(ctx context.Context, r *running, pid int) {
	started := time.Now()
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	for {
		var err error
		if r.unit.Ready != nil {
			err = probe(ctx, r.unit)
		}
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			r.set(Ready, pid, nil)
			s.say("%s: ready after %.1fs", r.unit.Name, time.Since(started).Seconds())
			select {
			case <-r.ready:
			default:
				close(r.ready)
			}
			return
		}
		r.set(Starting, pid, err)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func probe(ctx context.Context, u Unit) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return u.Ready(ctx)
}

// LogFile is where the output of a unit goes.
func LogFile(dir, unit string) string { return filepath.Join(dir, unit+".log") }

func openLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if info, err := os.Stat(path); err == nil && info.Size() > logLimit {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
}

// Tail returns the last n lines of a file, or as much as can be read.
func Tail(path string, n int) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	const window = 16 << 10
	if info, err := f.Stat(); err == nil && info.Size() > window {
		if _, err := f.Seek(-window, io.SeekEnd); err != nil {
			return ""
		}
	}
	data, _ := io.ReadAll(f)
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
