// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/random"
)

// The test binary stands in for the tools of a build when it is called by
// their names. It notes each call and fails where FAKE_FAIL says so.
func TestMain(m *testing.M) {
	switch name := filepath.Base(os.Args[0]); name {
	case "buildah", "mmdebstrap":
		os.Exit(fakeTool(name, os.Args[1:]))
	}
	os.Exit(m.Run())
}

func fakeTool(name string, args []string) int {
	call := name
	if name == "buildah" {
		call += " " + args[0]
	}
	f, err := os.OpenFile(os.Getenv("FAKE_CALLS"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 3
	}
	fmt.Fprintln(f, call)
	f.Close()
	last := args[len(args)-1]
	switch call {
	case "buildah inspect":
		return 1 // there is no base image
	case "mmdebstrap":
		if os.WriteFile(last, nil, 0o600) != nil {
			return 3
		}
	case "buildah push":
		dir := strings.Split(last, ":")[1]
		if os.Getenv("FAKE_FAIL") == call {
			// As if killed in the middle.
			if os.MkdirAll(filepath.Join(dir, "blobs"), 0o700) != nil {
				return 3
			}
			break
		}
		img, err := random.Image(1<<10, 2)
		if err != nil {
			return 3
		}
		p, err := layout.Write(dir, empty.Index)
		if err != nil || p.AppendImage(img) != nil {
			return 3
		}
	}
	if os.Getenv("FAKE_FAIL") == call {
		fmt.Fprintln(os.Stderr, "E: no space left on the moon")
		return 1
	}
	return 0
}

// fakeTools puts the stand-ins on the PATH and returns the calls so far.
func fakeTools(t *testing.T) (calls func() []string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("builds of images need root")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	for _, name := range []string{"buildah", "mmdebstrap"} {
		if err := os.Symlink(self, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	// Namespaces are unshare's business and tested with the real tools.
	if err := os.WriteFile(filepath.Join(bin, "unshare"), []byte("#!/bin/sh\nwhile [ \"${1#--}\" != \"$1\" ]; do shift; done\nexec \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("FAKE_CALLS", filepath.Join(bin, "calls"))
	return func() []string {
		text, err := os.ReadFile(filepath.Join(bin, "calls"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSpace(string(text)), "\n")
	}
}

// checkout makes a source tree with some of the images.
func checkout(t *testing.T) string {
	t.Helper()
	source := t.TempDir()
	for _, dir := range []string{"terminal", "ash"} {
		put(t, filepath.Join(source, "images", dir, "Containerfile"), "FROM ${BASE}\n")
	}
	put(t, filepath.Join(source, "images", "terminal", "profile"), "one\n")
	return source
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func count(calls []string, call string) int {
	n := 0
	for _, c := range calls {
		if c == call {
			n++
		}
	}
	return n
}

func TestBuildCachesByInputs(t *testing.T) {
	calls := fakeTools(t)
	opts := Options{Source: checkout(t), CacheDir: t.TempDir(), Log: t.Logf}
	build := func(names ...string) []Built {
		t.Helper()
		b, err := Build(t.Context(), opts, names)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	first := build(Terminal1)
	if len(first) != 1 || first[0].Ref != "workshop/terminal:1" || !strings.HasPrefix(first[0].Digest, "sha256:") {
		t.Fatalf("got %+v", first)
	}
	before := calls()
	if second := build(Terminal1); !slices.Equal(first, second) || !slices.Equal(calls(), before) {
		t.Errorf("the second build gave %+v after %q, the first %+v after %q", second, calls(), first, before)
	}
	changes := []struct {
		name   string
		change func(path string) error
	}{
		{"content", func(path string) error { return os.WriteFile(path, []byte("two\n"), 0o644) }},
		{"execute bit", func(path string) error { return os.Chmod(path, 0o755) }},
		{"name", func(path string) error { return os.Rename(path, path+"2") }},
		{"link", func(path string) error { return os.Symlink("profile2", path) }},
		{"Containerfile", func(path string) error {
			return os.WriteFile(filepath.Join(filepath.Dir(path), "Containerfile"), []byte("FROM ${BASE}\nUSER 1\n"), 0o644)
		}},
	}
	for _, c := range changes {
		before := count(calls(), "buildah push")
		if err := c.change(filepath.Join(opts.Source, "images", "terminal", "profile")); err != nil {
			t.Fatal(err)
		}
		if build(Terminal1); count(calls(), "buildah push") != before+1 {
			t.Errorf("a change of %s did not lead to a build", c.name)
		}
	}
	if two := build(Terminal2, Terminal1); two[0].Layout == two[1].Layout || two[0].Ref != "workshop/terminal:2" {
		t.Errorf("got %+v", two)
	}
	// Build arguments are inputs too.
	keys := map[string]bool{}
	for _, args := range [][]string{nil, {"A=1"}, {"A=2"}, {"A=2", "B=1"}, {"A=2 B=1"}} {
		o := order{recipe: recipe{dir: "terminal", args: args}, context: filepath.Join(opts.Source, "images", "terminal")}
		key, err := o.hash(opts.Source)
		if err != nil {
			t.Fatal(err)
		}
		keys[key] = true
	}
	if len(keys) != 5 {
		t.Errorf("5 lists of build arguments have %d hashes", len(keys))
	}
}

func TestBuildErrors(t *testing.T) {
	for _, call := range []string{"mmdebstrap", "buildah bud", "buildah push"} {
		t.Run(call, func(t *testing.T) {
			fakeTools(t)
			opts := Options{Source: checkout(t), CacheDir: t.TempDir(), Log: t.Logf}
			t.Setenv("FAKE_FAIL", call)
			_, err := Build(t.Context(), opts, []string{Ash})
			if err == nil || !strings.Contains(err.Error(), Ash) || !strings.Contains(err.Error(), "no space left on the moon") || !strings.Contains(err.Error(), ".log") {
				t.Errorf("got %v, want the image, the tool's words and the log", err)
			}
			if left, _ := filepath.Glob(filepath.Join(opts.CacheDir, "images", "*")); len(left) != 0 {
				t.Errorf("a failed build left %q", left)
			}
			t.Setenv("FAKE_FAIL", "")
			if _, err := Build(t.Context(), opts, []string{Ash}); err != nil {
				t.Errorf("after the failure: %v", err)
			}
		})
	}
	t.Run("unknown name", func(t *testing.T) {
		if _, err := Build(t.Context(), Options{}, []string{"hub"}); err == nil || !strings.Contains(err.Error(), Hub5) {
			t.Errorf("got %v, want the names there are", err)
		}
	})
	t.Run("no tool", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		if _, err := Build(t.Context(), Options{Source: checkout(t), CacheDir: t.TempDir()}, []string{Ash}); err == nil || !strings.Contains(err.Error(), "apt-get install") {
			t.Errorf("got %v, want how to install the tool", err)
		}
	})
}

func TestBuildClearsLeftovers(t *testing.T) {
	calls := fakeTools(t)
	opts := Options{Source: checkout(t), CacheDir: t.TempDir(), Log: t.Logf}
	left := filepath.Join(opts.CacheDir, "tmp", "layout", "blobs")
	put(t, left, "half a layer")
	if _, err := Build(t.Context(), opts, []string{Ash}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); err == nil {
		t.Errorf("%s is still there", left)
	}
	if c := calls(); c[0] != "buildah rm" {
		t.Errorf("working containers of a killed build were not removed first: %q", c)
	}
}

func TestBuildersWaitForEachOther(t *testing.T) {
	calls := fakeTools(t)
	opts := Options{Source: checkout(t), CacheDir: t.TempDir(), Log: t.Logf}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if _, err := Build(t.Context(), opts, []string{Ash}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := count(calls(), "buildah push"); n != 1 {
		t.Errorf("the image was built %d times", n)
	}
}

// TestProgramsAreInputs: the tag of the gateway's image changes with its
// program and not without, and what an earlier builder was given stays.
func TestProgramsAreInputs(t *testing.T) {
	fakeTools(t)
	source := checkout(t)
	put(t, filepath.Join(source, "images", "gateway", "Containerfile"), "FROM scratch\n")
	put(t, filepath.Join(source, "go.mod"), "module example.com/gateway\n")
	main := filepath.Join(source, "cmd", "workshop-terminal", "main.go")
	put(t, main, "package main\n\nfunc main() { println(1) }\n")
	opts := Options{Source: source, CacheDir: t.TempDir()}
	orders, err := prepare(t.Context(), opts, []string{Gateway})
	if err != nil {
		t.Fatal(err)
	}
	one := orders[0]
	before, err := os.ReadFile(filepath.Join(one.context, "workshop-terminal"))
	if err != nil {
		t.Fatal(err)
	}
	if orders, err = prepare(t.Context(), opts, []string{Gateway}); err != nil || orders[0].key != one.key || orders[0].context != one.context {
		t.Errorf("without a change: %+v, %v, want %+v", orders, err, one)
	}
	put(t, main, "package main\n\nfunc main() { println(2) }\n")
	if orders, err = prepare(t.Context(), opts, []string{Gateway}); err != nil || orders[0].tag == one.tag {
		t.Errorf("after a change: %+v, %v, had %+v", orders, err, one)
	}
	if after, err := os.ReadFile(filepath.Join(one.context, "workshop-terminal")); err != nil || string(after) != string(before) {
		t.Errorf("the first program has changed: %v", err)
	}
	put(t, main, "package main\n\nfunc main() { nonsense }\n")
	if _, err = prepare(t.Context(), opts, []string{Gateway}); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("got %v, want the compiler's words", err)
	}
}

// TestCompiledPrograms: an image of a program that was compiled elsewhere has
// the program's hash for a tag, and one that starts from another image changes
// with that, too.
func TestCompiledPrograms(t *testing.T) {
	calls := fakeTools(t)
	source := checkout(t)
	for _, dir := range []string{"cli", "deployer"} {
		put(t, filepath.Join(source, "images", dir, "Containerfile"), "FROM scratch\n")
	}
	opts := Options{Source: source, CacheDir: t.TempDir()}
	if _, err := Build(t.Context(), opts, []string{CLI}); err == nil || !strings.Contains(err.Error(), "OpenShift only") {
		t.Errorf("without the program: %v", err)
	}
	opts.Programs = map[string]string{"oc": "/cache/oc-01ab/oc"}
	build := func() []Built {
		t.Helper()
		built, err := Build(t.Context(), opts, []string{CLI, Deployer})
		if err != nil {
			t.Fatal(err)
		}
		return built
	}
	first := build()
	if first[0].Ref != "openshift/cli:latest" || first[1].Ref != "workshop/deployer:01ab" {
		t.Errorf("they are %s and %s", first[0].Ref, first[1].Ref)
	}
	if n := count(calls(), "buildah bud"); n != 4 { // the base system, the terminal, and both
		t.Errorf("there were %d builds", n)
	}
	put(t, filepath.Join(source, "images", "terminal", "profile"), "two\n")
	if again := build(); again[0].Layout == first[0].Layout || again[1].Layout != first[1].Layout {
		t.Errorf("after a change of the terminal: %v, before: %v", again, first)
	}
}

func TestWaitForTheLockCanBeCancelled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	held, err := acquire(t.Context(), path, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := acquire(ctx, path, func(format string, args ...any) {
		if line := fmt.Sprintf(format, args...); !strings.Contains(line, path) {
			t.Errorf("the line does not name the lock: %s", line)
		}
		cancel()
	}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	held.Close()
	again, err := acquire(t.Context(), path, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func TestPush(t *testing.T) {
	fakeTools(t)
	built, err := Build(t.Context(), Options{Source: checkout(t), CacheDir: t.TempDir()}, []string{Ash})
	if err != nil {
		t.Fatal(err)
	}
	var writes atomic.Int32
	backend := registry.New()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "trainer" || password != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			writes.Add(1)
		}
		backend.ServeHTTP(w, r)
	}))
	defer s.Close()
	addr := strings.TrimPrefix(s.URL, "http://")
	if err := Push(t.Context(), built[0], addr); err == nil || !strings.Contains(err.Error(), "workshop/ash:1") {
		t.Errorf("without a login: got %v", err)
	}
	for n, want := range []bool{true, false} {
		writes.Store(0)
		if err := Push(t.Context(), built[0], addr, BasicAuth("trainer", "secret")); err != nil {
			t.Fatal(err)
		}
		if got := writes.Load() > 0; got != want {
			t.Errorf("push %d sent something: %t, want %t", n+1, got, want)
		}
	}
}

// TestRecipes: each recipe finds its files in this checkout.
func TestRecipes(t *testing.T) {
	source, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range recipes() {
		o := order{recipe: r, name: name, context: filepath.Join(source, "images", r.dir)}
		if _, err := o.hash(source); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if r.program != nil {
			if _, err := os.Stat(filepath.Join(source, r.program.module, r.program.pkg, "main.go")); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
