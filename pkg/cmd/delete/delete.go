// SPDX-License-Identifier: Apache-2.0

// Package delete is the command `delete`.
package delete

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/pkg/apply"
	"github.com/workshopctl/workshopctl/pkg/cmd/ask"
	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/output"
	"github.com/workshopctl/workshopctl/pkg/session"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Options of the command.
type Options struct {
	Name string
	// Volumes deletes what attendees have saved.
	Volumes bool
	Yes     bool
	factory.TimeoutOptions
}

// NewCommand returns the command. A test may put its own run in place.
func NewCommand(f *factory.Factory, run factory.Run[*Options]) *cobra.Command {
	o := &Options{}
	do := factory.RunE(f, o, run, Run)
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a workshop; attendees' volumes stay unless you say otherwise",
		Long: `Deletes a workshop: the hub first, so that it starts no session again, then the
sessions, then everything else of it, and waits until all of that is gone. It needs
no running hub.

Attendees' volumes stay, and a workshop that is deployed under the same name finds
them again. --delete-volumes deletes them, too; that can't be undone.`,
		Example: `  workshopctl delete terminals

  # All of it, in a script
  workshopctl delete terminals --delete-volumes --yes`,
		Args:              factory.Args("NAME"),
		ValidArgsFunction: f.CompleteWorkshops,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			return do(cmd, args)
		},
	}
	cmd.Flags().BoolVar(&o.Volumes, "delete-volumes", false, "Delete what attendees have saved as well")
	cmd.Flags().BoolVarP(&o.Yes, "yes", "y", false, "Don't ask")
	o.AddFlags(cmd, " until all is gone")
	return cmd
}

// Validate checks what can be checked without the cluster.
func (o *Options) Validate() error {
	return errors.Join(o.TimeoutOptions.Validate(), workshop.ValidateName(o.Name))
}

// Run deletes.
func Run(ctx context.Context, f *factory.Factory, o *Options) error {
	c, err := f.Cluster()
	if err != nil {
		return err
	}
	record, err := f.Workshop(ctx, c, o.Name)
	if err != nil {
		return err
	}
	n := workshop.Names(o.Name)
	before, err := session.List(ctx, c.Kubernetes, c.Namespace, n, nil)
	if err != nil {
		return err
	}
	if err := ask.Confirm(ctx, f, o.Yes, question(c, o, before)); err != nil {
		return err
	}
	if o.Volumes && len(before.Volumes) > 0 {
		q := fmt.Sprintf("Delete %s of %s? What they saved can't be brought back.", output.Count(len(before.Volumes), "volume"), people(before.Volumes))
		if err := ask.Confirm(ctx, f, o.Yes, q); err != nil {
			return err
		}
	}

	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	say := f.Progress()
	say.Step("Deleting %s", o.Name)
	done, err := c.Apply().Delete(ctx, n, record.Inventory, apply.DeleteOptions{Volumes: o.Volumes, Report: func(message string) { say.Detail("%s", message) }})
	if err == nil {
		err = f.Records(c).Delete(ctx, record)
	}
	say.Stop(err)
	if err != nil {
		again := "The same command again goes on with it."
		if outer.Err() != nil {
			err, again = fmt.Errorf("delete %s: interrupted: %w", o.Name, context.Canceled), "What was asked for goes on disappearing; the same command again does the rest."
		}
		return fault.Hint(err, again)
	}
	say.Done("%s is deleted: %s", o.Name, output.Count(len(done.Deleted), "object"))
	if kept := len(done.Kept); kept > 0 {
		f.Say("Kept: %s of attendees. A workshop deployed as %s finds them again.", output.Count(kept, "volume"), o.Name)
		f.Say("To delete them: kubectl delete pvc -n %s -l %s", c.Namespace, session.Selector(n))
	}
	return nil
}

func question(c *factory.Cluster, o *Options, before session.Overview) string {
	q := fmt.Sprintf("Delete workshop %s in namespace %s", o.Name, c.Namespace)
	if s := len(before.Sessions); s > 0 {
		q += fmt.Sprintf(" with %s", output.Count(s, "running session"))
	}
	switch v := len(before.Volumes); {
	case v > 0 && o.Volumes:
		q += fmt.Sprintf(", and %s of attendees", output.Count(v, "volume"))
	case v > 0:
		q += fmt.Sprintf(" (kept: %s of attendees)", output.Count(v, "volume"))
	}
	return q + "?"
}

// people names some of the volumes' owners.
func people(volumes []session.Volume) string {
	var users []string
	for _, v := range volumes {
		if v.User != "" {
			users = append(users, v.User)
		}
	}
	if len(users) == 0 {
		return "attendees"
	}
	return output.Some(users)
}
