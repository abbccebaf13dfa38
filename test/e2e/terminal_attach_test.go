// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
)

// joined is a trainer's terminal with `sessions attach` in it.
type joined struct {
	t   *testing.T
	tty *os.File
	cmd *exec.Cmd

	mu  sync.Mutex
	out strings.Builder
}

func (tr *trainer) attach(t *testing.T, args ...string) *joined {
	t.Helper()
	return tr.atTerminal(t, append([]string{"sessions", "attach"}, args...)...)
}

// beside is a trainer's terminal with a shell beside an attendee's.
func (tr *trainer) beside(t *testing.T, args ...string) *joined {
	t.Helper()
	return tr.atTerminal(t, append([]string{"sessions", "shell"}, args...)...)
}

func (tr *trainer) atTerminal(t *testing.T, args ...string) *joined {
	t.Helper()
	cmd := exec.Command(filepath.Join(tr.bin, "workshopctl"), args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + tr.configHome, "KUBECONFIG=" + tr.kubeconfig, "TERM=xterm-256color"}
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: 80, Rows: 24})
	if err != nil {
		t.Fatal(err)
	}
	j := &joined{t: t, tty: tty, cmd: cmd}
	t.Cleanup(func() { _ = cmd.Process.Kill(); tty.Close() })
	go func() {
		buf := make([]byte, 32<<10)
		for {
			n, err := tty.Read(buf)
			j.mu.Lock()
			j.out.Write(buf[:n])
			j.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return j
}

func (j *joined) text() string { j.mu.Lock(); defer j.mu.Unlock(); return j.out.String() }

func (j *joined) sees(text string) {
	j.t.Helper()
	eventually(j.t, 30*time.Second, "the trainer's terminal", func(context.Context) error { return contains(j.text(), text) })
}

func (j *joined) types(keys string) {
	j.t.Helper()
	if _, err := j.tty.WriteString(keys); err != nil {
		j.t.Fatal(err)
	}
}

func (j *joined) ends(code int) {
	j.t.Helper()
	_ = j.cmd.Wait()
	if got := j.cmd.ProcessState.ExitCode(); got != code {
		j.t.Errorf("it ends with %d, want %d: %q", got, code, j.text())
	}
}

// badge waits for what the attendee's page says of watchers.
func (a *attendee) badge(text string) {
	a.t.Helper()
	eventually(a.t, 30*time.Second, "badge on "+a.user+"'s page", func(context.Context) error {
		if got := eval[string](a, `document.querySelector("#watchers").textContent`); got != text {
			return fmt.Errorf("it says %q", got)
		}
		return nil
	})
}

// TestTerminalAttach has a trainer watch and help.
func TestTerminalAttach(t *testing.T) {
	s := newSandbox(t)
	chromium := newChromium(t, s)
	tr := newTrainer(t, s, "attach")
	address := strings.TrimSpace(tr.run(t, "deploy", "--cpu-request", "10m", "--memory-request", "32Mi").stdout)
	jane := newAttendee(chromium, t, "jane", address)
	jane.login(tr.password(t))
	jane.prompt()
	jane.types("echo here I am")
	jane.sees("here I am", 10*time.Second)
	size := func() string { return eval[string](jane, `document.querySelector(".xterm-rows").children.length + ""`) }
	before := size()

	step(t, "a trainer sees what the attendee sees, and types nothing", func() {
		watch := tr.attach(t, "jane")
		watch.sees("here I am")
		watch.sees("Ctrl-] or Ctrl-C leaves")
		watch.sees("make it larger")
		jane.badge("A trainer watches this terminal")
		watch.types("touch /tmp/typed-by-watcher\r")
		jane.types("echo after; ls /tmp; printf '\\033]52;c;ZXZpbA==\\007'; echo done")
		jane.sees("\ndone", 10*time.Second)
		watch.sees("done")
		jane.screenshot("attach-watched")
		if strings.Contains(jane.screen(), "typed-by-watcher") {
			t.Error("a watcher has typed")
		}
		if strings.Contains(watch.text(), "\x1b]52") {
			t.Error("the trainer's clipboard was written")
		}
		if got := size(); got != before {
			t.Errorf("the attendee's terminal has %s rows, before it had %s", got, before)
		}
		watch.types("\x03")
		watch.sees("You have left")
		watch.ends(0)
		jane.badge("")
	})

	step(t, "with --write the trainer types", func() {
		help := tr.attach(t, "JANE", "--write")
		help.sees("here I am")
		jane.badge("A trainer types here, too")
		help.types("echo typed by $((40 + 2))\r")
		jane.sees("typed by 42", 10*time.Second)
		help.sees("typed by 42")
		jane.screenshot("attach-written")
		help.types("sleep 1000\r")
		jane.sees("sleep 1000", 10*time.Second)
		help.types("\x03")
		jane.sees("^C", 10*time.Second)
		jane.prompt() // Ctrl-C takes what is typed too early along
		help.types("echo status $?\r")
		jane.sees("status 130", 10*time.Second)
		help.types("\x1d")
		help.ends(0)
		jane.badge("")
	})

	step(t, "a trainer who is cut off has left", func() {
		watch := tr.attach(t, "jane")
		jane.badge("A trainer watches this terminal")
		if err := watch.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		jane.badge("")
	})

	step(t, "in a pipe it prints", func() {
		cmd := exec.Command("bash", "-c", filepath.Join(tr.bin, "workshopctl")+" sessions attach jane | grep -m1 'typed by 42'")
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + tr.configHome, "KUBECONFIG=" + tr.kubeconfig}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line := make([]byte, 1000)
		n, _ := out.Read(line)
		if err := contains(string(line[:n]), "typed by 42"); err != nil {
			t.Error(err)
		}
		jane.types("echo the pipe breaks")
		_ = cmd.Wait()
		jane.badge("")
	})

	step(t, "errors say what to do", func() {
		for args, want := range map[string]string{
			"joe":            "joe has no session",
			"jane --shell 7": "no shell of this number",
			"jane --write":   "--write needs a terminal",
		} {
			if r := tr.try(t, append([]string{"sessions", "attach"}, strings.Fields(args)...)...); r.code == 0 || !strings.Contains(r.stderr, want) {
				t.Errorf("attach %s: %d %s", args, r.code, r.stderr)
			}
		}
		jane.types("printf '#!/bin/sh\\n' > x")
	})
}
