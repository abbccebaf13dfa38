// SPDX-License-Identifier: Apache-2.0

package ingress

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// server is one behind the proxy. It answers with its name and what it was
// told about the client, and echoes websocket messages.
func server(t *testing.T, name string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "websocket" {
			c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
			if err != nil {
				return
			}
			defer c.CloseNow()
			for {
				kind, message, err := c.Read(r.Context())
				if err != nil || c.Write(r.Context(), kind, message) != nil {
					return
				}
			}
		}
		fmt.Fprintf(w, "%s", name)
		for _, h := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Real-Ip"} {
			if v := r.Header.Values(h); len(v) > 0 {
				fmt.Fprintf(w, " %s=%s", h, strings.Join(v, "|"))
			}
		}
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// testProxy is a running proxy and how to reach it.
type testProxy struct {
	*proxy
	settings Settings
	client   *http.Client
	log      *logBuffer
}

// logBuffer collects log lines from several goroutines.
type logBuffer struct {
	mu    sync.Mutex
	lines []string
}

func (l *logBuffer) logf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

// needHAProxy skips a test on a machine without HAProxy.
func needHAProxy(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("haproxy"); err != nil {
		t.Skip("haproxy is not installed: make packages")
	}
}

// freePorts returns two ports that only a server gets which sets SO_REUSEADDR,
// as HAProxy does, and no client: while the test runs, sockets that don't
// listen are bound to them.
func freePorts(t *testing.T) (int, int) {
	t.Helper()
	var ports [2]int
	for i := range ports {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = syscall.Close(fd) })
		if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Bind(fd, &syscall.SockaddrInet4{}); err != nil {
			t.Fatal(err)
		}
		address, err := syscall.Getsockname(fd)
		if err != nil {
			t.Fatal(err)
		}
		ports[i] = address.(*syscall.SockaddrInet4).Port
	}
	return ports[0], ports[1]
}

func newTestProxy(t *testing.T) *testProxy {
	t.Helper()
	needHAProxy(t)
	log := &logBuffer{}
	p, err := newProxy(t.TempDir(), log.logf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Log(log)
		}
	})
	cert, key := keyPair(t, "default.test")
	tp := &testProxy{proxy: p, log: log, settings: Settings{DefaultCertificate: append(cert, key...)}}
	tp.settings.HTTPPort, tp.settings.HTTPSPort = freePorts(t)
	tp.client = clientTo()
	return tp
}

// clientTo returns a client that reaches loopback whatever the host's name,
// follows no redirect and keeps no connection.
func clientTo() *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // which certificate is shown is tested by its name
			DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
				_, port, err := net.SplitHostPort(addr)
				if err != nil {
					return nil, err
				}
				return (&net.Dialer{}).DialContext(ctx, "tcp", "127.0.0.1:"+port)
			},
		},
	}
}

func (p *testProxy) serve(t *testing.T, m Model) {
	t.Helper()
	if err := p.load(t.Context(), Render(m, p.settings)); err != nil {
		t.Fatal(err)
	}
}

func (p *testProxy) url(scheme, hostAndPath string) string {
	port := p.settings.HTTPPort
	if scheme == "https" || scheme == "wss" {
		port = p.settings.HTTPSPort
	}
	host, path, _ := strings.Cut(hostAndPath, "/")
	return fmt.Sprintf("%s://%s:%d/%s", scheme, host, port, path)
}

// get returns status and body, or the place that a redirect names.
func (p *testProxy) get(t *testing.T, url string, header http.Header) (string, *http.Response) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		req.Header = header
	}
	res, err := p.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if l := res.Header.Get("Location"); l != "" {
		body = []byte(l)
	}
	return fmt.Sprintf("%d %s", res.StatusCode, body), res
}

