// SPDX-License-Identifier: Apache-2.0

package ingress

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestRenderGolden(t *testing.T) {
	m := Model{
		Rules: []Rule{
			{Host: "b.test", Path: "/", HTTP: true, Backend: "a_b_web_http"},
			{Host: "a.test", Path: "/", HTTPS: true, Redirect: 308, Backend: "a_x_web_http"},
			{Host: "a.test", Path: "/api", HTTPS: true, Redirect: 308, Backend: "a_x_api_80"},
			{Host: "a.test", Path: "/api", Exact: true, HTTPS: true, Redirect: 308, Backend: "a_x_web_http"},
			{Host: "a.test", Path: "/api/open", HTTP: true, Backend: "a_x_api_80"},
			{Host: "*.a.test", Path: "/", HTTPS: true, Redirect: 308, Backend: "a_w_web_http"},
			{Path: "/", HTTP: true, Backend: "a_default_web_http"},
		},
		Backends: []Backend{
			{Name: "a_x_web_http", Servers: []string{"10.0.0.1:8000", "[fd00::1]:8000"}, Timeout: time.Hour, TunnelTimeout: 2 * time.Hour},
			{Name: "a_x_api_80"},
			{Name: "a_b_web_http", Servers: []string{"10.0.0.2:8000"}},
			{Name: "a_w_web_http", Servers: []string{"10.0.0.3:8000"}},
			{Name: "a_default_web_http", Servers: []string{"10.0.0.4:8000"}},
		},
		Certificates: []Certificate{{Name: "a_cert", Hosts: []string{"b.a.test", "a.test"}, PEM: []byte("PEM of a_cert\n")}},
	}
	files := Render(m, Settings{HTTPPort: 8080, HTTPSPort: 8443, DefaultCertificate: []byte("PEM of default\n")})
	var got strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&got, "=== %s\n%s", name, files[name])
	}
	golden(t, "render.golden", got.String())
}

// golden compares with a file of testdata.
func golden(t *testing.T, file, got string) {
	t.Helper()
	file = filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("run with -update to accept this:\n%s", got)
	}
}

// TestRenderIsStable: the order in which objects are listed changes nothing,
// or HAProxy would be reloaded for no reason.
func TestRenderIsStable(t *testing.T) {
	m := Model{
		Rules:        []Rule{{Host: "a.test", Path: "/a", HTTP: true, Backend: "x_1"}, {Host: "a.test", Path: "/b", HTTP: true, Backend: "x_2"}, {Host: "b.test", Path: "/", HTTP: true, Backend: "x_1"}},
		Backends:     []Backend{{Name: "x_1"}, {Name: "x_2"}},
		Certificates: []Certificate{{Name: "x_a", Hosts: []string{"a.test", "b.test"}}, {Name: "x_b", Hosts: []string{"b.test"}}},
	}
	want := Render(m, Settings{HTTPSPort: 443})
	slices.Reverse(m.Rules)
	slices.Reverse(m.Backends)
	slices.Reverse(m.Certificates)
	got := Render(m, Settings{HTTPSPort: 443})
	for name := range want {
		if string(got[name]) != string(want[name]) {
			t.Errorf("%s changed from\n%s\nto\n%s", name, want[name], got[name])
		}
	}
}
