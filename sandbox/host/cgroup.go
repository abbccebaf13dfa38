// SPDX-License-Identifier: Apache-2.0

package host

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Cgroups are the hierarchies of the machine's control groups: one in
// version 2, one for each controller in version 1.
type Cgroups struct {
	Unified     bool
	Hierarchies []Hierarchy
}

// Hierarchy is one mounted tree of control groups.
type Hierarchy struct {
	Mount       string
	Controllers []string // version 1 only; name=systemd counts as one
}

// FindCgroups reads the hierarchies from the mounts of this process.
func FindCgroups() (Cgroups, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return Cgroups{}, err
	}
	defer f.Close()
	return parseCgroups(f)
}

// parseCgroups reads mountinfo(5). Where version 1 has the memory controller,
// a version 2 tree beside it has none, and nobody uses it for containers.
func parseCgroups(mountinfo io.Reader) (Cgroups, error) {
	var v1 []Hierarchy
	var v2 string
	seen := map[string]bool{}
	lines := bufio.NewScanner(mountinfo)
	for lines.Scan() {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 5 || len(right) < 3 || seen[left[2]] {
			continue
		}
		switch right[0] {
		case "cgroup2":
			if v2 == "" {
				v2 = left[4]
			}
		case "cgroup":
			seen[left[2]] = true
			v1 = append(v1, Hierarchy{Mount: left[4], Controllers: strings.Split(right[2], ",")})
		}
	}
	if err := lines.Err(); err != nil {
		return Cgroups{}, err
	}
	if slices.ContainsFunc(v1, func(h Hierarchy) bool { return slices.Contains(h.Controllers, "memory") }) {
		return Cgroups{Hierarchies: v1}, nil
	}
	if v2 == "" {
		return Cgroups{}, errors.New("no control groups are mounted under /sys/fs/cgroup: containers need them")
	}
	return Cgroups{Unified: true, Hierarchies: []Hierarchy{{Mount: v2}}}, nil
}

// Create makes the cgroup in every hierarchy, with the controllers that
// containers need. In version 2, where processes live in leaves only, it gives
// controllers to the children of all cgroups above it, and not to its own.
func (c Cgroups) Create(path string) error {
	for _, h := range c.Hierarchies {
		dir := h.Mount
		for part := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
			if c.Unified {
				if err := delegate(dir); err != nil {
					return err
				}
			}
			parent := dir
			dir = filepath.Join(dir, part)
			if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("make a control group: %w", err)
			}
			if slices.Contains(h.Controllers, "cpuset") {
				// A new cpuset has no processors, and no process may enter it.
				for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
					if err := inherit(filepath.Join(parent, file), filepath.Join(dir, file)); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// delegate gives the children of a version 2 cgroup all its controllers.
func delegate(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("read a control group: %w", err)
	}
	for controller := range strings.FieldsSeq(string(data)) {
		err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+controller), 0)
		// What the kubelet can't do without; the others are a bonus.
		if err != nil && slices.Contains([]string{"cpu", "cpuset", "memory", "pids"}, controller) {
			return fmt.Errorf("give the controller %s to the children of control group %s: %w", controller, dir, err)
		}
	}
	return nil
}

func inherit(from, to string) error {
	if now, err := os.ReadFile(to); err != nil || strings.TrimSpace(string(now)) != "" {
		return err
	}
	value, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, value, 0)
}

// Enter moves the calling process, with children to come, into the cgroup.
// In version 1 only where it is counted and found: memory, pids, systemd.
func (c Cgroups) Enter(path string) error {
	for _, h := range c.Hierarchies {
		if !c.Unified && !slices.ContainsFunc(h.Controllers, func(s string) bool { return s == "memory" || s == "pids" || s == "name=systemd" }) {
			continue
		}
		if err := os.WriteFile(filepath.Join(h.Mount, path, "cgroup.procs"), []byte("0"), 0); err != nil {
			return fmt.Errorf("enter control group %s: %w", path, err)
		}
	}
	return nil
}

// Processes lists the PIDs in the cgroup and below it, as this process's PID
// namespace numbers them.
func (c Cgroups) Processes(path string) ([]int, error) {
	var pids []int
	for _, h := range c.Hierarchies {
		if !c.Unified && !slices.Contains(h.Controllers, "pids") {
			continue
		}
		err := filepath.WalkDir(filepath.Join(h.Mount, path), func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || d.Name() != "cgroup.procs" {
				return ignoreGone(err)
			}
			data, err := os.ReadFile(file)
			for field := range strings.FieldsSeq(string(data)) {
				var pid int
				if _, err := fmt.Sscan(field, &pid); err == nil && pid > 0 {
					pids = append(pids, pid)
				}
			}
			return ignoreGone(err)
		})
		if err != nil {
			return nil, err
		}
	}
	return pids, nil
}

// Remove deletes the cgroup with all below it. Its processes must have been
// killed; their last traces may take a moment to go, which it waits for.
func (c Cgroups) Remove(ctx context.Context, path string) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var busy error
		for _, h := range c.Hierarchies {
			if err := removeTree(filepath.Join(h.Mount, path)); err != nil {
				busy = err
			}
			// Fails, as it should, while there is another sandbox.
			_ = unix.Rmdir(filepath.Join(h.Mount, filepath.Dir(path)))
		}
		if busy == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove the control groups of the sandbox: %w", busy)
		case <-tick.C:
		}
	}
}

// removeTree removes the directories only: a cgroup's files aren't removable.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ignoreGone(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("%s: %w", dir, err)
	}
	return nil
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}
