// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is a running terminal server.
type server struct {
	cmd     *exec.Cmd
	started time.Duration // from its start to its first answer
	connect func(ctx context.Context, shell int) (*client, error)
	end     []func()
	log     bytes.Buffer
}

// environment is that of the servers and their shells: the same for all.
func environment(home string) []string {
	return []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + home, "LANG=C.UTF-8", "SHELL=/bin/bash", "TERM=xterm-256color", "PS1=$ "}
}

func freePort(ctx context.Context) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// begin starts the process and waits until it answers at the address.
func (s *server) begin(ctx context.Context, address string) error {
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	start := time.Now()
	if err := s.cmd.Start(); err != nil {
		return err
	}
	asking := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
		if err != nil {
			return err
		}
		resp, err := asking.Do(request)
		if err == nil {
			s.started = time.Since(start)
			return resp.Body.Close()
		}
		if err := wait(ctx, 500*time.Microsecond); err != nil {
			return fmt.Errorf("%s doesn't answer: %w", s.cmd.Path, err)
		}
		if time.Since(start) > 20*time.Second {
			return fmt.Errorf("%s doesn't answer: %w\n%s", s.cmd.Path, err, s.log.String())
		}
	}
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	hard := time.AfterFunc(5*time.Second, func() { _ = s.cmd.Process.Kill() })
	_ = s.cmd.Wait() // it ends by a signal
	hard.Stop()
	for _, f := range s.end {
		f()
	}
}

func startTerminado(ctx context.Context, python, script, home string) (*server, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	s := &server{cmd: exec.Command(python, script, strconv.Itoa(port))} //nolint:noctx // stop ends it
	s.cmd.Env, s.cmd.Dir = environment(home), home
	s.connect = func(ctx context.Context, shell int) (*client, error) {
		return dial(ctx, fmt.Sprintf("ws://127.0.0.1:%d/terminals/websocket/s%d", port, shell), terminadoProtocol{}, nil, nil)
	}
	return s, s.begin(ctx, fmt.Sprintf("http://127.0.0.1:%d/ready", port))
}

// standInHub lets anybody in as jane: its answer to each question of the
// gateway is the same. It is not what is measured.
func standInHub() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"version": "6.1.1", "access_token": "t", "name": "jane", "scopes": ["access:servers!user=jane"]}`)
	}))
}

func startGateway(ctx context.Context, program, hub, home string) (*server, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	origin := fmt.Sprintf("http://127.0.0.1:%d", port)
	const prefix = "/user/jane/"
	s := &server{cmd: exec.Command(program, "serve")} //nolint:noctx // stop ends it
	s.cmd.Dir = home
	s.cmd.Env = append(environment(home), "JUPYTERHUB_SERVICE_URL="+origin+prefix, "JUPYTERHUB_SERVICE_PREFIX="+prefix,
		"JUPYTERHUB_API_URL="+hub+"/hub/api", "JUPYTERHUB_API_TOKEN=secret", "JUPYTERHUB_CLIENT_ID=jupyterhub-user-jane",
		"JUPYTERHUB_USER=jane", `JUPYTERHUB_OAUTH_ACCESS_SCOPES=["access:servers!user=jane"]`)
	if err := s.begin(ctx, origin+prefix+"api"); err != nil {
		return s, err
	}
	browser, token, err := login(ctx, origin, prefix)
	if err != nil {
		return s, err
	}
	shells := 1
	s.connect = func(ctx context.Context, shell int) (*client, error) {
		for ; shells < shell; shells++ {
			if err := newShell(ctx, browser, origin, prefix, token); err != nil {
				return nil, err
			}
		}
		address := "ws" + strings.TrimPrefix(origin, "http") + prefix + "ws?shell=" + strconv.Itoa(shell)
		return dial(ctx, address, &workshopProtocol{name: fmt.Sprint("page", shell)}, browser, http.Header{"Origin": {origin}})
	}
	return s, nil
}

// login is a browser that has logged in, and the token by which its requests are
// known to be its own.
func login(ctx context.Context, origin, prefix string) (*http.Client, string, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, "", err
	}
	browser := &http.Client{Jar: jar}
	// The hub would show its own page here, and send the browser back.
	browser.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.Path, "/hub/") {
			back := url.Values{"code": {"c"}, "state": {r.URL.Query().Get("state")}}
			r.URL.Path, r.URL.RawQuery = prefix+"oauth_callback", back.Encode()
		}
		return nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, origin+prefix, nil)
	if err != nil {
		return nil, "", err
	}
	resp, err := browser.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, "", err
	}
	found := regexp.MustCompile(`name="csrf" content="([^"]+)"`).FindSubmatch(page)
	if found == nil {
		return nil, "", fmt.Errorf("no terminal's page: %s: %.200s", resp.Status, page)
	}
	return browser, string(found[1]), nil
}

var errOneShell = errors.New("this gateway has one shell")

func newShell(ctx context.Context, browser *http.Client, origin, prefix, token string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, origin+prefix+"shells", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Origin", origin)
	req.Header.Set("X-CSRF-Token", token)
	resp, err := browser.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotFound, resp.StatusCode == http.StatusMethodNotAllowed:
		return errOneShell
	case resp.StatusCode >= 300:
		return fmt.Errorf("a further shell: %s", resp.Status)
	}
	return nil
}

// usage is what the kernel says of a process.
type usage struct {
	cpu       time.Duration // user and system time
	rss, peak int           // bytes
	shared    int           // bytes of rss that are files': the program, which is in memory once
}

// ticks is how many of them /proc counts a second, on all Linux that Go runs on.
const ticks = 100

func (s *server) usage() (usage, error) {
	dir := fmt.Sprintf("/proc/%d/", s.cmd.Process.Pid)
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return usage{}, err
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	var u usage
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		if err != nil {
			return usage{}, err
		}
		u.cpu += time.Duration(n) * time.Second / ticks
	}
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		return usage{}, err
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		into := map[string]*int{"VmRSS": &u.rss, "VmHWM": &u.peak, "RssFile": &u.shared}[name]
		if into == nil {
			continue
		}
		kib, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
		if err != nil {
			return usage{}, err
		}
		*into = kib << 10
	}
	return u, nil
}
