// SPDX-License-Identifier: Apache-2.0

package host

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Program is one that must be on the machine, and the Debian package that
// brings it.
type Program struct {
	// Name is looked up in PATH, unless it is a path.
	Name    string
	Package string
}

// ControlPlanePrograms are needed by `up --control-plane`, IngressPrograms where
// there is an ingress, NodePrograms by a whole node, BuildPrograms to build the images.
var (
	ControlPlanePrograms = []Program{{"etcd", "etcd-server"}, {"ip", "iproute2"}}
	IngressPrograms      = []Program{{"haproxy", "haproxy"}}
	NodePrograms         = []Program{
		{"conntrack", "conntrack"}, {"containerd", "containerd"}, {"runc", "runc"}, {"/usr/lib/cni/ptp", "containernetworking-plugins"},
		{"iptables", "iptables"}, {"mount", "mount"},
	}
	BuildPrograms = []Program{{"buildah", "buildah"}, {"mmdebstrap", "mmdebstrap"}}
)

// searchPath is where a node's programs are, whatever PATH the user has:
// Debian keeps many of them in sbin.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Need is what a sandbox takes of the machine.
type Need struct {
	Programs []Program
	// GoTool: programs have to be compiled first.
	GoTool bool
	// Disk is the space needed, in bytes, by a directory on the file system.
	Disk map[string]uint64
}

// MissingError lists everything that the machine lacks, so that one round of
// repairs is enough.
type MissingError struct{ Problems []string }

func (e *MissingError) Error() string {
	return "this machine can't run the sandbox yet:\n  - " + strings.Join(e.Problems, "\n  - ")
}

// Machine is what Preflight asks about; tests have their own.
type Machine struct {
	UID      func() int
	LookPath func(name string) error
	FreeDisk func(dir string) (uint64, error)
}

// ThisMachine answers for the machine we are on.
func ThisMachine() Machine {
	return Machine{
		UID: os.Getuid,
		LookPath: func(name string) error {
			dirs := filepath.SplitList(os.Getenv("PATH"))
			for _, dir := range append(filepath.SplitList(searchPath), dirs...) {
				if filepath.IsAbs(name) {
					dir = "/"
				}
				if _, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
					return nil
				}
			}
			return exec.ErrNotFound
		},
		FreeDisk: freeDisk,
	}
}

// Preflight returns a *MissingError that names everything missing, or nil.
func Preflight(m Machine, need Need, more ...error) error {
	var problems []string
	if m.UID() != 0 {
		problems = append(problems, "it takes root to make namespaces and mounts: run the command by sudo or as root")
	}
	var packages, programs []string
	for _, p := range need.Programs {
		if m.LookPath(p.Name) != nil {
			programs = append(programs, p.Name)
			if !slices.Contains(packages, p.Package) {
				packages = append(packages, p.Package)
			}
		}
	}
	if len(packages) > 0 {
		slices.Sort(packages)
		problems = append(problems, fmt.Sprintf("programs are missing (%s). On Debian or Ubuntu: apt-get install --no-install-recommends %s",
			strings.Join(programs, ", "), strings.Join(packages, " ")))
	}
	if need.GoTool && m.LookPath("go") != nil {
		problems = append(problems, "Go is missing, or not in PATH; it compiles the cluster's programs. Install Go 1.26 or later: https://go.dev/dl")
	}
	dirs := make([]string, 0, len(need.Disk))
	for dir := range need.Disk {
		dirs = append(dirs, dir)
	}
	slices.Sort(dirs)
	for _, dir := range dirs {
		free, err := m.FreeDisk(dir)
		if err != nil {
			problems = append(problems, fmt.Sprintf("the free space for %s can't be read: %v", dir, err))
		} else if free < need.Disk[dir] {
			problems = append(problems, fmt.Sprintf("%s has %s free on its disk and needs %s: free some, or have the directory on another disk",
				dir, gigabytes(free), gigabytes(need.Disk[dir])))
		}
	}
	for _, err := range more {
		if err != nil {
			problems = append(problems, err.Error())
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return &MissingError{problems}
}

func gigabytes(n uint64) string { return fmt.Sprintf("%.1f GB", float64(n)/1e9) }

// freeDisk is the space for root below dir, which need not exist yet.
func freeDisk(dir string) (uint64, error) {
	for {
		var fs unix.Statfs_t
		err := unix.Statfs(dir, &fs)
		if err == nil {
			return fs.Bavail * uint64(fs.Bsize), nil
		}
		if !errors.Is(err, unix.ENOENT) || dir == "/" {
			return 0, err
		}
		dir = filepath.Dir(dir)
	}
}
