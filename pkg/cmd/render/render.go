// SPDX-License-Identifier: Apache-2.0

// Package render is the command `render`.
package render

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/pkg/cmd/deploy"
	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/output"
	"github.com/workshopctl/workshopctl/pkg/cmd/plan"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Options of the command.
type Options struct {
	plan.ChangeOptions
	ExistingSecret string
	// Admin prints only what takes an administrator.
	Admin  bool
	Format output.Format
}

// NewCommand returns the command. A test may put its own run in place.
func NewCommand(f *factory.Factory, run factory.Run[*Options]) *cobra.Command {
	o := &Options{}
	do := factory.RunE(f, o, run, Run)
	cmd := &cobra.Command{
		Use:   "render",
		Short: "Print the objects of a workshop, for GitOps or a closer look",
		Long: `Prints the objects that deploy would apply with the same flags, as YAML documents.
Nothing is written to the cluster.

With -f FILE it asks no cluster at all: the output depends on the file, the flags
and your defaults alone. Without, it starts from the workshop that is deployed.

With --admin it prints only what takes the right to make Roles: the service account of
the hub with a Role and a RoleBinding. Who lacks that right has an administrator of the
namespace apply it, and deploys with --service-account and the account's name.

The output holds passwords. For files that others can read, make the Secret by other
means and name it with --existing-secret; it must have the keys ` + "\n" + keys() + `.`,
		Example: `  # Into a repository that a GitOps tool applies
  workshopctl render -f workshop.yaml --existing-secret class-secrets -n class > class.yaml

  # What is deployed now
  workshopctl render

  # By an administrator, for a trainer who may only edit the namespace training
  workshopctl render --admin -n training | kubectl apply -f -`,
		Args: factory.Args(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.Complete(f, cmd); err != nil {
				return err
			}
			return do(cmd, args)
		},
	}
	o.AddFlags(f, cmd)
	cmd.Flags().BoolVar(&o.Admin, "admin", false, "Print only the hub's account with its Role and RoleBinding, for an administrator to apply")
	cmd.Flags().StringVar(&o.ExistingSecret, "existing-secret", "", "`NAME` of a Secret that is made by other means; none is printed then")
	o.Format.AddFlag(cmd, output.YAML, output.JSON, output.Name)
	return cmd
}

func keys() string {
	return workshop.SecretProxyToken + ", " + workshop.SecretCookie + ", " + workshop.SecretCrypt + ",\n" +
		workshop.SecretAPIToken + ", " + workshop.SecretUserPassword + ", " + workshop.SecretAdminPassword
}

// Validate checks what can be checked without the cluster.
func (o *Options) Validate() error {
	return errors.Join(o.ChangeOptions.Validate(), o.Format.Validate())
}

// Run prints the objects.
func Run(ctx context.Context, f *factory.Factory, o *Options) error {
	r := plan.Request{Verb: "render", Name: o.Name, Change: o.Change, ExistingSecret: o.ExistingSecret, Account: o.Admin}
	if o.Change.Replace != nil {
		if r.Name == "" {
			r.Name = workshop.DefaultName
		}
	} else {
		c, err := f.Cluster()
		if err != nil {
			return err
		}
		if r.Name, r.Record, err = plan.Current(ctx, f, c, o.Name); err != nil {
			return err
		}
	}
	p, err := deploy.Draft(ctx, f, r)
	if err != nil {
		return err
	}
	for _, n := range p.Notes {
		f.Say("%s", n)
	}
	if o.ExistingSecret == "" && !o.Admin && !o.Format.Is(output.Name) {
		f.Say("The output holds the workshop's passwords; --existing-secret leaves them out.")
	}
	var names []string
	for _, object := range p.Objects {
		names = append(names, output.ObjectName(object))
	}
	return o.Format.Print(f.Out, output.List(p.Objects), names, func(bool) error { return output.WriteObjects(f.Out, p.Objects) })
}
