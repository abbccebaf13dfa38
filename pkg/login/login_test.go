// SPDX-License-Identifier: Apache-2.0

package login_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/login"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

const (
	metadata = "/.well-known/oauth-authorization-server"
	account  = "/api/v1/namespaces/class/serviceaccounts/terminals-hub"
)

// answer of a played API server and OAuth server in one.
type answer struct {
	status   int
	body     string
	location string
}

func TestCheck(t *testing.T) {
	const bare, annotated = `{"kind":"ServiceAccount","apiVersion":"v1","metadata":{"name":"terminals-hub"}}`,
		`{"kind":"ServiceAccount","apiVersion":"v1","metadata":{"name":"terminals-hub","annotations":{"serviceaccounts.openshift.io/oauth-redirecturi.first":"x"}}}`
	for name, test := range map[string]struct {
		answers         map[string]answer
		cause, evidence string
		remedy          string
		err             error
	}{
		"it goes on to the login page": {answers: map[string]answer{"/authorize": {status: 302, location: "/login"}}},
		"it shows a choice of logins":  {answers: map[string]answer{"/authorize": {status: 200}}},
		"it wants a password at once":  {answers: map[string]answer{"/authorize": {status: 401}}},
		"no OAuth server": {answers: map[string]answer{metadata: {status: 404}},
			cause: "the cluster has no OAuth server", remedy: "--auth password"},
		"an unknown account": {answers: map[string]answer{"/authorize": {status: 400, body: `{"error":"unauthorized_client","error_description":"The client is not authorized\u001b[31m."}`}, account: {status: 404}},
			cause: "the hub's service account terminals-hub does not exist", evidence: "unauthorized_client: The client is not authorized.", remedy: "workshopctl deploy"},
		"no annotation": {answers: map[string]answer{"/authorize": {status: 400, body: `{"error":"server_error"}`}, account: {status: 200, body: bare}},
			cause: "doesn't say where", evidence: "server_error", remedy: "kubectl -n class annotate serviceaccount terminals-hub --overwrite serviceaccounts.openshift.io/oauth-redirecturi.first='https://class.example.com/'"},
		"another host": {answers: map[string]answer{"/authorize": {status: 400, body: `{"error":"invalid_request"}`}, account: {status: 200, body: annotated}},
			cause: "won't send attendees back to https://class.example.com/", remedy: "must be admitted"},
		"not allowed to look": {answers: map[string]answer{"/authorize": {status: 400, body: `no JSON`}, account: {status: 403}},
			cause: "won't send attendees back", evidence: "400 Bad Request"},
		"a scope is refused": {answers: map[string]answer{"/authorize": {status: 302, location: "https://class.example.com/hub/oauth_callback?error=access_denied&error_description=no"}, account: {status: 200, body: annotated}},
			cause: "won't send attendees back", evidence: "access_denied: no"},
		"an OAuth server in trouble": {answers: map[string]answer{"/authorize": {status: 503}}, err: login.ErrUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			var asked *http.Request
			var server *httptest.Server
			server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/authorize" {
					asked = r
				}
				a, known := test.answers[r.URL.Path]
				if !known && r.URL.Path == metadata {
					a = answer{status: 200, body: `{"authorization_endpoint":"` + server.URL + `/authorize"}`}
				}
				w.Header().Set("Content-Type", "application/json")
				if a.location != "" {
					w.Header().Set("Location", a.location)
				}
				w.WriteHeader(a.status)
				_, _ = io.WriteString(w, a.body)
			}))
			defer server.Close()
			client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
			if err != nil {
				t.Fatal(err)
			}
			web := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			target := login.Target{Namespace: "class", Account: "terminals-hub", Spec: workshop.Spec{
				Name: "terminals", Auth: workshop.AuthOpenShift, Expose: workshop.ExposeIngress, Host: "class.example.com", TLSSecret: workshop.TLSDefault}}
			failure, err := login.Check(t.Context(), client, web, target)
			if !errors.Is(err, test.err) {
				t.Errorf("error %v, want %v", err, test.err)
			}
			if asked != nil {
				q := asked.URL.Query()
				if q.Get("client_id") != "system:serviceaccount:class:terminals-hub" || q.Get("redirect_uri") != "https://class.example.com/hub/oauth_callback" || q.Get("scope") != "user:info" {
					t.Errorf("asked for %v", q)
				}
			}
			if test.cause == "" {
				if failure != nil {
					t.Errorf("failure %v", failure)
				}
				return
			}
			if failure == nil {
				t.Fatal("no failure")
			}
			if failure.Code != explain.Login || !strings.Contains(failure.Cause, test.cause) || !strings.Contains(strings.Join(failure.Evidence, "\n"), test.evidence) || !strings.Contains(failure.Remedy, test.remedy) {
				t.Errorf("%+v", failure)
			}
		})
	}
}

// A workshop with another login, or without an address, has nothing to check.
func TestNothingToCheck(t *testing.T) {
	for _, spec := range []workshop.Spec{
		{Auth: workshop.AuthPassword, Expose: workshop.ExposeIngress, Host: "class.example.com"},
		{Auth: workshop.AuthOpenShift},
	} {
		if failure, err := login.Check(t.Context(), nil, nil, login.Target{Spec: spec}); failure != nil || err != nil {
			t.Errorf("%+v: %v, %v", spec, failure, err)
		}
	}
}
