// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Holder is who has a lock.
type Holder struct {
	PID     int       `json:"pid"`
	Command string    `json:"command"`
	Since   time.Time `json:"since"`
}

// HeldError is the refusal of a lock that somebody else has.
type HeldError struct {
	Path   string
	Holder Holder
}

func (e *HeldError) Error() string {
	if e.Holder.PID == 0 { // between taking the lock and writing its name
		return fmt.Sprintf("another command holds %s: wait for it and try again", e.Path)
	}
	return fmt.Sprintf("process %d (%s) has been at work here since %s: wait for it, or stop it with: kill %d",
		e.Holder.PID, e.Holder.Command, e.Holder.Since.Local().Format("15:04:05"), e.Holder.PID)
}

// Lock is a file lock that ends with its process, however that ends.
type Lock struct{ f *os.File }

// Acquire takes the lock at path for this process, or returns a *HeldError.
// The command is what others are told that this process does.
func Acquire(path, command string) (*Lock, error) {
	for {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
		if errors.Is(err, os.ErrNotExist) {
			continue // Release of another has just removed the directory
		}
		if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			defer f.Close()
			if !errors.Is(err, unix.EWOULDBLOCK) {
				return nil, fmt.Errorf("lock %s: %w", path, err)
			}
			held := &HeldError{Path: path}
			_ = json.NewDecoder(f).Decode(&held.Holder) // names the holder if it can
			return nil, held
		}
		// The holder before us may have removed the file that we opened.
		mine, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, err
		}
		if now, err := os.Stat(path); err != nil || !os.SameFile(mine, now) {
			f.Close()
			continue
		}
		err = f.Truncate(0)
		if err == nil {
			err = json.NewEncoder(f).Encode(Holder{PID: os.Getpid(), Command: command, Since: time.Now()})
		}
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		return &Lock{f}, nil
	}
}

// AcquireWait is Acquire that waits while another has the lock; it calls
// waiting once if so.
func AcquireWait(ctx context.Context, path, command string, waiting func(Holder)) (*Lock, error) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for told := false; ; {
		lock, err := Acquire(path, command)
		var held *HeldError
		if !errors.As(err, &held) {
			return lock, err
		}
		if !told && held.Holder.PID != 0 {
			waiting(held.Holder)
			told = true
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// Release gives the lock up and removes its file, and the directory that
// Acquire may have made for it if nothing else is there.
func (l *Lock) Release() {
	_ = os.Remove(l.f.Name())
	_ = os.Remove(filepath.Dir(l.f.Name()))
	l.f.Close()
}
