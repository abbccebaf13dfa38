// SPDX-License-Identifier: Apache-2.0

// Package rollout is the command `rollout` with status, history and undo.
package rollout

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/output"
	"github.com/workshopctl/workshopctl/pkg/cmd/plan"
	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/rollout"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Runs are what the commands run; nil fields stand for the real ones.
type Runs struct {
	Status  factory.Run[*StatusOptions]
	History factory.Run[*HistoryOptions]
	Undo    factory.Run[*UndoOptions]
}

// NewCommand returns the command. A test may put its own runs in place.
func NewCommand(f *factory.Factory, runs Runs) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rollout",
		Short: "Wait for a rollout, list revisions, go back to one",
		Long:  "Waits for a rollout, lists what was deployed before, and goes back to it.",
		Example: `  workshopctl rollout status
  workshopctl rollout history
  workshopctl rollout undo --to-revision 3`,
	}
	factory.Group(cmd)
	cmd.AddCommand(newStatus(f, runs.Status), newHistory(f, runs.History), newUndo(f, runs.Undo))
	return cmd
}

// StatusOptions of `rollout status`.
type StatusOptions struct {
	factory.WorkshopOptions
	factory.TimeoutOptions
}

// Validate checks what can be checked without the cluster.
func (o *StatusOptions) Validate() error {
	return errors.Join(o.WorkshopOptions.Validate(), o.TimeoutOptions.Validate())
}

func newStatus(f *factory.Factory, run factory.Run[*StatusOptions]) *cobra.Command {
	o := &StatusOptions{}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Wait until a workshop is ready, or say why it isn't",
		Long: `Waits until a workshop is ready as it was last deployed. If the cluster knows why
it can't get ready, the command ends at once and says so (exit code 3).`,
		Example: `  workshopctl rollout status
  workshopctl rollout status --timeout 10m`,
		Args: factory.Args(),
		RunE: factory.RunE(f, o, run, Status),
	}
	o.WorkshopOptions.AddFlags(f, cmd)
	o.TimeoutOptions.AddFlags(cmd, "")
	return cmd
}

// Status waits until a workshop is ready.
func Status(ctx context.Context, f *factory.Factory, o *StatusOptions) error {
	c, r, err := o.Load(ctx, f)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	if err := plan.Wait(ctx, c, rollout.Target{Namespace: c.Namespace, Spec: r.Spec}, f.Progress()); err != nil {
		err = fmt.Errorf("rollout status %s: %w", r.Spec.Name, err)
		if fault.Code(err) == fault.Interrupted {
			return fault.Hint(err, "The cluster goes on with it.")
		}
		return err
	}
	return nil
}

// HistoryOptions of `rollout history`.
type HistoryOptions struct {
	factory.WorkshopOptions
	// Revision to show in full; 0 lists all.
	Revision int
	Format   output.Format
}

// Validate checks what can be checked without the cluster.
func (o *HistoryOptions) Validate() error {
	if o.Revision < 0 {
		return fault.Usage("--revision: must be more than 0")
	}
	return errors.Join(o.WorkshopOptions.Validate(), o.Format.Validate())
}

func newHistory(f *factory.Factory, run factory.Run[*HistoryOptions]) *cobra.Command {
	o := &HistoryOptions{}
	cmd := &cobra.Command{
		Use:   "history",
		Short: "List what was deployed before",
		Long: `Lists the revisions of a workshop that the cluster has kept, the newest last, with
the command that made each. --revision shows one in full, as a workshop file.`,
		Example: `  workshopctl rollout history
  workshopctl rollout history --revision 3 > workshop.yaml`,
		Args: factory.Args(),
		RunE: factory.RunE(f, o, run, History),
	}
	o.AddFlags(f, cmd)
	cmd.Flags().IntVar(&o.Revision, "revision", 0, "`NUMBER` of the revision to show in full")
	_ = cmd.RegisterFlagCompletionFunc("revision", completeRevisions(f, &o.Workshop))
	o.Format.AddFlag(cmd, output.JSON, output.YAML, output.Name)
	return cmd
}

