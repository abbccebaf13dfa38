// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// image pushes a terminal image to the sandbox's registry: base, with files of
// this machine and with links, and returns its name.
func (s *sandbox) image(t *testing.T, base v1.Image, tag string, files, links map[string]string) string {
	t.Helper()
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for to, from := range files {
		content, err := os.ReadFile(from)
		if err == nil {
			err = w.WriteHeader(&tar.Header{Name: to, Mode: 0o755, Size: int64(len(content))})
		}
		if err == nil {
			_, err = w.Write(content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for to, from := range links {
		if err := w.WriteHeader(&tar.Header{Name: to, Typeflag: tar.TypeSymlink, Linkname: from, Mode: 0o777}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	added, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.AppendLayers(base, added)
	if err != nil {
		t.Fatal(err)
	}
	// A sandbox that is kept has what was pushed the last time.
	to := fmt.Sprintf("workshop/terminal:%s-%d", tag, time.Now().Unix())
	target, err := name.ParseReference(s.registry(t) + "/" + to)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(target, image, remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	return "registry.localhost/" + to
}

// busybox is an image with nothing but BusyBox: its shell is ash, and there is
// no tar.
func (s *sandbox) busybox(t *testing.T) string {
	t.Helper()
	base, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: runtime.GOARCH,
		RootFS: v1.RootFS{Type: "layers"}, Config: v1.Config{Env: []string{"PATH=/bin"}}})
	if err != nil {
		t.Fatal(err)
	}
	links := map[string]string{}
	for _, command := range strings.Fields("sh cat ls id mkdir stty test true") {
		links["bin/"+command] = "busybox"
	}
	return s.image(t, base, "busybox", map[string]string{"bin/busybox": "/usr/bin/busybox"}, links)
}
