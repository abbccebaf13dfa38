// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/workshopctl/workshopctl/pkg/terminal/server"
)

// app is a web app of an attendee's.
type app struct {
	*httptest.Server
	port int

	mu   sync.Mutex
	last *http.Request // without its body
}

func newApp(t *testing.T, handler http.HandlerFunc) *app {
	t.Helper()
	a := &app{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		a.last = r
		a.mu.Unlock()
		handler(w, r)
	}))
	t.Cleanup(a.Close)
	u, err := url.Parse(a.URL)
	if err != nil {
		t.Fatal(err)
	}
	if a.port, err = strconv.Atoi(u.Port()); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *app) seen() *http.Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.last
	a.last = nil
	return r
}

func withPort(port int) func(*server.Options) {
	return func(o *server.Options) { o.Ports = []server.Port{{Name: "web", Number: port}} }
}

var html = http.Header{"Accept": {"text/html,*/*"}}

const webBase = prefix + "proxy/web/"

func TestParsePorts(t *testing.T) {
	ports, err := server.ParsePorts("web=8080, docs=9090", 10080)
	if err != nil || fmt.Sprint(ports) != "[{web 8080} {docs 9090}]" {
		t.Errorf("%v, %v", ports, err)
	}
	if ports, err := server.ParsePorts("", 10080); err != nil || ports != nil {
		t.Errorf("none: %v, %v", ports, err)
	}
	for _, wrong := range []string{"web", "web=", "web=0", "web=65536", "web=x", "Web=80", "-web=80", "a/b=80", "web=10080", "web=80,web=81", "=80"} {
		if ports, err := server.ParsePorts(wrong, 10080); err == nil {
			t.Errorf("%q gives %v", wrong, ports)
		}
	}
}

