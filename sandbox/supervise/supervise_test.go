// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// eventually waits until the supervisor's status satisfies ok.
func eventually(t *testing.T, s *Supervisor, what string, ok func([]Status) bool) []Status {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		status := s.Status(t.Context())
		if ok(status) {
			return status
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not so, but %+v", what, status)
		}
		<-time.After(10 * time.Millisecond)
	}
}

func states(all []Status) string {
	var list []string
	for _, s := range all {
		list = append(list, s.Name+"="+s.State)
	}
	return strings.Join(list, " ")
}

func shell(name, script string, after ...string) Unit {
	return Unit{Name: name, Args: []string{"/bin/sh", "-c", script}, After: after}
}

func fileExists(path string) func(context.Context) error {
	return func(context.Context) error { _, err := os.Stat(path); return err }
}

func TestUnitsStartInOrderOfTheirNeeds(t *testing.T) {
	dir := t.TempDir()
	s := New(dir, t.Logf)
	t.Cleanup(func() { s.Stop() })
	flag := filepath.Join(dir, "flag")
	first := shell("first", "exec sleep 1000")
	first.Ready = fileExists(flag)
	s.Apply(t.Context(), []Unit{shell("second", "exec sleep 1000", "first"), first})
	eventually(t, s, "the first runs", func(all []Status) bool { return states(all) == "second=waiting first=starting" })
	if err := os.WriteFile(flag, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	eventually(t, s, "both run", func(all []Status) bool { return states(all) == "second=ready first=ready" })
	if err := os.Remove(flag); err != nil {
		t.Fatal(err)
	}
	all := eventually(t, s, "a unit that was ready is asked again", func(all []Status) bool { return all[1].State == Starting })
	if !strings.Contains(all[1].Error, "no such file") {
		t.Errorf("the reason is %q", all[1].Error)
	}
}

func TestAUnitThatEndsIsRestarted(t *testing.T) {
	dir := t.TempDir()
	s := New(dir, t.Logf)
	t.Cleanup(func() { s.Stop() })
	var mu sync.Mutex
	calls := 0
	s.Apply(t.Context(), []Unit{
		shell("fails", "echo about to fail; exit 3"),
		{Name: "task", Task: func(ctx context.Context, log io.Writer) error {
			mu.Lock()
			defer mu.Unlock()
			if calls++; calls == 1 {
				return errors.New("first try")
			}
			<-ctx.Done()
			return nil
		}},
	})
	all := eventually(t, s, "the program has been restarted", func(all []Status) bool { return all[0].Restarts >= 2 && all[1].State == Ready && all[1].Restarts == 1 })
	if !strings.Contains(all[0].Error, "exit status 3") || !strings.Contains(all[0].Error, "about to fail") {
		t.Errorf("the error is %q, want the exit status and the last words", all[0].Error)
	}
}

func TestApplyRestartsOnlyWhatChanged(t *testing.T) {
	s := New(t.TempDir(), t.Logf)
	t.Cleanup(func() { s.Stop() })
	ready := func(all []Status) bool {
		return !slices.ContainsFunc(all, func(s Status) bool { return s.State != Ready })
	}
	s.Apply(t.Context(), []Unit{shell("same", "exec sleep 1000"), shell("changes", "exec sleep 1000"), shell("goes", "exec sleep 1000")})
	before := eventually(t, s, "all run", ready)
	s.Apply(t.Context(), []Unit{shell("same", "exec sleep 1000"), shell("changes", "exec sleep 2000"), shell("new", "exec sleep 1000", "changes")})
	after := eventually(t, s, "all run again", ready)
	if got := states(after); got != "same=ready changes=ready new=ready" {
		t.Fatal(got)
	}
	if after[0].PID != before[0].PID {
		t.Error("the unit that is the same was restarted")
	}
	if after[1].PID == before[1].PID {
		t.Error("the unit that changed was not restarted")
	}
	if _, err := os.Stat(filepath.Join("/proc", strconv.Itoa(before[2].PID))); err == nil {
		t.Error("the unit that is no longer wanted still runs")
	}
}

func TestStopEndsTheNeededLast(t *testing.T) {
	dir := t.TempDir()
	s := New(dir, t.Logf)
	log := filepath.Join(dir, "order")
	script := func(name string) string {
		return "trap 'echo " + name + " >>" + log + "; exit 0' TERM; echo up; while :; do sleep 0.05; done"
	}
	var units []Unit
	for _, name := range []string{"a", "b", "c"} {
		u := shell(name, script(name))
		if name != "a" {
			u.After = []string{string(name[0] - 1)}
		}
		u.Ready = func(context.Context) error {
			if !strings.Contains(Tail(LogFile(dir, name), 1), "up") {
				return errors.New("not up")
			}
			return nil
		}
		units = append(units, u)
	}
	s.Apply(t.Context(), units)
	eventually(t, s, "all run", func(all []Status) bool { return states(all) == "a=ready b=ready c=ready" })
	s.Stop()
	if data, err := os.ReadFile(log); err != nil || string(data) != "c\nb\na\n" {
		t.Errorf("they ended as %q, %v", data, err)
	}
	if got := states(s.Status(t.Context())); got != "a=stopped b=stopped c=stopped" {
		t.Error(got)
	}
}
