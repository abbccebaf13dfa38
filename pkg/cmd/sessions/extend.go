// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/workshopctl/workshopctl/pkg/cmd/batch"
	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/output"
	"github.com/workshopctl/workshopctl/pkg/session"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// ExtendOptions of `sessions extend`.
type ExtendOptions struct {
	factory.WorkshopOptions
	Target
	By     time.Duration
	Format output.Format
}

func newExtend(f *factory.Factory, run factory.Run[*ExtendOptions]) *cobra.Command {
	o := &ExtendOptions{}
	do := factory.RunE(f, o, run, Extend)
	cmd := &cobra.Command{
		Use:   "extend (" + targetUse + ") --by DURATION",
		Short: "Keep sessions longer than an idle one would be kept",
		Long: `Keeps sessions for longer: the time is added to what is left before the hub would
stop them for being idle or too old. It is written to the session's pod, so that
it works while the hub is down, and ends with the session.

While the hub doesn't answer, when a session was last used isn't known; the time
is then added to the most that can be left.`,
		Example: `  workshopctl sessions extend ann --by 1h

  # Over the lunch break
  workshopctl sessions extend --all --by 90m`,
	}
	o.addTo(f, cmd, "Keep")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.read(cmd, args)
		return do(cmd, args)
	}
	o.AddFlags(f, cmd)
	cmd.Flags().DurationVar(&o.By, "by", 0, "`DURATION` to keep them longer, such as 1h")
	resultFormats(cmd, &o.Format)
	return cmd
}

// longestBy bounds what a slip of the keyboard does.
const longestBy = 31 * 24 * time.Hour

// Validate checks what can be checked without the cluster.
func (o *ExtendOptions) Validate() error {
	if err := errors.Join(o.Target.Validate(), o.WorkshopOptions.Validate(), o.Format.Validate()); err != nil {
		return err
	}
	switch {
	case o.By == 0:
		return fault.Usage("sessions extend needs --by DURATION, such as --by 1h")
	case o.By < time.Minute || o.By > longestBy:
		return fault.Usage("--by: must be from 1m to %dh", int(longestBy.Hours()))
	}
	return nil
}

// Extend keeps sessions longer.
func Extend(ctx context.Context, f *factory.Factory, o *ExtendOptions) error {
	c, r, err := o.Load(ctx, f)
	if err != nil {
		return err
	}
	rules := factory.Rules(r.Spec)
	if rules.Culling == (session.Culling{}) {
		f.Say("Workshop %s stops no session by itself: there is nothing to extend.", r.Spec.Name)
		return results(nil, nil, nil).writeTo(f, &o.Format)
	}
	list, overview, err := o.load(ctx, c, r.Spec, true)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		f.Say("No session of workshop %s is meant: nothing to extend.", r.Spec.Name)
		return results(nil, nil, nil).writeTo(f, &o.Format)
	}
	withoutHub(f, overview.HubError, "When the sessions were last used is not known: the time is added to the most that can be left.")
	now := time.Now()
	until := make([]time.Time, len(list))
	job := batch.Job{Doing: "Extending", Failed: "could not be extended"}
	users := usersOf(list)
	err = carryOut(ctx, f, &o.Format, job, users, func(ctx context.Context, i int) error {
		end := keepUntil(list[i], rules, o.By, now)
		if err := keep(ctx, c, list[i], end); err != nil {
			return err
		}
		until[i] = end
		return nil
	}, "", func(i int) Done { return Done{User: users[i], Result: "kept", KeepUntil: until[i]} })
	for i, end := range until {
		if !end.IsZero() {
			f.Say("%s is kept until %s", users[i], when(end, now))
		}
	}
	return err
}

// keepUntil adds to what a session has left: to its end as the hub would come
// to it, or to the latest that this can be.
func keepUntil(s session.Session, rules session.Rules, by time.Duration, now time.Time) time.Time {
	if s.LastActivity.IsZero() {
		s.LastActivity = now
	}
	end := rules.End(s.Created, s.LastActivity, s.KeepUntil).At
	if end.Before(now) {
		end = now
	}
	// To the second, and never less than was asked for.
	return end.Add(by + time.Second - 1).Truncate(time.Second).UTC()
}

// keep writes it to the session's pod.
func keep(ctx context.Context, c *factory.Cluster, s session.Session, until time.Time) error {
	switch s.State {
	case session.Running, session.Idle, session.Starting:
	default:
		return fmt.Errorf("it is %s", s.State)
	}
	if s.Pod == "" {
		return errors.New("it has no pod yet")
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"annotations": map[string]string{workshop.KeepUntilAnnotation: session.FormatKeepUntil(until)},
	}})
	if err != nil {
		return err
	}
	_, err = c.Kubernetes.CoreV1().Pods(c.Namespace).Patch(ctx, s.Pod, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: workshop.ManagedBy})
	return err
}

// when is a time as a person reads it, here and now: "15:04 (in 2h30m)".
func when(t, now time.Time) string {
	layout := "15:04"
	if local, today := t.Local(), now.Local(); local.YearDay() != today.YearDay() || local.Year() != today.Year() {
		layout = "Mon 2 Jan 15:04"
	}
	return fmt.Sprintf("%s (in %s)", t.Local().Format(layout), output.Span(t.Sub(now)))
}