func TestProxyRoutes(t *testing.T) {
	p := newTestProxy(t)
	cert, key := keyPair(t, "own.test")
	m := Model{Certificates: []Certificate{{Name: "a_own", Hosts: []string{"own.test"}, PEM: append(cert, key...)}}}
	for _, name := range []string{"a", "api", "exact", "wild", "any", "own"} {
		m.Backends = append(m.Backends, Backend{Name: "n_" + name, Servers: []string{server(t, name)}})
	}
	m.Backends = append(m.Backends, Backend{Name: "n_none"}, Backend{Name: "n_dead", Servers: []string{"127.0.0.1:1"}})
	m.Rules = []Rule{
		{Host: "a.test", Path: "/", HTTP: true, Backend: "n_a"},
		{Host: "a.test", Path: "/api", HTTP: true, Backend: "n_api"},
		{Host: "a.test", Path: "/api/exact", Exact: true, HTTP: true, Backend: "n_exact"},
		{Host: "only.a.test", Path: "/only", HTTP: true, Backend: "n_a"},
		{Host: "*.a.test", Path: "/", HTTP: true, Backend: "n_wild"},
		{Host: "none.test", Path: "/", HTTP: true, Backend: "n_none"},
		{Host: "dead.test", Path: "/", HTTP: true, Backend: "n_dead"},
		{Host: "tls.test", Path: "/", HTTPS: true, Redirect: 308, Backend: "n_a"},
		{Host: "own.test", Path: "/", HTTPS: true, Redirect: 308, Backend: "n_own"},
		{Path: "/any", HTTP: true, Backend: "n_any"},
	}
	p.serve(t, m)
	redirect := fmt.Sprintf("308 https://tls.test:%d/x?y=%%20z", p.settings.HTTPSPort)
	tests := []struct{ scheme, url, want string }{
		{"http", "a.test/", "200 a "},
		{"http", "A.TEST/", "200 a "},
		{"http", "a.test/apix", "200 a "},
		{"http", "a.test/api", "200 api "},
		{"http", "a.test/api/", "200 api "},
		{"http", "a.test/api?q", "200 api "},
		{"http", "a.test/api/exact", "200 exact "},
		{"http", "a.test/api/exact/", "200 api "},
		{"http", "b.a.test/", "200 wild "},
		{"http", "only.a.test/only", "200 a "},
		{"http", "only.a.test/", "404 no Ingress serves this host and path\n"},
		{"http", "c.b.a.test/", "404 no Ingress serves this host and path\n"},
		{"http", "c.b.a.test/any", "200 any "},
		{"http", "none.test/", "503 "},
		{"http", "dead.test/", "503 "},
		{"http", "tls.test/x?y=%20z", redirect},
		{"https", "tls.test/x", "200 a "},
		{"https", "own.test/", "200 own "},
		{"https", "a.test/", "404 "},
	}
	for _, tt := range tests {
		if got, _ := p.get(t, p.url(tt.scheme, tt.url), nil); !strings.HasPrefix(got+" ", tt.want) {
			t.Errorf("%s://%s: got %q, want %q", tt.scheme, tt.url, got, tt.want)
		}
	}
	for host, want := range map[string]string{"own.test": "own.test", "tls.test": "default.test"} {
		_, res := p.get(t, p.url("https", host+"/"), nil)
		if got := res.TLS.PeerCertificates[0].Subject.CommonName; got != want {
			t.Errorf("%s shows the certificate of %s, want that of %s", host, got, want)
		}
	}
}

// TestProxyShowsOwnCertificate: even if the default one is good for the host,
// too, and of a kind that HAProxy prefers.
func TestProxyShowsOwnCertificate(t *testing.T) {
	p := newTestProxy(t)
	cert, key := keyPair(t, "*.own.test")
	p.settings.DefaultCertificate = append(cert, key...)
	cert, key = rsaKeyPair(t, 2048, "a.own.test")
	p.serve(t, Model{Certificates: []Certificate{{Name: "a_own", Hosts: []string{"a.own.test"}, PEM: append(cert, key...)}}})
	for host, want := range map[string]string{"a.own.test": "a.own.test", "b.own.test": "*.own.test", "c.test": "*.own.test"} {
		_, res := p.get(t, p.url("https", host+"/"), nil)
		if got := res.TLS.PeerCertificates[0].Subject.CommonName; got != want {
			t.Errorf("%s shows the certificate of %s, want that of %s", host, got, want)
		}
	}
}

func TestProxyReplacesForwardedHeaders(t *testing.T) {
	p := newTestProxy(t)
	p.serve(t, Model{Rules: []Rule{{Host: "a.test", Path: "/", HTTPS: true, Redirect: 308, Backend: "n_a"}}, Backends: []Backend{{Name: "n_a", Servers: []string{server(t, "a")}}}})
	lies := http.Header{}
	for _, h := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Real-Ip"} {
		lies.Set(h, "lie")
	}
	got, _ := p.get(t, p.url("https", "a.test/"), lies)
	want := fmt.Sprintf("200 a X-Forwarded-For=127.0.0.1 X-Forwarded-Proto=https X-Forwarded-Host=a.test:%[1]d X-Forwarded-Port=%[1]d X-Real-Ip=127.0.0.1", p.settings.HTTPSPort)
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// dial opens a websocket through the proxy.
func (p *testProxy) dial(t *testing.T, host string) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.Dial(t.Context(), p.url("wss", host+"/"), &websocket.DialOptions{HTTPClient: p.client})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseNow() })
	return c
}

func echo(ctx context.Context, c *websocket.Conn, message string) error {
	if err := c.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
		return err
	}
	if _, got, err := c.Read(ctx); err != nil || string(got) != message {
		return fmt.Errorf("sent %q, got %q, %w", message, got, err)
	}
	return nil
}

