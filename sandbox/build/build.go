// SPDX-License-Identifier: Apache-2.0

// Package build compiles the programs of the sandbox's nested modules, once
// for each state of their inputs.
package build

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/workshopctl/workshopctl/sandbox/host"
)

// Program is what a module of the checkout is there for.
type Program struct {
	Name string
	// Dir is the module's directory, relative to the checkout.
	Dir string
	// Package is the main package, if it isn't the module's root.
	Package string
	// Tags are build tags, with commas between them.
	Tags string
	// LDFlags go to the linker, beside those that leave out symbol tables.
	LDFlags string
	// Expect is told to a user who has to wait for it.
	Expect string
}

const kubernetesVersion = "-X k8s.io/component-base/version.gitVersion=v1.34.4 -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=34"

const ocVersion = "-X github.com/openshift/oc/pkg/version.versionFromGit=v4.19.0-0.20250108"

// The programs of a sandbox.
var (
	Kube     = Program{Name: "kube", Dir: "sandbox/kube", LDFlags: kubernetesVersion, Expect: "about ten minutes on two processors, once"}
	DNS      = Program{Name: "dns", Dir: "sandbox/dns", Expect: "about two minutes, once"}
	Registry = Program{Name: "registry", Dir: "sandbox/registry", Expect: "about a minute, once"}
	// KWOK plays the kubelets of simulated nodes.
	KWOK = Program{Name: "kwok", Dir: "sandbox/kwok", Expect: "about two minutes on two processors, once"}
)

// The programs of a sandbox with OpenShift: the first is its API server
// instead of Kubernetes' own, and oc is the client and its deployer pods'
// program at once.
var (
	OpenShiftKubeAPIServer     = Program{Name: "openshift-kube-apiserver", Dir: "sandbox/openshift/kube-apiserver", LDFlags: kubernetesVersion, Expect: "about a minute, once"}
	OpenShiftAPIServer         = Program{Name: "openshift-apiserver", Dir: "sandbox/openshift/openshift-apiserver", Expect: "about five minutes on two processors, once"}
	OpenShiftOAuthAPIServer    = Program{Name: "openshift-oauth-apiserver", Dir: "sandbox/openshift/oauth-apiserver", Expect: "about five minutes on two processors, once"}
	OpenShiftOAuthServer       = Program{Name: "openshift-oauth-server", Dir: "sandbox/openshift/oauth-server", Expect: "about a minute, once"}
	OpenShiftControllerManager = Program{Name: "openshift-controller-manager", Dir: "sandbox/openshift/controller-manager", Expect: "about three minutes on two processors, once"}
	OC                         = Program{Name: "oc", Dir: "sandbox/openshift/oc", Package: "github.com/openshift/oc/cmd/oc", Tags: "containers_image_openpgp", LDFlags: ocVersion, Expect: "about six minutes on two processors, once"}
)

// OpenShift lists what a sandbox with OpenShift needs beside the others.
func OpenShift() []Program {
	return []Program{OpenShiftKubeAPIServer, OpenShiftAPIServer, OpenShiftOAuthAPIServer, OpenShiftOAuthServer, OpenShiftControllerManager, OC}
}

// Builder compiles programs.
type Builder struct {
	// Source is the checkout.
	Source string
	// CacheDir keeps the results.
	CacheDir string
	// Log receives a line for each thing that takes time.
	Log func(format string, args ...any)
}

// Build returns the path of the program, compiled now or before.
func (b Builder) Build(ctx context.Context, p Program) (string, error) {
	goVersion, err := goVersion(ctx, filepath.Join(b.Source, p.Dir))
	if err != nil {
		return "", err
	}
	inputs := []string{goVersion, runtime.GOARCH, p.LDFlags}
	if p.Package != "" || p.Tags != "" {
		inputs = append(inputs, p.Package, p.Tags)
	}
	key, err := Hash(filepath.Join(b.Source, p.Dir), inputs...)
	if err != nil {
		return "", fmt.Errorf("read the sources of %s: %w", p.Name, err)
	}
	dir := filepath.Join(b.CacheDir, "programs", p.Name+"-"+key)
	program := filepath.Join(dir, p.Name)
	if isFile(program) {
		return program, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	lock, err := host.AcquireWait(ctx, dir+".lock", "compiling "+p.Name, func(h host.Holder) {
		b.Log("waiting for process %d (%s) to be done", h.PID, h.Command)
	})
	if err != nil {
		return "", err
	}
	defer lock.Release()
	if isFile(program) {
		return program, nil
	}
	return program, b.compile(ctx, p, dir)
}

// compile writes the program into a directory beside dir, then renames it.
func (b Builder) compile(ctx context.Context, p Program, dir string) error {
	b.Log("compiling %s (%s)", p.Name, p.Expect)
	start := time.Now()
	tmp := fmt.Sprintf("%s.%d", dir, os.Getpid())
	defer os.RemoveAll(tmp)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", strings.TrimSpace("-s -w "+p.LDFlags), "-tags", p.Tags, "-o", filepath.Join(tmp, p.Name), cmp.Or(p.Package, "."))
	cmd.Dir = filepath.Join(b.Source, p.Dir)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("compile %s in %s: %w\n%s", p.Name, cmd.Dir, err, strings.TrimSpace(output.String()))
	}
	if err := os.RemoveAll(dir); err != nil { // what an older crash left
		return err
	}
	if err := os.Rename(tmp, dir); err != nil {
		return err
	}
	b.Log("compiled %s in %s", p.Name, time.Since(start).Round(time.Second))
	return nil
}

// goVersion is that of the toolchain which will compile in dir.
func goVersion(ctx context.Context, dir string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "env", "GOVERSION")
	cmd.Dir = dir
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("ask Go for its version: %w: %s", err, strings.TrimSpace(string(exit.Stderr)))
	}
	if err != nil {
		return "", fmt.Errorf("ask Go for its version: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Hash returns a short hash of what goes into a program: the files below dir
// other than tests, by name and content, and the other inputs.
func Hash(dir string, inputs ...string) (string, error) {
	h := sha256.New()
	for _, input := range inputs {
		fmt.Fprintf(h, "%q\n", input)
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Type()&fs.ModeType != 0 || strings.HasSuffix(path, "_test.go") || strings.HasPrefix(d.Name(), ".") {
			return nil
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		return hashFile(h, filepath.ToSlash(name), path)
	})
	return hex.EncodeToString(h.Sum(nil))[:16], err
}

// HashFile returns a short hash of one file's content.
func HashFile(path string) (string, error) {
	h := sha256.New()
	err := hashFile(h, "", path)
	return hex.EncodeToString(h.Sum(nil))[:16], err
}

func hashFile(h hash.Hash, name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	fmt.Fprintf(h, "%q %d\n", name, info.Size())
	_, err = io.Copy(h, f)
	return err
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
