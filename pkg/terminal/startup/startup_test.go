// SPDX-License-Identifier: Apache-2.0

package startup_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/workshopctl/workshopctl/pkg/terminal/process"
	"github.com/workshopctl/workshopctl/pkg/terminal/startup"
)

// root makes an image's file system. Names that end with a slash are folders,
// those with a star are executable.
func root(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		path := filepath.Join(dir, strings.TrimSuffix(name, "*"))
		var err error
		if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(path, 0o755)
		} else {
			mode := os.FileMode(0o644)
			if strings.HasSuffix(name, "*") {
				mode = 0o755
			}
			err = errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, mode))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLook(t *testing.T) {
	for name, test := range map[string]struct {
		files            []string
		env              []string
		shell, home, dir string
	}{
		"an image of 2018": {
			files: []string{"/bin/bash*", "/bin/sh*", "/opt/app-root/src/"}, env: []string{"HOME=/opt/app-root/src"},
			shell: "/bin/bash", home: "/opt/app-root/src", dir: "/opt/app-root/src"},
		"another home": {
			files: []string{"/bin/bash*", "/opt/app-root/src/", "/home/jane/"}, env: []string{"HOME=/home/jane"},
			shell: "/bin/bash", home: "/home/jane", dir: "/opt/app-root/src"},
		"no home, but a volume": {
			files: []string{"/bin/sh*", "/opt/app-root/"}, env: []string{"HOME=/nowhere"},
			shell: "/bin/sh", home: "/opt/app-root", dir: "/opt/app-root"},
		"nothing at all but busybox": {
			files: []string{"/bin/busybox*", "/tmp/"},
			shell: "/bin/busybox sh", home: "/tmp/home-1234", dir: "/tmp/home-1234"},
		"the user's shell": {
			files: []string{"/bin/bash*", "/usr/bin/fish*", "/tmp/"}, env: []string{"SHELL=/usr/bin/fish"},
			shell: "/usr/bin/fish", home: "/tmp/home-1234", dir: "/tmp/home-1234"},
		"a shell that isn't there": {
			files: []string{"/bin/ash*", "/tmp/"}, env: []string{"SHELL=/bin/zsh"},
			shell: "/bin/ash", home: "/tmp/home-1234", dir: "/tmp/home-1234"},
		"a shell that is none": {
			files: []string{"/bin/sh*", "/sbin/nologin*", "/tmp/"}, env: []string{"SHELL=/sbin/nologin"},
			shell: "/bin/sh", home: "/tmp/home-1234", dir: "/tmp/home-1234"},
		"a shell that can't be run": {
			files: []string{"/bin/bash", "/bin/sh*", "/tmp/"},
			shell: "/bin/sh", home: "/tmp/home-1234", dir: "/tmp/home-1234"},
		"nowhere to write": {
			files: []string{"/bin/sh*"}, env: []string{"HOME=/home/x"},
			shell: "/bin/sh", home: "/home/x", dir: "/home/x"},
	} {
		t.Run(name, func(t *testing.T) {
			m := startup.Machine{Root: root(t, test.files...), Environ: test.env, UID: 1234}
			s, err := m.Look("jane")
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(append([]string{s.Shell.Path}, s.Shell.Args...), " "); got != test.shell {
				t.Errorf("shell %q, want %q", got, test.shell)
			}
			if s.Home != test.home || s.Dir != test.dir {
				t.Errorf("home %q in %q, want %q in %q", s.Home, s.Dir, test.home, test.dir)
			}
			if !slices.Contains(s.Env, "HOME="+test.home) {
				t.Errorf("environment %q", s.Env)
			}
		})
	}
}

func TestNoShell(t *testing.T) {
	m := startup.Machine{Root: root(t, "/tmp/", "/bin/true*")}
	if _, err := m.Look("jane"); !errors.Is(err, startup.ErrNoShell) {
		t.Errorf("error %v", err)
	}
}

func TestEnvironment(t *testing.T) {
	m := startup.Machine{Root: root(t, "/bin/bash*", "/home/"), UID: 1, Environ: []string{
		"PATH=/opt/workshop/bin:/bin", "HOME=/home", "TERM=dumb", "MEM_LIMIT=512", "LANG=de_DE.UTF-8", "PROMPT_COMMAND=. /x",
		"JUPYTERHUB_API_TOKEN=secret", "JUPYTERHUB_USER=jane", "JPY_API_TOKEN=secret", "WORKSHOP_SCROLLBACK=1048576", "WORKSHOP_FILES=lost", "WORKSHOP_UPLOAD_LIMIT=1", "WORKSHOP_IDLE_TIMEOUT=1", "WORKSHOP_KEEP_UNTIL_FILE=/x", "WORKSHOP_MAX_AGE=1", "WORKSHOP_STARTED=1", "WORKSHOP_PORTS=web=8080", "broken", "=x"}}
	s, err := m.Look("jane")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"COLORTERM=truecolor", "HOME=/home", "LANG=de_DE.UTF-8", "LOGNAME=jane", "MEM_LIMIT=512", "PATH=/opt/workshop/bin:/bin",
		"PROMPT_COMMAND=. /x", "SHELL=/bin/bash", "TERM=xterm-256color", "USER=jane"}
	if diff := cmp.Diff(want, s.Env); diff != "" {
		t.Errorf("environment differs (-want +got):\n%s", diff)
	}
}