func TestAppIsOnlyForItsOwner(t *testing.T) {
	a := newApp(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello from the app") })
	g := newGateway(t, time.Hour, withPort(a.port))

	stranger := newBrowser(t, g)
	page := stranger.do(http.MethodGet, webBase+"a?b=c", html)
	to, _ := url.Parse(page.header.Get("Location"))
	if page.status != http.StatusFound || to.Path != "/hub/api/oauth2/authorize" {
		t.Errorf("page without a login: %d to %q", page.status, page.header.Get("Location"))
	}
	// And comes back to where it was going.
	if back := stranger.get(stranger.callback(to.Query(), owner)); back.header.Get("Location") != webBase+"a?b=c" {
		t.Errorf("after the login to %q", back.header.Get("Location"))
	}
	want(t, "part without a login", newBrowser(t, g).get(webBase).status, http.StatusUnauthorized)
	for _, user := range []string{"mallory", "admin"} {
		b := newBrowser(t, g)
		b.login(user)
		want(t, "page for "+user, b.do(http.MethodGet, webBase, html).status, http.StatusForbidden)
		want(t, "part for "+user, b.get(webBase).status, http.StatusForbidden)
		want(t, "upgrade for "+user, b.do(http.MethodGet, webBase, http.Header{
			"Upgrade": {"websocket"}, "Connection": {"Upgrade"}, "Origin": {g.URL}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="}}).status, http.StatusForbidden)
	}
	if a.seen() != nil {
		t.Error("the app got a request of somebody else")
	}
	b := newBrowser(t, g)
	b.login(owner)
	if answer := b.do(http.MethodGet, webBase, html); answer.status != http.StatusOK || answer.body != "hello from the app" {
		t.Errorf("owner: %d %q", answer.status, answer.body)
	}
	for _, path := range []string{"proxy/other/", "proxy/", "proxy/web%2f", "proxy%2fweb/x", "proxy/8080/"} {
		want(t, path, b.get(prefix+path).status, http.StatusNotFound)
	}
	// A logout counts at the next page at once.
	g.hub.set(func() { clear(g.hub.tokens) })
	want(t, "page after the logout", b.do(http.MethodGet, webBase, html).status, http.StatusFound)
	want(t, "part after the logout", b.get(webBase).status, http.StatusUnauthorized)
}

// TestAppLeavesNothingBehind: whoever logs in later in the browser of an app's
// owner, an admin perhaps, gets nothing of the app on the hub's origin.
func TestAppLeavesNothingBehind(t *testing.T) {
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "max-age=31536000, immutable, stale-while-revalidate=99999")
		switch kind := r.URL.Query().Get("type"); kind {
		case "none":
			h["Content-Type"] = nil
		case "304":
			w.WriteHeader(http.StatusNotModified)
		default:
			h.Set("Content-Type", kind)
		}
	})
	shared := newGateway(t, time.Hour, withPort(a.port))
	apart := newGateway(t, time.Hour, withPort(a.port), func(o *server.Options) {
		o.Config.HubHome, o.Config.PublicURL = "https://class.example.com/hub/home", mustURL(t, "https://jane.class.example.com"+prefix)
	})
	for _, g := range []*gateway{shared, apart} {
		b := newBrowser(t, g)
		b.login(owner)
		for _, kind := range []string{"text/html", "TEXT/HTML; charset=x", "application/xhtml+xml", "image/svg+xml", "text/xml", "multipart/x-mixed-replace", "none", "304"} {
			kept := b.get(webBase+"?type="+url.QueryEscape(kind)).header.Get("Cache-Control") != "private, no-cache"
			if kept != (g == apart) {
				t.Errorf("%s stays in the browser's cache: %t", kind, kept)
			}
		}
		if got := b.get(webBase + "?type=text/javascript").header.Get("Cache-Control"); !strings.HasPrefix(got, "max-age=31536000") {
			t.Errorf("a script has Cache-Control %q", got)
		}
		worker := b.do(http.MethodGet, webBase+"worker.js?type=text/javascript", http.Header{"Service-Worker": {"script"}})
		if refused := worker.status == http.StatusForbidden; refused != (g == shared) {
			t.Errorf("service worker: %d %s", worker.status, worker.body)
		}
	}
}

// TestAppIsNoPartOfOtherPages: pages of another session's host are of the same
// site, so the cookies of this one go with what they ask for.
func TestAppIsNoPartOfOtherPages(t *testing.T) {
	a := newApp(t, func(http.ResponseWriter, *http.Request) {})
	g := newGateway(t, time.Hour, withPort(a.port))
	b := newBrowser(t, g)
	b.login(owner)
	for _, c := range []struct {
		site, mode, dest string
		want             int
	}{
		{"same-origin", "cors", "empty", http.StatusOK}, {"same-origin", "navigate", "iframe", http.StatusOK}, {"none", "navigate", "document", http.StatusOK},
		{"same-site", "navigate", "document", http.StatusOK}, {"cross-site", "navigate", "document", http.StatusOK},
		{"same-site", "no-cors", "image", http.StatusForbidden}, {"same-site", "no-cors", "script", http.StatusForbidden}, {"same-site", "cors", "empty", http.StatusForbidden},
		{"same-site", "navigate", "iframe", http.StatusForbidden}, {"cross-site", "navigate", "object", http.StatusForbidden}, {"cross-site", "no-cors", "style", http.StatusForbidden},
	} {
		h := http.Header{"Sec-Fetch-Site": {c.site}, "Sec-Fetch-Mode": {c.mode}, "Sec-Fetch-Dest": {c.dest}}
		want(t, fmt.Sprint(c), b.do(http.MethodGet, webBase, h).status, c.want)
	}
}

// TestAdminMayOpenAppOfItsOwnOrigin: with subdomains, the hub is at another
// host. Without, it tells its URL all the same.
func TestAdminMayOpenAppOfItsOwnOrigin(t *testing.T) {
	a := newApp(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
	for public, status := range map[string]int{
		"https://jane.hub.example.com" + prefix: http.StatusOK, "https://hub.example.com" + prefix: http.StatusForbidden,
		"http://HUB.example.com:8080" + prefix: http.StatusForbidden,
	} {
		g := newGateway(t, time.Hour, withPort(a.port), func(o *server.Options) {
			o.Config.HubHome, o.Config.PublicURL = "https://hub.example.com/hub/home", mustURL(t, public)
		})
		b := newBrowser(t, g)
		b.login("admin")
		want(t, "admin, "+public, b.do(http.MethodGet, webBase, html).status, status)
	}
}

func TestAppPath(t *testing.T) {
	a := newApp(t, func(http.ResponseWriter, *http.Request) {})
	g := newGateway(t, time.Hour, withPort(a.port))
	b := newBrowser(t, g)
	b.login(owner)
	if to := b.get(prefix + "proxy/web?x=1"); to.status != http.StatusTemporaryRedirect || to.header.Get("Location") != webBase+"?x=1" {
		t.Errorf("without a slash: %d to %q", to.status, to.header.Get("Location"))
	}
	escapedBase := strings.Replace(webBase, "@", "%40", 1)
	for _, path := range []string{"", "a/b", "a%2Fb", "a%20b/%C3%BC", "a//b/", "%2e%2e/x", "a+b;c=d", "x%3Fy", "%25"} {
		for _, base := range []string{webBase, escapedBase} {
			b.get(base + path + "?q=1;2&z=%zz")
			r := a.seen()
			if r == nil {
				t.Errorf("%s%s: nothing came", base, path)
			} else if r.RequestURI != "/"+path+"?q=1;2&z=%zz" {
				t.Errorf("%s%s came as %s", base, path, r.RequestURI)
			}
		}
	}
}

func TestAppRequestHeaders(t *testing.T) {
	a := newApp(t, func(http.ResponseWriter, *http.Request) {})
	g := newGateway(t, time.Hour, withPort(a.port))
	b := newBrowser(t, g)
	b.login(owner)
	u, _ := url.Parse(g.URL)
	b.Jar.SetCookies(u.JoinPath(prefix), []*http.Cookie{{Name: "jupyterhub-session-id", Value: "secret"}, {Name: "jupyterhub-user-jane", Value: "secret"}, {Name: "own", Value: "a b"}, {Name: "theme", Value: "dark"}})
	b.do(http.MethodGet, webBase+"x", http.Header{
		"X-Forwarded-Host": {"class.example.com"}, "X-Forwarded-Proto": {"https,http"}, "X-Forwarded-For": {"10.0.0.9"},
		"Authorization": {"Bearer 0123"}, "Connection": {"X-Forwarded-Prefix, X-Hop, close"}, "X-Hop": {"1"}, "Te": {"trailers"},
		"X-Forwarded-Context": {"/evil"}, "Forwarded": {"host=evil"}, "Proxy-Authorization": {"Basic x"}, "X-Custom": {"kept"},
	})
	r := a.seen()
	for name, value := range map[string]string{
		"X-Forwarded-Prefix": strings.TrimSuffix(webBase, "/"), "X-Forwarded-Host": "class.example.com", "X-Forwarded-Proto": "https", "X-Forwarded-For": "10.0.0.9",
		"Authorization": "", "X-Hop": "", "X-Forwarded-Context": "", "Forwarded": "", "Proxy-Authorization": "", "X-Custom": "kept",
	} {
		if got := r.Header.Get(name); got != value {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
	if !r.Close {
		t.Error("the connection to the app is kept for other requests")
	}
	if r.Host != "class.example.com" {
		t.Errorf("host %q", r.Host)
	}
	cookies := r.Header.Get("Cookie")
	if strings.Contains(cookies, "jupyterhub") || strings.Contains(cookies, "workshop-terminal") || !strings.Contains(cookies, `own="a b"`) || !strings.Contains(cookies, "theme=dark") {
		t.Errorf("cookies %q", cookies)
	}
	for _, c := range []struct{ authorization, site, want string }{
		{"Bearer of.an.app", "same-origin", "Bearer of.an.app"}, {"token 0123", "same-origin", ""}, {"Bearer x", "cross-site", ""}, {"Bearer x", "", ""},
	} {
		h := http.Header{"Authorization": {c.authorization}}
		if c.site != "" {
			h["Sec-Fetch-Site"], h["Sec-Fetch-Mode"], h["Sec-Fetch-Dest"] = []string{c.site}, []string{"navigate"}, []string{"document"}
		}
		b.do(http.MethodGet, webBase+"x", h)
		if got := a.seen().Header.Get("Authorization"); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func TestAppAnswerHeaders(t *testing.T) {
	var port int
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["Set-Cookie"] = []string{
			"sid=1; Path=/; HttpOnly; SameSite=Strict", "sub=2; Domain=example.com; Path=/admin", "bare=3",
			"own=4; Path=" + webBase + "x", "jupyterhub-session-id=evil; Path=/", "workshop-terminal-0123=evil",
			"__Host-workshop-terminal-0123=evil; Path=/; Secure", "=jupyterhub-session-id=evil; Path=/", "jupyterhub-session-id", ";=x", "a b=c; Path=/",
		}
		h.Set("Service-Worker-Allowed", "/")
		h.Set("Clear-Site-Data", `"*"`)
		h.Set("X-Accel-Redirect", "/hub/api/user")
		h.Set("X-Jupyterhub-Version", "0")
		h.Set("Content-Security-Policy", "default-src 'self'")
		h.Set("Cache-Control", "max-age=60")
		h.Set("Content-Type", "text/css")
		if to := r.URL.Query().Get("to"); to != "" {
			h.Set("Location", strings.ReplaceAll(to, "PORT", strconv.Itoa(port)))
			w.WriteHeader(http.StatusFound)
		}
	})
	port = a.port
	g := newGateway(t, time.Hour, withPort(a.port))
	b := newBrowser(t, g)
	b.login(owner)
	answer := b.get(webBase)
	wantCookies := []string{
		"sid=1; Path=" + webBase + "; HttpOnly; SameSite=Strict", "sub=2; Path=" + webBase + "admin", "bare=3; Path=" + webBase, "own=4; Path=" + webBase + "x",
	}
	if got := answer.header.Values("Set-Cookie"); fmt.Sprint(got) != fmt.Sprint(wantCookies) {
		t.Errorf("cookies\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(wantCookies, "\n"))
	}
	for _, name := range []string{"Service-Worker-Allowed", "Clear-Site-Data", "X-Accel-Redirect", "Cross-Origin-Opener-Policy", "X-Content-Type-Options"} {
		if v := answer.header.Get(name); v != "" {
			t.Errorf("%s: %s", name, v)
		}
	}
	if got := answer.header.Values("X-Jupyterhub-Version"); fmt.Sprint(got) != "[5.5.0]" {
		t.Errorf("version of the hub %q", got)
	}
	if got := answer.header.Values("Content-Security-Policy"); fmt.Sprint(got) != "[default-src 'self' frame-ancestors 'self']" {
		t.Errorf("policy %q", got)
	}
	if got := answer.header.Values("Cache-Control"); fmt.Sprint(got) != "[max-age=60]" {
		t.Errorf("caching %q", got)
	}
	host := strings.TrimPrefix(g.URL, "http://")
	for _, c := range []struct{ to, want string }{
		{"/login?next=%2F", webBase + "login?next=%2F"}, {"/", webBase}, {"next", "next"}, {"../up?x#y", "../up?x#y"}, {"?page=2", "?page=2"},
		{webBase + "kept", webBase + "kept"}, {"http://127.0.0.1:PORT/x", webBase + "x"}, {"http://localhost:PORT", webBase},
		{"http://" + host + "/y#z", webBase + "y#z"}, {"https://" + host + webBase + "z", webBase + "z"},
		{"https://example.com/x", "https://example.com/x"}, {"//example.com/x", "//example.com/x"}, {"http://127.0.0.1:1/x", "http://127.0.0.1:1/x"},
		{"/a%2Fb", webBase + "a%2Fb"}, {"/\\evil.example.com", webBase + "%5Cevil.example.com"},
	} {
		got := b.get(webBase + "?to=" + url.QueryEscape(c.to)).header.Get("Location")
		if got != c.want {
			t.Errorf("redirect to %s becomes %s, want %s", c.to, got, c.want)
		}
	}
}

func TestAppWantsOwnOrigin(t *testing.T) {
	a := newApp(t, func(http.ResponseWriter, *http.Request) {})
	g := newGateway(t, time.Hour, withPort(a.port))
	b := newBrowser(t, g)
	b.login(owner)
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, "PROPFIND"} {
		for _, origin := range []string{"", "null", "https://evil.example.com"} {
			h := http.Header{}
			if origin != "" {
				h.Set("Origin", origin)
			}
			want(t, method+" from "+origin, b.do(method, webBase, h).status, http.StatusForbidden)
		}
		want(t, method+" from the page", b.do(method, webBase, http.Header{"Origin": {g.URL}}).status, http.StatusOK)
	}
	want(t, "TRACE", b.do(http.MethodTrace, webBase, http.Header{"Origin": {g.URL}}).status, http.StatusNotFound)
}

func TestAppWebsocket(t *testing.T) {
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		// Its own check of the Origin, against the Host that it sees.
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"chat"}})
		if err != nil {
			return
		}
		defer conn.CloseNow()
		conn.SetReadLimit(1 << 20)
		for {
			kind, message, err := conn.Read(context.Background())
			if err != nil {
				return
			}
			if err := conn.Write(context.Background(), kind, append([]byte("echo "), message...)); err != nil {
				return
			}
		}
	})
	g := newGateway(t, 20*time.Millisecond, withPort(a.port))
	b := newBrowser(t, g)
	b.login(owner)
	dial := func(origin string) (*websocket.Conn, *http.Response, error) {
		h := http.Header{}
		if origin != "" {
			h.Set("Origin", origin)
		}
		return websocket.Dial(t.Context(), g.URL+webBase+"chat?room=1", &websocket.DialOptions{HTTPClient: &http.Client{Jar: b.Jar}, HTTPHeader: h, Subprotocols: []string{"chat"}})
	}
	for _, origin := range []string{"", "null", "https://evil.example.com"} {
		if _, resp, err := dial(origin); err == nil || resp == nil || resp.StatusCode != http.StatusForbidden {
			t.Errorf("origin %q: %v", origin, err)
		}
		if a.seen() != nil { // whose own check might do
			t.Errorf("origin %q: the app was asked", origin)
		}
	}
	conn, _, err := dial(g.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	conn.SetReadLimit(1 << 20)
	if conn.Subprotocol() != "chat" {
		t.Errorf("subprotocol %q", conn.Subprotocol())
	}
	for _, message := range []string{"hello", strings.Repeat("x", 300_000)} {
		if err := conn.Write(t.Context(), websocket.MessageText, []byte(message)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := conn.Read(t.Context()); err != nil || string(got) != "echo "+message {
			t.Fatalf("got %.20q, %v", got, err)
		}
	}
	// It ends with the login.
	g.hub.set(func() { clear(g.hub.tokens) })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, _, err := conn.Read(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("after the logout: %v", err)
	}
}

// TestAppUpgradesToNothingElse: a connection that speaks HTTP/2 with the app
// would pass by every check of the requests on it.
func TestAppUpgradesToNothingElse(t *testing.T) {
	a := newApp(t, func(http.ResponseWriter, *http.Request) {})
	g := newGateway(t, time.Hour, withPort(a.port))
	b := newBrowser(t, g)
	b.login(owner)
	b.do(http.MethodGet, webBase, http.Header{"Upgrade": {"h2c"}, "Connection": {"Upgrade, HTTP2-Settings"}, "Http2-Settings": {"AAMAAABkAAQAoAAAAAIAAAAA"}, "Origin": {g.URL}})
	if r := a.seen(); r == nil || r.Header.Get("Upgrade") != "" || r.Header.Get("Http2-Settings") != "" {
		t.Errorf("came as %v", r)
	}
}

func TestAppStreams(t *testing.T) {
	next, done := make(chan struct{}), make(chan struct{})
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
				close(done)
				return
			}
		}
	})
	g := newGateway(t, 20*time.Millisecond, withPort(a.port))
	b := newBrowser(t, g)
	b.login(owner)
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, g.URL+webBase+"events", nil)
	resp, err := b.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	events := bufio.NewReader(resp.Body)
	for i := range 2 {
		if line, err := events.ReadString('\n'); err != nil || line != fmt.Sprintf("data: %d\n", i) {
			t.Fatalf("event %d: %q, %v", i, line, err)
		}
		_, _ = events.ReadString('\n')
		if i == 0 {
			next <- struct{}{}
		}
	}
	// A stream ends with the login, too, and the app learns it.
	g.hub.set(func() { clear(g.hub.tokens) })
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Error("the stream goes on after the logout")
	}
}

