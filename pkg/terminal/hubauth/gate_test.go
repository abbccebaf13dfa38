// SPDX-License-Identifier: Apache-2.0

package hubauth

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

func newTestGate(t *testing.T, hub http.HandlerFunc) *Gate {
	t.Helper()
	server := httptest.NewServer(hub)
	t.Cleanup(server.Close)
	c := Config{Prefix: "/user/jane/", Callback: "/user/jane/oauth_callback", API: server.URL, ClientID: "c", AccessScopes: []string{"access:servers!user=jane"}}
	return NewGate(c, NewHub(c), func(*Session, error) {})
}

// TestTrustEnds: the hub's last word lets pages in for ten minutes, and open
// websockets stay.
func TestTrustEnds(t *testing.T) {
	g := newTestGate(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	start := time.Now()
	s := &Session{user: User{Name: "jane", Scopes: []string{"access:servers!user=jane"}}, asked: start, opened: start, seen: start}
	for _, test := range []struct {
		after, trust time.Duration
		want         error
	}{
		{9 * time.Minute, trustTime, nil},
		{11 * time.Minute, trustTime, ErrHubDown},
		{24 * time.Hour, 0, nil},
	} {
		g.now = func() time.Time { return start.Add(test.after) }
		if err := g.Check(context.Background(), s, test.trust); !errors.Is(err, test.want) {
			t.Errorf("after %v with trust %v: %v, want %v", test.after, test.trust, err, test.want)
		}
	}
}

func TestCallbackWantsTheBrowsersOwnCookie(t *testing.T) {
	g := newTestGate(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"access_token": "t", "name": "jane", "scopes": ["access:servers!user=jane"]}`)
	})
	for name, test := range map[string]struct {
		cookie func(string) string
		late   time.Duration
		want   error
	}{
		"own":      {func(v string) string { return v }, 0, nil},
		"another":  {func(string) string { return "made up" }, 0, ErrNoSession},
		"too late": {func(v string) string { return v }, 11 * time.Minute, ErrNoSession},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			g.now = func() time.Time { return start }
			login := httptest.NewRecorder()
			g.Login(login, httptest.NewRequest(http.MethodGet, "/user/jane/", nil), "/user/jane/")
			to, err := url.Parse(login.Header().Get("Location"))
			if err != nil {
				t.Fatal(err)
			}
			c := login.Result().Cookies()[0]
			r := httptest.NewRequest(http.MethodGet, "/user/jane/oauth_callback?code=x&state="+to.Query().Get("state"), nil)
			r.AddCookie(&http.Cookie{Name: c.Name, Value: test.cookie(c.Value)})
			g.now = func() time.Time { return start.Add(test.late) }
			if err := g.Callback(httptest.NewRecorder(), r); !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
		})
	}
}

func TestNextStaysHere(t *testing.T) {
	g := newTestGate(t, nil)
	for path, want := range map[string]bool{
		"/user/jane/": true, "/user/jane/x?y=z": true,
		"": false, "/": false, "/user/janet/": false, "//evil/user/jane/": false, "https://evil/user/jane/": false,
		"/user/jane/../mallory/": false, "/user/jane/%2e%2e/mallory/": false, "/user/jane/\\evil": false, "/user/jane/\r\nX: y": false,
	} {
		if got := g.isOwn(path); got != want {
			t.Errorf("%q: %v", path, got)
		}
	}
}

// TestLoginsEnd: a browser that stays away for a day, or that has been logged in
// for a week, goes through the hub again; and what it has open is closed.
func TestLoginsEnd(t *testing.T) {
	hub := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"access_token": "t", "name": "jane", "scopes": ["access:servers!user=jane"]}`)
	}
	for name, test := range map[string]struct {
		use, after time.Duration // how often it is used, and for how long
		want       error
	}{
		"in use":       {12 * time.Hour, 6 * 24 * time.Hour, nil},
		"away":         {25 * time.Hour, 25 * time.Hour, ErrNoSession},
		"in use, long": {12 * time.Hour, 8 * 24 * time.Hour, ErrNoSession},
	} {
		t.Run(name, func(t *testing.T) {
			g := newTestGate(t, hub)
			var ended error
			g.ended = func(_ *Session, err error) { ended = err }
			start := time.Now()
			g.now = func() time.Time { return start }
			answer := httptest.NewRecorder()
			g.open(answer, httptest.NewRequest(http.MethodGet, "/user/jane/", nil), "t", User{Name: "jane", Scopes: []string{"access:servers!user=jane"}})
			r := httptest.NewRequest(http.MethodGet, "/user/jane/", nil)
			r.AddCookie(answer.Result().Cookies()[0])
			open, err := g.Admit(r) // a websocket of it, say
			if err != nil {
				t.Fatal(err)
			}
			for after := test.use; after <= test.after; after += test.use {
				g.now = func() time.Time { return start.Add(after) }
				if err = g.Check(t.Context(), open, 0); err != nil {
					break
				}
				g.Seen(open)
			}
			if !errors.Is(err, test.want) || !errors.Is(ended, test.want) {
				t.Errorf("open: %v, told: %v, want %v", err, ended, test.want)
			}
			if _, err := g.Admit(r); !errors.Is(err, test.want) {
				t.Errorf("a page: %v, want %v", err, test.want)
			}
			if test.want != nil && len(g.sessions) != 0 {
				t.Error("it is still kept")
			}
		})
	}
}

