// SPDX-License-Identifier: Apache-2.0

// Package shell runs the attendee's shell on a pseudo-terminal that outlives
// every page that shows it.
//
// A [Terminal] is one stream of output with many readers, one queue of input
// with many writers, and a shell that may end and be started again without
// either noticing more than a line of text. Its size follows the page
// that was last active: that is where its attendee sits.
package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/workshopctl/workshopctl/pkg/terminal/process"
	"github.com/workshopctl/workshopctl/pkg/terminal/wire"
)

// The states of a shell, as the page gets them.
const (
	Starting = "starting"
	Running  = "running"
	Ended    = "ended"
)

const (
	// maxQueue bounds the input that waits for programs to read it. Pages hold
	// back at [wire.InputWindow]; what is beyond twice that is no page of ours.
	maxQueue = 4 * wire.InputWindow
	// hangUpTime is how long a shell may take to end after SIGHUP.
	hangUpTime = time.Second
	// drainTime is how long the output of a shell that has ended is waited for.
	drainTime = 50 * time.Millisecond
)

// softReset undoes what a program that was killed may have left behind in the
// terminal: alternate screen (by 47, which unlike 1049 leaves the cursor where it
// is), mouse reports, hidden cursor, colours.
const softReset = "\x1b[?47l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[!p\x1b[0m"

// Config is what a terminal needs.
type Config struct {
	// Command makes the shell's command anew at each start.
	Command func() (*exec.Cmd, error)
	Reaper  *process.Reaper
	Logf    func(format string, args ...any)
	// Scrollback is how much output is kept for pages that come, in bytes, at
	// least [MinScrollback]; it is rounded up to a power of two. 0:
	// [DefaultScrollback].
	Scrollback int
}

// Terminal is a shell, the terminal it runs on, and the pages that show it.
type Terminal struct {
	Config
	stream *stream
	// changed is called when title or state have, exited when the shell has ended
	// because it wanted to. Neither may take a terminal's lock; nil for those
	// outside of a set.
	changed, exited func()

	// output and input count what passed, for the report of activity.
	output, input atomic.Uint64

	// typing has input queued in the order in which it is counted. It comes
	// before all other locks.
	typing sync.Mutex

	mu      sync.Mutex
	state   string
	title   title
	size    wire.Size
	pages   map[*Page]bool
	active  *Page // whose size counts
	running *run
	closed  bool
}

// run is one life of the shell.
type run struct {
	tty    *os.File
	cmd    *exec.Cmd
	done   chan struct{} // closed when the shell is gone and its output is in the stream
	hungUp atomic.Bool   // it ends because we want it

	queue struct {
		sync.Mutex
		sync.Cond
		items  []item
		bytes  int
		closed bool
	}
}

type item struct {
	page *Page // to be credited; nil for answers, which are few
	data []byte
}

func (it item) credit() {
	if it.page != nil {
		it.page.notify.Credit(len(it.data))
	}
}

// New makes a terminal whose shell is started by Start.
func New(c Config) *Terminal {
	return &Terminal{
		Config: c, stream: newStream(c.Scrollback), changed: func() {}, exited: func() {},
		state: Starting, size: wire.Size{Columns: 80, Rows: 24}, pages: map[*Page]bool{},
	}
}

// Traffic counts the bytes typed and printed since the container's start.
func (t *Terminal) Traffic() uint64 { return t.output.Load() + t.input.Load() }

// Notify is what a [Page] calls when there is something to tell its browser.
// The functions are called with locks held: they must not block.
type Notify struct {
	Size   func(wire.Size)
	State  func(wire.State)
	Credit func(bytes int)
}

// Page is one browser page that shows the terminal.
type Page struct {
	*Reader
	terminal *Terminal
	notify   Notify
	size     wire.Size
	// watches is nil for the attendee's own pages.
	watches *watching
}

// Attach adds a page. Detach it with [Page.Detach].
func (t *Terminal) Attach(hello wire.Hello, notify Notify) *Page {
	p := &Page{terminal: t, notify: notify, size: hello.Size, Reader: t.stream.attach(hello.Client, hello.Stream, hello.Offset)}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pages[p] = true
	notify.State(t.news())
	t.activate(p)
	return p
}

// Detach removes the page; lost as in [Reader.Detach].
func (p *Page) Detach(lost bool) {
	t := p.terminal
	t.mu.Lock()
	delete(t.pages, p)
	if t.active == p {
		t.active = nil
	}
	if p.watches != nil {
		t.tellState()
	}
	t.mu.Unlock()
	p.Reader.Detach(lost)
}

// Resize tells the size of the page's window, and makes it the active one.
func (p *Page) Resize(s wire.Size) {
	t := p.terminal
	t.mu.Lock()
	defer t.mu.Unlock()
	p.size = s
	t.activate(p)
}

