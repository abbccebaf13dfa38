// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/workshopctl/workshopctl/sandbox/host"
	"github.com/workshopctl/workshopctl/sandbox/supervise"
)

// listeners are the addresses inside that ports of the host's loopback lead
// to, in the order that up hands down their sockets: that of the fields of
// Ports.
func (c Config) listeners() []string {
	inside := []string{net.JoinHostPort(Address, strconv.Itoa(apiPort))}
	if c.HasIngress() {
		inside = append(inside, net.JoinHostPort(Address, strconv.Itoa(c.Ports.HTTP)), net.JoinHostPort(Address, strconv.Itoa(c.Ports.HTTPS)))
	}
	if !c.ControlPlane {
		inside = append(inside, net.JoinHostPort(Address, strconv.Itoa(registryPort)))
	}
	return inside
}

// firstListener is the descriptor of the first socket that Spawn hands down.
const firstListener = 3

// Init is the first process of the sandbox: it makes the namespaces it was
// born into fit for a node, starts `program run` in them, and buries whatever
// dies there without a parent. When it ends, everything in the sandbox does.
func Init(dirs host.Dirs, run []string) error {
	self, err := host.Self()
	if err != nil {
		return err
	}
	if err := self.Save(dirs.ProcessFile()); err != nil {
		return err
	}
	cfg, err := LoadConfig(dirs.ConfigFile())
	if err != nil {
		return err
	}
	cgroups, err := host.FindCgroups()
	if err != nil {
		return err
	}
	if err := cgroups.Enter(systemCgroup(dirs)); err != nil {
		return err
	}
	n := node{cfg, dirs}
	if err := host.SetHostname(cfg.Name); err != nil {
		return err
	}
	// A login shell's limit of 1024 open files is not for a container runtime;
	// programs started here inherit what is set here and not by Go itself.
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raise the limit of open files: %w", err)
	}
	if err := n.mounts().Apply(); err != nil {
		return err
	}
	if err := n.network(); err != nil {
		return err
	}
	files := []uintptr{0, 1, 2}
	for i := range cfg.listeners() {
		files = append(files, uintptr(firstListener+i))
	}
	pid, err := syscall.ForkExec(run[0], run, &syscall.ProcAttr{Env: host.Environment(), Files: files, Sys: &syscall.SysProcAttr{Setpgid: true}})
	if err != nil {
		return fmt.Errorf("start the supervisor: %w", err)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		for s := range signals {
			if s, ok := s.(syscall.Signal); ok {
				_ = syscall.Kill(pid, s)
			}
		}
	}()
	for {
		var status syscall.WaitStatus
		dead, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return fmt.Errorf("wait for the supervisor: %w", err)
		case dead == pid && status.Exited() && status.ExitStatus() == 0:
			return nil
		case dead == pid:
			return fmt.Errorf("the supervisor ended with %s", describe(status))
		}
	}
}

func describe(status syscall.WaitStatus) string {
	if status.Signaled() {
		return "signal " + status.Signal().String()
	}
	return "status " + strconv.Itoa(status.ExitStatus())
}

// systemCgroup holds the sandbox's own programs, beside the pods'.
func systemCgroup(dirs host.Dirs) string { return dirs.Cgroup() + "/system" }

// PrepareCgroups makes the cgroups that Init enters and the kubelet uses.
func PrepareCgroups(dirs host.Dirs) error {
	cgroups, err := host.FindCgroups()
	if err != nil {
		return err
	}
	return cgroups.Create(systemCgroup(dirs))
}

// mounts: /var/lib, /var/log and /run are the sandbox's own, so that every
// program finds its standard paths empty or as this sandbox left them.
func (n node) mounts() host.Mounts {
	m := host.Mounts{
		Keep: []string{n.dirs.State, n.dirs.Run},
		Binds: []host.Bind{
			{Source: n.state("host/lib"), Target: "/var/lib"},
			{Source: n.state("host/log"), Target: "/var/log"},
		},
		// What the kubelet and kube-proxy set on a machine of their own. They
		// look whether it is set, and then leave the host's alone.
		Pinned: map[string]string{
			"vm/overcommit_memory": "1", "vm/panic_on_oom": "0", "kernel/panic": "10", "kernel/panic_on_oops": "1",
			"kernel/keys/root_maxkeys": "1000000", "kernel/keys/root_maxbytes": "25000000",
		},
	}
	if !n.ControlPlane {
		m.Binds = append(m.Binds, host.Bind{Source: n.etc("resolv.conf"), Target: "/etc/resolv.conf"})
	}
	return m
}

