// SPDX-License-Identifier: Apache-2.0

//go:build integration && openshift

package test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
)

// client is a program that users log in to: a service account as OAuth client.
const (
	client   = "system:serviceaccount:mine:web"
	callback = "https://web.example/callback"
)

// oauth asks a sandbox's OAuth server, as the user if there is one.
type oauth struct {
	t    *testing.T
	url  string
	http *http.Client
	user string
}

func (s *sandbox) oauth(user string) oauth {
	s.t.Helper()
	status := s.status()
	authority, err := os.ReadFile(s.dirs.CA())
	if err != nil {
		s.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	return oauth{s.t, status.OAuthURL(), &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: pool},
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", strconv.Itoa(status.Ports.HTTPS)))
			},
		},
	}, user}
}

// do returns status, Location and body.
func (o oauth) do(req *http.Request) (status int, location *url.URL, body string) {
	o.t.Helper()
	resp, err := o.http.Do(req)
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	location, err = url.Parse(resp.Header.Get("Location"))
	if err != nil {
		o.t.Fatal(err)
	}
	return resp.StatusCode, location, string(data)
}

// authorize asks for a code; more are parameters instead of the usual ones.
func (o oauth) authorize(more ...string) (status int, location *url.URL, body string) {
	o.t.Helper()
	query := url.Values{"client_id": {client}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"user:info"}}
	for i := 0; i < len(more); i += 2 {
		query.Set(more[i], more[i+1])
	}
	req, err := http.NewRequestWithContext(o.t.Context(), http.MethodGet, o.url+"/oauth/authorize?"+query.Encode(), nil)
	if err != nil {
		o.t.Fatal(err)
	}
	req.Header.Set("X-CSRF-Token", "1")
	if o.user != "" {
		req.SetBasicAuth(o.user, "openshift")
	}
	return o.do(req)
}

// exchange trades a code for a token.
func (o oauth) exchange(code, secret string) (status int, body string) {
	o.t.Helper()
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "client_id": {client}, "client_secret": {secret}}
	req, err := http.NewRequestWithContext(o.t.Context(), http.MethodPost, o.url+"/oauth/token", strings.NewReader(form.Encode()))
	if err != nil {
		o.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	status, _, body = o.do(req)
	return status, body
}

