// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/output"
	"github.com/workshopctl/workshopctl/pkg/image"
	"github.com/workshopctl/workshopctl/pkg/session"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// ListOptions of `sessions list`.
type ListOptions struct {
	factory.WorkshopOptions
	Watch  bool
	Format output.Format
}

func newList(f *factory.Factory, run factory.Run[*ListOptions]) *cobra.Command {
	o := &ListOptions{}
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List who has a session, in which state and why",
		Long: `Lists the sessions of a workshop. A session is

  starting   not ready yet; the reason says what it waits for
  running    ready
  idle       ready, but nobody has done anything in it for 10 minutes
  stopping   being stopped; its volume stays
  failed     won't get ready by itself; the reason says why
  orphaned   a pod that the hub knows nothing of; nobody can reach it

Idle and orphaned sessions, and when they were last active, are known only while
the hub answers. Without it the list shows what the cluster knows.`,
		Example: `  workshopctl sessions list
  workshopctl sessions list -w
  workshopctl sessions list -o jsonpath='{.items[?(@.state=="failed")].user}'`,
		Args: factory.Args(),
		RunE: factory.RunE(f, o, run, List),
	}
	o.AddFlags(f, cmd)
	cmd.Flags().BoolVarP(&o.Watch, "watch", "w", false, "Go on with a line for each change, until Ctrl-C")
	o.Format.AddFlag(cmd, output.JSON, output.YAML, output.Wide, output.Name, output.JSONPath)
	return cmd
}

// Validate checks what can be checked without the cluster.
func (o *ListOptions) Validate() error {
	if o.Watch && o.Format.Machine() {
		return fault.Usage("--watch is for people; leave --output out, or use -o wide")
	}
	return errors.Join(o.WorkshopOptions.Validate(), o.Format.Validate())
}

// List shows the sessions.
func List(ctx context.Context, f *factory.Factory, o *ListOptions) error {
	c, r, err := o.Load(ctx, f)
	if err != nil {
		return err
	}
	overview, err := c.Sessions(ctx, r.Spec)
	if err != nil {
		return err
	}
	if overview.HubError != nil {
		f.Say("The hub does not answer (%v): who is idle or orphaned is not known.", overview.HubError)
	}
	names := []string{}
	for _, s := range overview.Sessions {
		names = append(names, "session/"+s.User)
	}
	if err := o.Format.Print(f.Out, map[string]any{"items": overview.Sessions}, names, func(wide bool) error {
		if len(overview.Sessions) == 0 {
			f.Say("Workshop %s has no sessions.", r.Spec.Name)
			return nil
		}
		return table(overview.Sessions, wide, true).Write(f.Out)
	}); err != nil {
		return err
	}
	if !o.Watch {
		return nil
	}
	return watch(ctx, f, c, r.Spec, overview.Sessions, o.Format.Is(output.Wide))
}

func table(list []session.Session, wide, header bool) *output.Table {
	t := &output.Table{}
	if header {
		t.Header = []string{"USER", "STATE", "AGE", "LAST ACTIVE", "IMAGE", "NODE", "REASON"}
		if wide {
			t.Header = append(t.Header, "DIGEST", "POD", "VOLUME")
		}
	}
	for _, s := range list {
		row := []string{s.User, string(s.State), output.Age(s.Created), output.Age(s.LastActivity), named(s), s.Node, s.Reason}
		if wide {
			row = append(row, image.ShortDigest(s.Digest), s.Pod, s.Volume)
		}
		t.Add(row...)
	}
	return t
}

// named is a session's image as a person would name it.
func named(s session.Session) string {
	if s.ImageStreamTag != "" {
		return s.ImageStreamTag
	}
	return s.Image
}

// refresh is how often a watch asks the hub, which tells nobody of activity by
// itself. Changes of pods are shown at once.
const refresh = 30 * time.Second

// watch shows each session that has changed.
func watch(ctx context.Context, f *factory.Factory, c *factory.Cluster, spec workshop.Spec, list []session.Session, wide bool) error {
	shown := map[string]session.Session{}
	key := func(s session.Session) string { return s.User + "/" + s.Pod }
	for _, s := range list {
		shown[key(s)] = visible(s)
	}
	show := func(ctx context.Context) error {
		overview, err := c.Sessions(ctx, spec)
		if err != nil {
			return err
		}
		now := map[string]session.Session{}
		var changed []session.Session
		for _, s := range overview.Sessions {
			now[key(s)] = visible(s)
			if shown[key(s)] != visible(s) {
				changed = append(changed, s)
			}
		}
		for k, s := range shown {
			if _, there := now[k]; !there {
				s.State, s.Reason = "stopped", ""
				changed = append(changed, s)
			}
		}
		shown = now
		return table(changed, wide, false).Write(f.Out)
	}
	for {
		if err := untilChange(ctx, c, spec, show); err != nil {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // Ctrl-C is the way to end it
			}
			return err
		}
	}
}

// visible is what of a session is worth a new line: activity alone isn't.
func visible(s session.Session) session.Session {
	s.LastActivity = time.Time{}
	return s
}

// untilChange shows the sessions and returns when a pod of them has changed
// since, or after refresh. It begins to look for changes before it shows, so
// that none falls in between.
func untilChange(ctx context.Context, c *factory.Cluster, spec workshop.Spec, show func(context.Context) error) error {
	pods := c.Kubernetes.CoreV1().Pods(c.Namespace)
	options := metav1.ListOptions{LabelSelector: session.Selector(workshop.Names(spec.Name)), Limit: 1}
	list, err := pods.List(ctx, options)
	if err != nil {
		return err
	}
	options.ResourceVersion, options.Limit = list.ResourceVersion, 0
	w, err := pods.Watch(ctx, options)
	if err != nil && !apierrors.IsResourceExpired(err) {
		return err
	}
	if err == nil {
		defer w.Stop()
	}
	if err := show(ctx); err != nil || w == nil {
		return err
	}
	timer := time.NewTimer(refresh)
	defer timer.Stop()
	select {
	case <-w.ResultChan():
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err()
}
