// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/pkg/cmd/ask"
	"github.com/workshopctl/workshopctl/pkg/cmd/batch"
	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/output"
	"github.com/workshopctl/workshopctl/pkg/session"
)

// StopOptions of `sessions stop` and `sessions restart`.
type StopOptions struct {
	factory.WorkshopOptions
	Target
	waitFlags
	asker
	Format output.Format
}

func newStop(f *factory.Factory, run factory.Run[*StopOptions]) *cobra.Command {
	o := &StopOptions{}
	do := factory.RunE(f, o, run, Stop)
	cmd := &cobra.Command{
		Use:   "stop " + targetUse,
		Short: "Stop sessions; what was saved stays",
		Long: `Stops sessions and waits until they are gone. What runs in their terminals is
lost; volumes stay, and whoever opens the workshop again gets a new session with
the same files.

While the hub doesn't answer, the sessions' pods are deleted, and the hub notices
that once it is back. --idle needs the hub, which alone knows who is idle.`,
		Example: `  workshopctl sessions stop ann bob

  # Those that nobody has used for an hour, in a script
  workshopctl sessions stop --idle 1h --yes`,
	}
	o.addTo(f, cmd, "Stop")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.read(cmd, args)
		return do(cmd, args)
	}
	o.WorkshopOptions.AddFlags(f, cmd)
	o.asker.AddFlags(cmd)
	o.waitFlags.AddFlags(cmd, " until it is gone", batch.AtOnce)
	resultFormats(cmd, &o.Format)
	return cmd
}

func newRestart(f *factory.Factory, run factory.Run[*StopOptions]) *cobra.Command {
	o := &StopOptions{}
	do := factory.RunE(f, o, run, Restart)
	cmd := &cobra.Command{
		Use:   "restart " + targetUse,
		Short: "Start sessions anew; what was saved stays",
		Long: `Stops sessions, has the hub start them again, and waits until they are ready. They
get the image and settings that new sessions have. What runs in their terminals
is lost; volumes stay.

It needs a running hub.`,
		Example: `  workshopctl sessions restart ann

  # All of them, in a script
  workshopctl sessions restart --all --yes`,
	}
	o.addTo(f, cmd, "Restart")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.read(cmd, args)
		return do(cmd, args)
	}
	o.WorkshopOptions.AddFlags(f, cmd)
	o.asker.AddFlags(cmd)
	o.waitFlags.AddFlags(cmd, " until it is ready", batch.AtOnce)
	resultFormats(cmd, &o.Format)
	return cmd
}

// Validate checks what can be checked without the cluster.
func (o *StopOptions) Validate() error {
	return errors.Join(o.Target.Validate(), o.WorkshopOptions.Validate(), o.waitFlags.Validate(), o.Format.Validate())
}

// lost says what a session that stops takes with it.
func lost(list []session.Session) string {
	what := "What runs in its terminal is lost, files stay."
	if len(list) > 1 {
		what = "What runs in their terminals is lost, files stay."
	}
	var without []string
	for _, s := range list {
		if s.Volume == "" && s.Pod != "" {
			without = append(without, s.User)
		}
	}
	if len(without) > 0 {
		what += fmt.Sprintf(" Without a volume, and so without their files afterwards: %s.", output.Some(without))
	}
	return what
}

// Stop stops sessions.
func Stop(ctx context.Context, f *factory.Factory, o *StopOptions) error {
	c, r, err := o.Load(ctx, f)
	if err != nil {
		return err
	}
	list, _, err := o.load(ctx, c, r.Spec, true)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		f.Say("No session of workshop %s is meant: nothing to stop.", r.Spec.Name)
		return results(nil, nil, nil).writeTo(f, &o.Format)
	}
	if err := ask.Confirm(ctx, f, o.Yes, fmt.Sprintf("Stop %s? %s", describe(list), lost(list))); err != nil {
		return err
	}
	w, err := connect(ctx, c, r.Spec)
	if err != nil {
		return err
	}
	defer w.end()
	withoutHub(f, w.hubErr, "Their pods are deleted; the hub notices that once it is back.")
	job := batch.Job{
		Doing: "Stopping", Failed: "did not stop", AtOnce: o.AtOnce, Timeout: o.Timeout,
		Interrupted: "Sessions that are being stopped go on stopping; the same command again does the rest.",
	}
	users := usersOf(list)
	result, done := "stopped", "Stopped "
	if o.NoWait {
		result, done = "stopping", "Stopping "
	}
	return carryOut(ctx, f, &o.Format, job, users, func(ctx context.Context, i int) error { return w.Stop(ctx, list[i], !o.NoWait) },
		done+output.Count(len(list), "session"), func(i int) Done { return Done{User: users[i], Result: result, KeptVolume: list[i].Volume} })
}

// withoutHub says that the hub is left out, and what that means.
func withoutHub(f *factory.Factory, err error, consequence string) {
	if err != nil {
		f.Say("The hub does not answer (%v). %s", err, consequence)
	}
}

// Restart starts sessions anew.
func Restart(ctx context.Context, f *factory.Factory, o *StopOptions) error {
	c, r, err := o.Load(ctx, f)
	if err != nil {
		return err
	}
	list, _, err := o.load(ctx, c, r.Spec, true)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		f.Say("No session of workshop %s is meant: nothing to restart.", r.Spec.Name)
		return results(nil, nil, nil).writeTo(f, &o.Format)
	}
	w, err := connect(ctx, c, r.Spec)
	if err != nil {
		return err
	}
	defer w.end()
	if err := w.needHub("restart sessions"); err != nil {
		return err
	}
	if err := ask.Confirm(ctx, f, o.Yes, fmt.Sprintf("Restart %s? %s", describe(list), lost(list))); err != nil {
		return err
	}
	job := batch.Job{
		Doing: "Restarting", Failed: "did not get ready", AtOnce: o.AtOnce, Timeout: o.Timeout,
		Interrupted: "Who was stopped may not have a session yet: `workshopctl sessions list` shows it, `workshopctl sessions start` goes on.",
	}
	users, rules := usersOf(list), factory.Rules(r.Spec)
	result, done := "running", "Restarted "+output.Count(len(list), "session")
	if o.NoWait {
		result, done = "starting", "The hub is starting "+output.Count(len(list), "session")+" anew"
	}
	return carryOut(ctx, f, &o.Format, job, users, func(ctx context.Context, i int) error { return w.Restart(ctx, list[i], !o.NoWait) },
		done, func(i int) Done { return Done{User: users[i], Result: result, URL: rules.Address(users[i])} })
}