// TestOwnHostCookies: where a session has a host to itself, no page of another
// one can plant a cookie there.
func TestOwnHostCookies(t *testing.T) {
	c := Config{Prefix: "/user/jane/", Callback: "https://jane.w.example/user/jane/oauth_callback", OwnHost: true}
	g := NewGate(c, NewHub(c), func(*Session, error) {})
	login, open := httptest.NewRecorder(), httptest.NewRecorder()
	g.Login(login, httptest.NewRequest(http.MethodGet, "/user/jane/", nil), "/user/jane/")
	g.open(open, httptest.NewRequest(http.MethodGet, "/user/jane/", nil), "t", User{Name: "jane"})
	cookies := append(login.Result().Cookies(), open.Result().Cookies()...)
	if len(cookies) != 2 {
		t.Fatalf("cookies %v", cookies)
	}
	for _, cookie := range cookies {
		if !strings.HasPrefix(cookie.Name, "__Host-") || cookie.Path != "/" || cookie.Domain != "" || !cookie.Secure || !cookie.HttpOnly {
			t.Errorf("cookie %v", cookie)
		}
	}
	if c.CallbackPath() != "/user/jane/oauth_callback" {
		t.Errorf("path %q", c.CallbackPath())
	}
}

func TestIsolated(t *testing.T) {
	for name, test := range map[string]struct {
		host, public string
		want         bool
	}{
		"subdomains":               {"https://w.example.com:8443", "https://jane.w.example.com:8443/user/jane/", true},
		"a hub that knows its URL": {"https://w.example.com", "https://w.example.com/user/jane/", false},
		"another port":             {"https://w.example.com", "http://w.example.com:8080/user/jane/", false},
		"a hub that doesn't":       {"", "", false},
		"nothing to compare with":  {"https://w.example.com", "", false},
		"nor this way":             {"", "https://w.example.com/user/jane/", false},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := FromEnvironment(func(n string) string {
				return map[string]string{
					"JUPYTERHUB_SERVICE_URL": "http://[::]:10080/user/jane/", "JUPYTERHUB_SERVICE_PREFIX": "/user/jane/", "JUPYTERHUB_API_URL": "http://hub:8081/hub/api",
					"JUPYTERHUB_API_TOKEN": "secret", "JUPYTERHUB_CLIENT_ID": "c", "JUPYTERHUB_USER": "jane", "JUPYTERHUB_OAUTH_ACCESS_SCOPES": `["a"]`,
					"JUPYTERHUB_HOST": test.host, "JUPYTERHUB_PUBLIC_URL": test.public,
				}[n]
			})
			if err != nil || c.Isolated() != test.want {
				t.Errorf("%v, %v", c.Isolated(), err)
			}
		})
	}
}

