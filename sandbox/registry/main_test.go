// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// serve starts a registry and returns its HOST:PORT.
func serve(t *testing.T, o options) string {
	t.Helper()
	h, err := newHandler(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func tag(t *testing.T, s string) name.Tag {
	t.Helper()
	ref, err := name.NewTag(s, name.Insecure, name.StrictValidation)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func image(t *testing.T) v1.Image {
	t.Helper()
	img, err := random.Image(64<<10, 3)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestPushedImageIsPulledAfterARestart(t *testing.T) {
	root := t.TempDir()
	img := image(t)
	if err := remote.Write(tag(t, serve(t, options{root: root})+"/workshop/hub:1"), img); err != nil {
		t.Fatal(err)
	}
	got, err := remote.Image(tag(t, serve(t, options{root: root})+"/workshop/hub:1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(got); err != nil {
		t.Error(err)
	}
	want, _ := img.Digest()
	if d, err := got.Digest(); d != want {
		t.Errorf("pulled %v (%v), pushed %v", d, err, want)
	}
}

func TestDeleteIsAllowed(t *testing.T) {
	ref := tag(t, serve(t, options{root: t.TempDir()})+"/workshop/hub:1")
	img := image(t)
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	d, _ := img.Digest()
	if err := remote.Delete(ref.Digest(d.String())); err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Head(ref); err == nil {
		t.Error("the image is still there")
	}
}

// TestErrors holds the words that container runtimes show and tests look for.
func TestErrors(t *testing.T) {
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("private-registry\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := serve(t, options{root: t.TempDir()})
	private := serve(t, options{root: t.TempDir(), user: "trainer", passwordFile: password})
	login := authn.FromConfig(authn.AuthConfig{Username: "trainer", Password: "private-registry"})
	if err := remote.Write(tag(t, private+"/workshop/terminal:1"), image(t), remote.WithAuth(login)); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, ref string
		auth      authn.Authenticator
		status    int
		code      transport.ErrorCode
	}{
		{"absent tag", open + "/workshop/hub:9", authn.Anonymous, http.StatusNotFound, transport.ManifestUnknownErrorCode},
		{"no login", private + "/workshop/terminal:1", authn.Anonymous, http.StatusUnauthorized, transport.UnauthorizedErrorCode},
		{"wrong password", private + "/workshop/terminal:1", &authn.Basic{Username: "trainer", Password: "x"}, http.StatusUnauthorized, transport.UnauthorizedErrorCode},
		{"login", private + "/workshop/terminal:1", login, http.StatusOK, ""},
		{"absent tag with login", private + "/workshop/terminal:2", login, http.StatusNotFound, transport.ManifestUnknownErrorCode},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := remote.Image(tag(t, tt.ref), remote.WithAuth(tt.auth))
			if tt.status == http.StatusOK {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var te *transport.Error
			if !errors.As(err, &te) || te.StatusCode != tt.status || len(te.Errors) != 1 || te.Errors[0].Code != tt.code {
				t.Errorf("got %v, want status %d %s", err, tt.status, tt.code)
			}
		})
	}
}

func TestPasswordIsNotKeptInClear(t *testing.T) {
	root, password := t.TempDir(), filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("private-registry\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	serve(t, options{root: root, user: "trainer", passwordFile: password})
	kept, err := os.ReadFile(filepath.Join(root, "htpasswd"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(kept, []byte("private-registry")) {
		t.Errorf("the password is in %s", kept)
	}
}

func TestRefusedFlags(t *testing.T) {
	tests := map[string]options{
		"no root":               {},
		"user without password": {root: t.TempDir(), user: "trainer"},
		"password without user": {root: t.TempDir(), passwordFile: "x"},
		"no password file":      {root: t.TempDir(), user: "trainer", passwordFile: filepath.Join(t.TempDir(), "absent")},
		"colon in the name":     {root: t.TempDir(), user: "a:b", passwordFile: os.DevNull},
	}
	for name, o := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := newHandler(context.Background(), o); err == nil {
				t.Error("accepted")
			}
		})
	}
}

// TestRun starts and ends the program as the sandbox does.
func TestRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, options{addr: "127.0.0.1:0", root: t.TempDir()}); err != nil {
		t.Error(err)
	}
}
