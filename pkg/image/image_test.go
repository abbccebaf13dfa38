// SPDX-License-Identifier: Apache-2.0

package image

import (
	"strings"
	"testing"

	"github.com/workshopctl/workshopctl/pkg/workshop"
)

func TestParse(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0123456789abcdef", 4)
	for _, c := range []struct {
		in   string
		want Name
		full string
	}{
		{"busybox", Name{"docker.io", "library/busybox", "latest", ""}, "docker.io/library/busybox:latest"},
		{"team/image:1", Name{"docker.io", "team/image", "1", ""}, "docker.io/team/image:1"},
		{"quay.io/jupyterhub/k8s-hub:4.4.0", Name{"quay.io", "jupyterhub/k8s-hub", "4.4.0", ""}, "quay.io/jupyterhub/k8s-hub:4.4.0"},
		{"localhost:5000/terminal", Name{"localhost:5000", "terminal", "latest", ""}, "localhost:5000/terminal:latest"},
		{"registry.localhost/workshop/terminal:Feb.2", Name{"registry.localhost", "workshop/terminal", "Feb.2", ""}, "registry.localhost/workshop/terminal:Feb.2"},
		{"r.example/x@" + digest, Name{"r.example", "x", "", digest}, "r.example/x@" + digest},
		{"r.example/x:1@" + digest, Name{"r.example", "x", "1", digest}, "r.example/x:1@" + digest},
	} {
		got, err := Parse(c.in)
		if err != nil || got != c.want || got.String() != c.full {
			t.Errorf("Parse(%q) = %+v (%s), %v; want %+v (%s)", c.in, got, got, err, c.want, c.full)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for in, want := range map[string]string{
		"":                              "is empty",
		"https://quay.io/x":             "leave https:// out",
		"quay.io/a b":                   "contains a blank",
		"quay.io/Team/image":            "capital letters",
		"quay.io/x:":                    "is malformed",
		"quay.io/x@sha256:short":        "is malformed",
		"r/" + strings.Repeat("a", 300): "too long",
	} {
		_, err := Parse(in)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "registry.example.com/team/image:tag") {
			t.Errorf("Parse(%q): %v; want %q", in, err, want)
		}
	}
}

func TestCopiesIn(t *testing.T) {
	published := workshop.Images{Hub: "quay.io/jupyterhub/k8s-hub:4.4.0", Proxy: "busybox@sha256:" + strings.Repeat("a", 64), Gateway: ""}
	for registry, want := range map[string]workshop.Images{
		"":                        published,
		"r.example":               {Hub: "r.example/k8s-hub:4.4.0", Proxy: "r.example/busybox@sha256:" + strings.Repeat("a", 64)},
		"localhost:5000/team/sub": {Hub: "localhost:5000/team/sub/k8s-hub:4.4.0", Proxy: "localhost:5000/team/sub/busybox@sha256:" + strings.Repeat("a", 64)},
	} {
		if got := CopiesIn(registry, published); got != want {
			t.Errorf("in %q: %+v, want %+v", registry, got, want)
		}
	}
}

func TestMoved(t *testing.T) {
	const published = "quay.io/jupyterhub/k8s-hub:4.4.0"
	for name, test := range map[string]struct{ image, from, to, want string }{
		"to a registry":        {published, "", "r.example/team", "r.example/team/k8s-hub:4.4.0"},
		"to another":           {"r.example/team/k8s-hub:4.4.0", "r.example/team", "new.example", "new.example/k8s-hub:4.4.0"},
		"back":                 {"r.example/team/k8s-hub:4.4.0", "r.example/team", "", published},
		"an earlier release's": {"quay.io/jupyterhub/k8s-hub:4.3.0", "", "r.example", "r.example/k8s-hub:4.3.0"},
		"somebody's own":       {"own.example/hub:1", "", "r.example", "own.example/hub:1"},
		"none":                 {"", "", "r.example", ""},
	} {
		if got := Moved(test.image, published, test.from, test.to); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
	if got := Moved("own.example/gateway:1", "", "", "r.example"); got != "own.example/gateway:1" {
		t.Errorf("a build without a published gateway moves %q", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"busybox", "a/b:c", "localhost:5000/x@sha256:0", "quay.io//x", "é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := Parse(s)
		if err != nil {
			return
		}
		again, err := Parse(name.String())
		if err != nil || again != name {
			t.Errorf("%q is %+v, written in full %q, which is %+v, %v", s, name, name, again, err)
		}
	})
}

func TestDefaultsArePinned(t *testing.T) {
	images, err := Defaults("registry.example.com/team/gateway:1")
	if err != nil {
		t.Fatal(err)
	}
	if images.Gateway != "registry.example.com/team/gateway:1" {
		t.Errorf("gateway: %q", images.Gateway)
	}
	for _, s := range []string{images.Hub, images.Proxy} {
		name, err := Parse(s)
		if err != nil || name.String() != s || name.Tag == "latest" {
			t.Errorf("%q should be a full name with a version: %+v, %v", s, name, err)
		}
	}
}
