// SPDX-License-Identifier: Apache-2.0

package startup

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Command is the attendee's interactive shell.
//
// bash and sh start as a login shell does, with /etc/profile and the profile in
// HOME, but not by -l: Debian's and Alpine's /etc/profile set PATH anew
// and so hide what the image's author put there. The script that they
// read first instead reads the same files, then puts the image's PATH back in.
// It comes on a file descriptor: there may be no place to write a file.
func (s Setup) Command() (*exec.Cmd, error) {
	cmd := &exec.Cmd{Path: s.Shell.Path, Dir: s.Dir, Env: s.Env}
	const first = "/proc/self/fd/3" // cmd.ExtraFiles start at 3
	name := filepath.Base(s.Shell.Path)
	switch name {
	case "bash":
		cmd.Args = []string{name, "--rcfile", first, "-i"}
	case "sh", "ash", "dash", "busybox":
		cmd.Args = append(append([]string{name}, s.Shell.Args...), "-i")
		cmd.Env = append(withoutVariable(s.Env, "ENV"), "ENV="+first)
	default: // zsh, fish …: they know themselves
		cmd.Args = append(append([]string{"-" + name}, s.Shell.Args...), "-i")
		return cmd, nil
	}
	script, err := memoryFile(s.firstScript(name == "bash"))
	if err != nil {
		return nil, err
	}
	cmd.ExtraFiles = []*os.File{script}
	return cmd, nil
}

// firstScript is what the shell reads before it asks for the first command.
func (s Setup) firstScript(bash bool) string {
	var b strings.Builder
	b.WriteString("exec 3<&-\n")
	if value, ok := variable(s.Env, "ENV"); ok {
		fmt.Fprintf(&b, "ENV=%s\n", quote(value))
	} else if !bash {
		b.WriteString("unset ENV\n")
	}
	path, _ := variable(s.Env, "PATH")
	profiles := `"$HOME/.profile"`
	if bash {
		// .bashrc comes last: the others read it, if there are any.
		profiles = `"$HOME/.bash_profile" "$HOME/.bash_login" "$HOME/.profile" "$HOME/.bashrc"`
	}
	// No variable of ours may stay behind: the path is written out, and the loops'
	// variable is unset.
	fmt.Fprintf(&b, `[ -r /etc/profile ] && . /etc/profile
for _w in %s; do [ -r "$_w" ] && { . "$_w"; break; }; done
`, profiles)
	for dir := range strings.SplitSeq(path, ":") {
		if dir != "" {
			// Those that a profile dropped come first again, in their order: last
			// of all they would give way to the distribution's own programs.
			fmt.Fprintf(&b, `case ":$PATH:" in *:%[1]s:*) ;; *) _w_path="${_w_path-}"%[1]s: ;; esac
`, quote(dir))
		}
	}
	b.WriteString(`PATH="${_w_path-}$PATH"; export PATH; unset _w _w_path
`)
	if bash {
		// A user without a passwd entry would be called "I have no name!".
		b.WriteString(`id -un >/dev/null 2>&1 || PS1="${PS1//\\u/$USER}"
`)
	}
	return b.String()
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func variable(env []string, name string) (string, bool) {
	for _, e := range env {
		if value, ok := strings.CutPrefix(e, name+"="); ok {
			return value, true
		}
	}
	return "", false
}

func withoutVariable(env []string, name string) []string {
	var rest []string
	for _, e := range env {
		if !strings.HasPrefix(e, name+"=") {
			rest = append(rest, e)
		}
	}
	return rest
}

// memoryFile is an unnamed file with the given content, at its start.
func memoryFile(content string) (*os.File, error) {
	fd, err := unix.MemfdCreate("profile", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a file in memory for the shell's first script: %w", err)
	}
	f := os.NewFile(uintptr(fd), "profile")
	if _, err := f.WriteString(content); err != nil {
		f.Close()
		return nil, fmt.Errorf("write the shell's first script: %w", err)
	}
	return f, nil
}
