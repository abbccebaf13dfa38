// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func TestLoadImage(t *testing.T) {
	server := httptest.NewServer(registry.New())
	defer server.Close()
	addr := strings.TrimPrefix(server.URL, "http://")
	img, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	archive, oci, double := filepath.Join(dir, "image.tar"), filepath.Join(dir, "layout"), filepath.Join(dir, "double")
	tag, err := name.NewTag("whatever:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(archive, tag, img); err != nil {
		t.Fatal(err)
	}
	for path, n := range map[string]int{oci: 1, double: 2} {
		p, err := layout.Write(path, empty.Index)
		if err != nil {
			t.Fatal(err)
		}
		for range n {
			if err := p.AppendImage(img); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tt := range []struct{ src, ref, fault string }{
		{archive, "mine/archive:1", ""},
		{oci, "mine/layout:1", ""},
		{"mine/layout:1", "p/copied:1", ""},
		{"registry.localhost/mine/layout:1", "p/copied:2", ""},
		{"image-registry.openshift-image-registry.svc:5000/p/copied:1", "q/copied:1", ""},
		{"mine/other:1", "p/x:1", "the registry has no such image"},
		{"./no-such-file.tar", "p/x:1", "there is no file of this name"},
		{double, "p/x:1", "several images"},
		{oci, "p/x", "no image name with a tag"},
	} {
		got, err := loadImage(t.Context(), tt.src, addr, tt.ref)
		if tt.fault != "" {
			if err == nil || !strings.Contains(err.Error(), tt.fault) {
				t.Errorf("%s: got %v, want %q", tt.src, err, tt.fault)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.src, err)
			continue
		}
		there, err := name.NewTag(addr + "/" + tt.ref)
		if err != nil {
			t.Fatal(err)
		}
		desc, err := remote.Get(there)
		if err != nil {
			t.Errorf("%s: %v", tt.src, err)
			continue
		}
		if want := digestOf(t, got); desc.Digest != want {
			t.Errorf("%s: the registry has %s, want %s", tt.src, desc.Digest, want)
		}
		if tt.src != archive && desc.Digest != digestOf(t, img) {
			t.Errorf("%s: it became another image", tt.src)
		}
	}
}

func digestOf(t *testing.T, img v1.Image) v1.Hash {
	t.Helper()
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest
}