// TestIsolatedAsTheHubHasIt reads what the hub gives sessions in the workshops of
// pkg/render's tests.
func TestIsolatedAsTheHubHasIt(t *testing.T) {
	const dir = "../../render/testdata/sessions/"
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	isolated, known := 0, 0
	for _, file := range files {
		content, err := os.ReadFile(dir + file.Name())
		if err != nil {
			t.Fatal(err)
		}
		env := map[string]string{"JUPYTERHUB_SERVICE_PREFIX": "/user/jane/"}
		for _, m := range regexp.MustCompile(`"name": "(JUPYTERHUB_[A-Z_]+)",\s*"value": ("(?:[^"\\]|\\.)*")`).FindAllSubmatch(content, -1) {
			if env[string(m[1])], err = strconv.Unquote(string(m[2])); err != nil {
				t.Fatal(err)
			}
		}
		c, err := FromEnvironment(func(n string) string { return env[n] })
		if err != nil {
			t.Fatalf("%s: %v", file.Name(), err)
		}
		if c.Isolated() != (file.Name() == "subdomains.json") {
			t.Errorf("%s: isolated is %v; hub %s, session %v", file.Name(), c.Isolated(), c.HubHome, c.PublicURL)
		}
		if c.Isolated() {
			isolated++
		} else if env["JUPYTERHUB_HOST"] != "" {
			known++
		}
	}
	if isolated == 0 || known == 0 {
		t.Errorf("%d with a host for each session, %d with a hub that knows its URL: the files prove nothing", isolated, known)
	}
}

func TestLoginsAreBounded(t *testing.T) {
	g := newTestGate(t, nil)
	for range 3 * maxLogins {
		g.Login(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/user/jane/", nil), "/user/jane/")
	}
	if len(g.logins) > maxLogins {
		t.Errorf("%d logins are kept", len(g.logins))
	}
}

// TestNoProxy: the session's environment may name an HTTP proxy for the
// attendee's programs, which can't reach the hub inside of the cluster.
// (http.ProxyFromEnvironment reads it once a process, and never for this host:
// hence no request.)
func TestNoProxy(t *testing.T) {
	transport, ok := NewHub(Config{}).client.Transport.(*http.Transport)
	if !ok || transport.Proxy != nil {
		t.Errorf("the hub is asked through %T, whose proxy is set", transport)
	}
}

func TestFromEnvironment(t *testing.T) {
	whole := map[string]string{
		"JUPYTERHUB_SERVICE_URL": "http://[::]:10080/user/jane/", "JUPYTERHUB_SERVICE_PREFIX": "/user/jane/", "JUPYTERHUB_API_URL": "http://hub:8081/hub/api",
		"JUPYTERHUB_API_TOKEN": "secret", "JUPYTERHUB_CLIENT_ID": "c", "JUPYTERHUB_USER": "jane", "JUPYTERHUB_OAUTH_ACCESS_SCOPES": `["a"]`,
	}
	for name, test := range map[string]struct{ variable, value, want string }{
		"whole":       {"", "", ""},
		"no token":    {"JUPYTERHUB_API_TOKEN", "", "JUPYTERHUB_API_TOKEN not set"},
		"no scopes":   {"JUPYTERHUB_OAUTH_ACCESS_SCOPES", "[]", "no scope"},
		"bad scopes":  {"JUPYTERHUB_OAUTH_ACCESS_SCOPES", "a", "JUPYTERHUB_OAUTH_ACCESS_SCOPES"},
		"https":       {"JUPYTERHUB_SERVICE_URL", "https://h:1/", "internal_ssl"},
		"odd prefix":  {"JUPYTERHUB_SERVICE_PREFIX", "/user/jane", "slash"},
		"public path": {"JUPYTERHUB_PUBLIC_URL", "http://[x", "JUPYTERHUB_PUBLIC_URL"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := FromEnvironment(func(n string) string {
				if n == test.variable {
					return test.value
				}
				return whole[n]
			})
			if test.want == "" {
				if err != nil || c.Listen != "[::]:10080" || c.HubHome != "/hub/home" || c.Callback != "/user/jane/oauth_callback" {
					t.Errorf("%+v, %v", c, err)
				}
			} else if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}
