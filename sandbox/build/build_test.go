// SPDX-License-Identifier: Apache-2.0

package build

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestHash(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "main.go"), "package main")
	write(t, filepath.Join(dir, "go.mod"), "module x")
	hash := func(inputs ...string) string {
		h, err := Hash(dir, inputs...)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	before := hash("go1.26", "-X a=1")
	if hash("go1.26", "-X a=1") != before {
		t.Error("the same inputs have two hashes")
	}
	write(t, filepath.Join(dir, "main_test.go"), "package main")
	if hash("go1.26", "-X a=1") != before {
		t.Error("a test changes the program's hash")
	}
	for what, change := range map[string]func() string{
		"another Go":     func() string { return hash("go1.27", "-X a=1") },
		"other flags":    func() string { return hash("go1.26", "-X a=2") },
		"a moved border": func() string { return hash("go1.26-X", " a=1") },
		"another content": func() string {
			write(t, filepath.Join(dir, "main.go"), "package main // 2")
			return hash("go1.26", "-X a=1")
		},
		"a file in a child": func() string {
			write(t, filepath.Join(dir, "sub/x.go"), "package sub")
			return hash("go1.26", "-X a=1")
		},
	} {
		if change() == before {
			t.Errorf("%s keeps the hash", what)
		}
	}
}

func TestBuildCompilesOnce(t *testing.T) {
	source, cache := t.TempDir(), t.TempDir()
	write(t, filepath.Join(source, "prog/go.mod"), "module example.com/prog\n\ngo 1.26\n")
	write(t, filepath.Join(source, "prog/main.go"), "package main\n\nvar word = \"unset\"\n\nfunc main() { println(word) }\n")
	var mu sync.Mutex
	compiled := 0
	b := Builder{Source: source, CacheDir: cache, Log: func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		if line := fmt.Sprintf(format, args...); strings.HasPrefix(line, "compiled ") {
			compiled++
		}
	}}
	p := Program{Name: "prog", Dir: "prog", LDFlags: "-X main.word=set"}
	// Two at the same time, as two `up` of different sandboxes are.
	var paths [2]string
	var wg sync.WaitGroup
	for i := range paths {
		wg.Go(func() {
			path, err := b.Build(t.Context(), p)
			if err != nil {
				t.Error(err)
			}
			paths[i] = path
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	if paths[0] != paths[1] || compiled != 1 {
		t.Errorf("compiled %d times, to %v", compiled, paths)
	}
	out, err := exec.Command(paths[0]).CombinedOutput()
	if err != nil || string(out) != "set\n" {
		t.Errorf("the program says %q, %v", out, err)
	}
	write(t, filepath.Join(source, "prog/main.go"), "package main\n\nfunc main() { oops }\n")
	if _, err := b.Build(t.Context(), p); err == nil || !strings.Contains(err.Error(), "undefined: oops") {
		t.Errorf("a program that doesn't compile: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(cache, "programs", "*"))
	if err != nil || len(left) != 1 {
		t.Errorf("the cache holds %v, %v; want the one program", left, err)
	}
}

func TestBuildPackageWithTags(t *testing.T) {
	source := t.TempDir()
	write(t, filepath.Join(source, "mod/go.mod"), "module example.com/mod\n\ngo 1.26\n")
	write(t, filepath.Join(source, "mod/cmd/prog/main.go"), "package main\n\nfunc main() { println(word) }\n")
	write(t, filepath.Join(source, "mod/cmd/prog/on.go"), "//go:build one && two\n\npackage main\n\nconst word = \"tagged\"\n")
	b := Builder{Source: source, CacheDir: t.TempDir(), Log: func(string, ...any) {}}
	path, err := b.Build(t.Context(), Program{Name: "prog", Dir: "mod", Package: "example.com/mod/cmd/prog", Tags: "one,two"})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(path).CombinedOutput(); err != nil || string(out) != "tagged\n" {
		t.Errorf("the program says %q, %v", out, err)
	}
}

// Each module is in the checkout, and says itself where it belongs.
func TestProgramsAreThere(t *testing.T) {
	for _, p := range append(OpenShift(), Kube, DNS, Registry) {
		mod, err := os.ReadFile(filepath.Join("../..", p.Dir, "go.mod"))
		if err != nil {
			t.Error(err)
			continue
		}
		if want := "module github.com/workshopctl/workshopctl/" + p.Dir + "\n"; !strings.HasPrefix(string(mod), want) {
			t.Errorf("%s/go.mod begins otherwise than with %q", p.Dir, want)
		}
	}
}
