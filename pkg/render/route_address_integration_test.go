// SPDX-License-Identifier: Apache-2.0

//go:build integration

package render_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/workshopctl/workshopctl/templates"
	"github.com/workshopctl/workshopctl/test/testhub"
)

// A hub that isn't told its address has it from the Route: as soon as there is
// one with a host, and with the reason where that never comes.
func TestRouteAddress(t *testing.T) {
	python := filepath.Join(testhub.Install(t, hubs[0].jupyterhub), "bin", "python")
	for name, c := range map[string]struct {
		// answers to one request after the other; the last one stays.
		answers []string
		want    string
		fails   bool
	}{
		"with TLS":         {answers: []string{`{"spec": {"host": "a.example.com", "tls": {"termination": "edge"}}}`}, want: "https://a.example.com/"},
		"without":          {answers: []string{`{"spec": {"host": "a.example.com"}}`}, want: "http://a.example.com/"},
		"not there yet":    {answers: []string{"404", "403", `{"spec": {}}`, `{"spec": {"host": "a.example.com", "tls": {}}}`}, want: "http://a.example.com/"},
		"never allowed to": {answers: []string{"403"}, want: "route terminals: HTTP Error 403: Forbidden. Its account needs the right", fails: true},
		"never a host":     {answers: []string{`{"spec": {}}`}, want: "route terminals: it has no host", fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/apis/route.openshift.io/v1/namespaces/training/routes/terminals" || r.Header.Get("Authorization") != "Bearer the-token" {
					t.Errorf("asked for %s as %q", r.URL.Path, r.Header.Get("Authorization"))
				}
				switch answer := c.answers[min(int(asked.Add(1)), len(c.answers))-1]; answer {
				case "403":
					w.WriteHeader(http.StatusForbidden)
				case "404":
					w.WriteHeader(http.StatusNotFound)
				default:
					_, _ = w.Write([]byte(answer))
				}
			}))
			defer server.Close()
			dir := t.TempDir()
			for file, content := range map[string]string{
				"route_address.py": templates.RouteAddress,
				"token":            "the-token\n",
				"ca.crt":           string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})),
			} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			command := exec.CommandContext(t.Context(), python, "-c", `
import sys, pathlib, route_address as r
r.api_server, r.account, r.patience, r.time.sleep = sys.argv[1], pathlib.Path("."), 5, lambda seconds: None
print(r.address("training", "terminals"))`, server.URL)
			command.Dir = dir
			// A proxy that isn't there would be noticed.
			command.Env = append(os.Environ(), "HTTPS_PROXY=http://127.0.0.1:1", "https_proxy=http://127.0.0.1:1")
			out, err := command.CombinedOutput()
			if (err != nil) != c.fails || !strings.Contains(string(out), c.want) {
				t.Errorf("error %v, output:\n%s\nwant %q", err, out, c.want)
			}
		})
	}
}
