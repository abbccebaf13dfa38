// SPDX-License-Identifier: Apache-2.0

//go:build integration

package render_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/workshopctl/workshopctl/pkg/render"
	"github.com/workshopctl/workshopctl/pkg/workshop"
	"github.com/workshopctl/workshopctl/test/testhub"
)

const (
	oidcPublic = "http://terminals.test/"
	// As a provider may make one up: to be escaped in more than one place.
	oidcSecret = "s3cret+/%: of the client"
)

// oidcInput is a workshop at a provider.
func oidcInput(t *testing.T, p testhub.Provider, change func(*workshop.Spec)) render.Input {
	t.Helper()
	in := input(func(s *workshop.Spec) {
		s.Auth, s.Expose, s.Host, s.CABundle = workshop.AuthOIDC, workshop.ExposeIngress, "terminals.test", p.CA
		s.OIDC = workshop.OIDC{IssuerURL: p.Issuer, ClientID: "workshop"}
		s.AdminUsers = []string{"Trainer"}
		if change != nil {
			change(s)
		}
	})
	if err := in.Spec.Validate(); err != nil {
		t.Fatal(err)
	}
	in.Secret = map[string][]byte{workshop.SecretOIDCClient: []byte(oidcSecret)}
	return as(t, in)
}

func oidcProvider(t *testing.T, more map[string]any) testhub.Provider {
	t.Helper()
	return testhub.OIDC(t, []map[string]any{{
		"client_id": "workshop", "client_secret": oidcSecret, "redirect_uris": []string{oidcPublic + "hub/oauth_callback"}, "response_types": []string{"code"}, "grant_types": []string{"authorization_code"},
	}}, map[string]map[string]any{
		"1": {"preferred_username": "Jane", "email": "jane@example.com", "email_verified": true, "groups": []string{"class", "others"}},
		"2": {"preferred_username": "mallory", "email": "jane@example.com", "email_verified": false},
		"5": {"preferred_username": "malou", "email": "lou@example.com", "email_verified": "false"}, // as some providers write it
		"3": {"preferred_username": "trainer", "realm_access": map[string]any{"roles": []string{"staff"}}},
		"4": {"name": "has no other"},
		"a": {"preferred_username": "lower"}, "A": {"preferred_username": "upper"},
	}, more)
}

// visit is one browser at hub and provider.
type visit struct {
	t       *testing.T
	hub     *runningHub
	browser *http.Client
}

func (h *runningHub) visit(t *testing.T, p testhub.Provider) *visit {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(p.CA))
	b := browser(t)
	b.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	return &visit{t, h, b}
}

// page is where a browser has come to.
type page struct {
	status  int
	address *url.URL
	text    string
}

// follow goes where answers lead, as far as they do. What leads to the
// workshop's address leads to the hub.
func (v *visit) follow(r *http.Request) page {
	v.t.Helper()
	for range 20 {
		status, header, text := do(v.t, v.browser, r)
		location := header.Get("Location")
		if location == "" || strings.HasPrefix(location, "/hub/spawn") || strings.HasPrefix(location, "/hub/home") {
			return page{status, r.URL, html.UnescapeString(text)}
		}
		next, err := r.URL.Parse(strings.Replace(location, oidcPublic, v.hub.url+"/", 1))
		if err != nil {
			v.t.Fatal(err)
		}
		r = request(v.t, http.MethodGet, next.String(), nil)
	}
	v.t.Fatal("sent around in circles")
	return page{}
}

var form = regexp.MustCompile(`<form[^>]* action="([^"]+)"`)

// login goes through the provider's pages as a user of it, and returns where
// that ends; "" for one who doesn't allow it.
func (v *visit) login(id string) page {
	v.t.Helper()
	at := v.follow(request(v.t, http.MethodGet, v.hub.url+"/hub/oauth_login", nil))
	for range 3 {
		action := form.FindStringSubmatch(at.text)
		if at.status != http.StatusOK || action == nil || strings.HasPrefix(at.address.String(), v.hub.url) {
			return at
		}
		to, err := at.address.Parse(html.UnescapeString(action[1]))
		if err != nil {
			v.t.Fatal(err)
		}
		if id == "" {
			return v.follow(request(v.t, http.MethodGet, to.String()+"/abort", nil))
		}
		fields := url.Values{"prompt": {"consent"}}
		if strings.Contains(at.text, `name="login"`) {
			fields = url.Values{"prompt": {"login"}, "login": {id}, "password": {"any"}}
		}
		at = v.follow(request(v.t, http.MethodPost, to.String(), fields))
	}
	return at
}

// admin says whether the hub knows a user, and as an admin.
func (h *runningHub) admin(t *testing.T, user string) (known, admin bool) {
	t.Helper()
	status, body := h.call(t, http.MethodGet, "/users/"+url.PathEscape(user))
	var u struct {
		Admin bool `json:"admin"`
	}
	if status != 200 || json.Unmarshal([]byte(body), &u) != nil {
		return false, false
	}
	return true, u.Admin
}

