// SPDX-License-Identifier: Apache-2.0

//go:build integration

package terminal_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/workshopctl/workshopctl/test/testhub"
)

const adminToken = "0123456789abcdef0123456789abcdef"

// TestWithJupyterHub lets real browsers' requests go through the real proxy and the
// real hub to a gateway that the hub has started.
func TestWithJupyterHub(t *testing.T) {
	gateway := filepath.Join(t.TempDir(), "workshop-terminal")
	run(t, "", "go", "build", "-o", gateway, "../../cmd/workshop-terminal")
	proxy := testhub.Proxy(t)
	for _, version := range testhub.Versions {
		t.Run(version, func(t *testing.T) {
			testVersion(t, version, filepath.Join(testhub.Install(t, version), "bin", "jupyterhub"), proxy, gateway)
		})
	}
}

// run runs a program to its end.
func run(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
}

// site is a hub with its proxy.
type site struct {
	t                     *testing.T
	dir, program          string
	public, hub, proxyAPI string
	env                   []string
	process               *exec.Cmd
	log                   *os.File
	stopped               chan error
}

func freePort(t *testing.T) int {
	t.Helper()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func newSite(t *testing.T, program string, proxy []string, gateway string) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), program: program}
	ports := [3]int{freePort(t), freePort(t), freePort(t)}
	at := func(i int) string { return fmt.Sprintf("http://127.0.0.1:%d", ports[i]) }
	s.public, s.hub, s.proxyAPI = at(0), at(1), at(2)
	config, err := filepath.Abs("testdata/jupyterhub_config.py")
	if err != nil {
		t.Fatal(err)
	}
	workshops, err := filepath.Abs("../../templates/jupyterhub_config.py")
	if err != nil {
		t.Fatal(err)
	}
	s.env = append(os.Environ(), "TEST_WORKSHOP_CONFIG="+workshops, "TEST_DIR="+s.dir, "TEST_GATEWAY="+gateway, "TEST_PUBLIC="+s.public, "TEST_HUB="+s.hub,
		"TEST_PROXY_API="+s.proxyAPI, "TEST_TOKEN="+adminToken, "TEST_CONFIG="+config, "CONFIGPROXY_AUTH_TOKEN=proxy-token")
	if s.log, err = os.Create(filepath.Join(s.dir, "log")); err != nil {
		t.Fatal(err)
	}
	p := exec.Command(proxy[0], proxy[1], "--ip=127.0.0.1", fmt.Sprint("--port=", ports[0]), "--api-ip=127.0.0.1", fmt.Sprint("--api-port=", ports[2]),
		"--default-target="+s.hub)
	p.Env, p.Stdout, p.Stderr, p.Dir = s.env, s.log, s.log, s.dir
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Process.Kill()
		_ = p.Wait()
		if t.Failed() {
			log, _ := os.ReadFile(s.log.Name())
			t.Logf("log of hub, proxy and gateways:\n%s", log[max(0, len(log)-8_000):])
		}
	})
	s.start()
	t.Cleanup(func() { s.stop(syscall.SIGTERM) })
	return s
}

func (s *site) start() {
	s.t.Helper()
	s.process = exec.Command(s.program, "--config", "testdata/jupyterhub_config.py")
	config := ""
	for _, e := range s.env {
		if v, ok := strings.CutPrefix(e, "TEST_CONFIG="); ok {
			config = v
		}
	}
	s.process.Args[2] = config
	s.process.Env, s.process.Stdout, s.process.Stderr, s.process.Dir = s.env, s.log, s.log, s.dir
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.stopped = make(chan error, 1)
	go func(p *exec.Cmd) { s.stopped <- p.Wait() }(s.process)
	s.until("hub", func() error {
		_, err := s.api(http.MethodGet, "/info", nil)
		return err
	})
}

func (s *site) stop(sig syscall.Signal) {
	_ = s.process.Process.Signal(sig)
	<-s.stopped
}

// until asks again and again until there is no error.
func (s *site) until(what string, f func() error) {
	s.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(time.Minute)
	defer late.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-late.C:
			s.t.Fatalf("%s: %v", what, err)
		}
	}
}

