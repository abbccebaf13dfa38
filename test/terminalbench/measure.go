// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"github.com/creack/pty"
)

// figures are one round's results by the name of the measure.
type figures map[string]float64

// bench is what all measures need.
type bench struct {
	home       string
	size       int            // of the files
	whole      map[string]int // bytes of output by file
	keystrokes int
}

const (
	mib = 1 << 20
	// patience is how long all measures of a server may take.
	patience = 5 * time.Minute
	// screenRate is how much a browser's terminal is taken to show a second.
	screenRate = 5 * mib
)

// server runs all measures of one fresh server.
func (b *bench) server(ctx context.Context, s *server) (figures, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	f := figures{"start ms": ms(s.started)}
	c, err := b.shell(ctx, s, 1)
	if err != nil {
		return nil, err
	}
	defer c.close()
	if err := wait(ctx, time.Second); err != nil {
		return nil, err
	}
	idle, err := s.usage()
	if err != nil {
		return nil, err
	}
	f["idle RSS MiB"] = float64(idle.rss) / mib
	if err := b.echoes(ctx, c, f, ""); err != nil {
		return nil, err
	}
	for _, file := range []string{"text", "escapes"} {
		if err := b.output(ctx, s, c, f, file); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	if err := b.loaded(ctx, s, c, f); err != nil {
		return nil, fmt.Errorf("under load: %w", err)
	}
	peak, err := s.usage()
	if err != nil {
		return nil, err
	}
	f["peak RSS MiB"] = float64(peak.peak) / mib
	if err := b.interrupt(ctx, c, f, "yes", "yes", ended); err != nil {
		return nil, fmt.Errorf("interrupt yes: %w", err)
	}
	if err := b.interrupt(ctx, c, f, "cat", "show text", begun); err != nil {
		return nil, fmt.Errorf("interrupt cat: %w", err)
	}
	after, err := s.usage()
	if err != nil {
		return nil, err
	}
	f["peak RSS, slow screen MiB"] = float64(after.peak) / mib
	return f, nil
}

// shell connects to a shell and waits for its prompt.
func (b *bench) shell(ctx context.Context, s *server, number int) (*client, error) {
	c, err := s.connect(ctx, number)
	if err != nil {
		return nil, err
	}
	if err := c.send(ctx, "PS1='\\004'\r"); err != nil {
		return nil, err
	}
	_, err = c.until(ctx, prompt)
	return c, err
}

// run types a command of the script and waits for the mark that it has begun.
func (b *bench) run(ctx context.Context, c *client, command string, mark byte) error {
	if err := c.send(ctx, "sh b "+command+"\r"); err != nil {
		return err
	}
	_, err := c.until(ctx, mark)
	return err
}

// output prints a file.
func (b *bench) output(ctx context.Context, s *server, c *client, f figures, file string) error {
	before, err := s.usage()
	if err != nil {
		return err
	}
	c.messages = 0
	if err := b.run(ctx, c, "show "+file, begun); err != nil {
		return err
	}
	start := time.Now()
	n, err := c.until(ctx, ended)
	if err != nil {
		return err
	}
	took := time.Since(start)
	if n != b.whole[file] {
		return fmt.Errorf("%d bytes came, %d were printed", n, b.whole[file])
	}
	after, err := s.usage()
	if err != nil {
		return err
	}
	f[file+" MiB/s"] = float64(b.size) / mib / took.Seconds()
	f[file+" CPU-s/100 MiB"] = (after.cpu - before.cpu).Seconds() * 100 * mib / float64(b.size)
	f[file+" KiB/message"] = float64(n) / 1024 / float64(c.messages)
	_, err = c.until(ctx, prompt)
	return err
}

// echoes types keys, one after another's echo. The kernel echoes them: no
// program's time is in it.
func (b *bench) echoes(ctx context.Context, c *client, f figures, suffix string) error {
	if err := b.run(ctx, c, "echo", ended); err != nil {
		return err
	}
	times := make([]time.Duration, 0, b.keystrokes)
	for range b.keystrokes {
		start := time.Now()
		if err := c.send(ctx, "x"); err != nil {
			return err
		}
		if _, err := c.until(ctx, 'x'); err != nil {
			return err
		}
		times = append(times, time.Since(start))
		if err := wait(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}
	percentiles(f, times, "echo"+suffix)
	if err := c.send(ctx, "\x03"); err != nil {
		return err
	}
	_, err := c.until(ctx, prompt)
	return err
}

func percentiles(f figures, times []time.Duration, name string) {
	slices.Sort(times)
	f[name+" p50 ms"] = ms(times[len(times)/2])
	f[name+" p99 ms"] = ms(times[len(times)*99/100])
}

// loaded measures echoes while another shell of the server prints without end,
// and another page shows that.
func (b *bench) loaded(ctx context.Context, s *server, c *client, f figures) error {
	other, err := b.shell(ctx, s, 2)
	if errors.Is(err, errOneShell) {
		return nil
	} else if err != nil {
		return err
	}
	if err := b.run(ctx, other, "load", ended); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 1)
	go func() {
		for {
			if _, err := other.read(ctx); err != nil {
				if ctx.Err() != nil { // the end, however the connection puts it
					err = nil
				}
				failed <- err
				return
			}
		}
	}()
	if err := b.echoes(ctx, c, f, " under load"); err != nil {
		return err
	}
	cancel()
	other.close()
	return <-failed
}

// interrupt lets a program print for two seconds into a screen of ordinary speed,
// then types Ctrl-C and waits until the screen shows the prompt.
func (b *bench) interrupt(ctx context.Context, c *client, f figures, name, command string, mark byte) error {
	if err := b.run(ctx, c, command, mark); err != nil {
		return err
	}
	c.pace(screenRate)
	defer c.pace(0)
	for time.Since(c.started) < 2*time.Second {
		if _, err := c.read(ctx); err != nil {
			return err
		}
	}
	start := time.Now()
	if err := c.send(ctx, "\x03"); err != nil {
		return err
	}
	n, err := c.until(ctx, prompt)
	f["Ctrl-C in "+name+" ms"] = ms(time.Since(start))
	f["Ctrl-C in "+name+" KiB"] = float64(n) / 1024
	return err
}

// bare measures a reader of a terminal and nothing else.
func (b *bench) bare(ctx context.Context) (figures, error) {
	f := figures{}
	for _, file := range []string{"text", "escapes"} {
		if err := b.bareOutput(ctx, f, file); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return f, b.bareEcho(ctx, f)
}

func (b *bench) bareShell(ctx context.Context, args ...string) (*exec.Cmd, *os.File, error) {
	cmd := exec.CommandContext(ctx, "/bin/bash", append([]string{"./b"}, args...)...)
	cmd.Dir, cmd.Env = b.home, environment(b.home)
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: 80, Rows: 24})
	return cmd, tty, err
}