// TestOIDCLogin logs in at a real provider: who comes in, as whom, as what.
func TestOIDCLogin(t *testing.T) {
	for _, version := range hubs {
		t.Run(version.jupyterhub, func(t *testing.T) {
			t.Parallel()
			p := oidcProvider(t, nil)
			for name, c := range map[string]struct {
				spec func(*workshop.Spec)
				// users of the provider, and as whom they come in; what the page says
				// to those who don't begins with "!".
				want   map[string]string
				admins []string
			}{
				"everybody": {nil, map[string]string{"1": "jane", "2": "mallory", "3": "trainer", "4": "!tells the workshop no name for your account"}, []string{"trainer"}},
				"a list": {func(s *workshop.Spec) { s.AllowedUsers = []string{"JANE"} },
					map[string]string{"1": "jane", "2": "!You are logged in as mallory, who is not on the list", "3": "trainer"}, []string{"trainer"}},
				"groups": {func(s *workshop.Spec) {
					s.AllowedGroups, s.OIDC.Scopes, s.AdminUsers = []string{"class"}, []string{"openid", "profile", "groups"}, nil
				}, map[string]string{"1": "jane", "2": "!not on the list", "3": "!not on the list"}, nil},
				"roles in a claim": {func(s *workshop.Spec) {
					s.AdminGroups, s.OIDC.Scopes, s.AdminUsers = []string{"staff"}, []string{"openid", "profile", "groups"}, nil
					s.OIDC.GroupsClaim, s.AllowedUsers = "realm_access.roles", []string{"nobody"}
				}, map[string]string{"1": "!not on the list", "3": "trainer"}, []string{"trainer"}},
				"mail": {func(s *workshop.Spec) {
					s.OIDC.UsernameClaim, s.OIDC.Scopes = "email", []string{"openid", "email"}
				}, map[string]string{"1": "jane@example.com", "2": "!has not verified your mail address", "5": "!has not verified your mail address"}, nil},
				"subject": {func(s *workshop.Spec) { s.OIDC.UsernameClaim, s.AllowedUsers = "sub", []string{"A"} },
					map[string]string{"A": "A", "a": "!not on the list"}, nil},
			} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					h := start(t, version.jupyterhub, oidcInput(t, p, c.spec))
					for id, want := range c.want {
						at := h.visit(t, p).login(id)
						if refusal, ok := strings.CutPrefix(want, "!"); ok {
							if at.status != 403 || !strings.Contains(at.text, "403 : Forbidden") || !strings.Contains(at.text, refusal) || !strings.Contains(at.text, "Log in again") {
								t.Errorf("%s is to read %q: %d\n%s", id, refusal, at.status, at.text)
							}
							continue
						}
						known, admin := h.admin(t, want)
						if at.status != 302 || !known || admin != slices.Contains(c.admins, want) {
							t.Errorf("%s is to be %s: %d, known %v, admin %v\n%s", id, want, at.status, known, admin, at.text)
						}
					}
					h.silent(t)
				})
			}
		})
	}
}

// silent looks for what the log must not tell.
func (h *runningHub) silent(t *testing.T) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, line := range h.log {
		if strings.Contains(line, oidcSecret) || strings.Contains(line, url.QueryEscape(oidcSecret)) || regexp.MustCompile(`[?&]code=`).MatchString(line) {
			t.Errorf("the log tells a secret: %s", line)
		}
	}
}

// TestOIDCRefusals: what goes wrong between hub and provider is a page that says
// what to do.
func TestOIDCRefusals(t *testing.T) {
	for _, version := range hubs {
		t.Run(version.jupyterhub, func(t *testing.T) {
			t.Parallel()
			p := oidcProvider(t, nil)
			check := func(t *testing.T, at page, status int, words ...string) {
				t.Helper()
				for _, w := range append(words, "Log in again") {
					if at.status != status || !strings.Contains(at.text, w) {
						t.Errorf("%d, want %d, and %q in\n%s", at.status, status, w, at.text)
					}
				}
			}
			t.Run("as it is", func(t *testing.T) {
				t.Parallel()
				h := start(t, version.jupyterhub, oidcInput(t, p, nil))
				v := h.visit(t, p)
				check(t, v.login(""), 400, "choose to allow it", "End-User aborted interaction")
				// Whoever is sent here with another's code, or an old one.
				check(t, v.follow(request(t, http.MethodGet, h.url+"/hub/oauth_callback?code=x&state=e30=", nil)), 400, "begun in another browser")
				check(t, v.follow(request(t, http.MethodGet, h.url+"/hub/oauth_callback?error=invalid_scope&error_description=no+such+scope", nil)), 400, "The login service says: no such scope")
			})
			for name, c := range map[string]struct {
				change func(*workshop.Spec)
				secret string
				status int
				words  []string
			}{
				"wrong secret":   {nil, "wrong", 502, []string{"It answers 401: client authentication failed", "--oidc-client-id", oidcPublic + "hub/oauth_callback"}},
				"not trusted":    {func(s *workshop.Spec) { s.CABundle = "" }, oidcSecret, 502, []string{"doesn't trust the certificate of 127.0.0.1", "caBundle"}},
				"another issuer": {func(s *workshop.Spec) { s.OIDC.IssuerURL += "/" }, oidcSecret, 502, []string{"speaks of the issuer", "--oidc-issuer"}},
				"no provider":    {func(s *workshop.Spec) { s.OIDC.IssuerURL += "/realms/none" }, oidcSecret, 502, []string{"answers 404", "--oidc-issuer"}},
				"nobody there":   {func(s *workshop.Spec) { s.OIDC.IssuerURL = "https://127.0.0.1:1" }, oidcSecret, 502, []string{"doesn't reach 127.0.0.1:1"}},
			} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					in := oidcInput(t, p, c.change)
					in.Secret[workshop.SecretOIDCClient] = []byte(c.secret)
					h := startOn(t, filepath.Join(t.TempDir(), "hub.sqlite"), version.jupyterhub, in)
					check(t, h.visit(t, p).login("1"), c.status, c.words...)
					h.silent(t)
				})
			}
		})
	}
}