// api calls the hub's API as an administrator.
func (s *site) api(method, path string, into any) (int, error) {
	req, err := http.NewRequest(method, s.hub+"/hub/api"+path, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "token "+adminToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	if resp.StatusCode >= 300 {
		return resp.StatusCode, fmt.Errorf("%s %s: %s: %.200s", method, path, resp.Status, body)
	}
	if into != nil {
		return resp.StatusCode, json.Unmarshal(body, into)
	}
	return resp.StatusCode, nil
}

type user struct {
	Servers map[string]struct {
		Ready        bool   `json:"ready"`
		LastActivity string `json:"last_activity"`
	} `json:"servers"`
}

func (s *site) user(name string) (u user) {
	s.t.Helper()
	if _, err := s.api(http.MethodGet, "/users/"+url.PathEscape(name), &u); err != nil {
		s.t.Fatal(err)
	}
	return u
}

// person is someone with a browser.
type person struct {
	*http.Client
	s    *site
	name string
}

// login logs a person in at the hub, and starts a session if none runs.
func (s *site) login(name string) *person {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	p := &person{&http.Client{Jar: jar}, s, name}
	_, _, body := p.get("/hub/login")
	xsrf := regexp.MustCompile(`name="_xsrf" value="([^"]+)"`).FindStringSubmatch(body)
	if xsrf == nil {
		s.t.Fatalf("no login form: %.500s", body)
	}
	resp, err := p.PostForm(s.public+"/hub/login?next=/hub/home", url.Values{"username": {name}, "password": {"x"}, "_xsrf": {xsrf[1]}})
	if err != nil {
		s.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		s.t.Fatalf("login of %s: %s", name, resp.Status)
	}
	if len(s.user(name).Servers) > 0 { // of another browser
		return p
	}
	if _, err := s.api(http.MethodPost, "/users/"+url.PathEscape(name)+"/server", nil); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _, _ = s.api(http.MethodDelete, "/users/"+url.PathEscape(name)+"/server", nil) })
	s.until("session of "+name, func() error {
		if !s.user(name).Servers[""].Ready {
			return errors.New("not ready")
		}
		return nil
	})
	return p
}

func (p *person) get(path string) (int, string, string) {
	p.s.t.Helper()
	resp, err := p.Get(p.s.public + path)
	if err != nil {
		p.s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.s.t.Fatal(err)
	}
	return resp.StatusCode, resp.Request.URL.Path, string(body)
}

func (p *person) page() string { return "/user/" + p.name + "/" }

// open opens the websocket of the owner's terminal.
func (p *person) open(owner, origin string) (*websocket.Conn, int) {
	p.s.t.Helper()
	return p.openAs("c", owner, origin)
}

// openAs is open of a page with that name: one that comes again takes the place
// of its former self.
func (p *person) openAs(client, owner, origin string) (*websocket.Conn, int) {
	p.s.t.Helper()
	conn, resp, err := websocket.Dial(p.s.t.Context(), p.s.public+"/user/"+owner+"/ws", &websocket.DialOptions{
		HTTPClient: p.Client, HTTPHeader: http.Header{"Origin": {origin}}})
	if err != nil {
		if resp == nil {
			p.s.t.Fatal(err)
		}
		return nil, resp.StatusCode
	}
	p.s.t.Cleanup(func() { conn.CloseNow() })
	if err := conn.Write(p.s.t.Context(), websocket.MessageBinary, []byte(`h{"client":"`+client+`","columns":80,"rows":24}`)); err != nil {
		p.s.t.Fatal(err)
	}
	return conn, resp.StatusCode
}

// sees reads until the terminal shows text.
func sees(t *testing.T, conn *websocket.Conn, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var out strings.Builder
	for !strings.Contains(out.String(), text) {
		kind, frame, err := conn.Read(ctx)
		if err != nil {
			t.Fatalf("waiting for %q: %v; got %q", text, err, out.String())
		}
		if kind == websocket.MessageBinary && frame[0] == 'o' {
			out.Write(frame[9:])
		}
	}
}

func types(t *testing.T, conn *websocket.Conn, line string) {
	t.Helper()
	if err := conn.Write(t.Context(), websocket.MessageBinary, []byte("i"+line+"\r")); err != nil {
		t.Fatal(err)
	}
}

