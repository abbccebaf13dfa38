// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/workshopctl/workshopctl/pkg/terminal/hubauth"
	"github.com/workshopctl/workshopctl/pkg/terminal/process"
	"github.com/workshopctl/workshopctl/pkg/terminal/server"
	"github.com/workshopctl/workshopctl/pkg/terminal/shell"
	"github.com/workshopctl/workshopctl/pkg/terminal/wire"
)

const (
	owner       = "jane.doe@example.com" // of the session
	prefix      = "/user/" + owner + "/"
	serverToken = "secret-of-the-server"
)

// fakeHub answers as JupyterHub does, for what a real one doesn't do on
// demand. The tests against the real one are in test with tag integration.
type fakeHub struct {
	*httptest.Server
	mu       sync.Mutex
	down     bool
	scopes   map[string][]string // by user
	tokens   map[string]string   // user by token
	codes    map[string]code
	activity int
	asked    int // whose token it is
	stopped  int
	keeps    bool // refuses to stop sessions
	issued   []string
}

type code struct{ user, challenge string }

func newFakeHub(t testing.TB) *fakeHub {
	h := &fakeHub{tokens: map[string]string{}, codes: map[string]code{}, scopes: map[string][]string{
		owner:     {"access:servers!user=jane.doe@example.com", "read:users:name!user=jane.doe@example.com"},
		"mallory": {"access:servers!user=mallory"},
		"admin":   {"access:servers"},
	}}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func (h *fakeHub) set(f func()) { h.mu.Lock(); defer h.mu.Unlock(); f() }

func (h *fakeHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.down {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	user := h.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "token ")]
	switch {
	case r.URL.Path == "/hub/api/":
		fmt.Fprint(w, `{"version": "5.5.0"}`)
	case r.URL.Path == "/hub/api/user" && user != "":
		h.asked++
		json.NewEncoder(w).Encode(map[string]any{"name": user, "kind": "user", "scopes": h.scopes[user]})
	case r.URL.Path == "/hub/api/oauth2/token":
		c := h.codes[r.PostFormValue("code")]
		delete(h.codes, r.PostFormValue("code"))
		sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		if c.user == "" || r.PostFormValue("client_secret") != serverToken || c.challenge != base64.RawURLEncoding.EncodeToString(sum[:]) {
			http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
			return
		}
		token := fmt.Sprintf("token-of-%s-%d", c.user, len(h.issued))
		h.tokens[token] = c.user
		h.issued = append(h.issued, token)
		json.NewEncoder(w).Encode(map[string]string{"access_token": token})
	case strings.HasSuffix(r.URL.Path, "/activity") && r.Header.Get("Authorization") == "token "+serverToken:
		h.activity++
	case r.Method == http.MethodDelete && strings.HasSuffix(r.URL.Path, "/server") && !h.keeps && r.Header.Get("Authorization") == "token "+serverToken:
		h.stopped++
	default:
		w.WriteHeader(http.StatusForbidden)
	}
}

// gateway is a running one.
type gateway struct {
	*httptest.Server
	hub    *fakeHub
	shells *shell.Set
	server *server.Server
	log    *syncBuffer
}

type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *syncBuffer) logf(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	fmt.Fprintf(&b.b, format+"\n", args...)
}

func (b *syncBuffer) String() string { b.mu.Lock(); defer b.mu.Unlock(); return b.b.String() }

func newGateway(t testing.TB, every time.Duration, change ...func(*server.Options)) *gateway {
	t.Helper()
	g := &gateway{hub: newFakeHub(t), log: &syncBuffer{}}
	env := map[string]string{
		"JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:1" + prefix, "JUPYTERHUB_SERVICE_PREFIX": prefix,
		"JUPYTERHUB_API_URL": g.hub.URL + "/hub/api", "JUPYTERHUB_API_TOKEN": serverToken,
		"JUPYTERHUB_CLIENT_ID": "jupyterhub-user-jane.doe%40example.com", "JUPYTERHUB_USER": owner,
		"JUPYTERHUB_OAUTH_CALLBACK_URL":  prefix + "oauth_callback",
		"JUPYTERHUB_OAUTH_ACCESS_SCOPES": `["access:servers!server=jane.doe@example.com/", "access:servers!user=jane.doe@example.com"]`,
	}
	config, err := hubauth.FromEnvironment(func(n string) string { return env[n] })
	if err != nil {
		t.Fatal(err)
	}
	reaper, err := process.NewReaper()
	if err != nil {
		t.Fatal(err)
	}
	g.shells = shell.NewSet(shell.Config{Command: func() (*exec.Cmd, error) {
		cmd := exec.Command("/bin/sh")
		cmd.Env = []string{"PATH=/usr/bin:/bin", "PS1=ready> "}
		return cmd, nil
	}, Reaper: reaper, Logf: g.log.logf})
	if err := g.shells.Get(shell.First).Start(); err != nil {
		t.Fatal(err)
	}
	options := server.Options{
		Config: config, Version: "0.0.0", Workshop: "Basics <1>", Shells: g.shells,
		CheckEvery: every, KeepAlive: every, Logf: g.log.logf,
	}
	for _, f := range change {
		f(&options)
	}
	s, err := server.New(options)
	if err != nil {
		t.Fatal(err)
	}
	g.server = s
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.Server = &httptest.Server{URL: "http://" + l.Addr().String()}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		g.shells.Shutdown(context.Background())
	})
	return g
}

