// SPDX-License-Identifier: Apache-2.0

// Package setimage is the command `set-image`.
package setimage

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/pkg/cmd/ask"
	"github.com/workshopctl/workshopctl/pkg/cmd/choice"
	"github.com/workshopctl/workshopctl/pkg/cmd/deploy"
	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/plan"
	"github.com/workshopctl/workshopctl/pkg/session"
)

// Values of --restart.
const (
	restartNone = "none"
	restartIdle = "idle"
	restartAll  = "all"
)

// Options of the command.
type Options struct {
	Workshop string
	Image    string
	// Restart is which running sessions get the image at once.
	Restart        string
	Yes            bool
	SkipImageCheck bool
	Timeout        time.Duration
}

// NewCommand returns the command. A test may put its own run in place.
func NewCommand(f *factory.Factory, run func(context.Context, *factory.Factory, *Options) error) *cobra.Command {
	if run == nil {
		run = Run
	}
	o := &Options{}
	cmd := &cobra.Command{
		Use:   "set-image IMAGE",
		Short: "Change the image of new sessions; running ones go on undisturbed",
		Long: `Changes the image that new sessions run, and waits until the hub has it. Running
sessions and their terminals are not disturbed: they get the image when they are
started anew. --restart starts some of them anew at once.`,
		Example: `  workshopctl set-image registry.example.com/team/my-terminal:v2

  # And start those sessions anew that nobody is using
  workshopctl set-image registry.example.com/team/my-terminal:v2 --restart idle`,
		Args: factory.Args("IMAGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Image = args[0]
			if err := o.Validate(); err != nil {
				return err
			}
			return run(cmd.Context(), f, o)
		},
	}
	f.WorkshopFlag(cmd, &o.Workshop)
	cmd.Flags().StringVar(&o.Restart, "restart", restartNone, "Which running sessions to start anew with the image: none, idle or all. What runs in their terminals is lost, files stay")
	_ = cmd.RegisterFlagCompletionFunc("restart", cobra.FixedCompletions([]string{restartNone, restartIdle, restartAll}, cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().BoolVarP(&o.Yes, "yes", "y", false, "Don't ask before sessions are started anew")
	cmd.Flags().BoolVar(&o.SkipImageCheck, "skip-image-check", false, "Don't find out first whether the cluster can pull the image")
	cmd.Flags().DurationVar(&o.Timeout, "timeout", deploy.DefaultTimeout, "How long to wait, as a `TIME`")
	return cmd
}

// Validate checks what can be checked without the cluster.
func (o *Options) Validate() error {
	switch o.Restart {
	case restartNone, restartIdle, restartAll:
	default:
		return fault.Usage("--restart: choose one of none, idle, all, not %q", o.Restart)
	}
	if o.Timeout <= 0 {
		return fault.Usage("--timeout: must be more than 0")
	}
	return nil
}

// Run changes the image.
func Run(ctx context.Context, f *factory.Factory, o *Options) error {
	c, err := f.Cluster()
	if err != nil {
		return err
	}
	record, err := f.Workshop(ctx, c, o.Workshop)
	if err != nil {
		return err
	}
	name := record.Spec.Name
	change := choice.Change{Values: map[string]string{choice.FlagTerminalImage: o.Image}}
	p, err := plan.Make(ctx, f, c, plan.Request{Verb: "set-image", Name: name, Record: record, Change: change})
	if err != nil {
		return err
	}
	var affected []session.Session
	if o.Restart != restartNone {
		if affected, err = toRestart(ctx, c, p, o); err != nil {
			return err
		}
		if len(affected) > 0 {
			q := fmt.Sprintf("Start %s of %s anew? What runs in their terminals is lost.", sessions(len(affected)), users(affected))
			if err := ask.Confirm(ctx, f, o.Yes, q); err != nil {
				return err
			}
		}
	}
	say := f.Progress()
	if _, err := plan.Carry(ctx, f, c, p, plan.Options{SkipImageCheck: o.SkipImageCheck, Wait: true, Timeout: o.Timeout}, say); err != nil {
		return err
	}
	if len(affected) > 0 {
		return restart(ctx, f, c, p, affected, o.Timeout)
	}
	if p.ForgetsSessions() {
		f.Say("New sessions run %s.", o.Image)
		return nil
	}
	f.Say("New sessions run %s. Running sessions keep their image until they are started anew.", o.Image)
	return nil
}

// toRestart lists the running sessions that have another image.
func toRestart(ctx context.Context, c *factory.Cluster, p *plan.Plan, o *Options) ([]session.Session, error) {
	overview, err := c.Sessions(ctx, p.Spec)
	if err != nil {
		return nil, err
	}
	if overview.HubError != nil {
		return nil, fault.Hint(fmt.Errorf("find out which sessions are %s: %w", o.Restart, overview.HubError), "Without --restart, set-image needs no running hub.")
	}
	var out []session.Session
	for _, s := range overview.Sessions {
		if s.Image != o.Image && (s.State == session.Idle || o.Restart == restartAll && s.State == session.Running) {
			out = append(out, s)
		}
	}
	return out, nil
}

func sessions(n int) string {
	if n == 1 {
		return "1 running session"
	}
	return fmt.Sprintf("%d running sessions", n)
}

func users(list []session.Session) string {
	const shown = 5
	names := make([]string, len(list))
	for i, s := range list {
		names[i] = s.User
	}
	slices.Sort(names)
	if more := len(names) - shown; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), more)
	}
	return strings.Join(names, ", ")
}
