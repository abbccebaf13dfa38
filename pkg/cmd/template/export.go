// SPDX-License-Identifier: Apache-2.0

package template

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/pkg/cmd/choice"
	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/output"
	"github.com/workshopctl/workshopctl/pkg/cmd/plan"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// ExportOptions are the options of `template export`.
type ExportOptions struct {
	// Name of the workshop, which is the default of APPLICATION_NAME.
	Name           string
	Change         choice.Change
	ExistingSecret string
	Format         output.Format
}

func newExport(f *factory.Factory, run func(context.Context, *factory.Factory, *ExportOptions) error) *cobra.Command {
	if run == nil {
		run = Export
	}
	o := &ExportOptions{}
	flags := &choice.Flags{}
	cmd := &cobra.Command{
		Use:   "export [NAME]",
		Short: "Print one Template that makes a whole workshop",
		Long: `Prints one OpenShift Template that makes a whole workshop and needs nothing beside it, for
oc process and oc new-app. It asks no cluster.

The flags are those of deploy. What is one value (an image, a size, a list of users)
becomes the default of a parameter; all else is written into the Template. The
parameters have the names that they had in 2018, and ` + "`oc process --parameters`" + ` lists
them. An image that has no default becomes a parameter that must be given.

Passwords and tokens are generated when the Template is processed, anew each time.
The workshop then belongs to whoever applied the objects: workshopctl keeps no record
of it.`,
		Example: `  # A workshop in the current project
  workshopctl template export | oc process -f - -p TERMINAL_IMAGE=my-workshop-terminal:latest | oc apply -f -

  # In the project's catalog, with an image of its own
  workshopctl template export --terminal-image registry.example.com/team/my-terminal:v1 | oc create -f -

  # To a file, for oc new-app -f
  workshopctl template export class -f workshop.yaml -o json > workshop.json`,
		Args:              factory.Args("[NAME]"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			change, err := flags.ToChange(cmd.Flags(), f.In)
			if err != nil {
				return err
			}
			o.Change = change
			arg := ""
			if len(args) > 0 {
				arg = args[0]
			}
			if o.Name, err = plan.NameOf(arg, change); err != nil {
				return err
			}
			if o.Name == "" {
				o.Name = workshop.DefaultName
			}
			if err := o.Format.Validate(); err != nil {
				return err
			}
			return run(cmd.Context(), f, o)
		},
	}
	flags.AddTo(cmd)
	cmd.Flags().StringVar(&o.ExistingSecret, "existing-secret", "", "`NAME` of a Secret that is made by other means; the Template makes none then")
	o.Format.AddFlag(cmd, output.YAML, output.JSON)
	return cmd
}

// Export prints the Template.
func Export(_ context.Context, f *factory.Factory, o *ExportOptions) error {
	t, notes, err := plan.Template(f, plan.Request{Verb: "template export", Name: o.Name, Change: o.Change, ExistingSecret: o.ExistingSecret})
	if err != nil {
		return err
	}
	for _, n := range notes {
		f.Say("%s", n)
	}
	return o.Format.Print(f.Out, t, nil, func(bool) error { return output.WriteYAML(f.Out, t) })
}
