// SPDX-License-Identifier: Apache-2.0

package startup_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/workshopctl/workshopctl/pkg/terminal/startup"
)

func TestTrust(t *testing.T) {
	const debian, workshop = "/etc/ssl/certs/ca-certificates.crt", "/etc/workshopctl/ca-bundle.crt"
	const inTmp = "/tmp/.workshopctl-1234/ca-bundle.crt"
	given := "WORKSHOPCTL_CA_BUNDLE=" + workshop
	all := func(file string) []string {
		var env []string
		for _, name := range []string{"CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"} {
			env = append(env, name+"="+file)
		}
		return append(env, given)
	}
	for name, test := range map[string]struct {
		files map[string]string // content by path; a path that ends with a slash is a folder
		env   []string
		want  []string
		join  string // what SSL_CERT_FILE's file holds
		err   string
	}{
		"no bundle": {files: map[string]string{debian: "image\n", "/tmp/": ""}, env: []string{"SSL_CERT_FILE=/x"}, want: []string{"SSL_CERT_FILE=/x"}},
		"debian": {files: map[string]string{debian: "image\n", workshop: "workshop\n", "/etc/ssl/cert.pem": "not this\n", "/tmp/": ""},
			env: []string{given}, want: all(inTmp), join: "image\n\nworkshop\n"},
		"fedora, read-only": {files: map[string]string{"/etc/pki/tls/certs/ca-bundle.crt": "image", workshop: "workshop\n", "/dev/shm/": ""},
			env: []string{given}, want: all("/dev/shm/.workshopctl-1234/ca-bundle.crt"), join: "image\nworkshop\n"},
		"ubi": {files: map[string]string{"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem": "image", "/etc/ssl/ca-bundle.pem": "not this", workshop: "workshop\n", "/tmp/": ""},
			env: []string{given}, want: all(inTmp), join: "image\nworkshop\n"},
		"suse": {files: map[string]string{"/etc/ssl/ca-bundle.pem": "image", workshop: "workshop\n", "/tmp/": ""},
			env: []string{given}, want: all(inTmp), join: "image\nworkshop\n"},
		"a home alone": {files: map[string]string{"/etc/ssl/cert.pem": "image", workshop: "workshop\n", "/opt/app-root/": ""},
			env: []string{given}, want: all("/opt/app-root/.workshopctl-1234/ca-bundle.crt"), join: "image\nworkshop\n"},
		"an image that trusts nobody": {files: map[string]string{workshop: "workshop\n", "/tmp/": ""},
			env: []string{given}, want: all(inTmp), join: "workshop\n"},
		"the image's own variables": {files: map[string]string{debian: "not this\n", "/own.pem": "own\n", workshop: "workshop\n", "/tmp/": ""},
			env: []string{given, "SSL_CERT_FILE=/own.pem", "GIT_SSL_CAINFO=/git.pem", "CURL_CA_BUNDLE="},
			want: []string{"CURL_CA_BUNDLE=" + inTmp, "GIT_SSL_CAINFO=/git.pem", "NODE_EXTRA_CA_CERTS=" + inTmp,
				"REQUESTS_CA_BUNDLE=" + inTmp, "SSL_CERT_FILE=" + inTmp, given}, join: "own\n\nworkshop\n"},
		"a file that isn't there": {files: map[string]string{debian: "image\n", workshop: "workshop\n", "/tmp/": ""},
			env: []string{given, "SSL_CERT_FILE=/gone.pem"}, want: all(inTmp), join: "image\n\nworkshop\n"},
		"a restart": {files: map[string]string{debian: "image\n", workshop: "workshop\n", inTmp: "old, and longer than what comes in its place\n"},
			env: []string{given}, want: all(inTmp), join: "image\n\nworkshop\n"},
		"tmp is taken": {files: map[string]string{debian: "image\n", workshop: "workshop\n", "/tmp/.workshopctl-1234": "a file", "/dev/shm/": ""},
			env: []string{given}, want: all("/dev/shm/.workshopctl-1234/ca-bundle.crt"), join: "image\n\nworkshop\n"},
		"nowhere to write": {files: map[string]string{debian: "image\n", workshop: "workshop\n"},
			env: []string{given}, want: all(workshop), join: "workshop\n", err: "the workshop's alone"},
		"a bundle that isn't there": {files: map[string]string{debian: "image\n", "/tmp/": ""},
			env: []string{given}, want: []string{given}, err: "WORKSHOPCTL_CA_BUNDLE"},
	} {
		t.Run(name, func(t *testing.T) {
			m := startup.Machine{Root: t.TempDir(), UID: 1234}
			for path, content := range test.files {
				dir := filepath.Join(m.Root, filepath.Dir(path))
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				if strings.HasSuffix(path, "/") {
					continue
				}
				if err := os.WriteFile(filepath.Join(m.Root, path), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s := startup.Setup{Env: slices.Sorted(slices.Values(test.env)), Home: "/opt/app-root"}
			err := m.Trust(&s)
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("error %v, want %q", err, test.err)
			}
			if diff := cmp.Diff(test.want, s.Env); diff != "" {
				t.Errorf("environment differs (-want +got):\n%s", diff)
			}
			if test.join == "" {
				return
			}
			var file string
			for _, e := range s.Env {
				if value, ok := strings.CutPrefix(e, "SSL_CERT_FILE="); ok {
					file = filepath.Join(m.Root, value)
				}
			}
			got, err := os.ReadFile(file)
			if err != nil || string(got) != test.join {
				t.Errorf("%s holds %q, %v; want %q", file, got, err, test.join)
			}
			if test.err != "" {
				return
			}
			if info, err := os.Stat(file); err != nil || info.Mode() != 0o644 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
			if names, err := os.ReadDir(filepath.Dir(file)); err != nil || len(names) != 1 {
				t.Errorf("%v is left beside it, %v", names, err)
			}
		})
	}
}