// TestAppTakesItsTime: what moves now and then isn't cut off, in either
// direction, nor what an app thinks about.
func TestAppTakesItsTime(t *testing.T) {
	const request = 100 * time.Millisecond
	// Longer than a request may take that stands still.
	pause := func(t *testing.T) {
		select {
		case <-time.After(3 * request):
		case <-t.Context().Done():
		}
	}
	for name, handler := range map[string]http.HandlerFunc{
		"thinks": func(http.ResponseWriter, *http.Request) { pause(t) },
		"is quiet in between": func(w http.ResponseWriter, _ *http.Request) {
			for range 3 {
				fmt.Fprint(w, "x")
				_ = http.NewResponseController(w).Flush()
				pause(t)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			done := make(chan error, 1)
			a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
				handler(w, r)
				done <- r.Context().Err()
			})
			g := newGateway(t, time.Hour, withPort(a.port), func(o *server.Options) { o.Patience.Request = request })
			b := newBrowser(t, g)
			b.login(owner)
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				want(t, method, b.do(method, webBase, http.Header{"Origin": {g.URL}}).status, http.StatusOK)
				if err := <-done; err != nil {
					t.Errorf("%s: the app is told that the browser has gone: %v", method, err)
				}
			}
		})
	}
	t.Run("takes a slow upload", func(t *testing.T) {
		var size int64
		a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
			size, _ = io.Copy(io.Discard, r.Body)
		})
		// Patience that a busy machine doesn't use up between two parts.
		const patience = time.Second
		g := newGateway(t, time.Hour, withPort(a.port), func(o *server.Options) { o.Patience.Request = patience })
		b := newBrowser(t, g)
		b.login(owner)
		out, in := io.Pipe()
		go func() {
			for range 50 {
				_, _ = in.Write(make([]byte, 1000))
				select {
				case <-time.After(patience / 40):
				case <-t.Context().Done():
				}
			}
			_ = in.Close()
		}()
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL+webBase, out)
		req.Header.Set("Origin", g.URL)
		resp, err := b.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK || size != 50_000 {
			t.Errorf("%s, %d bytes", resp.Status, size)
		}
	})
}

