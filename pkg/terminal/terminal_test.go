// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/workshopctl/workshopctl/pkg/terminal/process"
	"github.com/workshopctl/workshopctl/pkg/terminal/shell"
	"github.com/workshopctl/workshopctl/pkg/terminal/startup"
	"github.com/workshopctl/workshopctl/pkg/terminal/wire"
)

// TestMain is also the gateway that tests start as a process.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_AS_GATEWAY") == "" {
		os.Exit(m.Run())
	}
	err := Run(context.Background(), os.Args[1:], "0.0.0", os.Stdin, os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(ExitCode(err))
}

// gatewayEnv has a home of its own: what starts with the shell of the person who
// runs the tests is not theirs.
func gatewayEnv(t *testing.T, hub string) []string {
	t.Helper()
	return append(os.Environ(), "HOME="+t.TempDir(), "TEST_AS_GATEWAY=1", "JUPYTERHUB_SERVICE_URL=http://127.0.0.1:0/user/jane/", "JUPYTERHUB_SERVICE_PREFIX=/user/jane/",
		"JUPYTERHUB_API_URL="+hub+"/hub/api", "JUPYTERHUB_API_TOKEN=secret", "JUPYTERHUB_CLIENT_ID=jupyterhub-user-jane",
		"JUPYTERHUB_USER=jane", `JUPYTERHUB_OAUTH_ACCESS_SCOPES=["access:servers!user=jane"]`, "SHELL=/bin/bash")
}

