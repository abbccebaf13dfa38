// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/pkg/attach"
	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/progress"
	"github.com/workshopctl/workshopctl/pkg/inside"
	"github.com/workshopctl/workshopctl/pkg/session"
)

// ExecOptions of `sessions exec`.
type ExecOptions struct {
	insideOptions
	Command []string
	Stdin   bool
}

func newExec(f *factory.Factory, run factory.Run[*ExecOptions]) *cobra.Command {
	o := &ExecOptions{}
	do := factory.RunE(f, o, run, Exec)
	cmd := &cobra.Command{
		Use:   "exec (" + targetUse + ") -- COMMAND [ARG…]",
		Short: "Run a command in sessions",
		Long: `Runs a command in one session, in several or in all, side by side. It has the
environment, home and directory of the attendee's shell, without their profile;
there is no shell in between: for pipes, $VARIABLES and the like use sh -c '…'.

The lines of several sessions begin with their user; stdout goes to stdout and
stderr to stderr. A summary names those where it failed, and the exit code is 1
then. With one USER the output is the command's own and so is the exit code.

A command that is interrupted by Ctrl-C may go on in the sessions.

You need the right to exec into the sessions' pods (create and get of pods/exec),
which the roles edit and admin have. Only --idle asks the hub.`,
		Example: `  workshopctl sessions exec jane -- git log --oneline -3
  workshopctl sessions exec --all -- sh -c 'df -h . | tail -1'
  workshopctl sessions exec jane -i -- sh -c 'cat > notes.md' < notes.md

  # Who hasn't solved it yet
  workshopctl sessions exec --all -o json -- test -e solution.txt | jq -r '.items[]|select(.exitCode != 0).user'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			users, command := splitArgs(cmd, args)
			o.read(cmd, users)
			o.Command = command
			return do(cmd, args)
		},
	}
	o.AddFlags(f, cmd, "Run it in")
	cmd.Flags().BoolVarP(&o.Stdin, "stdin", "i", false, "Have the command read what comes to stdin; for one USER")
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		switch n := cmd.ArgsLenAtDash(); {
		case n < 0 && len(args) > 0:
			return fault.Usage("%s: what is to be run stands behind --, as in `%s %s -- ls -l`", cmd.CommandPath(), cmd.CommandPath(), args[0])
		case n < 0, n == len(args):
			return fault.Usage("%s: no command is behind --", cmd.CommandPath())
		}
		return nil
	}
	return cmd
}

// Validate checks what can be checked without the cluster.
func (o *ExecOptions) Validate() error {
	if o.Stdin && (o.All || o.Idle != 0 || len(o.Users) > 1) {
		return fault.Usage("--stdin is for one USER: a stream can be read only once")
	}
	return errors.Join(o.WorkshopOptions.Validate(), o.Target.Validate(), o.atOnce.Validate(), o.Format.Validate())
}

// ExecResult is how the command went in a session.
type ExecResult struct {
	User string `json:"user"`
	// ExitCode of the command; nil if it didn't run to its end.
	ExitCode *int `json:"exitCode"`
	// Stdout and Stderr are what it printed, of which MaxOutput bytes are kept.
	Stdout string `json:"stdout"`
	Stderr string `json:"stderr"`
	// Truncated says that there was more.
	Truncated bool `json:"truncated,omitempty"`
	// Error is why it didn't run to its end.
	Error string `json:"error,omitempty"`
}

// MaxOutput is how much of a command's output -o json and yaml hold, in bytes.
const MaxOutput = 1 << 20

// Exec runs the command.
func Exec(ctx context.Context, f *factory.Factory, o *ExecOptions) error {
	c, list, err := o.meant(ctx, f)
	if err != nil || o.nobody(f, list) {
		return err
	}
	in := within(c)
	run := func(ctx context.Context, s session.Session, out, errOut io.Writer) error {
		p := inside.Program{Args: o.Command, Out: out, ErrOut: errOut}
		if o.Stdin {
			p.In = f.In
		}
		return in.Command(ctx, s.Pod, inside.Terminal{Kind: "dumb"}, p)
	}
	switch {
	case !o.Format.Is(""):
		return o.collect(ctx, f, c.Namespace, list, run)
	case len(o.Users) == 1:
		return execOne(ctx, f, c.Namespace, list[0], run)
	}
	return o.sideBySide(ctx, f, c.Namespace, list, run)
}

// runIn runs the command in a session.
type runIn func(ctx context.Context, s session.Session, out, errOut io.Writer) error

// execOne is the command as if it ran here.
func execOne(ctx context.Context, f *factory.Factory, namespace string, s session.Session, run runIn) error {
	if err := runs(s); err != nil {
		return &fault.Error{Code: fault.NotReady, Err: fmt.Errorf("exec in %s: %w", s.User, err)}
	}
	err := run(ctx, s, shown(f.Out), shown(f.ErrOut))
	var exit *inside.ExitError
	switch {
	case errors.As(err, &exit):
		return fault.SilentError(exit.Code)
	case errors.Is(err, context.Canceled):
		return fault.Hint(err, "The command may go on in the session.")
	case err != nil:
		return refused(f, namespace, fmt.Errorf("exec in %s: %w", s.User, err))
	}
	return nil
}

// shown is a stream that gets output of a session: as it is, unless a person's
// terminal reads it.
func shown(w io.Writer) io.Writer {
	if progress.IsTerminal(w) {
		return attach.NewFilter(w)
	}
	return w
}

// sideBySide prints lines with the names of their users.
func (o *ExecOptions) sideBySide(ctx context.Context, f *factory.Factory, namespace string, list []session.Session, run runIn) error {
	var mu sync.Mutex
	out, errOut := prefixes(f.Out, usersOf(list)), prefixes(f.ErrOut, usersOf(list))
	errs := o.each(ctx, list, func(ctx context.Context, i int, s session.Session) error {
		to := &prefixed{w: f.Out, mu: &mu, prefix: out[i]}
		errTo := &prefixed{w: f.ErrOut, mu: &mu, prefix: errOut[i]}
		err := run(ctx, s, to, errTo)
		if ctx.Err() != nil {
			return err // the rest may still be written
		}
		return errors.Join(err, to.flush(), errTo.flush())
	})
	return summed(f, namespace, "ok", usersOf(list), errs)
}

// collect prints all at the end, for programs.
func (o *ExecOptions) collect(ctx context.Context, f *factory.Factory, namespace string, list []session.Session, run runIn) error {
	results := make([]ExecResult, len(list))
	for i, s := range list {
		results[i].User = s.User
	}
	var mu sync.Mutex
	errs := o.each(ctx, list, func(ctx context.Context, i int, s session.Session) error {
		out, errOut := &bounded{most: MaxOutput}, &bounded{most: MaxOutput}
		err := run(ctx, s, &locked{mu: &mu, w: out}, &locked{mu: &mu, w: errOut})
		mu.Lock()
		defer mu.Unlock()
		results[i].Stdout, results[i].Stderr, results[i].Truncated = out.String(), errOut.String(), out.cut || errOut.cut
		return err
	})
	for i, err := range errs {
		var exit *inside.ExitError
		code := 0
		switch {
		case errors.As(err, &exit):
			code = exit.Code
		case err != nil:
			results[i].Error = brief(err)
			continue
		}
		results[i].ExitCode = &code
	}
	return o.summary(f, namespace, "ok", usersOf(list), errs, results)
}

// locked is a writer that a program which has been left may still write to.
type locked struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