// TestAppWhoseReaderSleeps: who takes nothing of an app's answer is cut off, and
// the app learns it.
func TestAppWhoseReaderSleeps(t *testing.T) {
	done := make(chan struct{})
	a := newApp(t, func(w http.ResponseWriter, _ *http.Request) {
		defer close(done)
		for {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	})
	g := newGateway(t, time.Hour, withPort(a.port), func(o *server.Options) { o.Patience.Request = 100 * time.Millisecond })
	b := newBrowser(t, g)
	b.login(owner)
	conn := g.dial(t)
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nCookie: %s\r\n\r\n", webBase, b.cookieHeader())
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Error("the app writes on for nobody")
	}
}

// TestAppsLeaveRoom: an app whose page opens streams without end leaves the
// terminal within reach.
func TestAppsLeaveRoom(t *testing.T) {
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	g := newGateway(t, time.Hour, withPort(a.port))
	b := newBrowser(t, g)
	b.login(owner)
	for streams := 0; ; streams++ {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, g.URL+webBase, nil)
		resp, err := b.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode == http.StatusServiceUnavailable {
			break
		}
		if streams > 200 {
			t.Fatal("there is no limit")
		}
	}
	want(t, "the page then", b.get(prefix).status, http.StatusOK)
	b.socket(nil)
}

