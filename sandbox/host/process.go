// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Process names one process for good: PIDs are used again, a PID with its
// start time and the machine's boot is not.
type Process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks between boot and start
	Boot  string `json:"boot"`
}

// Self identifies the calling process as /proc shows it: for the first
// process of a PID namespace that still sees the host's /proc, by its PID
// on the host.
func Self() (Process, error) {
	link, err := os.Readlink("/proc/self")
	if err != nil {
		return Process{}, err
	}
	pid, err := strconv.Atoi(link)
	if err != nil {
		return Process{}, err
	}
	return identify(pid)
}

func identify(pid int) (Process, error) {
	start, err := startTime(pid)
	if err != nil {
		return Process{}, fmt.Errorf("identify process %d: %w", pid, err)
	}
	boot, err := bootID()
	return Process{PID: pid, Start: start, Boot: boot}, err
}

// Save writes the process to a file, whole or not at all.
func (p Process) Save(path string) error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return WriteFile(path, data, 0o644)
}

// LoadProcess reads what Save wrote. Without a file it returns a process
// that is not alive.
func LoadProcess(path string) (Process, error) {
	var p Process
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return p, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	return p, err
}

// Alive says whether the process still runs.
func (p Process) Alive() bool {
	if p.PID == 0 {
		return false
	}
	boot, err := bootID()
	if err != nil || boot != p.Boot {
		return false
	}
	start, err := startTime(p.PID)
	return err == nil && start == p.Start
}

// Kill ends the process at once and returns when it is gone. A process that
// has the same PID by chance is left alone.
func (p Process) Kill(ctx context.Context) error {
	if !p.Alive() {
		return nil
	}
	fd, err := unix.PidfdOpen(p.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("kill process %d: %w", p.PID, err)
	}
	defer unix.Close(fd)
	// From here on the descriptor means one process; make sure it's ours.
	if !p.Alive() {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill process %d: %w", p.PID, err)
	}
	return waitPidfd(ctx, fd, p.PID)
}

// Wait returns when the process is gone.
func (p Process) Wait(ctx context.Context) error {
	if !p.Alive() {
		return nil
	}
	fd, err := unix.PidfdOpen(p.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if !p.Alive() {
		return nil
	}
	return waitPidfd(ctx, fd, p.PID)
}

func waitPidfd(ctx context.Context, fd, pid int) error {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 100)
		if n > 0 {
			return nil
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for process %d: %w", pid, err)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("wait for process %d to end: %w", pid, context.Cause(ctx))
		}
	}
}

func bootID() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(data)), err
}

// startTime is field 22 of /proc/PID/stat. A zombie has ended.
func startTime(pid int) (uint64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The command in parentheses may hold anything; fields go on after it.
	_, rest, ok := strings.Cut(string(data[strings.LastIndexByte(string(data), ')'):]), " ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 {
		return 0, fmt.Errorf("read /proc/%d/stat: unexpected format", pid)
	}
	if fields[0] == "Z" || fields[0] == "X" {
		return 0, os.ErrProcessDone
	}
	return strconv.ParseUint(fields[19], 10, 64)
}

// WriteFile writes a file whole or not at all.
func WriteFile(path string, data []byte, mode os.FileMode) error {
	tmp := fmt.Sprintf("%s.%d.%d", path, os.Getpid(), time.Now().UnixNano())
	if err := os.WriteFile(tmp, data, mode); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return nil
}