// activate gives the terminal the size of p; the caller holds the lock.
func (t *Terminal) activate(p *Page) {
	if p.watches != nil {
		return
	}
	if t.active == p && t.size == p.size {
		return
	}
	t.active = p
	if t.size != p.size {
		t.size = p.size
		if t.running != nil {
			t.running.resize(t.size)
		}
	}
	for other := range t.pages {
		other.notify.Size(t.size)
	}
}

// Input passes what was typed on to the programs in the terminal. The page is
// credited when they take it. Without a shell it is dropped.
func (p *Page) Input(data []byte) error {
	t := p.terminal
	if p.watches != nil && !p.watches.types {
		p.notify.Credit(len(data))
		return nil
	}
	// A page that has connected anew is told what was taken from the connection
	// before, and goes on from there: that must be in the queue by then.
	t.typing.Lock()
	defer t.typing.Unlock()
	if err := p.take(len(data)); err != nil {
		return err
	}
	t.input.Add(uint64(len(data)))
	t.mu.Lock()
	t.activate(p)
	r := t.running
	t.mu.Unlock()
	if r == nil {
		p.notify.Credit(len(data))
		return nil
	}
	return r.enqueue(item{p, append([]byte(nil), data...)})
}

// Answer passes on what the page's terminal, not its attendee, has to say to a
// program that asked. All pages answer; only the active one is heard.
func (p *Page) Answer(data []byte) error {
	t := p.terminal
	t.mu.Lock()
	r, heard := t.running, (t.active == p || t.active == nil) && p.watches == nil
	t.mu.Unlock()
	if r == nil || !heard {
		return nil
	}
	return r.enqueue(item{data: append([]byte(nil), data...)})
}

// Say prints a line of the gateway's own into the terminal.
func (t *Terminal) Say(format string, args ...any) {
	t.stream.write(fmt.Appendf(nil, "\r\x1b[2m"+format+"\x1b[0m\r\n", args...))
}

// Start starts the shell, unless one runs.
func (t *Terminal) Start() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.start()
}

// Start is [Terminal.Start].
func (p *Page) Start() error {
	if p.watches != nil && !p.watches.types {
		return nil
	}
	return p.terminal.Start()
}

func (t *Terminal) start() error {
	if t.running != nil || t.closed {
		return nil
	}
	r, err := t.spawn()
	if err != nil {
		t.setState(Ended)
		t.Say("[The shell can't be started: %v. Press Enter to try again.]", err)
		return err
	}
	t.running = r
	t.setState(Running)
	exited := make(chan error, 1)
	go func() {
		exited <- t.Reaper.Wait(r.cmd)
		// A program that outlives the shell may hold the terminal for ever.
		_ = r.tty.SetReadDeadline(time.Now().Add(drainTime))
	}()
	go t.copyOut(r, exited)
	go r.copyIn()
	return nil
}

func (t *Terminal) spawn() (*run, error) {
	cmd, err := t.Command()
	if err != nil {
		return nil, err
	}
	r := &run{cmd: cmd, done: make(chan struct{})}
	r.queue.L = &r.queue.Mutex
	var tty *os.File
	_, err = t.Reaper.Start(func() (*os.Process, error) {
		tty, err = pty.StartWithSize(cmd, &pty.Winsize{Cols: t.size.Columns, Rows: t.size.Rows})
		return cmd.Process, err
	})
	// Files that were only for the shell are open in it now.
	for _, f := range cmd.ExtraFiles {
		f.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	if r.tty, err = pollable(tty); err != nil {
		_ = cmd.Process.Kill()
		go func() { _ = t.Reaper.Wait(cmd) }()
		return nil, err
	}
	return r, nil
}

// pollable makes of a terminal that blocks a thread while it is read one that
// the runtime waits for, with deadlines.
func pollable(tty *os.File) (*os.File, error) {
	defer tty.Close()
	fd, err := unix.FcntlInt(tty.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return nil, fmt.Errorf("prepare the terminal: %w", err)
	}
	return os.NewFile(uintptr(fd), tty.Name()), nil
}

func (t *Terminal) setState(s string) {
	t.state = s
	t.tellState()
	t.changed()
}

// copyOut brings the terminal's output into the stream until the shell ends.
func (t *Terminal) copyOut(r *run, exited <-chan error) {
	buf := make([]byte, 16<<10)
	for t.stream.waitForRoom() == nil {
		n, err := r.read(buf)
		if n > 0 {
			t.output.Add(uint64(n))
			t.stream.write(buf[:n])
			t.follow(buf[:n])
		}
		if err != nil {
			break
		}
	}
	r.endQueue()
	r.tty.Close() // whoever still prints there gets an error
	err := <-exited
	var exit *exec.ExitError
	if (err == nil || errors.As(err, &exit) && exit.Exited()) && !r.hungUp.Load() {
		// Not now: this is what closing waits for.
		defer func() { go t.exited() }()
	}

	t.mu.Lock()
	defer t.mu.Unlock()
	t.running = nil
	t.title = title{}
	t.stream.rush(false)
	t.Logf("shell %d ended: %s", r.cmd.Process.Pid, outcome(err))
	t.stream.write([]byte(softReset))
	if !t.closed {
		t.Say("[The shell has ended: %s. Press Enter for a new one.]", outcome(err))
	}
	t.setState(Ended)
	close(r.done)
}

// follow looks for a new title in output.
func (t *Terminal) follow(p []byte) {
	t.mu.Lock()
	changed := t.title.feed(p)
	t.mu.Unlock()
	if changed {
		t.changed()
	}
}

// read reads the terminal. The end is an error: EIO when no program holds the
// terminal any more, else EOF when the shell has ended and what it printed
// has been read.
func (r *run) read(buf []byte) (n int, err error) {
	n, err = r.tty.Read(buf)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	conn, err := r.tty.SyscallConn()
	if err != nil {
		return 0, err
	}
	controlErr := conn.Control(func(fd uintptr) { n, err = unix.Read(int(fd), buf) })
	if controlErr != nil || err != nil || n <= 0 {
		return 0, io.EOF
	}
	return n, nil
}

func outcome(err error) string {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return "status 0"
	case errors.As(err, &exit) && exit.Exited():
		return fmt.Sprintf("status %d", exit.ExitCode())
	case errors.As(err, &exit):
		return exit.Sys().(syscall.WaitStatus).Signal().String()
	default:
		return err.Error()
	}
}