// TestAppSaysNothingBeforeItsAnswer: what comes before the answer isn't looked
// through, and so isn't passed on; nor can an app make the connection its own.
func TestAppSaysNothingBeforeItsAnswer(t *testing.T) {
	for name, says := range map[string]string{
		"hints":      "HTTP/1.1 103 Early Hints\r\nSet-Cookie: jupyterhub-session-id=evil; Path=/\r\nClear-Site-Data: \"*\"\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"processing": "HTTP/1.1 102 Evil\r\nX-Evil: 1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"switches":   "HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 200 OK\r\nSet-Cookie: jupyterhub-evil=1; Path=/\r\n\r\n",
		"upgrades":   "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nHTTP/1.1 200 OK\r\nX-Evil: 1\r\n\r\n",
		"two":        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nX-Evil: 1\r\n\r\n",
		"trailers":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length, Set-Cookie\r\n\r\n2\r\nok\r\n0\r\nContent-Length: 99\r\nSet-Cookie: jupyterhub-evil=1\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			var config net.ListenConfig
			l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = http.ReadRequest(bufio.NewReader(conn))
					_, _ = io.WriteString(conn, says)
					_ = conn.Close()
				}
			}()
			g := newGateway(t, time.Hour, withPort(l.Addr().(*net.TCPAddr).Port))
			b := newBrowser(t, g)
			b.login(owner)
			for _, upgrade := range []string{"", "Upgrade: websocket\r\n", "Upgrade: websocket, h2c\r\n"} {
				answer := g.raw(t, fmt.Sprintf("GET %s HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\nCookie: %s\r\n%sConnection: close\r\n\r\n", webBase, b.cookieHeader(), upgrade))
				if n := strings.Count(answer, "HTTP/1.1 "); n != 1 || strings.Contains(strings.ToLower(answer), "evil") || strings.HasPrefix(answer, "HTTP/1.1 1") {
					t.Errorf("with %q: %d answers:\n%s", upgrade, n, answer)
				}
			}
		})
	}
}

