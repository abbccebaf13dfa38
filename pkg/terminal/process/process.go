// SPDX-License-Identifier: Apache-2.0

// Package process starts children and waits for them in a program that may be
// the first process of its container: one that also inherits orphans and
// must reap them, without taking the exit status of its own children from
// those who wait for it.
package process

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Reaper knows the program's own children, and reaps all others.
type Reaper struct {
	mu  sync.Mutex
	own map[int]bool
	// kick asks for another look when a child of our own is out of the way.
	kick chan struct{}
}

// NewReaper makes this process the one to which its orphaned descendants fall,
// if it isn't process 1 anyway. Run must be called for them to be reaped.
func NewReaper() (*Reaper, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become the reaper of orphaned processes: %w", err)
	}
	return &Reaper{own: map[int]bool{}, kick: make(chan struct{}, 1)}, nil
}

// Start starts what start starts, as a child of our own: its exit status
// waits for Wait.
func (r *Reaper) Start(start func() (*os.Process, error)) (*os.Process, error) {
	// Under the lock, so that a child that ends at once isn't taken for an orphan.
	r.mu.Lock()
	defer r.mu.Unlock()
	p, err := start()
	if err == nil {
		r.own[p.Pid] = true
	}
	return p, err
}

// Wait waits for a command that Start started.
func (r *Reaper) Wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	r.mu.Lock()
	delete(r.own, cmd.Process.Pid)
	r.mu.Unlock()
	select {
	case r.kick <- struct{}{}:
	default:
	}
	return err
}

// Run reaps orphans until the context ends.
func (r *Reaper) Run(ctx context.Context) {
	died := make(chan os.Signal, 1)
	signal.Notify(died, syscall.SIGCHLD)
	defer signal.Stop(died)
	for {
		select {
		case <-died:
		case <-r.kick:
		case <-ctx.Done():
			return
		}
		for r.reapOne() {
		}
	}
}

// reapOne reaps one orphan, and says whether another look is worth it. The
// kernel names the first child that has ended, without reaping it; if it is
// our own, its waiter is about to reap it and will kick.
func (r *Reaper) reapOne() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	var info childInfo
	_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, unix.P_ALL, 0, uintptr(unsafe.Pointer(&info)),
		unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, 0, 0)
	if errno == syscall.EINTR {
		return true
	}
	if errno != 0 || info.pid == 0 || r.own[int(info.pid)] {
		return false
	}
	_, err := syscall.Wait4(int(info.pid), nil, syscall.WNOHANG, nil)
	return err == nil || err == syscall.EINTR
}

// childInfo is the kernel's siginfo_t as waitid fills it, on 64-bit Linux.
type childInfo struct {
	signo, errno, code, _ int32
	pid                   int32
	_                     [108]byte
}
