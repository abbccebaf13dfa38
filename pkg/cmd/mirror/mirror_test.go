// SPDX-License-Identifier: Apache-2.0

package mirror_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/mirror"
)

// newRegistry returns the host of one with some images.
func newRegistry(t *testing.T, images ...string) string {
	t.Helper()
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	host := s.Listener.Addr().String()
	for _, i := range images {
		img, err := random.Image(512, 2)
		if err != nil {
			t.Fatal(err)
		}
		ref, err := name.ParseReference(host + "/" + i)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(ref, img); err != nil {
			t.Fatal(err)
		}
	}
	return host
}

// run runs a command without a cluster and without anybody's configuration.
func run(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	for _, variable := range []string{"HOME", "XDG_CONFIG_HOME"} {
		t.Setenv(variable, t.TempDir())
	}
	t.Setenv("KUBECONFIG", "/does/not/exist")
	var out, errOut bytes.Buffer
	f := factory.New([]string{"workshopctl"}, genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &errOut}, factory.Build{Version: "v0.0.0"})
	cmd := mirror.NewCommand(f, mirror.Runs{})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(t.Context())
	return out.String(), errOut.String(), err
}

type items[T any] struct{ Items []T }

func decode[T any](t *testing.T, text string) []T {
	t.Helper()
	var v items[T]
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v.Items
}

func images(host string) []string {
	return []string{"--hub-image", host + "/upstream/hub:1", "--proxy-image", host + "/upstream/proxy:2", "--gateway-image", host + "/gateway:3"}
}

func TestLoad(t *testing.T) {
	from := newRegistry(t, "upstream/hub:1", "upstream/proxy:2", "gateway:3")
	to := newRegistry(t)
	load := append([]string{"load", to + "/team", "-o", "json"}, images(from)...)
	for _, copied := range []bool{true, false} {
		out, said, err := run(t, load...)
		if err != nil {
			t.Fatal(err)
		}
		list := decode[mirror.Loaded](t, out)
		if len(list) != 3 || list[0].Image != to+"/team/hub:1" || list[2].Part != "gateway" || list[0].Copied != copied || !strings.HasPrefix(list[0].Digest, "sha256:") {
			t.Errorf("loaded %+v, copied should be %v", list, copied)
		}
		for _, want := range []string{"No terminal image is known here; --terminal-image names one.", "Use them: workshopctl deploy --registry " + to + "/team"} {
			if !strings.Contains(said, want) {
				t.Errorf("%q is not in %s", want, said)
			}
		}
	}
	// What goes wrong with one image keeps none of the others back.
	out, _, err := run(t, append(load, "--proxy-image", from+"/upstream/none:1")...)
	if err == nil || !strings.Contains(err.Error(), "/upstream/none:1: there is no such image") {
		t.Errorf("error %v", err)
	}
	if list := decode[mirror.Loaded](t, out); len(list) != 2 {
		t.Errorf("loaded %+v", list)
	}
}

func TestLoadByDirectory(t *testing.T) {
	from := newRegistry(t, "upstream/hub:1", "upstream/proxy:2", "gateway:3")
	to := newRegistry(t)
	dir := filepath.Join(t.TempDir(), "disk")
	if _, said, err := run(t, append([]string{"load", "--to-dir", dir}, images(from)...)...); err != nil || !strings.Contains(said, "--from-dir "+dir) {
		t.Fatalf("%v\n%s", err, said)
	}
	out, _, err := run(t, "load", to, "--from-dir", dir, "-o", "name")
	if want := to + "/hub:1\n" + to + "/proxy:2\n" + to + "/gateway:3\n"; err != nil || out != want {
		t.Errorf("loaded %s, %v; want %s", out, err, want)
	}
}

func TestList(t *testing.T) {
	host := newRegistry(t, "upstream/hub:1", "gateway:3")
	out, _, err := run(t, append([]string{"list", "-o", "json"}, images(host)...)...)
	if err != nil {
		t.Fatal(err)
	}
	list := decode[mirror.Item](t, out)
	if len(list) != 3 || !strings.HasPrefix(list[0].Digest, "sha256:") || list[1].Digest != "" || !strings.Contains(list[1].Error, "no such image") {
		t.Errorf("%+v", list)
	}
	out, _, err = run(t, append([]string{"list", "-o", "name"}, images("registry.invalid")...)...)
	if want := "registry.invalid/upstream/hub:1\nregistry.invalid/upstream/proxy:2\nregistry.invalid/gateway:3\n"; err != nil || out != want {
		t.Errorf("%s, %v", out, err)
	}
}

func TestBadUsage(t *testing.T) {
	for args, want := range map[string]string{
		"load":                         "needs a REGISTRY",
		"load r.example --to-dir d":    "exclude each other",
		"load --from-dir d --to-dir d": "exclude each other",
		"load r.example --from-dir /does/not/exist": "no such file",
		"load r.example --from-dir d --workshop w":  "exclude each other",
		"load team":                     "is no registry",
		"load r.example --platform arm": "write it like linux/amd64",
		"load r.example --hub-image a/x:1 --proxy-image b.c/a/x:1": "would both become r.example/x:1",
		"list -o wide":         "no format",
		"list --hub-image A:1": "capital letters",
	} {
		_, _, err := run(t, strings.Fields(args)...)
		if err == nil || !strings.Contains(err.Error(), want) || fault.Code(err) != fault.BadUsage {
			t.Errorf("%s: code %d, error %v; want %q", args, fault.Code(err), err, want)
		}
	}
}
