// SPDX-License-Identifier: Apache-2.0

//go:build integration

package render_test

import (
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/workshopctl/workshopctl/pkg/render"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// oauthServer plays a cluster that fails in ways in which a real one can't be
// made to; logins that go well are tested with the real one. A code is the name
// of the user who has logged in.
type oauthServer struct {
	*httptest.Server
	account string // directory of the hub's account
	// status of an answer by path, where it isn't 200.
	failing atomic.Pointer[map[string]int]
}

func newOAuthServer(t *testing.T) *oauthServer {
	t.Helper()
	s := &oauthServer{account: t.TempDir()}
	answer := func(w http.ResponseWriter, r *http.Request, body map[string]any) {
		w.Header().Set("Content-Type", "application/json")
		if failing := s.failing.Load(); failing != nil && (*failing)[r.URL.Path] != 0 {
			w.WriteHeader((*failing)[r.URL.Path])
			body = map[string]any{"error": "unauthorized_client", "error_description": "The client is not authorized."}
		}
		_ = json.NewEncoder(w).Encode(body)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/oauth-authorization-server", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, map[string]any{"issuer": s.URL, "authorization_endpoint": s.URL + "/oauth/authorize", "token_endpoint": s.URL + "/oauth/token"})
	})
	mux.HandleFunc("POST /oauth/token", func(w http.ResponseWriter, r *http.Request) {
		secret, err := os.ReadFile(filepath.Join(s.account, "token"))
		if err != nil || r.FormValue("client_secret") != string(secret) || r.FormValue("client_id") != "system:serviceaccount:training:terminals-hub" || r.FormValue("code_verifier") == "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		answer(w, r, map[string]any{"access_token": r.FormValue("code"), "token_type": "Bearer", "scope": "user:info"})
	})
	mux.HandleFunc("GET /apis/user.openshift.io/v1/users/~", func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		groups := []string{"system:authenticated"}
		if name == "Jane" {
			groups = append(groups, "class")
		}
		answer(w, r, map[string]any{"metadata": map[string]any{"name": name}, "groups": groups})
	})
	s.Server = httptest.NewTLSServer(mux)
	t.Cleanup(s.Close)
	s.write(t, "token", "first")
	s.write(t, "ca.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	return s
}

func (s *oauthServer) write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.account, file), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// places are where the hub finds the server and the account.
func (s *oauthServer) places() []string {
	return []string{"https://kubernetes.default.svc", s.URL, "/var/run/secrets/kubernetes.io/serviceaccount", s.account}
}

// openshiftLogin is a workshop with the cluster's own login.
func openshiftLogin(change func(*workshop.Spec)) render.Input {
	return input(func(s *workshop.Spec) {
		ingress(s)
		s.TLSSecret, s.Auth = workshop.TLSDefault, workshop.AuthOpenShift
		if change != nil {
			change(s)
		}
	})
}

// begin opens the workshop's URL in a browser, and returns where that is sent.
func (h *runningHub) begin(t *testing.T, b *http.Client) *url.URL {
	t.Helper()
	at := "/hub/"
	for range 4 {
		status, header, page := do(t, b, h.request(t, at))
		if status != http.StatusFound {
			t.Fatalf("GET %s: %d\n%s", at, status, page)
		}
		to, err := url.Parse(header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		if to.IsAbs() {
			return to
		}
		at = to.String()
	}
	t.Fatal("no way to the login page")
	return nil
}

// request is one as it arrives at the hub behind TLS. Cookies are Secure then;
// the test's browser keeps them nonetheless, as Go's jar takes 127.0.0.1 for
// any other http: the test asks by https and the transport doesn't.
func (h *runningHub) request(t *testing.T, path string) *http.Request {
	t.Helper()
	return request(t, http.MethodGet, strings.Replace(h.url, "http://", "https://", 1)+path, nil)
}

// withoutTLS lets a browser believe that the hub has TLS.
type withoutTLS struct{}

func (withoutTLS) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme = "http"
	return http.DefaultTransport.RoundTrip(r)
}

func secureBrowser(t *testing.T) *http.Client {
	t.Helper()
	b := browser(t)
	b.Transport = withoutTLS{}
	return b
}

// comeBack is what the login page has browsers do, with a code or an error.
func (h *runningHub) comeBack(t *testing.T, b *http.Client, from *url.URL, answer url.Values) (int, string) {
	t.Helper()
	answer.Set("state", from.Query().Get("state"))
	status, _, page := do(t, b, h.request(t, "/hub/oauth_callback?"+answer.Encode()))
	return status, page
}

func (h *runningHub) loginAs(t *testing.T, code string) (int, string) {
	t.Helper()
	b := secureBrowser(t)
	return h.comeBack(t, b, h.begin(t, b), url.Values{"code": {code}})
}

