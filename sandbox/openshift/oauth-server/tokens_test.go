// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

const account = "system:serviceaccount:demo:web"

// oneToken knows the one token "a.valid.token".
type oneToken struct{ fails bool }

func (o oneToken) owner(token string) (string, error) {
	switch {
	case o.fails:
		return "", errors.New("no answer")
	case token == "a.valid.token":
		return account, nil
	default:
		return "", nil
	}
}

func TestBoundTokens(t *testing.T) {
	post := func(tokens oneToken, id, secret string, basic bool) (int, url.Values) {
		var seen url.Values
		h := withBoundTokens(tokens, "stand-in", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			if seen, err = url.ParseQuery(string(body)); err != nil {
				t.Error(err)
			}
			if r.Header.Get("Authorization") != "" {
				t.Error("the request still has an Authorization header")
			}
		}))
		form := url.Values{"grant_type": {"authorization_code"}, "code": {"sha256~c"}}
		if !basic {
			form.Set("client_id", id)
			form.Set("client_secret", secret)
		}
		r := httptest.NewRequest(http.MethodPost, "/oauth/token", strings.NewReader(form.Encode()))
		if basic {
			r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code, seen
	}
	for name, c := range map[string]struct {
		id, secret string
		basic      bool
		want       string
	}{
		"valid token":                      {account, "a.valid.token", false, "stand-in"},
		"valid token, basic":               {account, "a.valid.token", true, "stand-in"},
		"another account's":                {"system:serviceaccount:demo:other", "a.valid.token", false, "a.valid.token"},
		"a user":                           {"jane", "a.valid.token", false, "a.valid.token"},
		"no token":                         {account, "guess", false, "guess"},
		"an invalid token":                 {account, "an.invalid.token", true, "an.invalid.token"},
		"the stand-in itself is no secret": {account, "stand-in", false, ""},
	} {
		code, seen := post(oneToken{}, c.id, c.secret, c.basic)
		if code != http.StatusOK || seen.Get("client_secret") != c.want || seen.Get("client_id") != c.id || seen.Get("code") != "sha256~c" {
			t.Errorf("%s: %d, %v; want client_secret %q", name, code, seen, c.want)
		}
	}
	if _, seen := post(oneToken{}, "openshift-challenging-client", "", true); !seen.Has("client_secret") {
		t.Errorf("of a client without a secret, as oc is, the server sees %v", seen)
	}
	if code, seen := post(oneToken{fails: true}, account, "a.valid.token", false); code != http.StatusServiceUnavailable || seen != nil {
		t.Errorf("while the API server is away: %d, %v", code, seen)
	}
}

func TestHashed(t *testing.T) {
	// printf value | openssl dgst -sha256 -binary | basenc --base64url
	const want = "sha256~zUJATVKtVcz6mspK3IKKpYAK2dOFoGcfvL9yQRgyBhk"
	if got := hashed("value"); got != want {
		t.Errorf("hashed: %q; want %q", got, want)
	}
	if hashed("value") != hashed("sha256~value") {
		t.Error("the bearer's spelling has another name")
	}
}

func TestPrefix(t *testing.T) {
	answer := func(path string, h http.HandlerFunc) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		withPrefix(h).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w
	}
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
	}
	for to, want := range map[string]string{
		"https://a.example/cb?code=c&state=s":   "https://a.example/cb?code=sha256~c&state=s",
		"https://a.example/#access_token=t&x=y": "https://a.example/#access_token=sha256~t&x=y",
		"https://a.example/?error=denied":       "https://a.example/?error=denied",
		"/login?then=%2Foauth":                  "/login?then=%2Foauth",
	} {
		if got := answer("/oauth/authorize", redirect(to)).Header().Get("Location"); got != strings.ReplaceAll(want, "~", "%7E") && got != want {
			t.Errorf("redirect to %s became %s; want %s", to, got, want)
		}
	}
	w := answer("/oauth/token", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"access_token":"t","expires_in":5}`)
	})
	if w.Code != http.StatusCreated || w.Body.String() != `{"access_token":"sha256~t","expires_in":5}` || w.Header().Get("Content-Length") != "42" {
		t.Errorf("token answer: %d %v %s", w.Code, w.Header(), w.Body)
	}
	w = answer("/oauth/token", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusBadRequest) })
	if w.Code != http.StatusBadRequest || w.Body.String() != "no\n" {
		t.Errorf("refusal: %d %q", w.Code, w.Body)
	}
}