func TestAppLargeBodies(t *testing.T) {
	const size = 64 << 20
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil || n != size {
			t.Errorf("%d bytes, %v", n, err)
		}
		_, _ = io.CopyN(w, zeros{}, size)
	})
	g := newGateway(t, time.Hour, withPort(a.port))
	b := newBrowser(t, g)
	b.login(owner)
	for _, chunked := range []bool{false, true} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL+webBase+"up", io.LimitReader(zeros{}, size))
		req.Header.Set("Origin", g.URL)
		if !chunked {
			req.ContentLength = size
		}
		resp, err := b.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil {
			t.Errorf("answer of %d bytes, %v", n, err)
		}
		_ = resp.Body.Close()
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestAppThatIsNotThere(t *testing.T) {
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	g := newGateway(t, time.Hour, withPort(port))
	b := newBrowser(t, g)
	b.login(owner)
	page := b.do(http.MethodGet, webBase, html)
	want(t, "page", page.status, http.StatusServiceUnavailable)
	for _, text := range []string{fmt.Sprintf("Nothing listens on port %d yet", port), "waiting.js", "Start your app"} {
		if !strings.Contains(page.body, text) {
			t.Errorf("the page lacks %q", text)
		}
	}
	if csp := page.header.Get("Content-Security-Policy"); !strings.Contains(csp, "script-src 'self';") || page.header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", page.header)
	}
	part := b.do(http.MethodHead, webBase, nil)
	if part.status != http.StatusServiceUnavailable || part.header.Get("X-Workshop-Waiting") != "web" {
		t.Errorf("part: %d %v", part.status, part.header)
	}
	// An app that listens on IPv6 alone is found as well.
	t.Run("on IPv6 alone", func(t *testing.T) {
		l6, err := config.Listen(t.Context(), "tcp6", fmt.Sprintf("[::1]:%d", port))
		if err != nil {
			t.Skip("no IPv6 here")
		}
		s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "six") })}
		go func() { _ = s.Serve(l6) }()
		defer s.Close()
		if answer := b.do(http.MethodGet, webBase, html); answer.body != "six" {
			t.Errorf("over IPv6: %d %s", answer.status, answer.body)
		}
	})
}