func TestLoginWithTheCluster(t *testing.T) {
	for _, version := range hubs {
		t.Run(version.jupyterhub, func(t *testing.T) {
			t.Parallel()
			s := newOAuthServer(t)
			in := as(t, openshiftLogin(func(s *workshop.Spec) {
				s.AdminUsers, s.AllowedUsers, s.AllowedGroups = []string{"Trainer"}, []string{"kube:admin"}, []string{"class"}
			}))
			h := startOn(t, filepath.Join(t.TempDir(), "hub.sqlite"), version.jupyterhub, in, s.places()...)

			b := secureBrowser(t)
			to := h.begin(t, b)
			q := to.Query()
			for key, want := range map[string]string{
				"client_id": "system:serviceaccount:training:terminals-hub", "response_type": "code", "scope": "user:info", "code_challenge_method": "S256",
				"redirect_uri": "https://terminals-training.apps.example.com/hub/oauth_callback",
			} {
				if q.Get(key) != want {
					t.Errorf("%s is %q, want %q", key, q.Get(key), want)
				}
			}
			if status, page := h.comeBack(t, b, to, url.Values{"code": {"Jane"}}); status != http.StatusFound {
				t.Fatalf("Jane: %d\n%s", status, page)
			}
			if status, _, page := do(t, b, h.request(t, "/hub/home")); status != 200 || !strings.Contains(page, "Jane") {
				t.Errorf("Jane's page: %d\n%s", status, page)
			}
			if status, _, page := do(t, b, h.request(t, "/hub/logout")); status != 200 || !strings.Contains(page, "logged out") {
				t.Errorf("logout: %d\n%s", status, page)
			}
			h.begin(t, b) // to log in anew

			s.write(t, "token", "renewed")
			for user, want := range map[string]int{"Trainer": 302, "kube:admin": 302, "trainer": 403, "jane": 403, "KUBE:ADMIN": 403} {
				status, page := h.loginAs(t, user)
				if status != want {
					t.Errorf("%s: %d, want %d\n%s", user, status, want, page)
				}
				if status == 403 && !strings.Contains(page, "You are logged in to the cluster as "+user+", who is not on the list") {
					t.Errorf("%s isn't told what is wrong:\n%s", user, page)
				}
			}
			for user, admin := range map[string]string{"Trainer": `"admin": true`, "Jane": `"admin": false`, "kube%3Aadmin": `"admin": false`} {
				if status, body := h.call(t, http.MethodGet, "/users/"+user); status != 200 || !strings.Contains(body, admin) {
					t.Errorf("%s: %d %s", user, status, body)
				}
			}

			for name, test := range map[string]struct {
				answer url.Values
				status int
				want   string
			}{
				"denied":  {url.Values{"error": {"access_denied"}, "error_description": {"The resource owner denied the request."}}, 400, "choose to allow it"},
				"refused": {url.Values{"error": {"invalid_scope"}, "error_description": {"<b>no</b>"}}, 400, "&lt;b&gt;no&lt;/b&gt;"},
				"nothing": {url.Values{}, 400, "without a code"},
			} {
				b := secureBrowser(t)
				if status, page := h.comeBack(t, b, h.begin(t, b), test.answer); status != test.status || !strings.Contains(page, test.want) {
					t.Errorf("%s: %d, without %q\n%s", name, status, test.want, page)
				}
			}
			twice := secureBrowser(t)
			from := h.begin(t, twice)
			h.comeBack(t, twice, from, url.Values{"code": {"Jane"}})
			if status, page := h.comeBack(t, twice, from, url.Values{"code": {"Jane"}}); status != 400 || !strings.Contains(page, "was done already") {
				t.Errorf("the same once more: %d\n%s", status, page)
			}

			const secret = "a-code-that-nobody-may-read"
			for path, want := range map[string]string{
				"/oauth/token":                       "The client is system:serviceaccount:training:terminals-hub",
				"/apis/user.openshift.io/v1/users/~": "The API server answers 401",
			} {
				for _, status := range []int{401, 503} {
					s.failing.Store(&map[string]int{path: status})
					if status == 503 {
						want = "reach " + s.Listener.Addr().String()
					}
					if status, page := h.loginAs(t, secret); status != 502 || !strings.Contains(page, want) {
						t.Errorf("%s: %d, without %q\n%s", path, status, want, page)
					}
				}
			}
			s.failing.Store(nil)
			b = secureBrowser(t)
			from = h.begin(t, b)
			s.write(t, "ca.crt", certificate(t))
			if status, page := h.comeBack(t, b, from, url.Values{"code": {secret}}); status != 502 || !strings.Contains(page, "caBundle") {
				t.Errorf("an untrusted certificate: %d\n%s", status, page)
			}
			h.mu.Lock()
			defer h.mu.Unlock()
			if log := strings.Join(h.log, "\n"); strings.Contains(log, secret) {
				t.Error("the log has a code")
			}
		})
	}
}

// A cluster without an OAuth server, or none that answers at first, and the
// workshop's own certificates.
func TestNoOAuthServer(t *testing.T) {
	s := newOAuthServer(t)
	s.failing.Store(&map[string]int{"/.well-known/oauth-authorization-server": 404})
	ours, err := os.ReadFile(filepath.Join(s.account, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, "ca.crt", certificate(t))
	h := startOn(t, filepath.Join(t.TempDir(), "hub.sqlite"), hubs[1].jupyterhub, as(t, openshiftLogin(func(spec *workshop.Spec) { spec.CABundle = string(ours) })), s.places()...)
	b := secureBrowser(t)
	if status, _, page := do(t, b, h.request(t, "/hub/oauth_login")); status != 502 || !strings.Contains(page, "--auth password") {
		t.Errorf("%d\n%s", status, page)
	}
	s.failing.Store(nil)
	if status, page := h.loginAs(t, "Jane"); status != http.StatusFound {
		t.Errorf("%d\n%s", status, page)
	}
}
