// SPDX-License-Identifier: Apache-2.0

package users

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/output"
	"github.com/workshopctl/workshopctl/pkg/session"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// RemoveOptions of `users remove`.
type RemoveOptions struct {
	Names []string
	// Everybody agrees that an empty list lets in everybody.
	Everybody bool
	factory.WorkshopOptions
	factory.TimeoutOptions
}

func newRemove(f *factory.Factory, run factory.Run[*RemoveOptions]) *cobra.Command {
	o := &RemoveOptions{}
	do := factory.RunE(f, o, run, Remove)
	cmd := &cobra.Command{
		Use:     "remove NAME...",
		Aliases: []string{"rm"},
		Short:   "Take users off the lists; their files stay",
		Long: `Takes users off the lists of those who may log in and of admins, and deletes the
passwords that they have of their own. Their files stay.

Who is logged in stays so until they log out; to end that, delete the user on the
hub's admin page.`,
		Example:           `  workshopctl users remove jane jim`,
		Args:              someNames,
		ValidArgsFunction: completeListed(f, &o.Workshop),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Names = args
			return do(cmd, args)
		},
	}
	o.WorkshopOptions.AddFlags(f, cmd)
	cmd.Flags().BoolVar(&o.Everybody, "allow-everybody", false, "Remove the last name on the list as well, after which everybody may log in")
	o.TimeoutOptions.AddFlags(cmd, " until the hub has it")
	return cmd
}

// Validate checks what can be checked without the cluster.
func (o *RemoveOptions) Validate() error {
	return errors.Join(o.WorkshopOptions.Validate(), o.TimeoutOptions.Validate())
}

// Remove takes users off the lists.
func Remove(ctx context.Context, f *factory.Factory, o *RemoveOptions) error {
	c, r, err := o.Load(ctx, f)
	if err != nil {
		return err
	}
	names, err := valid(r.Spec, o.Names)
	if err != nil {
		return err
	}
	own := passwordsOf(c, r.Spec)
	hashes, err := own.Read(ctx)
	if err != nil {
		return err
	}
	listed := slices.Concat(r.Spec.AllowedUsers, r.Spec.AdminUsers, sorted(hashes))
	for _, n := range names {
		if !has(r.Spec, listed, n) {
			return fault.Usage("%s is on no list of workshop %s, and has no password of their own%s", n, r.Spec.Name, factory.DidYouMean(n, listed))
		}
	}
	gone := func(n string) bool { return slices.Contains(names, r.Spec.UserName(n)) }
	wanted := listsOf(r.Spec)
	wanted.allowed, wanted.admins = slices.DeleteFunc(wanted.allowed, gone), slices.DeleteFunc(wanted.admins, gone)
	if len(r.Spec.AllowedUsers) > 0 && len(wanted.allowed) == 0 && len(r.Spec.AllowedGroups) == 0 && !o.Everybody {
		return fault.Refuse("Add another name first (workshopctl users add), or let everybody in with --allow-everybody.",
			"this takes the last name off the list of workshop %s, and an empty list lets everybody in", r.Spec.Name)
	}
	// The lists first: without a password of their own they could log in with
	// the shared one.
	if err := wanted.carry(ctx, f, c, r, "users remove", o.TimeoutOptions); err != nil {
		return err
	}
	if err := own.Change(ctx, func(all map[string]string) {
		for _, n := range names {
			delete(all, n)
		}
	}); err != nil {
		return err
	}
	deliver(ctx, f, own)
	f.Say("Removed %s.", strings.Join(names, ", "))
	if !closed(r.Spec) {
		with := ""
		if r.Spec.Auth == workshop.AuthPassword {
			with = " with the shared password"
		}
		f.Say("Everybody may log in to %s%s, they too; a list of names keeps others out: workshopctl users add", r.Spec.Name, with)
	}
	return files(ctx, f, c, r.Spec, names)
}

// files says whose stay.
func files(ctx context.Context, f *factory.Factory, c *factory.Cluster, spec workshop.Spec, names []string) error {
	overview, err := session.List(ctx, c.Kubernetes, c.Namespace, workshop.Names(spec.Name), nil)
	if err != nil {
		return err
	}
	var volumes, running []string
	for _, v := range overview.Volumes {
		if slices.Contains(names, v.User) {
			volumes = append(volumes, v.User)
		}
	}
	for _, s := range overview.Sessions {
		if slices.Contains(names, s.User) {
			running = append(running, s.User)
		}
	}
	if len(volumes) > 0 {
		f.Say("Kept: the files of %s.", output.Some(volumes))
	}
	if len(running) > 0 {
		f.Say("Still running: the session of %s. Who is logged in stays so; delete them on the hub's admin page to end that.", output.Some(running))
	}
	return nil
}
