// SPDX-License-Identifier: Apache-2.0

// Package users is the command `users` with list, add, remove, import and
// password.
package users

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/pkg/cmd/choice"
	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/plan"
	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/users"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Runs are what the commands run; nil fields stand for the real ones.
type Runs struct {
	List     factory.Run[*ListOptions]
	Add      factory.Run[*AddOptions]
	Remove   factory.Run[*RemoveOptions]
	Import   factory.Run[*ImportOptions]
	Password factory.Run[*PasswordOptions]
}

// NewCommand returns the command. A test may put its own runs in place.
func NewCommand(f *factory.Factory, runs Runs) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "users",
		Aliases: []string{"user"},
		Short:   "Who may log in, as what, and with which password",
		Long: `Says who may log in, as what, and with which password. The lists of those who are
allowed and of admins are part of the workshop, as deploy's --allowed-users and
--admin-users. With --auth password, attendees can have passwords of their own
beside the one that all share.`,
		Example: `  workshopctl users list
  workshopctl users import class.csv --handout handout.html`,
	}
	factory.Group(cmd)
	cmd.AddCommand(newList(f, runs.List), newAdd(f, runs.Add), newRemove(f, runs.Remove), newImport(f, runs.Import), newPassword(f, runs.Password))
	return cmd
}

// completeListed completes the names on a workshop's lists, without those that
// are there already.
func completeListed(f *factory.Factory, name *string) factory.Complete {
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		return f.CompleteRecord(name, func(r *record.Record) []string {
			names := slices.Concat(r.Spec.AllowedUsers, r.Spec.AdminUsers)
			slices.Sort(names)
			return slices.DeleteFunc(slices.Compact(names), func(n string) bool { return slices.Contains(args, n) })
		})(cmd, args, word)
	}
}

// passwordsOf are the passwords of a deployed workshop.
func passwordsOf(c *factory.Cluster, spec workshop.Spec) *users.Passwords {
	return users.PasswordsOf(c.Kubernetes, c.Namespace, workshop.Names(spec.Name))
}

// has says whether a list has a user, by the names that the hub knows.
func has(spec workshop.Spec, list []string, name string) bool {
	return slices.ContainsFunc(list, func(n string) bool { return spec.UserName(n) == spec.UserName(name) })
}

// closed says whether only those on the lists may log in.
func closed(spec workshop.Spec) bool { return len(spec.AllowedUsers)+len(spec.AllowedGroups) > 0 }

// valid normalises the names that were typed, and refuses what is none.
func valid(spec workshop.Spec, names []string) ([]string, error) {
	if spec.Auth == workshop.AuthAnonymous {
		return nil, fault.Refuse("Deploy it with another --auth to know who is who.", "workshop %s knows no names: with --auth anonymous each browser is a user of its own", spec.Name)
	}
	out := make([]string, 0, len(names))
	for _, n := range names {
		if problem := workshop.UserProblem(n); problem != "" {
			return nil, fault.Usage("%q %s", n, problem)
		}
		if n = spec.UserName(n); !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out, nil
}

// lists are a workshop's lists as they are to be.
type lists struct{ allowed, admins []string }

func listsOf(spec workshop.Spec) lists {
	return lists{slices.Clone(spec.AllowedUsers), slices.Clone(spec.AdminUsers)}
}

// carry deploys the lists, as `deploy` would, if they have changed.
func (l lists) carry(ctx context.Context, f *factory.Factory, c *factory.Cluster, r *record.Record, verb string, timeout factory.TimeoutOptions) error {
	change := choice.Change{Values: map[string]string{}}
	if !slices.Equal(l.allowed, r.Spec.AllowedUsers) {
		change.Values["allowed-users"] = strings.Join(l.allowed, ",")
	}
	if !slices.Equal(l.admins, r.Spec.AdminUsers) {
		change.Values["admin-users"] = strings.Join(l.admins, ",")
	}
	if len(change.Values) == 0 {
		return nil
	}
	p, err := plan.Make(ctx, f, c, plan.Request{Verb: verb, Name: r.Spec.Name, Record: r, Change: change})
	if err != nil {
		return err
	}
	_, err = plan.Carry(ctx, f, c, p, plan.Options{SkipImageCheck: true, Wait: true, TimeoutOptions: timeout}, f.Progress())
	return err
}

// deliver has the hub learn of changed passwords at once.
func deliver(ctx context.Context, f *factory.Factory, p *users.Passwords) {
	if err := p.Deliver(ctx); err != nil && ctx.Err() == nil {
		f.Say("The hub learns of it within two minutes: the cluster could not be told to hurry (%v).", err)
	}
}
