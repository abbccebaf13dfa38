// SPDX-License-Identifier: Apache-2.0

package hubauth

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func newTestGate(t *testing.T, hub http.HandlerFunc) *Gate {
	t.Helper()
	server := httptest.NewServer(hub)
	t.Cleanup(server.Close)
	c := Config{Prefix: "/user/jane/", Callback: "/user/jane/oauth_callback", API: server.URL, ClientID: "c", AccessScopes: []string{"access:servers!user=jane"}}
	return NewGate(c, NewHub(c))
}

// TestTrustEnds: the hub's last word lets pages in for ten minutes, and open
// websockets stay.
func TestTrustEnds(t *testing.T) {
	g := newTestGate(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	start := time.Now()
	s := &Session{user: User{Name: "jane", Scopes: []string{"access:servers!user=jane"}}, asked: start}
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
