// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Run is what a command does with its options.
type Run[O any] func(ctx context.Context, f *Factory, o O) error

// RunE makes a command's RunE of it: the options are checked before anything
// is done. replacement stands in for run in tests; nil is the usual case.
func RunE[O interface{ Validate() error }](f *Factory, o O, replacement, run Run[O]) func(*cobra.Command, []string) error {
	if replacement != nil {
		run = replacement
	}
	return func(cmd *cobra.Command, _ []string) error {
		if err := o.Validate(); err != nil {
			return err
		}
		return run(cmd.Context(), f, o)
	}
}

const workshopFlag = "workshop"

// WorkshopFlag gives a command the flag --workshop.
func (f *Factory) WorkshopFlag(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVar(name, workshopFlag, "", "Name of the workshop; not needed if the namespace has only one")
	_ = cmd.RegisterFlagCompletionFunc(workshopFlag, f.CompleteWorkshops)
}

// WorkshopOptions say which deployed workshop a command is about.
type WorkshopOptions struct {
	// Workshop is its name; empty for the only one of the namespace.
	Workshop string
}

// AddFlags gives a command the flag for it.
func (o *WorkshopOptions) AddFlags(f *Factory, cmd *cobra.Command) { f.WorkshopFlag(cmd, &o.Workshop) }

// Validate checks what can be checked without the cluster.
func (o *WorkshopOptions) Validate() error {
	if o.Workshop == "" {
		return nil
	}
	return workshop.ValidateName(o.Workshop)
}

// Load connects to the cluster and reads the workshop's record.
func (o *WorkshopOptions) Load(ctx context.Context, f *Factory) (*Cluster, *record.Record, error) {
	c, err := f.Cluster()
	if err != nil {
		return nil, nil, err
	}
	r, err := f.Workshop(ctx, c, o.Workshop)
	return c, r, err
}

// TimeoutOptions say how long a command waits for the cluster.
type TimeoutOptions struct {
	Timeout time.Duration
}

// defaultTimeout is enough for images of some GB on a slow node.
const defaultTimeout = 5 * time.Minute

// AddFlags gives a command the flag for it; what it waits for ends the
// flag's help.
func (o *TimeoutOptions) AddFlags(cmd *cobra.Command, what string) {
	cmd.Flags().DurationVar(&o.Timeout, "timeout", defaultTimeout, "How long to wait"+what+", as a `TIME`")
}

// Validate checks what can be checked without the cluster.
func (o *TimeoutOptions) Validate() error {
	if o.Timeout <= 0 {
		return fault.Usage("--timeout: must be more than 0")
	}
	return nil
}

// StringFlag gives a command a flag that takes one of some words.
func StringFlag(cmd *cobra.Command, value *string, name, initial, usage string, words ...string) {
	cmd.Flags().StringVar(value, name, initial, usage)
	_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}
