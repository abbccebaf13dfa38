// SPDX-License-Identifier: Apache-2.0

package users

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/users"
)

// AddOptions of `users add`.
type AddOptions struct {
	Names []string
	Admin bool
	EnrolOptions
}

func newAdd(f *factory.Factory, run factory.Run[*AddOptions]) *cobra.Command {
	o := &AddOptions{}
	do := factory.RunE(f, o, run, Add)
	cmd := &cobra.Command{
		Use:   "add NAME...",
		Short: "Put users on the list of those who may log in",
		Long: `Puts users on the list of those who may log in, or with --admin on that of admins,
who may use the hub's admin page and see all sessions. The hub starts anew for it,
which no open terminal notices.

With --auth password each gets a password of their own, which is printed once; who
has one already keeps it. From then on they can't log in with the shared one.

The first name on the list of a workshop that everybody could log in to keeps all
others out.`,
		Example: `  workshopctl users add jane jim
  workshopctl users add --admin trainer
  workshopctl users add jane --handout jane.html`,
		Args:              someNames,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Names = args
			return do(cmd, args)
		},
	}
	cmd.Flags().BoolVar(&o.Admin, "admin", false, "Make them admins")
	o.addFlags(f, cmd)
	return cmd
}

// someNames wants one or more.
func someNames(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return nil
	}
	return factory.Args("NAME")(cmd, args)
}

// Add puts users on the lists.
func Add(ctx context.Context, f *factory.Factory, o *AddOptions) error {
	c, r, err := o.Load(ctx, f)
	if err != nil {
		return err
	}
	names, err := valid(r.Spec, o.Names)
	if err != nil {
		return err
	}
	var people []users.Person
	for _, n := range names {
		people = append(people, users.Person{Name: n, Admin: o.Admin})
	}
	return enrol(ctx, f, c, r, "users add", people, &o.EnrolOptions)
}