// browser has cookies, and goes no further than it is told.
type browser struct {
	*http.Client
	t    testing.TB
	g    *gateway
	head http.Header // on each request
}

func newBrowser(t testing.TB, g *gateway) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t: t, g: g, head: http.Header{}, Client: &http.Client{Jar: jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (b *browser) do(method, path string, header http.Header) answer {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.g.URL+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, h := range []http.Header{b.head, header} {
		for name, values := range h {
			req.Header[name] = values
		}
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	resp, err := b.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

func (b *browser) get(path string) answer { b.t.Helper(); return b.do(http.MethodGet, path, nil) }

// begin starts a login, and returns the query with which the hub was addressed.
func (b *browser) begin() url.Values {
	b.t.Helper()
	a := b.get(prefix)
	to, err := url.Parse(a.header.Get("Location"))
	if a.status != http.StatusFound || err != nil || to.Path != "/hub/api/oauth2/authorize" {
		b.t.Fatalf("page without a session: %d to %q", a.status, a.header.Get("Location"))
	}
	return to.Query()
}

// callback is the hub's answer to a login as user.
func (b *browser) callback(query url.Values, user string) string {
	number := fmt.Sprintf("code-%s-%d", user, time.Now().UnixNano())
	b.g.hub.set(func() { b.g.hub.codes[number] = code{user, query.Get("code_challenge")} })
	return prefix + "oauth_callback?" + url.Values{"code": {number}, "state": {query.Get("state")}}.Encode()
}

func (b *browser) login(user string) answer {
	b.t.Helper()
	return b.get(b.callback(b.begin(), user))
}

// socket opens the terminal's websocket; the status is the HTTP answer's.
func (b *browser) socket(header http.Header) (*websocket.Conn, int) {
	b.t.Helper()
	return b.socketAt("ws", header)
}

func (b *browser) socketAt(path string, header http.Header) (*websocket.Conn, int) {
	b.t.Helper()
	h := b.head.Clone()
	if h.Get("Origin") == "" {
		h.Set("Origin", b.g.URL)
	}
	for name, values := range header {
		h[name] = values
	}
	conn, resp, err := websocket.Dial(b.t.Context(), b.g.URL+prefix+path, &websocket.DialOptions{
		HTTPClient: &http.Client{Jar: b.Jar}, HTTPHeader: h, Host: h.Get("Host")})
	if err != nil {
		if resp == nil {
			b.t.Fatal(err)
		}
		return nil, resp.StatusCode
	}
	b.t.Cleanup(func() { conn.CloseNow() })
	return conn, resp.StatusCode
}

// hello opens the terminal on the websocket.
func (b *browser) hello(conn *websocket.Conn) {
	b.t.Helper()
	if err := conn.Write(b.t.Context(), websocket.MessageBinary, []byte(`h{"client":"`+b.t.Name()[:4]+`","columns":80,"rows":24}`)); err != nil {
		b.t.Fatal(err)
	}
}

// sees reads until the terminal's output holds text.
func (b *browser) sees(conn *websocket.Conn, text string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	defer cancel()
	var out strings.Builder
	for !strings.Contains(out.String(), text) {
		kind, frame, err := conn.Read(ctx)
		if err != nil {
			b.t.Fatalf("waiting for %q: %v; got %q", text, err, out.String())
		}
		if kind == websocket.MessageBinary && frame[0] == byte(wire.KindOutput) {
			out.Write(frame[9:])
		}
	}
}

// open logs in and waits for the terminal's prompt.
func (b *browser) open(user string) *websocket.Conn {
	b.t.Helper()
	b.login(user)
	conn, _ := b.socket(nil)
	b.hello(conn)
	b.sees(conn, "ready> ")
	return conn
}

// ends reads until the websocket is closed.
func (b *browser) ends(conn *websocket.Conn) websocket.CloseError {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	defer cancel()
	for {
		if _, _, err := conn.Read(ctx); err != nil {
			var why websocket.CloseError
			if !errors.As(err, &why) {
				b.t.Fatalf("ended without a reason: %v", err)
			}
			return why
		}
	}
}

func want(t testing.TB, what string, got, want int) {
	t.Helper()
	if got != want {
		t.Errorf("%s: status %d, want %d", what, got, want)
	}
}

func TestLogin(t *testing.T) {
	g := newGateway(t, time.Hour)
	b := newBrowser(t, g)
	a := b.login(owner)
	want(t, "callback", a.status, http.StatusFound)
	if to := a.header.Get("Location"); to != prefix {
		t.Errorf("leads to %q", to)
	}
	var kept *http.Cookie
	for _, line := range a.header.Values("Set-Cookie") {
		c, err := http.ParseSetCookie(line)
		if err != nil {
			t.Fatal(err)
		}
		if c.Path != prefix || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Secure {
			t.Errorf("cookie %s", line)
		}
		if c.MaxAge == 0 {
			kept = c
		}
	}
	page := b.get(prefix)
	want(t, "page", page.status, http.StatusOK)
	for _, text := range []string{"Basics &lt;1&gt;", owner} {
		if !strings.Contains(page.body, text) {
			t.Errorf("the page lacks %q", text)
		}
	}
	all := page.body + fmt.Sprint(a.header, page.header) + g.log.String()
	for _, secret := range append(g.hub.issued, serverToken) {
		if strings.Contains(all, secret) {
			t.Errorf("%s is told", secret)
		}
	}
	if kept == nil || len(kept.Value) < 32 {
		t.Errorf("session cookie %v", kept)
	}
	if csp := page.header.Get("Content-Security-Policy"); !strings.Contains(csp, "script-src 'self';") || !strings.Contains(csp, "frame-ancestors 'none'") {
		t.Errorf("policy %q", csp)
	}
	if page.header.Get("Cache-Control") != "no-store" || page.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers %v", page.header)
	}
	if regexp.MustCompile(`(?i)<script(?:[^>]*[^>/\w-])?>[^<]|\son\w+=|javascript:`).MatchString(page.body) {
		t.Error("the page holds script")
	}
}

func TestCookieIsSecureOverHTTPS(t *testing.T) {
	b := newBrowser(t, newGateway(t, time.Hour))
	a := b.do(http.MethodGet, prefix, http.Header{"X-Forwarded-Proto": {"https, http"}})
	if c := a.header.Get("Set-Cookie"); !strings.Contains(c, "; Secure") || !strings.Contains(c, "Max-Age=600") {
		t.Errorf("cookie %q", c)
	}
}

func TestLoginIsBoundToTheBrowser(t *testing.T) {
	g := newGateway(t, time.Hour)
	t.Run("another browser's state", func(t *testing.T) {
		victim, attacker := newBrowser(t, g), newBrowser(t, g)
		victim.begin()
		want(t, "callback", victim.get(attacker.callback(attacker.begin(), "mallory")).status, http.StatusBadRequest)
		want(t, "page then", victim.get(prefix).status, http.StatusFound)
	})
	t.Run("used twice", func(t *testing.T) {
		b := newBrowser(t, g)
		query := b.begin()
		state := b.Jar.Cookies(mustURL(t, g.URL+prefix))
		want(t, "first", b.get(b.callback(query, owner)).status, http.StatusFound)
		again := newBrowser(t, g)
		again.Jar.SetCookies(mustURL(t, g.URL+prefix), state)
		want(t, "second", again.get(again.callback(query, owner)).status, http.StatusBadRequest)
	})
	t.Run("another verifier", func(t *testing.T) {
		b := newBrowser(t, g)
		query := b.begin()
		query.Set("code_challenge", "AAAA")
		want(t, "callback", b.get(b.callback(query, owner)).status, http.StatusBadRequest)
	})
	t.Run("refused by the hub", func(t *testing.T) {
		b := newBrowser(t, g)
		a := b.get(prefix + "oauth_callback?error=access_denied&state=" + b.begin().Get("state"))
		want(t, "callback", a.status, http.StatusForbidden)
	})
	t.Run("no state", func(t *testing.T) {
		want(t, "callback", newBrowser(t, g).get(prefix+"oauth_callback?code=x").status, http.StatusBadRequest)
	})
}

func mustURL(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestWhoComesIn(t *testing.T) {
	g := newGateway(t, time.Hour)
	for name, test := range map[string]struct {
		user         string // who logs in; empty: nobody
		header       http.Header
		page, socket int
	}{
		"nobody":             {page: http.StatusFound, socket: http.StatusUnauthorized},
		"owner":              {user: owner, page: http.StatusOK, socket: http.StatusSwitchingProtocols},
		"admin":              {user: "admin", page: http.StatusOK, socket: http.StatusSwitchingProtocols},
		"someone else":       {user: "mallory", page: http.StatusForbidden, socket: http.StatusForbidden},
		"known to the hub":   {header: http.Header{"Cookie": {"jupyterhub-session-id=abc"}}, page: http.StatusFound, socket: http.StatusForbidden},
		"a made-up cookie":   {header: http.Header{"Cookie": {"workshop-terminal-x=abc"}}, page: http.StatusFound, socket: http.StatusUnauthorized},
		"a page elsewhere":   {user: owner, header: http.Header{"Origin": {"https://evil.example"}}, page: http.StatusOK, socket: http.StatusForbidden},
		"a page without one": {user: owner, header: http.Header{"Origin": {"null"}}, page: http.StatusOK, socket: http.StatusForbidden},
		"another port":       {user: owner, header: http.Header{"Origin": {"http://127.0.0.1:1"}}, page: http.StatusOK, socket: http.StatusForbidden},
		"http beside https": {user: owner, header: http.Header{"Origin": {"http://w.example"}, "X-Forwarded-Proto": {"https"},
			"X-Forwarded-Host": {"w.example"}}, page: http.StatusOK, socket: http.StatusForbidden},
		"behind proxies": {user: owner, header: http.Header{"Origin": {"https://w.example:8443"}, "X-Forwarded-Proto": {"https,http"},
			"X-Forwarded-Host": {"w.example:8443, inner"}}, page: http.StatusOK, socket: http.StatusSwitchingProtocols},
		"the scheme's port": {user: owner, header: http.Header{"Origin": {"https://w.example"}, "X-Forwarded-Proto": {"https"},
			"X-Forwarded-Host": {"W.example:443"}}, page: http.StatusOK, socket: http.StatusSwitchingProtocols},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBrowser(t, g)
			if test.user != "" {
				b.login(test.user)
			}
			want(t, "page", b.do(http.MethodGet, prefix, test.header).status, test.page)
			_, status := b.socket(test.header)
			want(t, "websocket", status, test.socket)
		})
	}
}

// TestNoTerminal: an image without a shell still has a session, which says so to
// those who may come in.
func TestNoTerminal(t *testing.T) {
	g := newGateway(t, time.Hour, func(o *server.Options) { o.Shells, o.Problem = nil, "There is <no> shell." })
	b := newBrowser(t, g)
	b.login(owner)
	a := b.get(prefix)
	want(t, "page", a.status, http.StatusOK)
	for _, text := range []string{"No terminal in this image", "There is &lt;no&gt; shell.", "Look again"} {
		if !strings.Contains(a.body, text) {
			t.Errorf("the page doesn't say %q:\n%s", text, a.body)
		}
	}
	_, status := b.socket(nil)
	want(t, "websocket", status, http.StatusConflict)
	want(t, "the hub's question", b.get(prefix+"api").status, http.StatusOK)
	other := newBrowser(t, g)
	want(t, "someone else's callback", other.login("mallory").status, http.StatusForbidden)
	want(t, "someone else's page", other.get(prefix).status, http.StatusForbidden)
}

func TestRestartNeedsItsToken(t *testing.T) {
	g := newGateway(t, time.Hour)
	b := newBrowser(t, g)
	b.login(owner)
	token := regexp.MustCompile(`name="csrf" content="([^"]+)"`).FindStringSubmatch(b.get(prefix).body)[1]
	origin := []string{g.URL}
	want(t, "without", b.do(http.MethodPost, prefix+"restart", http.Header{"Origin": origin}).status, http.StatusForbidden)
	want(t, "wrong", b.do(http.MethodPost, prefix+"restart", http.Header{"Origin": origin, "X-Csrf-Token": {token + "x"}}).status, http.StatusForbidden)
	want(t, "elsewhere", b.do(http.MethodPost, prefix+"restart", http.Header{"Origin": {"http://evil"}, "X-Csrf-Token": {token}}).status, http.StatusForbidden)
	want(t, "by GET", b.do(http.MethodGet, prefix+"restart", http.Header{"Origin": origin, "X-Csrf-Token": {token}}).status, http.StatusMethodNotAllowed)
	want(t, "nobody", newBrowser(t, g).do(http.MethodPost, prefix+"restart", http.Header{"Origin": origin, "X-Csrf-Token": {token}}).status, http.StatusUnauthorized)
	want(t, "right", b.do(http.MethodPost, prefix+"restart", http.Header{"Origin": origin, "X-Csrf-Token": {token}}).status, http.StatusNoContent)
	other := newBrowser(t, g)
	other.login("admin")
	want(t, "another session's", other.do(http.MethodPost, prefix+"restart", http.Header{"Origin": origin, "X-Csrf-Token": {token}}).status, http.StatusForbidden)
}

func TestRevokedTokenClosesTheSocket(t *testing.T) {
	g := newGateway(t, 20*time.Millisecond)
	b := newBrowser(t, g)
	conn := b.open(owner)
	g.hub.set(func() { g.hub.tokens = map[string]string{} })
	if why := b.ends(conn); why.Code != 4001 || why.Reason == "" {
		t.Errorf("closed with %v", why)
	}
	want(t, "page", b.get(prefix).status, http.StatusFound)
	_, status := b.socket(nil)
	want(t, "websocket", status, http.StatusUnauthorized)
}

func TestLostScopeClosesTheSocket(t *testing.T) {
	g := newGateway(t, 20*time.Millisecond)
	b := newBrowser(t, g)
	conn := b.open("admin")
	g.hub.set(func() { g.hub.scopes["admin"] = nil })
	if why := b.ends(conn); why.Code != 4003 {
		t.Errorf("closed with %v", why)
	}
}

func TestHubDown(t *testing.T) {
	g := newGateway(t, 10*time.Millisecond)
	b := newBrowser(t, g)
	conn := b.open(owner)
	g.hub.set(func() { g.hub.down = true })
	// The page loads, a websocket opens, and the open one stays over many checks.
	want(t, "page", b.get(prefix).status, http.StatusOK)
	_, status := b.socket(nil)
	want(t, "websocket", status, http.StatusSwitchingProtocols)
	for range 5 { // text frames come as often as checks
		if kind, _, err := conn.Read(t.Context()); err != nil {
			t.Fatalf("%v %v", kind, err)
		}
	}
	if err := conn.Write(t.Context(), websocket.MessageBinary, []byte("iecho $((20+3))\r")); err != nil {
		t.Fatal(err)
	}
	b.sees(conn, "23")
	// But nobody comes in anew.
	query := newBrowser(t, g)
	want(t, "login", query.login(owner).status, http.StatusBadGateway)
}

func TestActivity(t *testing.T) {
	g := newGateway(t, 10*time.Millisecond)
	b := newBrowser(t, g)
	conn := b.open(owner)
	quiet := func() int { // reports so far, after enough text frames for several more
		for n := 0; n < 8; {
			kind, _, err := conn.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if kind == websocket.MessageText {
				n++
			}
		}
		g.hub.mu.Lock()
		defer g.hub.mu.Unlock()
		return g.hub.activity
	}
	before := quiet()
	if before == 0 {
		t.Error("the prompt was not reported")
	}
	if after := quiet(); after != before {
		t.Errorf("an idle terminal was reported as active %d times", after-before)
	}
	if err := conn.Write(t.Context(), websocket.MessageBinary, []byte("i:\r")); err != nil {
		t.Fatal(err)
	}
	if after := quiet(); after == before {
		t.Error("typing was not reported")
	}
}

func TestBadFrames(t *testing.T) {
	g := newGateway(t, time.Hour)
	b := newBrowser(t, g)
	b.login(owner)
	for name, frames := range map[string][]string{
		"no hello":        {"ix"},
		"unknown":         {`h{"client":"c","columns":80,"rows":24}`, "?"},
		"hello again":     {`h{"client":"c","columns":80,"rows":24}`, `h{"client":"c","columns":80,"rows":24}`},
		"ack of nothing":  {`h{"client":"c","columns":80,"rows":24}`, "a\x7f\xff\xff\xff\xff\xff\xff\xff"},
		"too large input": {`h{"client":"c","columns":80,"rows":24}`, "i" + strings.Repeat("x", wire.MaxMessage)},
	} {
		t.Run(name, func(t *testing.T) {
			conn, _ := b.socket(nil)
			for _, f := range frames {
				if err := conn.Write(t.Context(), websocket.MessageBinary, []byte(f)); err != nil {
					t.Fatal(err)
				}
			}
			if why := b.ends(conn); why.Code != websocket.StatusPolicyViolation && why.Code != websocket.StatusMessageTooBig {
				t.Errorf("closed with %v", why)
			}
		})
	}
}

func TestPing(t *testing.T) {
	g := newGateway(t, time.Hour)
	b := newBrowser(t, g)
	conn := b.open(owner)
	write(t, conn, "p")
	for {
		_, frame, err := conn.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if string(frame) == "p" {
			return
		}
	}
}

func TestTooManySockets(t *testing.T) {
	g := newGateway(t, time.Hour)
	b := newBrowser(t, g)
	b.login(owner)
	for n := range 100 {
		if _, status := b.socket(nil); status != http.StatusSwitchingProtocols {
			if status != http.StatusServiceUnavailable || n < 16 {
				t.Errorf("the %dth gets %d", n, status)
			}
			return
		}
	}
	t.Error("takes any number of websockets")
}

func TestPaths(t *testing.T) {
	g := newGateway(t, time.Hour)
	b := newBrowser(t, g)
	api := b.get(prefix + "api")
	want(t, "api", api.status, http.StatusOK)
	if api.body != "{\"version\": \"0.0.0\"}\n" || api.header.Get("X-Jupyterhub-Version") != "5.5.0" {
		t.Errorf("%q, hub version %q", api.body, api.header.Get("X-Jupyterhub-Version"))
	}
	want(t, "api, escaped", b.get("/user/jane.doe%40example.com/api").status, http.StatusOK)
	a := b.get("/user/jane.doe%40example.com/")
	if a.status != http.StatusFound || a.header.Get("Location") != prefix {
		t.Errorf("page in another spelling: %d to %q", a.status, a.header.Get("Location"))
	}
	a = b.get(strings.TrimSuffix(prefix, "/"))
	if a.status != http.StatusFound || a.header.Get("Location") != prefix {
		t.Errorf("page without the slash: %d to %q", a.status, a.header.Get("Location"))
	}
	for _, path := range []string{"/", "/user/", "/user/mallory/", prefix + "nothing", prefix + "assets/", prefix + "assets/0/main.js"} {
		want(t, path, b.get(path).status, http.StatusNotFound)
	}
}

func TestAssets(t *testing.T) {
	g := newGateway(t, time.Hour)
	b := newBrowser(t, g)
	b.login(owner)
	page := b.get(prefix).body
	found := regexp.MustCompile(`"`+prefix+`(assets/[^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(found) != 2 {
		t.Fatalf("assets %v; with the page and the websocket they should be four requests", found)
	}
	for _, f := range found {
		plain := b.do(http.MethodGet, prefix+f[1], http.Header{"Accept-Encoding": {"identity"}})
		zipped := b.do(http.MethodGet, prefix+f[1], http.Header{"Accept-Encoding": {"gzip"}})
		if plain.status != http.StatusOK || plain.header.Get("Content-Encoding") != "" || plain.body == "" {
			t.Errorf("%s: %d %v", f[1], plain.status, plain.header)
		}
		if zipped.header.Get("Content-Encoding") != "gzip" || len(zipped.body) >= len(plain.body) {
			t.Errorf("%s: %d bytes zipped, %d plain", f[1], len(zipped.body), len(plain.body))
		}
		if !strings.Contains(zipped.header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %v", f[1], zipped.header)
		}
	}
}

func TestStopClosesSockets(t *testing.T) {
	var b *browser
	var conn *websocket.Conn
	t.Run("life", func(t *testing.T) {
		g := newGateway(t, time.Hour)
		b = newBrowser(t, g)
		b.login(owner)
		c, _, err := websocket.Dial(t.Context(), g.URL+prefix+"ws", &websocket.DialOptions{
			HTTPClient: &http.Client{Jar: b.Jar}, HTTPHeader: http.Header{"Origin": {g.URL}}})
		if err != nil {
			t.Fatal(err)
		}
		conn = c
		b.hello(conn)
		b.sees(conn, "ready> ")
	})
	b.t = t
	if why := b.ends(conn); why.Code != websocket.StatusServiceRestart {
		t.Errorf("closed with %v", why)
	}
}
