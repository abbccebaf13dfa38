// SPDX-License-Identifier: Apache-2.0

// Package diff is the command `diff`.
package diff

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/pkg/apply"
	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/plan"
	"github.com/workshopctl/workshopctl/pkg/cmd/progress"
	"github.com/workshopctl/workshopctl/pkg/explain"
)

// The exit codes of diff are those of `kubectl diff`.
const (
	differs = 1
	failed  = 2
)

// Options of the command.
type Options struct {
	plan.ChangeOptions
}

// NewCommand returns the command. A test may put its own run in place.
func NewCommand(f *factory.Factory, run factory.Run[*Options]) *cobra.Command {
	o := &Options{}
	do := factory.RunE(f, o, run, Run)
	cmd := &cobra.Command{
		Use:   "diff",
		Short: "Show what a deploy with the same flags would change",
		Long: `Shows what a deploy with the same flags would change in the cluster, as a unified
diff of each object. Without flags it shows what others have changed since the last
deploy. Values of secrets are masked. Nothing is written.

The exit code is 0 if nothing differs, 1 if something does, and 2 on errors.`,
		Example: `  workshopctl diff
  workshopctl diff --memory-limit 1Gi
  workshopctl diff -f workshop.yaml`,
		Args: factory.Args(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.Complete(f, cmd); err != nil {
				return err
			}
			return do(cmd, args)
		},
	}
	o.AddFlags(f, cmd)
	return cmd
}

// Run shows the differences.
func Run(ctx context.Context, f *factory.Factory, o *Options) error {
	found, err := show(ctx, f, o)
	switch {
	case err != nil && fault.Code(err) != fault.Interrupted:
		return &fault.Error{Code: failed, Err: err}
	case err != nil:
		return err
	case found:
		return fault.SilentError(differs)
	}
	return nil
}

func show(ctx context.Context, f *factory.Factory, o *Options) (found bool, err error) {
	c, err := f.Cluster()
	if err != nil {
		return false, err
	}
	name, record, err := plan.Current(ctx, f, c, o.Name)
	if err != nil {
		return false, err
	}
	p, err := plan.Make(ctx, f, c, plan.Request{Verb: "diff", Name: name, Record: record, Change: o.Change})
	if err != nil {
		return false, err
	}
	for _, n := range p.Notes {
		f.Say("%s", n)
	}
	differences, err := c.Apply().Diff(ctx, p.Names(), p.Objects, p.Live, p.Record.Inventory, apply.Options{TakeTerminalImage: p.TakeImage})
	if err != nil {
		return false, fmt.Errorf("diff %s: %w", name, err)
	}
	for _, d := range differences {
		if _, err := fmt.Fprint(f.Out, colour(f, explain.Clean(d.Unified))); err != nil {
			return false, err
		}
	}
	return len(differences) > 0, nil
}

// colour paints a unified diff as git does.
func colour(f *factory.Factory, diff string) string {
	var out strings.Builder
	for line := range strings.Lines(diff) {
		text := strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(text, "+"):
			text = progress.Colour(f.Out, 32, text)
		case strings.HasPrefix(text, "-"):
			text = progress.Colour(f.Out, 31, text)
		case strings.HasPrefix(text, "@@"):
			text = progress.Colour(f.Out, 36, text)
		}
		out.WriteString(text + "\n")
	}
	return out.String()
}