func closeCode(t *testing.T, conn *websocket.Conn) websocket.StatusCode {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		if _, _, err := conn.Read(ctx); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

func testVersion(t *testing.T, version, program string, proxy []string, gateway string) {
	s := newSite(t, program, proxy, gateway)
	const aName = "jane.doe@example.com"
	a, b := s.login(aName), s.login("bob")

	status, path, body := a.get(a.page())
	if status != http.StatusOK || path != a.page() || !strings.Contains(body, "Integration") {
		t.Fatalf("page of its owner: %d at %s: %.500s", status, path, body)
	}
	conn, status := a.open(aName, s.public)
	if status != http.StatusSwitchingProtocols {
		t.Fatalf("websocket of its owner: %d", status)
	}
	types(t, conn, "kept=$((6*7)); env | grep -c -e JUPYTERHUB -e JPY_; tty")
	sees(t, conn, "\r0\r\n/dev/pts/")

	t.Run("the hub knows the version", func(t *testing.T) {
		resp, err := http.Get(s.public + a.page() + "api")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if got := resp.Header.Get("X-JupyterHub-Version"); resp.StatusCode != http.StatusOK || got != version {
			t.Errorf("%s, version %q", resp.Status, got)
		}
	})

	t.Run("someone else", func(t *testing.T) {
		if status, _, _ := b.get(a.page()); status != http.StatusForbidden {
			t.Errorf("page: %d", status)
		}
		if _, status := b.open(aName, s.public); status != http.StatusForbidden {
			t.Errorf("websocket: %d", status)
		}
	})

	t.Run("nobody", func(t *testing.T) {
		nobody := &person{&http.Client{}, s, ""}
		if _, status := nobody.open(aName, s.public); status != http.StatusUnauthorized {
			t.Errorf("websocket: %d", status)
		}
	})

	t.Run("a page of another origin", func(t *testing.T) {
		if _, status := a.open(aName, "https://evil.example"); status != http.StatusForbidden {
			t.Errorf("websocket: %d", status)
		}
	})

	t.Run("hub restarted", func(t *testing.T) {
		s.stop(syscall.SIGKILL)
		types(t, conn, "echo still $kept")
		sees(t, conn, "still 42")
		if status, path, _ := a.get(a.page()); status != http.StatusOK || path != a.page() {
			t.Errorf("page while the hub is away: %d at %s", status, path)
		}
		second, status := a.open(aName, s.public)
		if status != http.StatusSwitchingProtocols {
			t.Fatalf("websocket while the hub is away: %d", status)
		}
		second.CloseNow()
		s.start()
		// The other connection took over, as it said it was the same page.
		if code := closeCode(t, conn); code != 4000 {
			t.Errorf("first connection closed with %d", code)
		}
		conn, _ = a.open(aName, s.public)
		types(t, conn, "echo again $kept")
		sees(t, conn, "again 42")
	})

	t.Run("an open page is no activity", func(t *testing.T) {
		frames := func() string { // waits for many checks and reports of hub and gateway, then asks
			for n := 0; n < 40; {
				kind, _, err := conn.Read(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if kind == websocket.MessageText {
					n++
				}
			}
			return s.user(aName).Servers[""].LastActivity
		}
		before := frames()
		if after := frames(); after != before {
			t.Errorf("activity of an idle session went from %s to %s", before, after)
		}
		types(t, conn, ":")
		if after := frames(); after == before {
			t.Error("typing is no activity")
		}
	})

	t.Run("stopped from its page, and started again", func(t *testing.T) {
		dora := s.login("dora")
		_, _, body := dora.get(dora.page())
		csrf := regexp.MustCompile(`name="csrf" content="([^"]+)"`).FindStringSubmatch(body)
		if csrf == nil {
			t.Fatalf("no terminal: %.500s", body)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.public+dora.page()+"stop", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = http.Header{"Origin": {s.public}, "X-Csrf-Token": {csrf[1]}}
		// The hub ends the gateway while it waits for the hub's answer.
		if resp, err := dora.Do(req); err == nil {
			defer resp.Body.Close()
			if answer, _ := io.ReadAll(resp.Body); resp.StatusCode >= 300 && resp.Header.Get("X-Workshop-Terminal") != "" {
				t.Fatalf("stop: %s: %s", resp.Status, answer)
			}
		}
		// By this the page knows that the session may be started again.
		s.until("end of the session", func() error {
			if status, path, _ := dora.get(dora.page() + "session"); status != http.StatusFailedDependency {
				return fmt.Errorf("%d at %s", status, path)
			}
			return nil
		})
		s.until("new session", func() error {
			if status, path, _ := dora.get("/hub/spawn/dora"); status != http.StatusOK || path != dora.page() {
				return fmt.Errorf("%d at %s", status, path)
			}
			return nil
		})
	})

	t.Run("token revoked", func(t *testing.T) {
		var tokens struct {
			Tokens []struct {
				ID                string `json:"id"`
				Note, OAuthClient string
			} `json:"api_tokens"`
		}
		if _, err := s.api(http.MethodGet, "/users/"+url.PathEscape(aName)+"/tokens", &tokens); err != nil {
			t.Fatal(err)
		}
		for _, token := range tokens.Tokens {
			if _, err := s.api(http.MethodDelete, "/users/"+url.PathEscape(aName)+"/tokens/"+token.ID, nil); err != nil {
				t.Log(err)
			}
		}
		if code := closeCode(t, conn); code != 4001 {
			t.Errorf("closed with %d", code)
		}
	})

	t.Run("logged out", func(t *testing.T) {
		out := func(p *person) {
			p.get(p.page())
			conn, status := p.open(p.name, s.public)
			if status != http.StatusSwitchingProtocols {
				t.Fatalf("websocket: %d", status)
			}
			types(t, conn, "echo $((6*7))")
			sees(t, conn, "42")
			p.get("/hub/logout")
			if code := closeCode(t, conn); code != 4001 {
				t.Errorf("closed with %d", code)
			}
			if status, path, _ := p.get(p.page()); path == p.page() {
				t.Errorf("page: %d", status)
			}
		}
		// His gateway asks the hub every second. Hers asks when the hub says so, and
		// her other browser stays.
		out(b)
		one, other := s.login("carol"), s.login("carol")
		other.get(other.page())
		stays, _ := other.openAs("other", "carol", s.public)
		types(t, stays, "echo $((6*7))")
		sees(t, stays, "42")
		out(one)
		types(t, stays, "echo $((40+4))")
		sees(t, stays, "44")
	})
}
