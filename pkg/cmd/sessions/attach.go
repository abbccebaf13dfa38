// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	corev1 "k8s.io/api/core/v1"

	"github.com/workshopctl/workshopctl/pkg/attach"
	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/progress"
	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/inside"
	"github.com/workshopctl/workshopctl/pkg/session"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// AttachOptions of `sessions attach`.
type AttachOptions struct {
	factory.WorkshopOptions
	User  string
	Shell int
	Write bool
}

func newAttach(f *factory.Factory, run factory.Run[*AttachOptions]) *cobra.Command {
	o := &AttachOptions{}
	do := factory.RunE(f, o, run, Attach)
	cmd := &cobra.Command{
		Use:   "attach USER",
		Short: "See an attendee's terminal, and help in it",
		Long: `Shows an attendee's own shell in your terminal, as they see it, and with --write
lets you type in it, too. Their page says that somebody watches, or types.

Ctrl-] leaves, and so does Ctrl-C without --write; the shell goes on. The
terminal keeps the size of the attendee's window: make yours at least as large.
What the shell prints can't use your clipboard, nor ask your terminal anything.

Without a terminal for input and output the shell's output is printed until
Ctrl-C, or until the session ends.

You need the right to exec into the session's pod (create and get of pods/exec),
which the roles edit and admin have. It doesn't go through the hub.`,
		Example: `  workshopctl sessions attach jane
  workshopctl sessions attach jane --write

  # Their second shell
  workshopctl sessions attach jane --shell 2

  # Wait until a command has worked for them
  workshopctl sessions attach jane | grep -m1 'BUILD SUCCESS'`,
		Args:              factory.Args("USER"),
		ValidArgsFunction: f.CompleteUser,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.User = args[0]
			return do(cmd, args)
		},
	}
	o.AddFlags(f, cmd)
	cmd.Flags().IntVar(&o.Shell, "shell", 1, "`NUMBER` of the shell, as in its tab")
	cmd.Flags().BoolVar(&o.Write, "write", false, "Type in it, too")
	return cmd
}

// Validate checks what can be checked without the cluster.
func (o *AttachOptions) Validate() error {
	if o.Shell < 1 {
		return fault.Usage("--shell: must be the number of a shell, as in its tab: 1 or more")
	}
	return o.WorkshopOptions.Validate()
}

// Attach joins the shell.
func Attach(ctx context.Context, f *factory.Factory, o *AttachOptions) error {
	interactive := progress.IsTerminal(f.In) && progress.IsTerminal(f.Out)
	if o.Write && !interactive {
		return fault.Usage("--write needs a terminal for input and output")
	}
	c, r, err := o.Load(ctx, f)
	if err != nil {
		return err
	}
	pod, err := find(ctx, c, workshop.Names(r.Spec.Name), o.User)
	if err != nil {
		return err
	}
	if err := joinable(f, r.Spec.Name, pod); err != nil {
		return err
	}
	user := pod.Annotations[workshop.UsernameAnnotation]
	in, leave := io.Pipe() // ends when the person leaves
	defer func() { _ = leave.Close() }()
	options := attach.Options{Pod: pod.Name, Number: o.Shell, Write: o.Write, In: in}
	if !interactive {
		options.Out = attach.NewFilter(f.Out)
		return o.explained(f, c.Namespace, user, attach.Shell(ctx, within(c), options))
	}
	s := &screen{f: f, user: user, write: o.Write, shell: o.Shell, out: attach.NewFilter(f.Out)}
	restore, err := s.raw()
	if err != nil {
		return err
	}
	options.Out, options.Resized = s, s.resized
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		s.copyKeys(leave)
		// The gateway's program ends with its input. One that doesn't answer any
		// more doesn't keep a person.
		time.AfterFunc(leaveTime, cancel)
	}()
	go s.watchSize(ctx)
	err = attach.Shell(ctx, within(c), options)
	restore()
	if s.left() && (err == nil || errors.Is(err, context.Canceled)) {
		f.Say("You have left; the shell of %s goes on.", user)
		return nil
	}
	return o.explained(f, c.Namespace, user, err)
}

// leaveTime is how long a connection has to end when the person has left.
const leaveTime = 2 * time.Second

// joinable says why a session can't be joined yet, or no more.
func joinable(f *factory.Factory, name string, pod *corev1.Pod) error {
	s := session.FromPod(pod)
	if s.State == session.Running {
		return nil
	}
	text := fmt.Sprintf("the session of %s is %s", s.User, s.State)
	if s.Reason != "" {
		text += ": " + s.Reason
	}
	return &fault.Error{Code: fault.NotReady, Err: errors.New(text), Hint: fmt.Sprintf("`workshopctl sessions list%s -w` shows when it is ready.", f.On(name))}
}

// explained adds what to do about the error.
func (o *AttachOptions) explained(f *factory.Factory, namespace, user string, err error) error {
	switch {
	case err == nil:
		return &fault.Error{Code: fault.Failed, Err: fmt.Errorf("the session of %s has ended", user)}
	case errors.Is(err, context.Canceled):
		return err
	}
	return refused(f, namespace, fmt.Errorf("attach to %s: %w", user, err))
}

