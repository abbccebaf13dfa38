// SPDX-License-Identifier: Apache-2.0

package startup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/workshopctl/workshopctl/pkg/terminal/process"
)

// Hooks are the scripts that an image may have for the start of its
// container, in the order of running.
var hooks = []string{AppRoot + "/etc/init.d/rc.local", Source + "/.workshop/setup"}

// Hooks lists those of the hooks that are there and executable.
func (m Machine) Hooks() []string {
	var found []string
	for _, h := range hooks {
		if m.isExecutable(h) {
			found = append(found, m.path(h))
		}
	}
	return found
}

// RunHook runs a hook in the attendee's environment until it ends. What it
// prints goes to printed, line by line. Ending ctx ends it and what it started.
func RunHook(ctx context.Context, path string, s Setup, reaper *process.Reaper, printed func(line string)) error {
	err := runHook(ctx, exec.CommandContext(ctx, path), s, reaper, printed)
	if errors.Is(err, syscall.ENOEXEC) && s.Shell.Path != "" {
		// No #! line: a shell would read it itself, so it is left to one.
		args := append(append([]string{}, s.Shell.Args...), path)
		err = runHook(ctx, exec.CommandContext(ctx, s.Shell.Path, args...), s, reaper, printed)
	}
	if err != nil {
		return fmt.Errorf("run %s: %w", path, err)
	}
	return nil
}

func runHook(ctx context.Context, cmd *exec.Cmd, s Setup, reaper *process.Reaper, printed func(string)) error {
	cmd.Env, cmd.Dir = s.Env, s.Dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// A pipe of our own: what a hook leaves running may hold its output open for
	// ever, and that must not keep Wait.
	out, in, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = in, in
	_, err = reaper.Start(func() (*os.Process, error) { err := cmd.Start(); return cmd.Process, err })
	in.Close()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer stop()
	read := make(chan struct{})
	go func() {
		defer close(read)
		EachLine(out, printed)
	}()
	err = reaper.Wait(cmd)
	// What it has printed is in the pipe; what a process that it left behind
	// prints later isn't waited for.
	_ = out.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	<-read
	return err
}

// maxLine bounds a line of a hook's output, in bytes; what is longer is cut.
const maxLine = 1024

// EachLine calls f with each line that r holds, cut to a bounded length.
func EachLine(r io.Reader, f func(line string)) {
	var line []byte
	var cut bool
	emit := func() {
		if cut {
			line = append(line, " …"...)
		}
		f(string(line))
		line, cut = line[:0], false
	}
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		p := buf[:n]
		for len(p) > 0 {
			i := bytes.IndexByte(p, '\n')
			part := p
			if i >= 0 {
				part = p[:i]
			}
			room := maxLine - len(line)
			cut = cut || len(part) > room
			line = append(line, part[:min(room, len(part))]...)
			if i < 0 {
				break
			}
			emit()
			p = p[i+1:]
		}
		if err != nil {
			if len(line) > 0 {
				emit()
			}
			return
		}
	}
}

// HookName is how a hook is called in logs and messages.
func HookName(path string) string {
	return filepath.Base(filepath.Dir(path)) + "/" + filepath.Base(path)
}
