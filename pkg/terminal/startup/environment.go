// SPDX-License-Identifier: Apache-2.0

// Package startup finds out what the image gives an attendee's shell (a
// shell, a place to write, an environment), and runs the scripts that the image
// wants run when its container starts.
package startup

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

const (
	// AppRoot is where the session's volume is, as in the terminal images of
	// 2018.
	AppRoot = "/opt/app-root"
	// Source is the folder in AppRoot that attendees work in.
	Source = AppRoot + "/src"
)

// ErrNoShell says that an image has nothing to run in a terminal.
var ErrNoShell = errors.New("the image has no shell: neither $SHELL, /bin/bash, /bin/sh nor busybox is there to be executed")

// Machine is what startup asks of the system; tests give their own.
type Machine struct {
	Environ []string
	// Root is put before absolute paths that are looked up. Empty: the system's.
	Root string
	UID  int
}

// Setup is how to run the attendee's programs.
type Setup struct {
	Shell Shell
	Env   []string
	Dir   string
	Home  string
}

// Shell is a program that reads commands from a terminal.
type Shell struct {
	Path string
	Args []string // beside the name
}

// Look finds out how to run the attendee's programs. user is the attendee.
// Without a shell the error is [ErrNoShell], and the rest is still valid.
func (m Machine) Look(user string) (Setup, error) {
	env := m.environ()
	s := Setup{}
	s.Home = m.home(env["HOME"])
	s.Dir = s.Home
	if m.isDir(Source) {
		s.Dir = Source
	}
	env["HOME"] = s.Home
	env["TERM"] = "xterm-256color"
	env["COLORTERM"] = "truecolor"
	setDefault(env, "LANG", "C.UTF-8")
	setDefault(env, "USER", user)
	setDefault(env, "LOGNAME", env["USER"])
	setDefault(env, "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	shell, err := m.shell(env["SHELL"])
	s.Shell = shell
	if err == nil {
		env["SHELL"] = shell.Path
		if filepath.Base(shell.Path) == "busybox" {
			delete(env, "SHELL") // it takes its first argument for an applet's name
		}
	}
	for name, value := range env {
		s.Env = append(s.Env, name+"="+value)
	}
	slices.Sort(s.Env)
	return s, err
}

func setDefault(env map[string]string, name, value string) {
	if env[name] == "" {
		env[name] = value
	}
}

// environ is the image's environment: ours without what is the gateway's own.
func (m Machine) environ() map[string]string {
	own := []string{
		"JPY_API_TOKEN", "WORKSHOP_FILES", "WORKSHOP_IDLE_TIMEOUT", "WORKSHOP_KEEP_UNTIL_FILE", "WORKSHOP_MAX_AGE", "WORKSHOP_NAME", "WORKSHOP_NOTES_ORIGINS", "WORKSHOP_NOTES_PATH", "WORKSHOP_NOTES_URL",
		"WORKSHOP_PORTS", "WORKSHOP_SCROLLBACK", "WORKSHOP_STARTED", "WORKSHOP_UPLOAD_LIMIT",
	}
	env := map[string]string{}
	for _, e := range m.Environ {
		name, value, ok := strings.Cut(e, "=")
		if ok && name != "" && !strings.HasPrefix(name, "JUPYTERHUB_") && !slices.Contains(own, name) {
			env[name] = value
		}
	}
	return env
}

// home is the image's own HOME if the attendee may write there, else the first
// place where he may.
func (m Machine) home(own string) string {
	for _, dir := range []string{own, Source, AppRoot} {
		if dir != "" && filepath.IsAbs(dir) && m.isWritableDir(dir) {
			return dir
		}
	}
	for _, dir := range []string{"/tmp", "/var/tmp", "/dev/shm"} {
		home := filepath.Join(dir, "home-"+strconv.Itoa(m.UID))
		if err := os.Mkdir(m.path(home), 0o700); err == nil || m.isWritableDir(home) {
			return home
		}
	}
	if own != "" {
		return own
	}
	return "/"
}

func (m Machine) shell(own string) (Shell, error) {
	refuse := []string{"nologin", "false", "true"}
	if filepath.IsAbs(own) && !slices.Contains(refuse, filepath.Base(own)) && m.isExecutable(own) {
		return Shell{Path: own}, nil
	}
	for _, path := range []string{"/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash", "/bin/zsh", "/bin/ash", "/bin/sh", "/usr/bin/sh"} {
		if m.isExecutable(path) {
			return Shell{Path: path}, nil
		}
	}
	for _, path := range []string{"/bin/busybox", "/usr/bin/busybox", "/busybox/busybox", "/busybox"} {
		if m.isExecutable(path) {
			return Shell{Path: path, Args: []string{"sh"}}, nil
		}
	}
	if m.isExecutable("/busybox/sh") { // debug variants of images without a distribution
		return Shell{Path: "/busybox/sh"}, nil
	}
	return Shell{}, ErrNoShell
}

func (m Machine) path(p string) string {
	if m.Root == "" {
		return p
	}
	return filepath.Join(m.Root, p)
}

func (m Machine) isDir(path string) bool {
	info, err := os.Stat(m.path(path))
	return err == nil && info.IsDir()
}

// The modes of access(2).
const (
	mayExecute = 1
	mayWrite   = 2
)

func (m Machine) isWritableDir(path string) bool {
	return m.isDir(path) && syscall.Access(m.path(path), mayWrite|mayExecute) == nil
}

func (m Machine) isExecutable(path string) bool {
	info, err := os.Stat(m.path(path))
	return err == nil && info.Mode().IsRegular() && syscall.Access(m.path(path), mayExecute) == nil
}
