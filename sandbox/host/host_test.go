// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestNewDirs(t *testing.T) {
	for name, ok := range map[string]bool{"demo": true, "a": true, "e2e-1": true, "": false, "-a": false, "a-": false, "1a": false, "A": false, "a/b": false, "..": false,
		strings.Repeat("a", 30): true, strings.Repeat("a", 31): false} {
		if _, err := NewDirs(name); (err == nil) != ok {
			t.Errorf("NewDirs(%q): %v, want ok %v", name, err, ok)
		}
	}
}

func TestFindSource(t *testing.T) {
	checkout := t.TempDir()
	for _, dir := range []string{"sandbox/kube", "bin", "pkg/deep"} {
		if err := os.MkdirAll(filepath.Join(checkout, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(checkout, "sandbox/kube/go.mod"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	elsewhere := t.TempDir()
	for _, tc := range []struct{ name, named, cwd, exe, want, err string }{
		{name: "named", named: checkout, cwd: elsewhere, exe: "/usr/bin/x", want: checkout},
		{name: "named wrongly", named: elsewhere, cwd: checkout, exe: "/usr/bin/x", err: "no checkout of workshopctl"},
		{name: "around the working directory", cwd: filepath.Join(checkout, "pkg/deep"), exe: "/usr/bin/x", want: checkout},
		{name: "around the program", cwd: elsewhere, exe: filepath.Join(checkout, "bin/x"), want: checkout},
		{name: "nowhere", cwd: elsewhere, exe: "/usr/bin/x", err: "--source"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := FindSource(tc.named, tc.cwd, tc.exe)
			if got != tc.want || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("got %q, %v; want %q, %q", got, err, tc.want, tc.err)
			}
		})
	}
}

func TestLockNamesItsHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "demo.lock")
	// What a killed process left is no lock.
	if err := os.WriteFile(path, []byte(`{"pid":1,"command":"old"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	lock, err := Acquire(path, "workshop-sandbox up")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Acquire(path, "workshop-sandbox down")
	var held *HeldError
	if !errors.As(err, &held) {
		t.Fatalf("a second Acquire: %v, want a *HeldError", err)
	}
	if held.Holder.PID != os.Getpid() || held.Holder.Command != "workshop-sandbox up" || time.Since(held.Holder.Since) > time.Minute {
		t.Errorf("the holder is %+v", held.Holder)
	}
	for _, want := range []string{"workshop-sandbox up", held.Holder.Since.Local().Format("15:04:05"), "kill"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the refusal %q doesn't say %q", err, want)
		}
	}
	lock.Release()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the lock's file is still there: %v", err)
	}
}

func TestAcquireWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kube.lock")
	first, err := Acquire(path, "first")
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan Holder, 1)
	done := make(chan error, 1)
	go func() {
		second, err := AcquireWait(t.Context(), path, "second", func(h Holder) { told <- h })
		if err == nil {
			second.Release()
		}
		done <- err
	}()
	if h := <-told; h.Command != "first" {
		t.Errorf("told to wait for %+v", h)
	}
	first.Release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestPreflightListsEverything(t *testing.T) {
	machine := Machine{
		UID: func() int { return 1000 },
		LookPath: func(name string) error {
			return map[string]error{"etcd": exec.ErrNotFound, "/usr/lib/cni/ptp": exec.ErrNotFound, "go": exec.ErrNotFound}[name]
		},
		FreeDisk: func(string) (uint64, error) { return 2e9, nil },
	}
	need := Need{Programs: slices.Concat(ControlPlanePrograms, NodePrograms, BuildPrograms), GoTool: true, Disk: map[string]uint64{"/var/lib/x": 5e9, "/cache": 1e9}}
	err := Preflight(machine, need, nil, &PortBusyError{Port{Purpose: "API server", Flag: "--api-port", Number: 6443}})
	var missing *MissingError
	if !errors.As(err, &missing) {
		t.Fatalf("got %v, want a *MissingError", err)
	}
	want := []string{"root", "apt-get install --no-install-recommends containernetworking-plugins etcd-server", "Go 1.26", "/var/lib/x has 2.0 GB free on its disk and needs 5.0 GB", "port 6443", "--api-port"}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the message lacks %q:\n%s", w, err)
		}
	}
	if len(missing.Problems) != 5 || strings.Contains(err.Error(), "/cache") {
		t.Errorf("want 5 problems:\n%s", err)
	}
	machine = Machine{UID: func() int { return 0 }, LookPath: func(string) error { return nil }, FreeDisk: func(string) (uint64, error) { return 100e9, nil }}
	if err := Preflight(machine, need, nil); err != nil {
		t.Errorf("nothing is missing, but: %v", err)
	}
}

func TestListen(t *testing.T) {
	busy, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	number := busy.Addr().(*net.TCPAddr).Port
	_, _, err = Listen(t.Context(), Port{Purpose: "ingress (https)", Flag: "--https-port", Number: number, Fixed: true})
	var portBusy *PortBusyError
	if !errors.As(err, &portBusy) || !strings.Contains(err.Error(), "--https-port") {
		t.Errorf("a port that was asked for and is busy: %v", err)
	}
	f, got, err := Listen(t.Context(), Port{Purpose: "ingress (https)", Number: number})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got == number || got == 0 {
		t.Errorf("a proposed port that is busy became %d, want another", got)
	}
	conn, err := net.Dial("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(got)))
	if err != nil {
		t.Fatalf("the socket isn't open: %v", err)
	}
	conn.Close()
}

func TestParseCgroups(t *testing.T) {
	hybrid := `25 20 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
26 25 0:23 / /sys/fs/cgroup/cpu,cpuacct rw shared:5 - cgroup cgroup rw,cpu,cpuacct
27 25 0:24 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
28 25 0:25 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
29 25 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
30 25 0:24 / /elsewhere/memory rw - cgroup cgroup rw,memory
`
	c, err := parseCgroups(strings.NewReader(hybrid))
	if err != nil {
		t.Fatal(err)
	}
	var mounts []string
	for _, h := range c.Hierarchies {
		mounts = append(mounts, h.Mount)
	}
	if c.Unified || !slices.Equal(mounts, []string{"/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/systemd"}) {
		t.Errorf("version 1 is read as %+v", c)
	}
	c, err = parseCgroups(strings.NewReader("26 25 0:23 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"))
	if err != nil || !c.Unified || len(c.Hierarchies) != 1 || c.Hierarchies[0].Mount != "/sys/fs/cgroup" {
		t.Errorf("version 2 is read as %+v, %v", c, err)
	}
	if _, err := parseCgroups(strings.NewReader("20 1 8:1 / / rw - ext4 /dev/vda rw\n")); err == nil {
		t.Error("a machine without control groups is no error")
	}
}

// On this machine's hierarchies, and on a version 2 one even if it is beside
// those of version 1 and has no controllers.
func TestCgroups(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root makes control groups")
	}
	found, err := FindCgroups()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]Cgroups{"found": found, "version 2": {Unified: true, Hierarchies: []Hierarchy{{Mount: "/sys/fs/cgroup/unified"}}}} {
		t.Run(name, func(t *testing.T) {
			if _, err := os.Stat(c.Hierarchies[0].Mount); err != nil {
				if name == "version 2" {
					t.Skipf("only machines with version 1 have it beside: %v", err)
				}
				t.Fatal(err)
			}
			path := CgroupRoot + "/unit-test-" + strconv.Itoa(os.Getpid())
			if err := c.Create(path + "/system"); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("sh", "-c", "read line; exec sleep 1000")
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			for _, h := range c.Hierarchies {
				if err := os.WriteFile(filepath.Join(h.Mount, path, "system", "cgroup.procs"), []byte(strconv.Itoa(cmd.Process.Pid)), 0); err != nil {
					t.Errorf("a process can't enter %s: %v", h.Mount, err)
				}
			}
			stdin.Close()
			if pids, err := c.Processes(path); err != nil || !slices.Equal(pids, []int{cmd.Process.Pid}) {
				t.Errorf("its processes are %v, %v", pids, err)
			}
			short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if err := c.Remove(short, path); err == nil {
				t.Error("a cgroup with a process was removed")
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			if err := c.Remove(t.Context(), path); err != nil {
				t.Error(err)
			}
			for _, h := range c.Hierarchies {
				if _, err := os.Stat(filepath.Join(h.Mount, path)); err == nil {
					t.Errorf("%s%s is still there", h.Mount, path)
				}
			}
		})
	}
}

func TestProcess(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	dead := make(chan error, 1)
	go func() { dead <- cmd.Wait() }()
	p, err := identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "process.json")
	if err := p.Save(file); err != nil {
		t.Fatal(err)
	}
	if p, err = LoadProcess(file); err != nil || !p.Alive() {
		t.Fatalf("a running process is %+v, alive %v, %v", p, p.Alive(), err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	// Another process that has got the PID since, or the PID before a reboot.
	for _, other := range []Process{{p.PID, p.Start - 1, p.Boot}, {p.PID, p.Start, "another boot"}} {
		if other.Alive() {
			t.Errorf("%+v counts as alive", other)
		}
		if err := other.Kill(ctx); err != nil {
			t.Error(err)
		}
	}
	select {
	case <-dead:
		t.Fatal("a process was killed that isn't the one named")
	default:
	}
	if err := p.Kill(ctx); err != nil {
		t.Fatal(err)
	}
	<-dead
	if p.Alive() {
		t.Error("it is alive after Kill")
	}
	if p, err := LoadProcess(filepath.Join(t.TempDir(), "none")); err != nil || p.Alive() {
		t.Errorf("without a file: %+v, %v", p, err)
	}
}