// requests makes one after the other until the function it returns is called,
// which tells of the first that failed.
func (p *testProxy) requests(t *testing.T, hostAndPath string) func() error {
	t.Helper()
	stop, failed := make(chan struct{}), make(chan error, 1)
	go func() {
		var err error
		defer func() { failed <- err }()
		for n := 0; ; n++ {
			select {
			case <-stop:
				if n == 0 {
					err = fmt.Errorf("no request was made")
				}
				return
			default:
			}
			res, e := p.client.Get(p.url("https", hostAndPath))
			if e != nil {
				err = fmt.Errorf("request %d: %w", n, e)
				return
			}
			if res.Body.Close(); res.StatusCode != http.StatusOK {
				err = fmt.Errorf("request %d: %s", n, res.Status)
				return
			}
		}
	}()
	return func() error {
		close(stop)
		return <-failed
	}
}

// TestProxyReload: open websockets live on and no request fails while the
// configuration changes.
func TestProxyReload(t *testing.T) {
	p := newTestProxy(t)
	addr := server(t, "a")
	model := func(timeout time.Duration) Model {
		return Model{Rules: []Rule{{Host: "a.test", Path: "/", HTTPS: true, Redirect: 308, Backend: "n_a"}}, Backends: []Backend{{Name: "n_a", Servers: []string{addr}, Timeout: timeout}}}
	}
	p.serve(t, model(0))
	ws := p.dial(t, "a.test")
	if err := echo(t.Context(), ws, "before"); err != nil {
		t.Fatal(err)
	}

	ended := p.requests(t, "a.test/")
	for n := range 5 {
		p.serve(t, model(time.Duration(n+1)*time.Minute))
		if err := echo(t.Context(), ws, fmt.Sprintf("after reload %d", n+1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := ended(); err != nil {
		t.Error(err)
	}
	if dirs, _ := filepath.Glob(filepath.Join(p.dir, "conf-*")); len(dirs) != 1 {
		t.Errorf("old configurations are left: %q", dirs)
	}
	p.stop()
	if err := echo(t.Context(), ws, "after the end"); err == nil {
		t.Error("the websocket outlived the proxy")
	}
}

func TestProxyCutsSilentWebsockets(t *testing.T) {
	p := newTestProxy(t)
	p.serve(t, Model{Rules: []Rule{{Host: "a.test", Path: "/", HTTPS: true, Redirect: 308, Backend: "n_a"}},
		Backends: []Backend{{Name: "n_a", Servers: []string{server(t, "a")}, TunnelTimeout: 50 * time.Millisecond}}})
	ws := p.dial(t, "a.test")
	if _, _, err := ws.Read(t.Context()); err == nil {
		t.Error("got a message that nobody sent")
	}
}

func TestProxyKeepsWhatWorks(t *testing.T) {
	p := newTestProxy(t)
	good := Render(Model{Rules: []Rule{{Path: "/", HTTP: true, Backend: "n_a"}}, Backends: []Backend{{Name: "n_a", Servers: []string{server(t, "a")}}}}, p.settings)
	if err := p.load(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	bad := map[string][]byte{fileConfig: append(bytes.Clone(good[fileConfig]), "\nnonsense\n"...)}
	for _, name := range []string{fileHosts, fileCertificates, fileDefaultCert} {
		bad[name] = good[name]
	}
	if err := p.load(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("got %v, want HAProxy's words about the nonsense", err)
	}
	if got, _ := p.get(t, p.url("http", "a.test/"), nil); !strings.HasPrefix(got, "200 a") {
		t.Errorf("got %q", got)
	}
}

// TestProxyDies: a killed master is noticed, and the next load serves again.
func TestProxyDies(t *testing.T) {
	p := newTestProxy(t)
	m := Model{Rules: []Rule{{Path: "/", HTTP: true, Backend: "n_a"}}, Backends: []Backend{{Name: "n_a", Servers: []string{server(t, "a")}}}}
	p.serve(t, m)
	if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-p.died(); err == nil {
		t.Error("the end of haproxy was reported as a success")
	}
	p.forget()
	p.serve(t, m)
	if got, _ := p.get(t, p.url("http", "a.test/"), nil); !strings.HasPrefix(got, "200 a") {
		t.Errorf("got %q", got)
	}
}

// TestProxyCannotStart: a port that is taken is an error, not a wait.
func TestProxyCannotStart(t *testing.T) {
	p := newTestProxy(t)
	l, err := net.Listen("tcp", fmt.Sprintf("0.0.0.0:%d", p.settings.HTTPPort))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := p.load(t.Context(), Render(Model{}, p.settings)); err == nil || !strings.Contains(err.Error(), "haproxy ended") {
		t.Errorf("got %v, want that haproxy ended", err)
	}
	if !strings.Contains(p.log.String(), "cannot bind socket") {
		t.Errorf("HAProxy's reason is not in the log:\n%s", p.log)
	}
	p.forget()
}

func TestProxyDirectoryIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	p, err := newProxy(dir, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	p.stop()
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", info, err)
	}
}