// History lists revisions.
func History(ctx context.Context, f *factory.Factory, o *HistoryOptions) error {
	_, r, err := o.Load(ctx, f)
	if err != nil {
		return err
	}
	if o.Revision > 0 {
		one, err := find(r, o.Revision)
		if err != nil {
			return err
		}
		return o.Format.Print(f.Out, one, []string{revisionName(one)}, func(bool) error {
			file, err := workshop.FormatFile(one.Spec)
			if err != nil {
				return err
			}
			_, err = f.Out.Write(file)
			return err
		})
	}
	var names []string
	for _, revision := range r.History {
		names = append(names, revisionName(revision))
	}
	return o.Format.Print(f.Out, map[string]any{"items": r.History}, names, func(bool) error {
		t := output.Table{Header: []string{"REVISION", "AGE", "BY", "TERMINAL IMAGE", "COMMAND"}}
		for _, revision := range r.History {
			t.Add(fmt.Sprint(revision.Number), output.Age(revision.Time), revision.Author, revision.Spec.Image().String(), revision.Cause)
		}
		return t.Write(f.Out)
	})
}

func revisionName(r record.Revision) string { return fmt.Sprintf("revision/%d", r.Number) }

func find(r *record.Record, number int) (record.Revision, error) {
	for _, revision := range r.History {
		if revision.Number == number {
			return revision, nil
		}
	}
	return record.Revision{}, fault.Hint(fault.Usage("workshop %s has no revision %d", r.Spec.Name, number),
		"`workshopctl rollout history` lists those that are kept, which are the last ten.")
}

// UndoOptions of `rollout undo`.
type UndoOptions struct {
	factory.WorkshopOptions
	// Revision to go back to; 0 is the one before the current.
	Revision int
	plan.Options
}

// Validate checks what can be checked without the cluster.
func (o *UndoOptions) Validate() error {
	if o.Revision < 0 {
		return fault.Usage("--to-revision: must be more than 0")
	}
	return errors.Join(o.WorkshopOptions.Validate(), o.Options.Validate())
}

func newUndo(f *factory.Factory, run factory.Run[*UndoOptions]) *cobra.Command {
	o := &UndoOptions{Options: plan.Options{Wait: true}}
	cmd := &cobra.Command{
		Use:   "undo",
		Short: "Go back to what was deployed before",
		Long: `Deploys once more what was deployed before: the previous revision, or the one that
--to-revision names. That makes a new revision. Running sessions are not disturbed.`,
		Example: `  workshopctl rollout undo
  workshopctl rollout undo --to-revision 3`,
		Args: factory.Args(),
		RunE: factory.RunE(f, o, run, Undo),
	}
	o.WorkshopOptions.AddFlags(f, cmd)
	cmd.Flags().IntVar(&o.Revision, "to-revision", 0, "`NUMBER` of the revision to go back to (default the previous one)")
	_ = cmd.RegisterFlagCompletionFunc("to-revision", completeRevisions(f, &o.Workshop))
	o.Options.AddFlags(cmd)
	return cmd
}

// Undo goes back to a revision.
func Undo(ctx context.Context, f *factory.Factory, o *UndoOptions) error {
	c, r, err := o.Load(ctx, f)
	if err != nil {
		return err
	}
	target, err := target(r, o.Revision)
	if err != nil {
		return err
	}
	if reflect.DeepEqual(target.Spec, r.Spec) {
		f.Say("Revision %d is what is deployed.", target.Number)
		return nil
	}
	p, err := plan.Make(ctx, f, c, plan.Request{Verb: "rollout undo", Name: r.Spec.Name, Record: r, Spec: &target.Spec})
	if err != nil {
		return err
	}
	f.Say("Going back to revision %d.", target.Number)
	if _, err := plan.Carry(ctx, f, c, p, o.Options, f.Progress()); err != nil {
		return err
	}
	f.Say("%s is now revision %d, with what revision %d had.", r.Spec.Name, r.Revision(), target.Number)
	if !p.ForgetsSessions() {
		f.Say("Running sessions keep theirs until they are started anew.")
	}
	return nil
}

// target is the revision to go back to.
func target(r *record.Record, number int) (record.Revision, error) {
	if number > 0 {
		return find(r, number)
	}
	if len(r.History) < 2 {
		return record.Revision{}, fault.Refuse("", "workshop %s has no revision before the current one", r.Spec.Name)
	}
	return r.History[len(r.History)-2], nil
}

func completeRevisions(f *factory.Factory, name *string) factory.Complete {
	return f.CompleteRecord(name, func(r *record.Record) []string {
		var out []string
		for _, revision := range r.History {
			out = append(out, fmt.Sprintf("%d\t%s", revision.Number, revision.Spec.Image()))
		}
		return out
	})
}
