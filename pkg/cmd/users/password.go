// SPDX-License-Identifier: Apache-2.0

package users

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/output"
	"github.com/workshopctl/workshopctl/pkg/cmd/plan"
	"github.com/workshopctl/workshopctl/pkg/password"
	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// PasswordOptions of `users password`.
type PasswordOptions struct {
	Name string
	// Shared is the password of all in place of one attendee's, with Admin that
	// of admins.
	Shared, Admin bool
	// Stdin has the new password.
	Stdin bool
	factory.WorkshopOptions
	factory.TimeoutOptions
	Format output.Format
}

func newPassword(f *factory.Factory, run factory.Run[*PasswordOptions]) *cobra.Command {
	o := &PasswordOptions{}
	do := factory.RunE(f, o, run, Password)
	cmd := &cobra.Command{
		Use:   "password NAME | --shared",
		Short: "Give an attendee, or all of them, a new password",
		Long: `Gives an attendee a new password of their own, or with --shared those who have none
of their own, and prints it once. It counts from the next login on; who is logged in
stays so. For a new shared password the hub starts anew, which no open terminal
notices.

The password is made for you; --password-stdin reads one of your own, so that it
stands in no list of processes and no shell's history.`,
		Example: `  workshopctl users password jane
  workshopctl users password --shared

  # One of your own
  workshopctl users password jane --password-stdin < password.txt`,
		Args:              factory.Args("[NAME]"),
		ValidArgsFunction: completeListed(f, &o.Workshop),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.Name = args[0]
			}
			return do(cmd, args)
		},
	}
	o.WorkshopOptions.AddFlags(f, cmd)
	cmd.Flags().BoolVar(&o.Shared, "shared", false, "The password of all who have none of their own")
	cmd.Flags().BoolVar(&o.Admin, "admin", false, "With --shared, that of the admins")
	cmd.Flags().BoolVar(&o.Stdin, "password-stdin", false, "Read the new password from stdin")
	o.TimeoutOptions.AddFlags(cmd, " until the hub has a shared one")
	o.Format.AddFlag(cmd, output.JSON, output.YAML)
	return cmd
}

// Validate checks what can be checked without the cluster.
func (o *PasswordOptions) Validate() error {
	switch {
	case o.Name == "" && !o.Shared:
		return fault.Usage("users password needs NAME, or --shared for the password of all")
	case o.Name != "" && o.Shared:
		return fault.Usage("NAME and --shared are two passwords; leave one of them out")
	case o.Admin && !o.Shared:
		return fault.Usage("--admin is of use with --shared only; an admin's own password is `users password NAME`")
	}
	return errors.Join(o.WorkshopOptions.Validate(), o.TimeoutOptions.Validate(), o.Format.Validate())
}

// Password gives somebody a new password.
func Password(ctx context.Context, f *factory.Factory, o *PasswordOptions) error {
	given := ""
	if o.Stdin {
		line, err := bufio.NewReader(io.LimitReader(f.In, 4096)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fault.Usage("read the password from stdin: %w", err)
		}
		if given = strings.TrimRight(line, "\r\n"); given == "" {
			return fault.Usage("--password-stdin: stdin is empty")
		}
	}
	c, r, err := o.Load(ctx, f)
	if err != nil {
		return err
	}
	if r.Spec.Auth != workshop.AuthPassword {
		return fault.Refuse("`workshopctl deploy --auth password` has the workshop ask for passwords.", "workshop %s has no passwords: attendees log in with --auth %s", r.Spec.Name, r.Spec.Auth)
	}
	if o.Shared {
		return shared(ctx, f, c, r, o, given)
	}
	names, err := valid(r.Spec, []string{o.Name})
	if err != nil {
		return err
	}
	name := names[0]
	admin := has(r.Spec, r.Spec.AdminUsers, name)
	if closed(r.Spec) && !admin && !has(r.Spec, r.Spec.AllowedUsers, name) {
		return fault.Refuse("Put them on it with: workshopctl users add "+name+f.On(r.Spec.Name), "%s is not on the list of those who may log in%s", name, factory.DidYouMean(name, r.Spec.AllowedUsers))
	}
	made, err := choose(given, admin)
	if err != nil {
		return err
	}
	credential := Credential{Name: name, Admin: admin, Password: made, PasswordState: passwordNew}
	if err := setPasswords(ctx, f, passwordsOf(c, r.Spec), []Credential{credential}); err != nil {
		return err
	}
	return printPassword(f, o, credential, given != "")
}

// choose takes the password that was given, or makes one.
func choose(given string, admin bool) (string, error) {
	if given == "" {
		return password.Generate(rand.Reader, admin)
	}
	if problem := password.Problem(given, admin); problem != "" {
		return "", fault.Usage("--password-stdin: %s", problem)
	}
	return given, nil
}

// shared changes a password that several have.
func shared(ctx context.Context, f *factory.Factory, c *factory.Cluster, r *record.Record, o *PasswordOptions, given string) error {
	made, err := choose(given, o.Admin)
	if err != nil {
		return err
	}
	key := workshop.SecretUserPassword
	if o.Admin {
		key = workshop.SecretAdminPassword
	}
	p, err := plan.Make(ctx, f, c, plan.Request{Verb: "users password", Name: r.Spec.Name, Record: r, Secret: map[string][]byte{key: []byte(made)}})
	if err != nil {
		return err
	}
	if user, admin := p.Passwords(); user == admin {
		return fault.Usage("attendees and admins can't have the same password")
	}
	if _, err := plan.Carry(ctx, f, c, p, plan.Options{SkipImageCheck: true, Wait: true, TimeoutOptions: o.TimeoutOptions}, f.Progress()); err != nil {
		return err
	}
	return printPassword(f, o, Credential{Admin: o.Admin, Password: made, PasswordState: passwordNew}, given != "")
}

func printPassword(f *factory.Factory, o *PasswordOptions, made Credential, known bool) error {
	if known {
		made.Password = "" // the person has it
	}
	return o.Format.Print(f.Out, made, nil, func(bool) error {
		who := "The shared password"
		switch {
		case made.Name != "":
			who = "The password of " + made.Name
		case made.Admin:
			who = "The admins' shared password"
		}
		f.Say("%s is changed; who is logged in stays so.", who)
		if made.Password == "" {
			return nil
		}
		_, err := fmt.Fprintln(f.Out, made.Password)
		return err
	})
}
