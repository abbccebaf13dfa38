// SPDX-License-Identifier: Apache-2.0

//go:build integration

// Package testhub gives integration tests the real JupyterHub.
package testhub

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// Versions of JupyterHub that a workshop may run on: the public image's and
// the newest.
var Versions = []string{"5.5.0", "6.1.1"}

// Install returns the Python of a virtual environment with that version of
// JupyterHub. It is made once per machine, outside the checkout; tests that
// need it at the same time wait for each other.
func Install(t *testing.T, version string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "workshopctl-test", "testhub-"+version)
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
	python := filepath.Join(dir, "bin", "python")
	complete := filepath.Join(dir, "complete")
	if _, err := os.Stat(complete); err == nil {
		return python
	}
	t.Logf("installing JupyterHub %s into %s", version, dir)
	for _, args := range [][]string{
		{"python3", "-m", "venv", "--clear", dir},
		{python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "jupyterhub==" + version},
	} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	if err := os.WriteFile(complete, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return python
}
