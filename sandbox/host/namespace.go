// SPDX-License-Identifier: Apache-2.0

package host

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Spawn starts a program of its own session as the first process of new PID,
// mount, network, IPC and UTS namespaces, and doesn't wait for it. Its output
// goes to log. The files become its descriptors 3 and up.
func Spawn(args []string, log *os.File, files []*os.File) (Process, error) {
	cmd := exec.Command(args[0], args[1:]...) //nolint:noctx // it outlives this process
	cmd.Dir = "/"
	// A proxy, a kubeconfig or a locale of the user's has no place inside.
	cmd.Env = Environment()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = files
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
	}
	if err := cmd.Start(); err != nil {
		return Process{}, fmt.Errorf("start the sandbox's first process in namespaces of its own: %w", err)
	}
	go func() { _ = cmd.Wait() }() // it may end before this process does
	return identify(cmd.Process.Pid)
}

// Environment is the environment of programs in the sandbox.
func Environment() []string {
	return []string{"PATH=" + searchPath, "HOME=/root", "LANG=C.UTF-8"}
}

// Mounts is what the sandbox sees differently from the host.
type Mounts struct {
	// Keep are directories that stay where they are, although a directory
	// above them is replaced.
	Keep []string
	// Binds replace the host's directories or files, which must exist, so
	// that nothing has to be made on the host.
	Binds []Bind
	// Pinned are files under /proc/sys that keep this content whatever is
	// written to them: settings of the host's kernel that a node would change.
	Pinned map[string]string
}

// Bind puts Source in the place of Target.
type Bind struct{ Source, Target string }

// Apply changes the mounts of the calling process's namespace, which must not
// be the host's. It gives it a /proc and an empty /run of its own.
func (m Mounts) Apply() error {
	// First keep from the host what follows; then let mounts reach those
	// namespaces below ours that containers get.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("make mounts shared: %w", err)
	}
	var held []int
	defer func() {
		for _, fd := range held {
			unix.Close(fd)
		}
	}()
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	// Mounts to come hide sources of later ones, and may take away what a
	// symbolic link (/etc/resolv.conf often is one) leads to: look them all up
	// before the first.
	sources, targets := map[string]string{}, map[string]string{}
	hold := func(path string) error {
		fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open %s: %w", path, err)
		}
		held = append(held, fd)
		sources[path] = "/proc/self/fd/" + strconv.Itoa(fd)
		return nil
	}
	for _, dir := range m.Keep {
		if err := hold(dir); err != nil {
			return err
		}
	}
	for _, b := range m.Binds {
		target, err := filepath.EvalSymlinks(b.Target)
		if err != nil {
			return err
		}
		targets[b.Target] = target
		if err := hold(b.Source); err != nil {
			return err
		}
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	for _, b := range m.Binds {
		target := targets[b.Target]
		if _, err := os.Stat(target); errors.Is(err, os.ErrNotExist) { // it was in /run
			if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(target, nil, 0o644); err != nil {
				return err
			}
		}
		if err := bind(sources[b.Source], target); err != nil {
			return err
		}
	}
	for _, dir := range m.Keep {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := bind(sources[dir], dir); err != nil {
			return err
		}
	}
	for file, content := range m.Pinned {
		source := filepath.Join("/run/sysctl", file)
		if err := os.MkdirAll(filepath.Dir(source), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(source, []byte(content+"\n"), 0o644); err != nil {
			return err
		}
		target := filepath.Join("/proc/sys", file)
		if _, err := os.Stat(target); errors.Is(err, os.ErrNotExist) {
			continue // this kernel has no such setting
		}
		if err := bind(source, target); err != nil {
			return err
		}
	}
	return nil
}

func bind(source, target string) error {
	if err := unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mount %s on %s: %w", source, target, err)
	}
	return nil
}

// SetHostname names the machine inside the UTS namespace.
func SetHostname(name string) error { return unix.Sethostname([]byte(name)) }