// TestSettingsStayHere: what the gateway's own settings are called is no name
// in the attendee's environment.
func TestSettingsStayHere(t *testing.T) {
	source, err := os.ReadFile("../terminal.go")
	if err != nil {
		t.Fatal(err)
	}
	m := startup.Machine{Root: root(t, "/bin/sh*", "/tmp/")}
	settings := regexp.MustCompile(`"(WORKSHOP_[A-Z_]+)"`).FindAllSubmatch(source, -1)
	if len(settings) < 5 {
		t.Fatalf("settings %q", settings)
	}
	for _, s := range settings {
		m.Environ = append(m.Environ, string(s[1])+"=x")
	}
	setup, err := m.Look("jane")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range setup.Env {
		if strings.HasPrefix(e, "WORKSHOP_") {
			t.Errorf("the shell gets %s", e)
		}
	}
}

// TestFirstScript runs real shells: they read the profile, keep the image's PATH,
// and hold on to nothing of ours.
func TestFirstScript(t *testing.T) {
	home := t.TempDir()
	for name, content := range map[string]string{".profile": "PROFILE=read; PATH=/usr/bin:/bin:/profile/bin", ".bashrc": "BASHRC=read"} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(content+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"/bin/bash", "/bin/sh", "/bin/dash", "/bin/busybox"} {
		t.Run(path, func(t *testing.T) {
			if _, err := os.Stat(path); err != nil {
				if path == "/bin/busybox" {
					t.Skipf("Debian's busybox-static has it: %v", err)
				}
				t.Fatal(err)
			}
			s := startup.Setup{Shell: startup.Shell{Path: path}, Home: home, Dir: home,
				Env: []string{"HOME=" + home, "PATH=/it's/bin:/usr/bin:/opt/tools", "USER=jane", "ENV=/image's/own"}}
			if path == "/bin/busybox" {
				s.Shell.Args = []string{"sh"}
			}
			cmd, err := s.Command()
			if err != nil {
				t.Fatal(err)
			}
			defer cmd.ExtraFiles[0].Close()
			cmd.Stdin = strings.NewReader("echo \"P=$PATH, R=$PROFILE, ENV=$ENV.\"; set | sed -n s/^_w/left:/p; [ -e /proc/$$/fd/3 ] && readlink /proc/$$/fd/3; exit 0\n")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if want := "P=/it's/bin:/opt/tools:/usr/bin:/bin:/profile/bin, R=read, ENV=/image's/own."; !bytes.Contains(out, []byte(want)) {
				t.Errorf("printed %s\nwant %s", out, want)
			}
			if regexp.MustCompile(`(?m)^left:`).Match(out) || bytes.Contains(out, []byte("memfd:profile")) {
				t.Errorf("something of ours is left: %s", out)
			}
		})
	}
}

func hook(t *testing.T, script string) (string, startup.Setup, *process.Reaper) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "setup")
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	reaper, err := process.NewReaper()
	if err != nil {
		t.Fatal(err)
	}
	return path, startup.Setup{Shell: startup.Shell{Path: "/bin/sh"}, Dir: "/", Env: []string{"PATH=/usr/bin:/bin", "A=b"}}, reaper
}

func TestRunHook(t *testing.T) {
	for name, test := range map[string]struct {
		script string
		want   []string
		failed bool
	}{
		"prints":                 {"#!/bin/sh\necho one; echo two >&2; pwd; echo $A", []string{"one", "two", "/", "b"}, false},
		"fails":                  {"#!/bin/sh\necho why; exit 3", []string{"why"}, true},
		"without an interpreter": {"echo plain\n", []string{"plain"}, false},
		"no end of line":         {"#!/bin/sh\nprintf x", []string{"x"}, false},
		"leaves a daemon behind": {"#!/bin/sh\nsleep 5 & echo started", []string{"started"}, false},
		"a line too long":        {"#!/bin/sh\nhead -c 5000 /dev/zero | tr '\\0' y; echo; echo end", []string{strings.Repeat("y", 1024) + " …", "end"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			path, setup, reaper := hook(t, test.script)
			var lines []string
			err := startup.RunHook(t.Context(), path, setup, reaper, func(line string) { lines = append(lines, line) })
			if (err != nil) != test.failed {
				t.Errorf("error %v", err)
			}
			if diff := cmp.Diff(test.want, lines); diff != "" {
				t.Errorf("lines differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHookEndsWithContext(t *testing.T) {
	path, setup, reaper := hook(t, "#!/bin/sh\necho begun; sleep 1000; echo late")
	ctx, cancel := context.WithCancel(t.Context())
	if err := startup.RunHook(ctx, path, setup, reaper, func(string) { cancel() }); err == nil {
		t.Error("no error")
	}
}

func TestHooks(t *testing.T) {
	dir := root(t, "/opt/app-root/etc/init.d/rc.local*", "/opt/app-root/src/.workshop/setup")
	m := startup.Machine{Root: dir}
	if got := m.Hooks(); len(got) != 1 || got[0] != dir+"/opt/app-root/etc/init.d/rc.local" {
		t.Errorf("hooks %q, want rc.local alone: setup isn't executable", got)
	}
	if err := os.Chmod(dir+"/opt/app-root/src/.workshop/setup", 0o755); err != nil {
		t.Fatal(err)
	}
	if got := m.Hooks(); len(got) != 2 || !strings.HasSuffix(got[1], "setup") {
		t.Errorf("hooks %q, want rc.local, then setup", got)
	}
}