// Restart ends the shell, if one runs, and starts a new one.
func (t *Terminal) Restart(ctx context.Context) error {
	t.mu.Lock()
	r := t.running
	t.mu.Unlock()
	if r != nil {
		t.hangUp(ctx, r)
	}
	return t.Start()
}

// Close hangs up for good, and returns when the shell is gone.
func (t *Terminal) Close(ctx context.Context) {
	t.mu.Lock()
	t.closed = true
	r := t.running
	t.mu.Unlock()
	t.stream.close()
	if r != nil {
		t.hangUp(ctx, r)
	}
}

// hangUp does what closing a terminal's window does: every process group in the
// shell's session gets SIGHUP. A shell that stays is killed after a second;
// what asked to survive (nohup) survives a restart of the shell.
func (t *Terminal) hangUp(ctx context.Context, r *run) {
	r.hungUp.Store(true)
	t.stream.rush(true) // the last output shall not wait for a page that sleeps
	shell := r.cmd.Process.Pid
	for _, group := range process.GroupsOfSession(shell) {
		// A stopped job must wake to hear of it. Those that are gone are no error.
		_ = syscall.Kill(-group, syscall.SIGHUP)
		_ = syscall.Kill(-group, syscall.SIGCONT)
	}
	timer := time.NewTimer(hangUpTime)
	defer timer.Stop()
	select {
	case <-r.done:
		return
	case <-timer.C:
	case <-ctx.Done():
	}
	_ = r.cmd.Process.Kill()
	<-r.done
}

func (r *run) resize(s wire.Size) {
	// Not by the file's Fd, which would make it block again. It fails only when
	// the shell has just ended.
	if conn, err := r.tty.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) {
			_ = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Col: s.Columns, Row: s.Rows})
		})
	}
}

func (r *run) enqueue(it item) error {
	q := &r.queue
	q.Lock()
	defer q.Unlock()
	if q.closed {
		it.credit()
		return nil
	}
	if q.bytes+len(it.data) > maxQueue {
		return errors.New("more input than was credited")
	}
	q.items = append(q.items, it)
	q.bytes += len(it.data)
	q.Signal()
	return nil
}

func (r *run) endQueue() {
	q := &r.queue
	q.Lock()
	defer q.Unlock()
	q.closed = true
	q.Signal()
}

// copyIn writes the queue to the terminal, which takes it as fast as programs
// read. The queue is apart from the websocket's reading, which must go on: it
// also brings the acknowledgements that let a program go on printing.
func (r *run) copyIn() {
	q := &r.queue
	for {
		q.Lock()
		for len(q.items) == 0 && !q.closed {
			q.Wait()
		}
		items := q.items
		q.items = nil
		closed := q.closed
		q.Unlock()
		if len(items) == 0 && closed {
			return
		}
		for _, it := range items {
			_, err := r.tty.Write(it.data)
			q.Lock()
			q.bytes -= len(it.data)
			q.Unlock()
			it.credit()
			if err != nil {
				r.endQueue()
			}
		}
	}
}
