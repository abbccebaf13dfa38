// SPDX-License-Identifier: Apache-2.0

//go:build integration

package render_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// TestLimit: who comes when the workshop is full gets a page that says so, and
// programs get a 429.
func TestLimit(t *testing.T) {
	// Sessions start for as long as the cluster doesn't answer, and count.
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(slow.Close)
	for _, version := range hubs {
		for limit, words := range map[int]string{1: "There can be one session at a time, and somebody has it.", 2: "There can be 2 sessions at a time, and all are taken."} {
			t.Run(version.jupyterhub, func(t *testing.T) {
				t.Parallel()
				in := as(t, input(func(s *workshop.Spec) { s.Expose, s.Limit = workshop.ExposeNone, limit }))
				h := startAt(t, &rest.Config{Host: slow.URL}, filepath.Join(t.TempDir(), "hub.sqlite"), version.jupyterhub, in)
				come := func(user string) (int, string) {
					b := browser(t)
					_, _, page := do(t, b, request(t, http.MethodGet, h.url+"/hub/login", nil))
					form := url.Values{"username": {user}, "password": {string(h.secret[workshop.SecretUserPassword])}, "_xsrf": {xsrf.FindStringSubmatch(page)[1]}}
					if status, _, page := do(t, b, request(t, http.MethodPost, h.url+"/hub/login", form)); status != http.StatusFound {
						t.Fatalf("login of %s: %d %s", user, status, page)
					}
					status, _, page := do(t, b, request(t, http.MethodGet, h.url+"/hub/spawn/"+user, nil))
					return status, page
				}
				for _, user := range []string{"ann", "bob"}[:limit] {
					if status, page := come(user); status != http.StatusFound {
						t.Fatalf("%s comes: %d\n%s", user, status, page)
					}
				}
				status, page := come("carl")
				if plain := strings.Join(strings.Fields(page), " "); status != http.StatusTooManyRequests || !strings.Contains(plain, "<h1>This workshop is full</h1>") || !strings.Contains(plain, words) {
					t.Errorf("carl comes: %d\n%s", status, page)
				}
				if status, answer := h.call(t, http.MethodPost, "/users/carl/server"); status != http.StatusTooManyRequests {
					t.Errorf("by the API: %d %s", status, answer)
				}
			})
		}
	}
}