// network gives the empty network namespace the node's address. It is on a
// bridge without members, as not every kernel has dummy devices. Services
// need a route, because it is looked up before their address is translated.
// All addresses of simulated pods are this machine's own, so that one program
// can answer for all of them.
func (n node) network() error {
	lines := []string{
		"link set lo up",
		"link add node0 type bridge",
		"address add " + Address + "/24 dev node0",
		"link set node0 up",
		"route add " + serviceRange + " dev node0",
	}
	if n.SimulatedNodes > 0 {
		lines = append(lines, "route add local "+podRange+" dev lo")
	}
	cmd := exec.Command("ip", "-batch", "-") //nolint:noctx // it ends by itself
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("set up the network inside: %w: %s", err, out)
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0)
}

// Run supervises the programs until it is told to stop.
func Run(ctx context.Context, dirs host.Dirs, out io.Writer) error {
	cfg, err := LoadConfig(dirs.ConfigFile())
	if err != nil {
		return err
	}
	say := log.New(out, "", log.LstdFlags).Printf
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	for i, inside := range cfg.listeners() {
		f := os.NewFile(uintptr(firstListener+i), inside)
		l, err := net.FileListener(f)
		if err != nil {
			return fmt.Errorf("take over the socket for %s: %w", inside, err)
		}
		f.Close()
		go forward(ctx, l, inside, say)
	}
	// Containers of an earlier run are gone, and so are their addresses.
	if err := os.RemoveAll("/var/lib/cni"); err != nil {
		return err
	}
	n := node{cfg, dirs}
	s := &supervisor{node: n, Supervisor: supervise.New(dirs.Logs(), say), started: time.Now(), stop: stop}
	// Units end when they are stopped in order, not when ctx does.
	s.apply = func(units []supervise.Unit) { s.Apply(context.WithoutCancel(ctx), units) }
	s.apply(n.units())
	err = s.serve(ctx)
	say("stopping")
	s.end(context.WithoutCancel(ctx))
	say("stopped")
	return err
}

// end stops pods first, as a machine's shutdown would: each container is
// asked to end and has three seconds.
func (s *supervisor) end(ctx context.Context) {
	s.Stop(unitKubelet)
	if cgroups, err := host.FindCgroups(); err == nil && !s.current().ControlPlane {
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		pods := s.current().dirs.Cgroup() + "/kubepods"
		pids, _ := cgroups.Processes(pods) // those not found die a little later
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGTERM)
		}
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			left, err := cgroups.Processes(pods)
			if err != nil || !slices.ContainsFunc(left, func(pid int) bool { return slices.Contains(pids, pid) }) {
				break
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}
	s.Stop()
}

// forward connects what is accepted outside with an address inside: a socket
// keeps the network namespace it was made in.
func forward(ctx context.Context, l net.Listener, inside string, say func(string, ...any)) {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		outside, err := l.Accept()
		if err != nil {
			if ctx.Err() == nil {
				say("accept connections for %s: %v", inside, err)
			}
			return
		}
		go func() {
			defer outside.Close()
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", inside)
			if err != nil {
				return // as if nobody listened
			}
			defer conn.Close()
			done := make(chan struct{})
			go func() { defer close(done); pipe(conn, outside) }()
			pipe(outside, conn)
			<-done
		}()
	}
}

// pipe copies until the source ends, then tells the destination so.
func pipe(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if tcp, ok := to.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
	if err != nil { // nobody reads any more: end the other direction too
		_ = from.Close()
	}
}

// CloseOnExec keeps the handed down sockets from the programs started here.
func CloseOnExec() {
	for fd := firstListener; fd < firstListener+8; fd++ {
		unix.CloseOnExec(fd)
	}
}
