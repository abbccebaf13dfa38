// SPDX-License-Identifier: Apache-2.0

// Package host is what a sandbox needs of the machine it runs on, and what
// it leaves there: directories, the lock, ports, cgroups, its first process.
package host

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const (
	stateRoot = "/var/lib/workshop-sandbox"
	runRoot   = "/run/workshop-sandbox"
	// CgroupRoot is the cgroup that holds one for each sandbox.
	CgroupRoot = "/workshop-sandbox"
)

// Dirs are the places on the host that belong to one sandbox.
type Dirs struct {
	// Name of the sandbox.
	Name string
	// State outlives the sandbox's processes and a reboot.
	State string
	// Run belongs to the running processes; it is empty after a reboot.
	Run string
	// Lock is the file that an up or down of this sandbox holds.
	Lock string
}

// Names become part of host names (*.NAME.localhost) and of a user's shell
// history; 30 characters leave room for a workshop's in a 63 character label.
var validName = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,28}[a-z0-9])?$`)

// NewDirs says where the sandbox of this name lives. It makes nothing.
func NewDirs(name string) (Dirs, error) {
	if !validName.MatchString(name) {
		return Dirs{}, fmt.Errorf("%q can't be a sandbox's name: use 1 to 30 of a-z, 0-9 and -, beginning with a letter and not ending with -", name)
	}
	return Dirs{
		Name:  name,
		State: filepath.Join(stateRoot, name),
		Run:   filepath.Join(runRoot, name),
		Lock:  filepath.Join(runRoot, name+".lock"),
	}, nil
}

// Cgroup is the sandbox's cgroup, below the root of each hierarchy.
func (d Dirs) Cgroup() string { return CgroupRoot + "/" + d.Name }

// Logs is the directory of the programs' logs.
func (d Dirs) Logs() string { return filepath.Join(d.State, "log") }

// ConfigFile says what runs: a node.Config as JSON.
func (d Dirs) ConfigFile() string { return filepath.Join(d.State, "sandbox.json") }

// ImagesFile lists the references that up has pushed, as JSON.
func (d Dirs) ImagesFile() string { return filepath.Join(d.State, "images.json") }

// Kubeconfig is the administrator's, for use on the host.
func (d Dirs) Kubeconfig() string { return filepath.Join(d.State, "kubeconfig") }

// TrainerKubeconfig is that of a person with one namespace, for use on the
// host.
func (d Dirs) TrainerKubeconfig() string { return filepath.Join(d.State, "trainer.kubeconfig") }

// CA is the certificate of the authority that signs the ingress's own.
func (d Dirs) CA() string { return filepath.Join(d.State, "pki", "ingress-ca.crt") }

// Socket is where the supervisor answers.
func (d Dirs) Socket() string { return filepath.Join(d.Run, "control.sock") }

// ProcessFile identifies the first process of the sandbox.
func (d Dirs) ProcessFile() string { return filepath.Join(d.Run, "process.json") }

// Remove deletes what the sandbox keeps on disk: Run, and State too unless
// keepState. Directories that all sandboxes share go with the last of them.
func (d Dirs) Remove(keepState bool) error {
	if err := os.RemoveAll(d.Run); err != nil {
		return err
	}
	if !keepState {
		if err := os.RemoveAll(d.State); err != nil {
			return err
		}
		// Fails, as it should, while there is another sandbox.
		_ = os.Remove(stateRoot)
	}
	return nil
}

// Names lists the sandboxes that have state, running or not, in order.
func Names() ([]string, error) {
	var names []string
	for _, root := range []string{stateRoot, runRoot} {
		entries, err := os.ReadDir(root)
		if err != nil && !os.IsNotExist(err) {
			return nil, err
		}
		for _, e := range entries {
			if e.IsDir() && validName.MatchString(e.Name()) && !slices.Contains(names, e.Name()) {
				names = append(names, e.Name())
			}
		}
	}
	slices.Sort(names)
	return names, nil
}

// CacheDir is where built programs and images are kept for all sandboxes of
// this user: $XDG_CACHE_HOME/workshop-sandbox or ~/.cache/workshop-sandbox.
func CacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache directory: %w (set HOME or XDG_CACHE_HOME)", err)
	}
	return filepath.Join(dir, "workshop-sandbox"), nil
}

// FindSource returns the checkout to build from: the one named, else the
// nearest directory above cwd or the executable that has sandbox/kube/go.mod.
func FindSource(named, cwd, executable string) (string, error) {
	isSource := func(dir string) bool {
		_, err := os.Stat(filepath.Join(dir, "sandbox", "kube", "go.mod"))
		return err == nil
	}
	if named != "" {
		dir, err := filepath.Abs(named)
		if err != nil {
			return "", err
		}
		if !isSource(dir) {
			return "", fmt.Errorf("%s is no checkout of workshopctl: it has no sandbox/kube/go.mod", dir)
		}
		return dir, nil
	}
	for _, start := range []string{cwd, filepath.Dir(executable)} {
		for dir := start; ; dir = filepath.Dir(dir) {
			if isSource(dir) {
				return dir, nil
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return "", fmt.Errorf("find the checkout of workshopctl to build the sandbox's programs from: none above %s. Run this inside a checkout, or name it by --source or WORKSHOP_SANDBOX_SOURCE",
		strings.Join([]string{cwd, filepath.Dir(executable)}, " or "))
}
