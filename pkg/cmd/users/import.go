// SPDX-License-Identifier: Apache-2.0

package users

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/users"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// ImportOptions of `users import`.
type ImportOptions struct {
	// File with the users; "-" is stdin.
	File string
	EnrolOptions
}

func newImport(f *factory.Factory, run factory.Run[*ImportOptions]) *cobra.Command {
	o := &ImportOptions{}
	do := factory.RunE(f, o, run, Import)
	cmd := &cobra.Command{
		Use:   "import FILE.csv",
		Short: "Put a whole class on the list, with passwords and handouts",
		Long: `Reads users from a file, a line each with a name and, if you like, a password and
whether they are an admin (true or false):

  name,password,admin
  jane
  jim,a-password-of-his
  trainer,,true

The header may be left out, or name the columns in another order; semicolons and
tabs do in place of commas. "-" reads stdin. A file with a wrong line is refused,
with all wrong lines named, and nothing is written.

The users are put on the lists as "users add" does. With --auth password, those
without a password in the file get one made, unless they have one of their own
already. --handout writes a page with a card for each to print and cut up; without
it, names and passwords are printed here. They are not shown again.`,
		Example: `  workshopctl users import class.csv --handout handout.html

  # Is the file right?
  workshopctl users import class.csv --dry-run

  # From another program, and to another one
  generate-names | workshopctl users import - -o json > passwords.json`,
		Args: factory.Args("FILE.csv"),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return []string{"csv"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.File = args[0]
			return do(cmd, args)
		},
	}
	o.addFlags(f, cmd)
	return cmd
}

// Import puts the users of a file on the lists.
func Import(ctx context.Context, f *factory.Factory, o *ImportOptions) error {
	file := o.File
	var content []byte
	var err error
	if file == "-" {
		file = "stdin"
		content, err = io.ReadAll(f.In)
	} else {
		content, err = os.ReadFile(file)
	}
	if err != nil {
		return fault.Usage("read the users: %w", err)
	}
	// What is wrong whatever the workshop is said without asking for it.
	if _, err := users.Parse(content, true, nil); err != nil {
		return wrongFile(file, err)
	}
	c, r, err := o.Load(ctx, f)
	if err != nil {
		return err
	}
	if _, err := valid(r.Spec, nil); err != nil {
		return err
	}
	people, err := users.Parse(content, r.Spec.Auth == workshop.AuthPassword, r.Spec.UserName)
	if err != nil {
		return wrongFile(file, err)
	}
	return enrol(ctx, f, c, r, "users import", people, &o.EnrolOptions)
}

func wrongFile(file string, err error) error {
	var lines interface{ Unwrap() []error }
	if errors.As(err, &lines) {
		var errs []error
		for _, e := range lines.Unwrap() {
			errs = append(errs, fault.Usage("%s, %w", file, e))
		}
		err = errors.Join(errs...)
	} else {
		err = fault.Usage("%s, %w", file, err)
	}
	return &fault.Error{Code: fault.BadUsage, Err: err, Hint: "Nothing was written. `workshopctl users import --help` shows how a line looks."}
}