// screen is the trainer's terminal while it shows an attendee's.
type screen struct {
	f     *factory.Factory
	user  string
	shell int
	write bool
	out   io.Writer

	mu    sync.Mutex
	size  inside.Size // of the attendee's terminal
	title string      // of the window, as it is now
	begun bool
	early []byte // output that came before the size
	gone  bool   // the person wants to leave
}

// The codes of keys.
const (
	ctrlC = 0x03
	leave = 0x1d // Ctrl-]
)

// reset undoes what the attendee's programs may have left behind in the
// terminal: alternate screen, bracketed paste, scroll region, hidden cursor,
// colours. The title is the one from before.
const reset = "\x1b[?47l\x1b[?2004l\x1b[?7h\x1b[r\x1b[!p\x1b[?25h\x1b[0m\x1b[23;0t\r\n"

// raw has every key come here as it is, until restore is called.
func (s *screen) raw() (restore func(), err error) {
	fd := int(s.f.In.(*os.File).Fd()) // a terminal
	before, err := term.MakeRaw(fd)
	if err != nil {
		return nil, fmt.Errorf("prepare the terminal: %w", err)
	}
	_, _ = io.WriteString(s.f.Out, "\x1b[22;0t")
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		_, _ = io.WriteString(s.f.Out, "\x1b[999;1H"+reset)
		_ = term.Restore(fd, before)
	}, nil
}

// copyKeys passes on what is typed, until the person leaves.
func (s *screen) copyKeys(to *io.PipeWriter) {
	defer func() { _ = to.Close() }()
	buf := make([]byte, 4096)
	for {
		n, err := s.f.In.Read(buf)
		typed, leaves := keys(buf[:n], s.write)
		if len(typed) > 0 {
			if _, err := to.Write(typed); err != nil {
				return
			}
		}
		if leaves || err != nil {
			s.mu.Lock()
			s.gone = true
			s.mu.Unlock()
			return
		}
	}
}

// keys are those that go to the shell, and whether the person leaves.
func keys(typed []byte, write bool) (pass []byte, leaves bool) {
	if !write {
		return nil, bytes.IndexByte(typed, leave) >= 0 || bytes.IndexByte(typed, ctrlC) >= 0
	}
	if i := bytes.IndexByte(typed, leave); i >= 0 {
		return typed[:i], true
	}
	return typed, false
}

func (s *screen) left() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone
}

// Write shows what the attendee's terminal does.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Output and sizes come by two ways. What the person should know comes first.
	if !s.begun {
		if s.early = append(s.early, p...); len(s.early) < maxEarly {
			return len(p), nil
		}
		return len(p), s.begin()
	}
	return s.out.Write(p)
}

// maxEarly bounds what is kept: more than the gateway has of a shell's past.
const maxEarly = 4 << 20

// resized is told the size of the attendee's terminal.
func (s *screen) resized(size inside.Size) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.size = size
	_ = s.begin() // a terminal that is gone ends the output as well
	s.tellTitle()
}

// begin says what this is, once, and then shows what has come so far.
func (s *screen) begin() error {
	if s.begun {
		return nil
	}
	s.begun = true
	_, _ = fmt.Fprintf(s.f.ErrOut, "%s\r\n", s.about())
	_, err := s.out.Write(s.early)
	s.early = nil
	return err
}

// about is what a person should know before they see anything.
func (s *screen) about() string {
	text := fmt.Sprintf("This is shell %d of %s, who sees that you watch. Ctrl-] or Ctrl-C leaves.", s.shell, explain.Clean(s.user))
	if s.write {
		text = fmt.Sprintf("This is shell %d of %s, who sees that you may type. Ctrl-] leaves.", s.shell, explain.Clean(s.user))
	}
	if tight := s.tight(); tight != "" {
		text += "\r\nLines break elsewhere, because " + tight + ": make it larger."
	}
	return text
}

// tight says that the trainer's window is too small, if it is.
func (s *screen) tight() string {
	columns, rows, err := term.GetSize(int(s.f.Out.(*os.File).Fd()))
	if err != nil || s.size.Columns <= columns && s.size.Rows <= rows {
		return ""
	}
	return fmt.Sprintf("the attendee's window has %d columns and %d rows, and yours %d and %d", s.size.Columns, s.size.Rows, columns, rows)
}

// tellTitle puts into the window's title what can't be written into the
// attendee's screen; the caller holds the lock.
func (s *screen) tellTitle() {
	title := fmt.Sprintf("%s, shell %d", explain.Clean(s.user), s.shell)
	if tight := s.tight(); tight != "" {
		title += ": " + tight
	}
	if title != s.title {
		s.title = title
		_, _ = fmt.Fprintf(s.f.Out, "\x1b]2;%s\x07", title)
	}
}

// watchSize looks at the window's size from time to time: not every system
// tells of its changes.
func (s *screen) watchSize(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		s.mu.Lock()
		if s.begun && !s.gone {
			s.tellTitle()
		}
		s.mu.Unlock()
	}
}
