// SPDX-License-Identifier: Apache-2.0

package startup

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The ways in which a command can't be run, with the numbers that shells have
// for them.
const (
	NotFound    = 127
	NotPossible = 126
)

// RunError says why a command could not be run at all.
type RunError struct {
	Code int
	text string
}

func (e *RunError) Error() string { return e.text }

// Seen has the programs write for a terminal of the given kind, if the image
// knows it; the empty one stays what the page's terminal is.
func (m Machine) Seen(s Setup, term string, trueColour bool) Setup {
	switch {
	case term == "":
		return s
	case term != "dumb" && !m.knowsTerminal(term):
		term = "xterm-256color"
	}
	s.Env = append(withoutVariable(withoutVariable(s.Env, "COLORTERM"), "TERM"), "TERM="+term)
	if trueColour {
		s.Env = append(s.Env, "COLORTERM=truecolor")
	}
	slices.Sort(s.Env)
	return s
}

// knowsTerminal says whether the image describes a kind of terminal. It is
// named by a person, and part of a path here.
func (m Machine) knowsTerminal(term string) bool {
	if strings.ContainsAny(term, "/\x00") || strings.HasPrefix(term, ".") {
		return false
	}
	for _, dir := range []string{"/etc/terminfo", "/lib/terminfo", "/usr/lib/terminfo", "/usr/share/terminfo"} {
		for _, first := range []string{term[:1], fmt.Sprintf("%x", term[0])} {
			if _, err := os.Stat(m.path(filepath.Join(dir, first, term))); err == nil {
				return true
			}
		}
	}
	return false
}

// Become has this process become the attendee's shell, or the command that args
// name, in its place: with its environment and in its directory, and nothing of
// what this program knew. It returns only if that failed.
func (s Setup) Become(args []string) error {
	cmd := &exec.Cmd{Args: args, Dir: s.Dir, Env: s.Env}
	if len(args) == 0 {
		if s.Shell.Path == "" {
			return &RunError{NotFound, ErrNoShell.Error()}
		}
		shell, err := s.Command()
		if err != nil {
			return err
		}
		cmd = shell
	}
	// As the gateway has it: the volume's files are its group's.
	syscall.Umask(0o002)
	if err := os.Chdir(cmd.Dir); err != nil {
		return &RunError{NotPossible, err.Error()}
	}
	if len(args) > 0 {
		path, err := s.find(args[0])
		if err != nil {
			return err
		}
		cmd.Path = path
	}
	for i, f := range cmd.ExtraFiles {
		if err := inherit(f, 3+i); err != nil {
			return fmt.Errorf("hand on the shell's first script: %w", err)
		}
	}
	err := syscall.Exec(cmd.Path, cmd.Args, cmd.Env)
	if errors.Is(err, syscall.ENOEXEC) && s.Shell.Path != "" { // no #! line: shells read such files themselves
		with := append(append([]string{filepath.Base(s.Shell.Path)}, s.Shell.Args...), cmd.Path)
		err = syscall.Exec(s.Shell.Path, append(with, cmd.Args[1:]...), cmd.Env)
	}
	return &RunError{NotPossible, fmt.Sprintf("%s: %v", cmd.Path, err)}
}

// inherit gives a file the number by which the next program knows it.
func inherit(f *os.File, number int) error {
	fd := int(f.Fd())
	if fd == number { // then only the flag is in the way
		_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
		return err
	}
	return unix.Dup3(fd, number, 0)
}

// find is the program of a name, in the attendee's PATH.
func (s Setup) find(name string) (string, error) {
	if strings.Contains(name, "/") {
		if info, err := os.Stat(name); err != nil {
			return "", &RunError{NotFound, name + ": no such file in the session"}
		} else if info.IsDir() {
			return "", &RunError{NotPossible, name + " is a folder"}
		}
		return name, nil
	}
	path, _ := variable(s.Env, "PATH")
	for _, dir := range filepath.SplitList(path) {
		if dir == "" {
			dir = "."
		}
		file := filepath.Join(dir, name)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && syscall.Access(file, mayExecute) == nil {
			return file, nil
		}
	}
	return "", &RunError{NotFound, name + ": not found in the session's PATH"}
}