func (b *bench) bareOutput(ctx context.Context, f figures, file string) error {
	cmd, tty, err := b.bareShell(ctx, "show", file)
	if err != nil {
		return err
	}
	defer tty.Close()
	buf := make([]byte, 64<<10)
	before := ownCPU()
	var start time.Time
	n := 0
	for {
		more, err := tty.Read(buf)
		if err != nil {
			break // the shell has ended
		}
		if n == 0 {
			start = time.Now()
		}
		n += more
	}
	took := time.Since(start)
	if n != b.whole[file]+2 {
		return fmt.Errorf("%d bytes came, %d were printed", n, b.whole[file]+2)
	}
	f[file+" MiB/s"] = float64(b.size) / mib / took.Seconds()
	f[file+" CPU-s/100 MiB"] = (ownCPU() - before).Seconds() * 100 * mib / float64(b.size)
	return cmd.Wait()
}

func (b *bench) bareEcho(ctx context.Context, f figures) error {
	cmd, tty, err := b.bareShell(ctx, "echo")
	if err != nil {
		return err
	}
	defer tty.Close()
	key := make([]byte, 1)
	for key[0] != ended {
		if _, err := io.ReadFull(tty, key); err != nil {
			return err
		}
	}
	times := make([]time.Duration, 0, b.keystrokes)
	for range b.keystrokes {
		start := time.Now()
		if _, err := tty.Write([]byte("x")); err != nil {
			return err
		}
		if _, err := io.ReadFull(tty, key); err != nil {
			return err
		}
		times = append(times, time.Since(start))
		if err := wait(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}
	percentiles(f, times, "echo")
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it was killed
	return nil
}

// ownCPU is the CPU time of this process.
func ownCPU() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // fails for a wrong argument only
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
