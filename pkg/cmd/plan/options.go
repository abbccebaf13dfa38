// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/pkg/cmd/choice"
	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Options of Carry.
type Options struct {
	// SkipImageCheck leaves out the probe of the terminal image.
	SkipImageCheck bool
	// DryRun has the API server check everything and keep nothing.
	DryRun bool
	// TakeOwnership of a workshop that there is no record of.
	TakeOwnership bool
	// Wait until the workshop is ready.
	Wait bool
	// TimeoutOptions are for everything together.
	factory.TimeoutOptions
}

// AddFlags gives a command the flags for them that most have.
func (o *Options) AddFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.SkipImageCheck, "skip-image-check", false, "Don't find out first whether the cluster can pull the terminal image")
	o.TimeoutOptions.AddFlags(cmd, "")
}

// ChangeOptions say which workshop a command without a NAME is about, and what
// is to be different about it.
type ChangeOptions struct {
	// Name of the workshop; empty for the one that there is.
	Name   string
	Change choice.Change

	flags choice.Flags
}

// AddFlags gives a command the flags for them.
func (o *ChangeOptions) AddFlags(f *factory.Factory, cmd *cobra.Command) {
	f.WorkshopFlag(cmd, &o.Name)
	o.flags.AddTo(cmd)
}

// Complete reads the file that the flags name.
func (o *ChangeOptions) Complete(f *factory.Factory, cmd *cobra.Command) (err error) {
	if o.Change, err = o.flags.ToChange(cmd.Flags(), f.In); err != nil {
		return err
	}
	o.Name, err = NameOf(o.Name, o.Change)
	return err
}

// Validate checks what can be checked without the cluster.
func (o *ChangeOptions) Validate() error {
	if o.Name == "" {
		return nil
	}
	return workshop.ValidateName(o.Name)
}

// NameOf chooses the name of the workshop that a file and an argument speak of.
func NameOf(arg string, change choice.Change) (string, error) {
	file := ""
	if change.Replace != nil {
		file = change.Replace.Name
	}
	switch {
	case arg != "" && file != "" && arg != file:
		return "", fault.Usage("the file describes the workshop %s, and you asked for %s; leave one of the names out", file, arg)
	case arg != "":
		return arg, nil
	}
	return file, nil
}

// Current finds the workshop that a command without a NAME is about: the one
// that is named, else the only one of the namespace, else a new one with the
// default name.
func Current(ctx context.Context, f *factory.Factory, c *factory.Cluster, name string) (string, *record.Record, error) {
	r, err := f.Workshop(ctx, c, name)
	switch {
	case err == nil:
		return r.Spec.Name, r, nil
	case factory.IsNotFound(err) && name == "":
		return workshop.DefaultName, record.New(), nil
	case factory.IsNotFound(err):
		return name, record.New(), nil
	}
	return "", nil, err
}
