// SPDX-License-Identifier: Apache-2.0

package startup_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/workshopctl/workshopctl/pkg/terminal/startup"
)

const namesCluster = `{
  "apiVersion": "v1",
  "clusters": [
    {
      "cluster": {
        "certificate-authority": "workshop-ca.crt",
        "server": "https://kubernetes.default.svc:443"
      },
      "name": "workshop"
    }
  ],
  "contexts": [
    {
      "context": {
        "cluster": "workshop",
        "user": ""
      },
      "name": "workshop"
    }
  ],
  "current-context": "workshop",
  "kind": "Config"
}
`

func TestNameCluster(t *testing.T) {
	const home, image, cluster = "/opt/app-root/src", "/etc/ssl/certs/ca-certificates.crt", "/etc/workshopctl/cluster-ca.crt"
	given := []string{"WORKSHOPCTL_API_SERVER=https://kubernetes.default.svc", "WORKSHOPCTL_CLUSTER_CA=" + cluster}
	for name, test := range map[string]struct {
		files map[string]string // content by path
		env   []string
		path  string            // that is said to be written
		want  map[string]string // files afterwards
		fails bool
	}{
		"the first time": {files: map[string]string{image: "image\n", cluster: "cluster\n"}, env: given,
			path: home + "/.kube/config",
			want: map[string]string{home + "/.kube/config": namesCluster, home + "/.kube/workshop-ca.crt": "image\n\ncluster\n"}},
		"no cluster is named": {files: map[string]string{cluster: "cluster\n"}, env: []string{"WORKSHOPCTL_API_SERVER="},
			want: map[string]string{home + "/.kube/config": ""}},
		"the attendee's own": {files: map[string]string{cluster: "cluster\n", home + "/.kube/config": "own"}, env: given,
			want: map[string]string{home + "/.kube/config": "own", home + "/.kube/workshop-ca.crt": ""}},
		"ours, after a login and a renewal of the certificates": {
			files: map[string]string{cluster: "new\n", home + "/.kube/config": "with a token", home + "/.kube/workshop-ca.crt": "old, and longer\n"}, env: given,
			want: map[string]string{home + "/.kube/config": "with a token", home + "/.kube/workshop-ca.crt": "new\n"}},
		"KUBECONFIG": {files: map[string]string{cluster: "cluster\n"}, env: append([]string{"KUBECONFIG=:/data/k/config"}, given...),
			path: "/data/k/config",
			want: map[string]string{"/data/k/config": namesCluster, "/data/k/workshop-ca.crt": "cluster\n", home + "/.kube/config": ""}},
		"KUBECONFIG, and one of its files is there": {files: map[string]string{cluster: "cluster\n", "/image/config": "image's"},
			env:  append([]string{"KUBECONFIG=/image/config:/data/config"}, given...),
			want: map[string]string{"/image/config": "image's", "/image/workshop-ca.crt": "", "/data/config": ""}},
		"certificates of the image alone": {files: map[string]string{image: "image\n"}, env: given,
			path: home + "/.kube/config", want: map[string]string{home + "/.kube/workshop-ca.crt": "image\n\n"}},
		"no certificates": {env: given, fails: true, want: map[string]string{home + "/.kube/config": ""}},
		"no place":        {files: map[string]string{cluster: "cluster\n", home + "/.kube": "a file"}, env: given, fails: true, want: map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			m := startup.Machine{Root: t.TempDir()}
			if err := os.MkdirAll(filepath.Join(m.Root, home), 0o755); err != nil {
				t.Fatal(err)
			}
			for path, content := range test.files {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(m.Root, path)), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(m.Root, path), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			path, err := m.NameCluster(startup.Setup{Env: test.env, Home: home, Dir: home})
			if (err != nil) != test.fails || path != test.path {
				t.Errorf("%q, %v; want %q, an error: %v", path, err, test.path, test.fails)
			}
			got := map[string]string{}
			for path := range test.want {
				content, err := os.ReadFile(filepath.Join(m.Root, path))
				if err != nil && !os.IsNotExist(err) {
					t.Fatal(err)
				}
				got[path] = string(content)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("files differ (-want +got):\n%s", diff)
			}
			if test.path == "" {
				return
			}
			if info, err := os.Stat(filepath.Join(m.Root, test.path)); err != nil || info.Mode() != 0o600 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
		})
	}
}