func TestAppThatNeverAnswers(t *testing.T) {
	a := newApp(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	g := newGateway(t, time.Hour, withPort(a.port), func(o *server.Options) { o.AppAnswerTime = 50 * time.Millisecond })
	b := newBrowser(t, g)
	b.login(owner)
	page := b.do(http.MethodGet, webBase, html)
	if page.status != http.StatusGatewayTimeout || !strings.Contains(page.body, "doesn&#39;t answer") {
		t.Errorf("%d %s", page.status, page.body)
	}
}

func TestAppThatSpeaksNoHTTP(t *testing.T) {
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "220 mail.example.com\r\n")
			_ = conn.Close()
		}
	}()
	g := newGateway(t, time.Hour, withPort(l.Addr().(*net.TCPAddr).Port))
	b := newBrowser(t, g)
	b.login(owner)
	want(t, "page", b.do(http.MethodGet, webBase, html).status, http.StatusBadGateway)
}

// TestAppRequestsStayApart sends requests whose end two servers could see in
// different places.
func TestAppRequestsStayApart(t *testing.T) {
	var paths []string
	var mu sync.Mutex
	a := newApp(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		mu.Lock()
		defer mu.Unlock()
		paths = append(paths, r.URL.Path)
	})
	g := newGateway(t, time.Hour, withPort(a.port))
	b := newBrowser(t, g)
	b.login(owner)
	u, _ := url.Parse(g.URL)
	u.Path = prefix
	cookie := ""
	for _, c := range b.Jar.Cookies(u) {
		cookie = c.Name + "=" + c.Value
	}
	for _, framing := range []string{
		"Content-Length: 44\r\nTransfer-Encoding: chunked",
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
		"Transfer-Encoding: xchunked\r\nContent-Length: 5",
		"Content-Length: 5\r\nContent-Length: 6",
		"Content-Length: +5",
		"Transfer-Encoding : chunked\r\nContent-Length: 5",
		"Connection: Content-Length\r\nContent-Length: 44",
	} {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", u.Host)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST %sfirst HTTP/1.1\r\nHost: %s\r\nOrigin: %s\r\nCookie: %s\r\n%s\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\nX: \r\n\r\n",
			webBase, u.Host, g.URL, cookie, framing)
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		_ = conn.Close()
	}
	mu.Lock()
	defer mu.Unlock()
	if len(paths) == 0 {
		t.Error("nothing reached the app")
	}
	for _, p := range paths {
		if p != "/first" {
			t.Errorf("the app got a request for %s", p)
		}
	}
}

func TestAppTrafficIsActivity(t *testing.T) {
	a := newApp(t, func(http.ResponseWriter, *http.Request) {})
	g := newGateway(t, 20*time.Millisecond, withPort(a.port))
	b := newBrowser(t, g)
	b.login(owner)
	reported := func() (n int) { g.hub.set(func() { n = g.hub.activity }); return n }
	waitFor(t, "activity of the shell", func() bool { return reported() > 0 })
	before := reported()
	waitFor(t, "activity of the app", func() bool { b.get(webBase); return reported() > before })
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s: not in time", what)
		}
	}
}
