// SPDX-License-Identifier: Apache-2.0

package imagecopy_test

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/workshopctl/workshopctl/pkg/image"
	"github.com/workshopctl/workshopctl/pkg/imagecopy"
)

// server is a registry that counts what is sent to it, and may refuse some.
type server struct {
	*httptest.Server
	mu      sync.Mutex
	uploads int // of layers and configurations
	puts    int // of manifests
	refuse  func(*http.Request) bool
	asks    bool // for a password, at the door
}

func newServer(t *testing.T, start func(*httptest.Server)) *server {
	t.Helper()
	s := &server{}
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		refuse, asks := s.refuse, s.asks
		switch {
		case r.Method == http.MethodPatch:
			s.uploads++
		case r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/"):
			s.puts++
		}
		s.mu.Unlock()
		if _, _, said := r.BasicAuth(); asks && !said {
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if refuse != nil && refuse(r) {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	start(s.Server)
	t.Cleanup(s.Close)
	return s
}

func plain(s *httptest.Server)     { s.Start() }
func encrypted(s *httptest.Server) { s.StartTLS() }

func (s *server) host() string { return s.Listener.Addr().String() }

func (s *server) name(t *testing.T, rest string) image.Name { return parse(t, s.host()+"/"+rest) }

func (s *server) counts() (uploads, puts int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.uploads, s.puts
}

func parse(t *testing.T, s string) image.Name {
	t.Helper()
	n, err := image.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

var platforms = []string{"linux/amd64", "linux/arm64"}

// seed puts an image for two platforms there, of three layers each.
func (s *server) seed(t *testing.T, rest string) v1.ImageIndex {
	t.Helper()
	var index v1.ImageIndex = empty.Index
	for _, p := range platforms {
		img, err := random.Image(1024, 3)
		if err != nil {
			t.Fatal(err)
		}
		platform, err := v1.ParsePlatform(p)
		if err != nil {
			t.Fatal(err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: platform}})
	}
	ref, err := name.ParseReference(s.host()+"/"+rest, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(ref, index, remote.WithTransport(s.Client().Transport)); err != nil {
		t.Fatal(err)
	}
	return index
}

func digest(t *testing.T, c interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	d, err := c.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

func copyImage(t *testing.T, from imagecopy.Place, source image.Name, to imagecopy.Place, target image.Name, p imagecopy.Platform) imagecopy.Result {
	t.Helper()
	r, err := imagecopy.Copy(t.Context(), from, source, to, target, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCopy(t *testing.T) {
	noCredentials(t)
	from, to := newServer(t, plain), newServer(t, plain)
	index := from.seed(t, "upstream/hub:1")
	source, target := from.name(t, "upstream/hub:1"), to.name(t, "team/hub:1")
	registries := &imagecopy.Registries{}

	var sent, total int64
	r, err := imagecopy.Copy(t.Context(), registries, source, registries, target, "", func(s, all int64) { sent, total = s, all })
	if err != nil {
		t.Fatal(err)
	}
	if r.Present || r.Digest != digest(t, index) || r.Image.String() != target.String() {
		t.Errorf("copied as %+v", r)
	}
	if sent == 0 || sent > total { // the library leaves a layer's last read out
		t.Errorf("%d of %d bytes reported", sent, total)
	}
	if got, err := imagecopy.Digest(t.Context(), registries, target); err != nil || got != r.Digest {
		t.Errorf("digest %s, %v", got, err)
	}

	uploads, puts := to.counts()
	if r := copyImage(t, registries, source, registries, target, ""); !r.Present {
		t.Error("a second copy isn't skipped")
	}
	if u, p := to.counts(); u != uploads || p != puts {
		t.Errorf("a second copy sends %d blobs and %d manifests", u-uploads, p-puts)
	}

	// A tag that has moved on is copied anew.
	moved := from.seed(t, "upstream/hub:1")
	if r := copyImage(t, registries, source, registries, target, ""); r.Present || r.Digest != digest(t, moved) {
		t.Errorf("a moved tag: %+v", r)
	}
	// The old one is still to be had by its digest, and copied by it.
	byDigest := from.name(t, "upstream/hub@"+digest(t, index))
	other := to.name(t, "team/other@"+digest(t, index))
	if r := copyImage(t, registries, byDigest, registries, other, ""); r.Image.String() != other.String() {
		t.Errorf("by digest: %+v", r)
	}
}

func TestOnePlatform(t *testing.T) {
	noCredentials(t)
	from, to := newServer(t, plain), newServer(t, plain)
	index := from.seed(t, "hub:1")
	registries := &imagecopy.Registries{}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	r := copyImage(t, registries, from.name(t, "hub:1"), registries, to.name(t, "hub:1"), "linux/arm64")
	if want := manifest.Manifests[1].Digest.String(); r.Digest != want {
		t.Errorf("digest %s, want that of the platform, %s", r.Digest, want)
	}
	_, err = imagecopy.Copy(t.Context(), registries, from.name(t, "hub:1"), registries, to.name(t, "hub:1"), "linux/s390x", nil)
	wantKind(t, err, imagecopy.NoPlatform)
	if err := imagecopy.Platform("amd64").Validate(); err == nil {
		t.Error("a platform without a system is taken")
	}
}

// TestInterrupted: what has arrived before a copy broke isn't sent again.
func TestInterrupted(t *testing.T) {
	noCredentials(t)
	from, to := newServer(t, plain), newServer(t, plain)
	index := from.seed(t, "hub:1")
	registries := &imagecopy.Registries{}
	ctx, interrupt := context.WithCancel(t.Context())
	to.refuse = func(r *http.Request) bool {
		if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "/manifests/") {
			return false
		}
		interrupt() // when the first image of the two has all its layers
		return true
	}
	if _, err := imagecopy.Copy(ctx, registries, from.name(t, "hub:1"), registries, to.name(t, "hub:1"), "", nil); err == nil {
		t.Fatal("an interrupted copy succeeds")
	}
	if d, err := imagecopy.Digest(t.Context(), registries, to.name(t, "hub:1")); err == nil {
		t.Fatalf("half an image has its tag: %s", d)
	}
	before, _ := to.counts()
	if before == 0 {
		t.Fatal("nothing had been sent")
	}
	to.mu.Lock()
	to.refuse = nil
	to.mu.Unlock()
	if r := copyImage(t, registries, from.name(t, "hub:1"), registries, to.name(t, "hub:1"), ""); r.Digest != digest(t, index) {
		t.Errorf("copied as %+v", r)
	}
	// Two images of three layers and a configuration each.
	after, _ := to.counts()
	if again := after - before; again > 4 {
		t.Errorf("%d of 8 blobs were sent although the first image's 4 had arrived", again)
	}
}

func TestDirectory(t *testing.T) {
	noCredentials(t)
	from, to := newServer(t, plain), newServer(t, plain)
	hub, proxy := from.seed(t, "upstream/hub:1"), from.seed(t, "upstream/proxy:2")
	registries := &imagecopy.Registries{}
	dir := imagecopy.Directory(filepath.Join(t.TempDir(), "images"))
	for _, n := range []string{"upstream/hub:1", "upstream/proxy:2"} {
		source := from.name(t, n)
		if r := copyImage(t, registries, source, dir, source, ""); r.Present {
			t.Errorf("%s was there", n)
		}
		if r := copyImage(t, registries, source, dir, source, ""); !r.Present {
			t.Errorf("%s is written again", n)
		}
	}
	from.Close() // the room has no network

	names, err := dir.Images()
	if err != nil || len(names) != 2 {
		t.Fatalf("the directory holds %v, %v", names, err)
	}
	for i, want := range []v1.ImageIndex{hub, proxy} {
		if r := copyImage(t, dir, names[i], registries, names[i].In(to.host()+"/team"), ""); r.Digest != digest(t, want) {
			t.Errorf("%s: %+v", names[i], r)
		}
	}
	if r := copyImage(t, dir, names[0], registries, to.name(t, "one/hub:1"), "linux/amd64"); r.Digest == digest(t, hub) {
		t.Error("one platform is all of them")
	}
	if d, err := imagecopy.Digest(t.Context(), registries, to.name(t, "team/hub:1")); err != nil || d != digest(t, hub) {
		t.Errorf("digest %s, %v", d, err)
	}
	_, err = imagecopy.Copy(t.Context(), dir, parse(t, "x.example/y:1"), registries, to.name(t, "y:1"), "", nil)
	wantKind(t, err, imagecopy.NotThere)
}

func TestDirectoryOfSomebodyElse(t *testing.T) {
	noCredentials(t)
	from := newServer(t, plain)
	from.seed(t, "hub:1")
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "letter.txt"), []byte("Dear"), 0o600); err != nil {
		t.Fatal(err)
	}
	source := from.name(t, "hub:1")
	if _, err := imagecopy.Copy(t.Context(), &imagecopy.Registries{}, source, imagecopy.Directory(home), source, "", nil); err == nil || !strings.Contains(err.Error(), "other files") {
		t.Errorf("error %v", err)
	}
}

func TestRefusals(t *testing.T) {
	noCredentials(t)
	open, closed, tls := newServer(t, plain), newServer(t, plain), newServer(t, encrypted)
	open.seed(t, "hub:1")
	tls.seed(t, "hub:1")
	gone := newServer(t, plain)
	gone.Close()
	closed.refuse = func(*http.Request) bool { return true }
	registries := &imagecopy.Registries{}
	for name, test := range map[string]struct {
		source, target image.Name
		want           imagecopy.Kind
	}{
		"no such image":    {open.name(t, "nothing:1"), open.name(t, "x:1"), imagecopy.NotThere},
		"may not read":     {closed.name(t, "hub:1"), open.name(t, "x:1"), imagecopy.Denied},
		"may not write":    {open.name(t, "hub:1"), closed.name(t, "x:1"), imagecopy.Denied},
		"no answer":        {gone.name(t, "hub:1"), open.name(t, "x:1"), imagecopy.Unreachable},
		"unknown issuer":   {tls.name(t, "hub:1"), open.name(t, "x:1"), imagecopy.Untrusted},
		"to such a target": {open.name(t, "hub:1"), tls.name(t, "x:1"), imagecopy.Untrusted},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := imagecopy.Copy(t.Context(), registries, test.source, registries, test.target, "", nil)
			wantKind(t, err, test.want)
		})
	}

	allowed := &imagecopy.Registries{Insecure: []string{tls.host()}}
	copyImage(t, allowed, tls.name(t, "hub:1"), allowed, open.name(t, "x:1"), "")
}

// TestPlain: nothing is sent over a network in plain HTTP, which the library
// does for private addresses.
func TestPlain(t *testing.T) {
	noCredentials(t)
	s := newServer(t, plain)
	s.seed(t, "hub:1")
	_, port, _ := strings.Cut(s.host(), ":")
	for _, host := range []string{"10.0.0.1:" + port, "registry.example.com:" + port} {
		_, err := imagecopy.Digest(t.Context(), imagecopy.At(s.host()), parse(t, host+"/hub:1"))
		wantKind(t, err, imagecopy.Plain)
		if _, err := imagecopy.Digest(t.Context(), imagecopy.At(s.host(), host), parse(t, host+"/hub:1")); err != nil {
			t.Errorf("%s is allowed: %v", host, err)
		}
	}
}

// TestTrusted: a certificate that docker and podman trust for the registry is
// enough.
func TestTrusted(t *testing.T) {
	noCredentials(t)
	s := newServer(t, encrypted)
	s.seed(t, "hub:1")
	dir := filepath.Join(os.Getenv("HOME"), ".config/containers/certs.d", s.host())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ca.crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := imagecopy.Digest(t.Context(), &imagecopy.Registries{}, s.name(t, "hub:1")); err != nil {
		t.Error(err)
	}
}

// TestCredentials: those of docker, and of podman where docker has none.
func TestCredentials(t *testing.T) {
	for name, file := range map[string]string{"docker": ".docker/config.json", "podman": ".config/containers/auth.json"} {
		t.Run(name, func(t *testing.T) {
			noCredentials(t)
			s := newServer(t, plain)
			s.seed(t, "hub:1")
			s.refuse = func(r *http.Request) bool {
				user, password, _ := r.BasicAuth()
				return r.URL.Path != "/v2/" && (user != "jane" || password != "secret")
			}
			s.asks = true
			_, err := imagecopy.Digest(t.Context(), &imagecopy.Registries{}, s.name(t, "hub:1"))
			wantKind(t, err, imagecopy.Denied)
			path := filepath.Join(os.Getenv("HOME"), file)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(`{"auths":{"`+s.host()+`":{"auth":"amFuZTpzZWNyZXQ="}}}`), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := imagecopy.Digest(t.Context(), &imagecopy.Registries{}, s.name(t, "hub:1")); err != nil {
				t.Error(err)
			}
		})
	}
}

// noCredentials gives the test a person without any.
func noCredentials(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	for _, variable := range []string{"DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"} {
		t.Setenv(variable, "")
	}
}

func wantKind(t *testing.T, err error, want imagecopy.Kind) {
	t.Helper()
	var e *imagecopy.Error
	if !errors.As(err, &e) || e.Kind != want {
		t.Errorf("error %v, want: %s", err, want)
	}
}