// TestServeAndStop starts a gateway as the hub does, and stops it as a kubelet does.
func TestServeAndStop(t *testing.T) {
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"version": "6.1.1"}`) }))
	defer hub.Close()
	cmd := exec.Command(os.Args[0], "serve")
	cmd.Env = gatewayEnv(t, hub.URL)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var log strings.Builder
	for lines.Scan() {
		log.WriteString(lines.Text() + "\n")
		if _, address, ok := strings.Cut(lines.Text(), " serves /user/jane/ on "); ok {
			resp, err := http.Get("http://" + address + "/user/jane/api")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK || resp.Header.Get("X-JupyterHub-Version") != "6.1.1" {
				t.Errorf("%s %v", resp.Status, resp.Header)
			}
			if err := cmd.Process.Signal(syscall.SIGUSR1); err != nil {
				t.Fatal(err)
			}
		}
		if strings.Contains(lines.Text(), "in use: ") {
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if !regexp.MustCompile(`in use: \d+ goroutines, \d+ KiB of memory, 0 websockets`).MatchString(log.String()) {
		t.Errorf("it doesn't tell what it takes: %s", log.String())
	}
	if strings.Contains(log.String(), "secret") {
		t.Errorf("the log tells the token: %s", log.String())
	}
}

// TestPortIsHeld: while the gateway stops, no program of the attendee's gets its
// port, on which it would be at the hub's origin without the gateway's rules.
func TestPortIsHeld(t *testing.T) {
	dir := t.TempDir()
	// A shell that doesn't go by itself.
	shell, started := filepath.Join(dir, "sh"), filepath.Join(dir, "started")
	if err := os.WriteFile(shell, []byte("#!/bin/sh\ntrap '' HUP TERM\ntouch "+started+"\nwhile :; do sleep 1; done\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "serve")
	cmd.Env = append(gatewayEnv(t, "http://127.0.0.1:1"), "SHELL="+shell)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := bufio.NewScanner(out)
	address, tried := "", false
	for lines.Scan() {
		if _, a, ok := strings.Cut(lines.Text(), " serves /user/jane/ on "); ok {
			address = a
			for _, err := os.Stat(started); err != nil; _, err = os.Stat(started) {
				runtime.Gosched()
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		}
		if strings.Contains(lines.Text(), "stopping") { // it serves no more
			tried = true
			if l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address); err == nil {
				_ = l.Close()
				t.Errorf("%s was free while the gateway was there", address)
			}
		}
	}
	if !tried {
		t.Error("the gateway didn't say that it stops")
	}
}

func TestUsage(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		err  error
		want string
	}{
		"nothing":       {nil, ErrUsage, "Usage:"},
		"unknown":       {[]string{"sing"}, ErrUsage, "Usage:"},
		"install where": {[]string{"install"}, ErrUsage, "Usage:"},
		"seed what":     {[]string{"seed", "/x"}, ErrUsage, "Usage:"},
		"unknown flag":  {[]string{"serve", "--loud"}, ErrUsage, "loud"},
		"help":          {[]string{"--help"}, nil, "Usage:"},
		"version":       {[]string{"version"}, nil, "1.2.3\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			err := Run(t.Context(), test.args, "1.2.3", strings.NewReader(""), &out, &out)
			if !errors.Is(err, test.err) || !strings.Contains(out.String(), test.want) {
				t.Errorf("%v, printed %q", err, out.String())
			}
		})
	}
}

// TestStart: the image's scripts run in their order, a failure is shown, and the
// shell comes after them.
func TestStart(t *testing.T) {
	root := t.TempDir()
	for path, script := range map[string]string{
		startup.AppRoot + "/etc/init.d/rc.local": "#!/bin/sh\necho \"first \033[31m$X\"\n",
		startup.Source + "/.workshop/setup":      "#!/bin/sh\necho no disk left; exit 3\n",
	} {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	reaper, err := process.NewReaper()
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var log strings.Builder
	logf := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(&log, format+"\n", args...)
	}
	setup := startup.Setup{Shell: startup.Shell{Path: "/bin/sh"}, Dir: root, Env: []string{"PATH=/usr/bin:/bin", "X=x"}}
	shells := shell.NewSet(shell.Config{Command: func() (*exec.Cmd, error) {
		return exec.Command("/bin/sh", "-c", "echo the shell; exec sleep 1000"), nil
	}, Reaper: reaper, Logf: logf})
	defer shells.Shutdown(context.Background())
	page := shells.Get(shell.First).Attach(wire.Hello{Client: "c", Size: wire.Size{Columns: 80, Rows: 24}},
		shell.Notify{Size: func(wire.Size) {}, State: func(wire.State) {}, Credit: func(int) {}})
	start(t.Context(), startup.Machine{Root: root}, setup, reaper, shells, logf)
	var shown strings.Builder
	for !strings.Contains(shown.String(), "the shell") {
		_, out, _, err := page.Next(t.Context(), make([]byte, 0, 4096))
		if err != nil {
			t.Fatal(err)
		}
		shown.Write(out)
	}
	if s := shown.String(); !strings.Contains(s, "setup failed") || !strings.Contains(s, "no disk left") || strings.Index(s, "setup") > strings.Index(s, "the shell") {
		t.Errorf("shown: %q", s)
	}
	mu.Lock()
	defer mu.Unlock()
	first, second := strings.Index(log.String(), "init.d/rc.local: first [31mx\n"), strings.Index(log.String(), ".workshop/setup: no disk left\n")
	if first < 0 || second < first {
		t.Errorf("log: %q", log.String())
	}
}

func TestScrollbackSize(t *testing.T) {
	for text, want := range map[string]int{
		"": 1 << 20, "1048576": 1 << 20, "5000000": 5000000, "67108864": 64 << 20,
		"0": 0, "-1": 0, "1048575": 0, "67108865": 0, "1Mi": 0, "much": 0, "99999999999999999999": 0,
	} {
		got, err := scrollbackSize(func(name string) string { return map[string]string{"WORKSHOP_SCROLLBACK": text}[name] })
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
		if err != nil && (!strings.Contains(err.Error(), "WORKSHOP_SCROLLBACK") || !strings.Contains(err.Error(), text)) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                       "plain",
		"two\nlines\r":                "twolines",
		"\x1b[31mred\x1b]0;title\x07": "[31mred]0;title",
		"tab\there":                   "tab here",
		"\u202eright to left\u2028":   "right to left",
		"bad \xff bytes, \u009b31m":   "bad \ufffd bytes, 31m",
		"ünï":                         "ünï",
	} {
		if got := plain(in); got != want {
			t.Errorf("plain(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestUploadLimit(t *testing.T) {
	for text, want := range map[string]int64{"": 100 << 20, "0": 0, "1048576": 1 << 20, "-1": -1, "1Mi": -1} {
		got, err := uploadLimit(func(name string) string { return map[string]string{"WORKSHOP_UPLOAD_LIMIT": text}[name] })
		if (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
}
