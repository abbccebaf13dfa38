// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"
)

// TestShell runs commands as `sessions exec` does within a session's container.
func TestShell(t *testing.T) {
	home, dir := t.TempDir(), t.TempDir()
	for name, content := range map[string]string{"plain": "echo plain $1", "refused": "x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "refused"), 0o644); err != nil {
		t.Fatal(err)
	}
	env := append(gatewayEnv(t, "http://127.0.0.1:1"), "HOME="+home, "PATH="+dir+":"+os.Getenv("PATH"), "WORKSHOP_PORTS=x=1", "FROM_IMAGE=yes")
	run := func(args ...string) (out, errOut string, code int) {
		t.Helper()
		cmd := exec.Command(os.Args[0], append([]string{"shell"}, args...)...)
		var o, e bytes.Buffer
		cmd.Env, cmd.Stdout, cmd.Stderr, cmd.Stdin = env, &o, &e, strings.NewReader("typed\n")
		err := cmd.Run()
		if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return o.String(), e.String(), cmd.ProcessState.ExitCode()
	}
	for name, test := range map[string]struct {
		args []string
		out  string
		err  string
		code int
	}{
		"arguments stay apart": {args: []string{"--", "printf", "%s|", "a b", "", "$HOME"}, out: "a b||$HOME|"},
		"its exit code":        {args: []string{"--", "sh", "-c", "echo out; echo err >&2; exit 42"}, out: "out\n", err: "err\n", code: 42},
		"its input":            {args: []string{"--", "cat"}, out: "typed\n"},
		"home":                 {args: []string{"--", "pwd"}, out: home + "\n"},
		"the group may write":  {args: []string{"--", "sh", "-c", "umask"}, out: "0002\n"},
		"no #! line":           {args: []string{"--", "plain", "x"}, out: "plain x\n"},
		"a flag of its own":    {args: []string{"--", "sh", "-c", "echo $TERM $COLORTERM"}, out: "xterm-256color truecolor\n"},
		"another terminal":     {args: []string{"--term", "dumb", "--", "sh", "-c", "echo $TERM $COLORTERM."}, out: "dumb .\n"},
		"one nobody knows":     {args: []string{"--term", "../../x", "--true-colour", "--", "sh", "-c", "echo $TERM $COLORTERM"}, out: "xterm-256color truecolor\n"},
		"not found":            {args: []string{"--", "no-such-program"}, err: "no-such-program: not found in the session's PATH\n", code: 127},
		"no such file":         {args: []string{"--", "/no/such"}, err: "/no/such: no such file in the session\n", code: 127},
		"not executable":       {args: []string{"--", dir + "/refused"}, err: dir + "/refused: permission denied\n", code: 126},
		"a folder":             {args: []string{"--", dir}, err: dir + " is a folder\n", code: 126},
	} {
		t.Run(name, func(t *testing.T) {
			if out, errOut, code := run(test.args...); out != test.out || errOut != test.err || code != test.code {
				t.Errorf("%d %q %q, want %d %q %q", code, out, errOut, test.code, test.out, test.err)
			}
		})
	}
	all, _, _ := run("--", "env")
	if strings.Contains(all, "JUPYTERHUB_") || strings.Contains(all, "WORKSHOP_") || strings.Contains(all, "secret") || !strings.Contains(all, "FROM_IMAGE=yes\n") || !strings.Contains(all, "USER=jane\n") {
		t.Errorf("the environment: %s", all)
	}
}

// TestShellIsTheAttendees: without a command it is the shell that the gateway
// would start, profile included.
func TestShellIsTheAttendees(t *testing.T) {
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".bashrc"), []byte("PS1='her prompt> '\nalias greet='echo good morning'\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, sh := range []string{"/bin/bash", "/bin/dash"} {
		if _, err := os.Stat(sh); err != nil {
			t.Fatalf("Debian has bash and dash; install what is missing: %v", err)
		}
		cmd := exec.Command(os.Args[0], "shell", "--term", "xterm")
		cmd.Env = append(gatewayEnv(t, "http://127.0.0.1:1"), "HOME="+home, "SHELL="+sh)
		tty, err := pty.Start(cmd)
		if err != nil {
			t.Fatal(err)
		}
		typed := "echo in $PWD $((40+2)) fds: /proc/self/fd/*; exit 7\n"
		if sh == "/bin/bash" {
			typed = "greet; " + typed
		}
		if _, err := tty.WriteString(typed); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		_, _ = out.ReadFrom(tty) // ends with an error when the shell does
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 7 || !strings.Contains(out.String(), "in "+home+" 42 fds:") {
			t.Errorf("%s: %d %q", sh, code, out.String())
		}
		if sh == "/bin/bash" && (!strings.Contains(out.String(), "her prompt> ") || !strings.Contains(out.String(), "good morning\r\n")) {
			t.Errorf("%s hasn't read its profile: %q", sh, out.String())
		}
		tty.Close()
	}
}