// accountsAsClients: user2, admin of the project mine, has a program there that
// lets people in by OpenShift's login.
func accountsAsClients(t *testing.T, s *sandbox, user2, admin person) {
	t.Helper()
	user2.oc("create", "serviceaccount", "web", "-n", "mine")
	user2.oc("create", "serviceaccount", "other", "-n", "mine")
	user2.oc("annotate", "serviceaccount", "web", "-n", "mine", "serviceaccounts.openshift.io/oauth-redirecturi.first="+callback, "serviceaccounts.openshift.io/oauth-want-challenges=true")
	login := s.oauth("user2")

	t.Run("the user is asked first", func(t *testing.T) {
		if status, to, body := login.authorize(); status != http.StatusFound || to.Path != "authorize/approve" {
			t.Errorf("%d to %s: %s", status, to, body)
		}
	})
	uid := admin.oc("get", "user", "user2", "-o", "jsonpath={.metadata.uid}")
	if out, err := admin.create(fmt.Sprintf(`{apiVersion: oauth.openshift.io/v1, kind: OAuthClientAuthorization, metadata: {name: %q},
  clientName: %q, userName: user2, userUID: %s, scopes: ["user:info"]}`, "user2:"+client, client, uid)); err != nil {
		t.Fatal(out)
	}
	t.Run("refusals", func(t *testing.T) {
		for name, c := range map[string]struct {
			parameters []string
			status     int
			says       string
		}{
			"another redirect":       {[]string{"redirect_uri", "https://evil.example/"}, http.StatusBadRequest, "invalid_request"},
			"an unknown account":     {[]string{"client_id", "system:serviceaccount:mine:none"}, http.StatusBadRequest, "unauthorized_client"},
			"an account without any": {[]string{"client_id", "system:serviceaccount:mine:other"}, http.StatusBadRequest, "server_error"},
			"all rights":             {[]string{"scope", "user:full"}, http.StatusFound, "access_denied"},
			"another's namespace":    {[]string{"scope", "role:admin:kube-system"}, http.StatusFound, "access_denied"},
		} {
			status, to, body := login.authorize(c.parameters...)
			if got := to.Query().Get("error") + body; status != c.status || !strings.Contains(got, c.says) {
				t.Errorf("%s: %d to %s: %s", name, status, to, body)
			}
		}
		if status, _, _ := s.oauth("").authorize(); status != http.StatusUnauthorized {
			t.Errorf("without a password: %d", status)
		}
	})
	code := func() string {
		t.Helper()
		status, to, body := login.authorize()
		if status != http.StatusFound || to.Query().Get("code") == "" {
			t.Fatalf("%d to %s: %s", status, to, body)
		}
		return to.Query().Get("code")
	}
	t.Run("an account's own token is its secret", func(t *testing.T) {
		c := code()
		if status, body := login.exchange(c, user2.oc("create", "token", "other", "-n", "mine")); status != http.StatusBadRequest {
			t.Errorf("with another account's token: %d: %s", status, body)
		}
		secret := user2.oc("create", "token", "web", "-n", "mine")
		status, body := login.exchange(c, secret)
		var answer struct {
			Token string `json:"access_token"`
			Scope string `json:"scope"`
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusOK || answer.Scope != "user:info" {
			t.Fatalf("%d: %s", status, body)
		}
		if status, body := login.exchange(c, secret); status != http.StatusBadRequest {
			t.Errorf("the code once more: %d: %s", status, body)
		}
		as := func(args ...string) (string, error) { return user2.try("", append(args, "--token", answer.Token)...) }
		if out, err := as("whoami"); err != nil || out != "user2" {
			t.Errorf("the token is %s's", out)
		}
		if out, err := as("get", "pods", "-n", "mine"); err == nil || !strings.Contains(out, "scopes [user:info] prevent this action") {
			t.Errorf("user:info is enough for pods: %s", out)
		}
	})
}

// rightsAndSchemas: what goes beyond Kubernetes for users of oc.
func rightsAndSchemas(t *testing.T, s *sandbox, user2, user3 person) {
	t.Helper()
	t.Run("a project is seen for as long as there is a right", func(t *testing.T) {
		user2.oc("adm", "policy", "add-role-to-user", "view", "user3", "-n", "mine")
		user3.answers("mine", "projects", "-q")
		user2.oc("adm", "policy", "remove-role-from-user", "view", "user3", "-n", "mine")
		until(t, "user3 doesn't see the project", func(context.Context) error {
			if out := user3.oc("projects", "-q"); out != "" {
				return fmt.Errorf("user3 sees %s", out)
			}
			return nil
		})
	})
	t.Run("nobody grants what they haven't got", func(t *testing.T) {
		if out, err := user2.try("", "create", "rolebinding", "sneak", "--clusterrole=system:openshift:scc:anyuid", "--user=user2", "-n", "mine"); err == nil || !strings.Contains(out, "attempting to grant") {
			t.Errorf("an admin of a project lets pods run as root: %s", out)
		}
	})
	t.Run("schemas of all groups are known", func(t *testing.T) {
		for _, field := range []string{"dc.spec.triggers", "route.spec.tls", "template.parameters", "imagestream.spec.tags", "oauthclient.redirectURIs"} {
			if out, err := user2.try("", "explain", field); err != nil {
				t.Errorf("oc explain %s: %s", field, out)
			}
		}
	})
	t.Run("a deleted project goes away", func(t *testing.T) {
		user2.oc("new-project", "gone")
		user2.oc("delete", "project", "gone") // which waits only for as long as user2 may look
		until(t, "the namespace is gone", func(context.Context) error {
			if out, err := s.person(s.dirs.Kubeconfig()).try("", "get", "namespace", "gone"); err == nil || !strings.Contains(out, "not found") {
				return errors.New(out)
			}
			return nil
		})
	})
}
