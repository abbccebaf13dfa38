// SPDX-License-Identifier: Apache-2.0

package ingress

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// patience is how long HAProxy may take to start, reload or end.
const patience = 10 * time.Second

// current is the link in the directory of a proxy to the loaded configuration.
const current = "current"

// proxy keeps an HAProxy running: a master, which reads the configuration
// again when told to, and its worker. On a reload the sockets pass to a new
// worker and the old one stays until its last connection is closed, so that
// open websockets survive.
type proxy struct {
	dir string
	log func(format string, args ...any)
	// notify receives what HAProxy tells a service manager: that it is ready.
	notify *net.UnixConn
	loaded map[string][]byte
	cmd    *exec.Cmd
	exited chan error
}

func newProxy(dir string, log func(string, ...any)) (*proxy, error) {
	// HAProxy finds its files from another directory.
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	// An abstract socket: it has no file to be left behind.
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: "@workshop-sandbox-ingress-" + rand.Text(), Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	return &proxy{dir: dir, log: log, notify: notify}, nil
}

// died delivers how HAProxy ended, if it runs.
func (p *proxy) died() <-chan error { return p.exited }

// forget makes the next load start HAProxy again.
func (p *proxy) forget() { p.cmd, p.exited = nil, nil }

// load makes HAProxy serve by files and returns when it does. A configuration
// that HAProxy refuses changes nothing.
func (p *proxy) load(ctx context.Context, files map[string][]byte) error {
	if p.cmd != nil && maps.EqualFunc(p.loaded, files, bytes.Equal) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	next, err := p.write(ctx, files)
	if err != nil {
		return err
	}
	if p.cmd == nil {
		err = p.start(ctx)
	} else {
		err = p.reload(ctx)
	}
	if err != nil {
		return err
	}
	p.loaded = files
	return p.removeOthers(next)
}

// write puts files into a directory of their own, has HAProxy check them, and
// points the link at them.
func (p *proxy) write(ctx context.Context, files map[string][]byte) (string, error) {
	next, err := os.MkdirTemp(p.dir, "conf-")
	if err != nil {
		return "", err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(next, name), text, 0o600); err != nil {
			return "", err
		}
	}
	if out, err := exec.CommandContext(ctx, "haproxy", "-c", "-C", next, "-f", fileConfig).CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("haproxy refuses the configuration: %w: %s", err, bytes.TrimSpace(out)), os.RemoveAll(next))
	}
	link := filepath.Join(p.dir, current)
	if err := os.Remove(link + ".new"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	if err := os.Symlink(filepath.Base(next), link+".new"); err != nil {
		return "", err
	}
	return next, os.Rename(link+".new", link)
}

// removeOthers deletes all configurations but one.
func (p *proxy) removeOthers(keep string) error {
	all, err := filepath.Glob(filepath.Join(p.dir, "conf-*"))
	if err != nil {
		return err
	}
	for _, dir := range all {
		if dir != keep {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}
	return err
}

func (p *proxy) start(ctx context.Context) error {
	cmd := exec.Command("haproxy", "-Ws", "-C", filepath.Join(p.dir, current), "-f", fileConfig) //nolint:noctx // it outlives the call; stop ends it
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "NOTIFY_SOCKET=" + p.notify.LocalAddr().String()}
	output := &lines{log: p.log}
	cmd.Stdout, cmd.Stderr = output, output
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	p.cmd, p.exited = cmd, exited
	return p.awaitReady(ctx)
}

func (p *proxy) reload(ctx context.Context) error {
	if err := p.cmd.Process.Signal(syscall.SIGUSR2); err != nil {
		return fmt.Errorf("reload haproxy: %w", err)
	}
	return p.awaitReady(ctx)
}

// awaitReady returns when HAProxy says that it serves what it was told to.
// If HAProxy ends meanwhile, died still tells so.
func (p *proxy) awaitReady(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = p.notify.SetReadDeadline(time.Now()) })
	defer stop()
	if err := p.notify.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	exited, answer := p.exited, make(chan error, 1)
	go func() { answer <- p.readReady() }()
	select {
	case err := <-answer:
		if ctx.Err() != nil {
			return fmt.Errorf("wait for haproxy: %w", context.Cause(ctx))
		}
		return err
	case err := <-exited:
		exited <- err
		_ = p.notify.SetReadDeadline(time.Now())
		if readErr := <-answer; readErr == nil { // ready, and gone at once
			return fmt.Errorf("haproxy ended: %w", err)
		}
		return fmt.Errorf("haproxy ended: %w", err)
	}
}

// readReady reads messages as sd_notify(3) describes them.
func (p *proxy) readReady() error {
	buf := make([]byte, 4096)
	for {
		n, err := p.notify.Read(buf)
		if err != nil {
			return err
		}
		message := string(buf[:n])
		switch {
		case strings.Contains(message, "Reload failed"):
			return errors.New("haproxy could not load the new configuration and goes on with the old one")
		case strings.Contains(message, "READY=1"):
			return nil
		}
	}
}

// stop ends HAProxy and with it all connections. The proxy can't be used again.
func (p *proxy) stop() {
	_ = p.notify.Close()
	if p.cmd == nil {
		return
	}
	defer p.forget()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-p.exited:
		p.log("haproxy ended: %v", err)
	case <-timer.C:
		_ = p.cmd.Process.Kill()
		p.log("haproxy had to be killed: %v", <-p.exited)
	}
}

// lines logs output line by line. HAProxy's notices of its own doings at each
// reload are left out.
type lines struct {
	log  func(format string, args ...any)
	rest []byte
}

func (l *lines) Write(b []byte) (int, error) {
	l.rest = append(l.rest, b...)
	for {
		line, rest, found := bytes.Cut(l.rest, []byte("\n"))
		if !found {
			return len(b), nil
		}
		l.rest = rest
		if !bytes.HasPrefix(line, []byte("[NOTICE]")) && !bytes.Contains(line, []byte("exited with code 0")) && !bytes.Contains(line, []byte(" stopped (cumulated conns: ")) {
			l.log("haproxy: %s", line)
		}
	}
}
