// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/workshopctl/workshopctl/pkg/attach"
	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/progress"
	"github.com/workshopctl/workshopctl/pkg/inside"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// ShellOptions of `sessions shell`.
type ShellOptions struct {
	factory.WorkshopOptions
	User string
	// Command to run in place of the shell.
	Command []string
}

func newShell(f *factory.Factory, run factory.Run[*ShellOptions]) *cobra.Command {
	o := &ShellOptions{}
	do := factory.RunE(f, o, run, Shell)
	cmd := &cobra.Command{
		Use:     "shell USER [-- COMMAND [ARG…]]",
		Aliases: []string{"rsh"},
		Short:   "A shell of your own in an attendee's session",
		Long: `Opens a shell in an attendee's session, beside theirs: the same image, files,
environment, home and directory, on a terminal of your own. They don't see it;
` + "`sessions attach`" + ` is for helping in their own shell.

With a command after --, that runs on the terminal instead, without the shell's
profile. The exit code is that of the shell or the command.

What is in the session is in its attendee's hands, their shell's profile among it.
So what is printed can't use your clipboard, nor ask your terminal anything, as
programs do that take the mouse.

You need the right to exec into the session's pod (create and get of pods/exec),
which the roles edit and admin have. It doesn't go through the hub.`,
		Example: `  workshopctl sessions shell jane
  workshopctl sessions rsh jane -- vi README.md`,
		Args:              commandArgs("USER"),
		ValidArgsFunction: f.CompleteUser,
		RunE: func(cmd *cobra.Command, args []string) error {
			names, command := splitArgs(cmd, args)
			o.User, o.Command = names[0], command
			return do(cmd, args)
		},
	}
	o.AddFlags(f, cmd)
	return cmd
}

// commandArgs checks the arguments of a command line that may have a command
// for the session behind --.
func commandArgs(what ...string) cobra.PositionalArgs {
	check := factory.Args(what...)
	return func(cmd *cobra.Command, args []string) error {
		names, _ := splitArgs(cmd, args)
		if err := check(cmd, names); err != nil {
			if len(names) > len(what) {
				return fault.Hint(err, "What is to be run in the session stands behind --.")
			}
			return err
		}
		if n := cmd.ArgsLenAtDash(); n >= 0 && n == len(args) {
			return fault.Usage("%s: no command is behind --", cmd.CommandPath())
		}
		return nil
	}
}

// splitArgs parts what is before -- and behind it.
func splitArgs(cmd *cobra.Command, args []string) (names, command []string) {
	if n := cmd.ArgsLenAtDash(); n >= 0 {
		return args[:n], args[n:]
	}
	return args, nil
}

// Shell opens a shell of the trainer's in a session.
func Shell(ctx context.Context, f *factory.Factory, o *ShellOptions) error {
	if !progress.IsTerminal(f.In) || !progress.IsTerminal(f.Out) {
		return fault.Usage("sessions shell needs a terminal for input and output; `%s sessions exec %s -- COMMAND` runs a command without one", f.Name, o.User)
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
	in, out := f.In.(*os.File), f.Out.(*os.File)
	before, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return fmt.Errorf("prepare the terminal: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	err = within(c).Command(ctx, pod.Name,
		inside.Terminal{Kind: os.Getenv("TERM"), TrueColour: os.Getenv("COLORTERM") == "truecolor" || os.Getenv("COLORTERM") == "24bit"},
		inside.Program{Args: o.Command, In: in, Out: attach.NewFilter(out), Terminal: sizes(ctx, out)})
	cancel()
	var exit *inside.ExitError
	if err != nil && !errors.As(err, &exit) {
		// What ran there had no time to put the terminal in order.
		_, _ = io.WriteString(out, "\x1b[999;1H"+reset)
	}
	_ = term.Restore(int(in.Fd()), before)
	switch {
	case exit != nil:
		return fault.SilentError(exit.Code)
	case err != nil:
		return refused(f, c.Namespace, fmt.Errorf("shell of %s: %w", user, err))
	}
	return nil
}

// sizeTime is how often a window's size is looked at: not every system tells of
// its changes.
const sizeTime = 200 * time.Millisecond

// sizes are those of a terminal, first of all the present one.
func sizes(ctx context.Context, terminal *os.File) <-chan inside.Size {
	news := make(chan inside.Size)
	go func() {
		tick := time.NewTicker(sizeTime)
		defer tick.Stop()
		var known inside.Size
		for {
			columns, rows, err := term.GetSize(int(terminal.Fd()))
			if now := (inside.Size{Columns: columns, Rows: rows}); err == nil && now != known {
				known = now
				select {
				case news <- now:
				case <-ctx.Done():
					return
				}
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return news
}
