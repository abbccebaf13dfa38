// SPDX-License-Identifier: Apache-2.0

package hub_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/workshopctl/workshopctl/pkg/hub"
)

// TestDo: what is sent, and where to, whichever way the path is written.
func TestDo(t *testing.T) {
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = strings.TrimSpace(fmt.Sprintf("%s %s %s %s", r.Method, r.URL.RequestURI(), r.Header.Get("Authorization"), body))
		_, _ = io.WriteString(w, `{"kind": "x"}`)
	}))
	defer server.Close()
	client := hub.New(server.URL, "secret", server.Client())
	for path, want := range map[string]string{
		"users": "/hub/api/users", "/users": "/hub/api/users", "/hub/api/users": "/hub/api/users", "hub/api/users?state=active": "/hub/api/users?state=active",
		"": "/hub/api/", "/": "/hub/api/", "/hub/api": "/hub/api/", "hub/apiary": "/hub/api/hub/apiary", "?x": "/hub/api/?x",
		"users/jane.doe%40example.com": "/hub/api/users/jane.doe%40example.com", "@evil.example/x": "/hub/api/@evil.example/x",
	} {
		answer, err := client.Do(t.Context(), hub.Request{Method: http.MethodGet, Path: path, Header: http.Header{"Authorization": {"mine"}}})
		if err != nil || string(answer) != `{"kind": "x"}` || got != "GET "+want+" token secret" {
			t.Errorf("%q: %s, %q, %v", path, answer, got, err)
		}
	}
	if _, err := client.Do(t.Context(), hub.Request{Method: http.MethodPost, Path: "users/jane", Body: []byte(`{"a":1}`)}); err != nil || got != `POST /hub/api/users/jane token secret {"a":1}` {
		t.Errorf("%q, %v", got, err)
	}
	got = ""
	for _, path := range []string{"http://evil.example/", "//evil.example/", "users#x", "%zz"} {
		if _, err := client.Do(t.Context(), hub.Request{Method: http.MethodGet, Path: path}); err == nil || got != "" {
			t.Errorf("%q was sent: %v", path, err)
		}
	}
}

// TestAll: pages come as one list, and what isn't paged as it is.
func TestAll(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RequestURI())
		answer := map[string]string{
			"":  `{"items": [1, 2], "_pagination": {"offset": 0, "next": {"offset": 2}}}`,
			"2": `{"items": [3], "_pagination": {"offset": 2, "next": null}}`,
		}[r.URL.Query().Get("offset")]
		switch {
		case strings.HasSuffix(r.URL.Path, "/info"):
			answer = `{"version": "6"}`
		case strings.HasSuffix(r.URL.Path, "/none"):
			answer = `{"items": [], "_pagination": {"offset": 0, "next": null}}`
		case r.Header.Get("Accept") != "application/jupyterhub-pagination+json":
			answer = `[1, 2]`
		}
		_, _ = io.WriteString(w, answer)
	}))
	defer server.Close()
	client := hub.New(server.URL, "secret", server.Client())
	for path, want := range map[string]string{"users?state=active": "[1,2,3]", "info": `{"version": "6"}`, "none": "[]"} {
		got, err := client.All(t.Context(), hub.Request{Method: http.MethodGet, Path: path})
		if err != nil || string(got) != want {
			t.Errorf("%s: %s, %v", path, got, err)
		}
	}
	for _, uri := range []string{"/hub/api/users?limit=200&state=active", "/hub/api/users?limit=200&offset=2&state=active"} {
		if !strings.Contains(strings.Join(asked, "\n")+"\n", uri+"\n") {
			t.Errorf("%s was not asked for: %q", uri, asked)
		}
	}
}

func TestRefusals(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hub/api/page" {
			http.Error(w, "<html>", http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"status": 403, "message": "requires any of [admin:users]"}`)
	}))
	defer server.Close()
	client := hub.New(server.URL, "secret", server.Client())
	for path, want := range map[string]hub.Error{
		"page": {Status: 503, Message: "Service Unavailable"}, "users": {Status: 403, Message: "requires any of [admin:users]"},
	} {
		_, err := client.Do(t.Context(), hub.Request{Method: http.MethodGet, Path: path})
		var e *hub.Error
		if !errors.As(err, &e) || *e != want {
			t.Errorf("%s: %v", path, err)
		}
	}
}
