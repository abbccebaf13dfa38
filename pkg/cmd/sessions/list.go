// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"

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
	Watch bool
	// Stopped lists volumes without a session, too.
	Stopped bool
	Format  output.Format
}

// SessionList is what `sessions list` prints for programs.
type SessionList struct {
	Items []session.Session `json:"items"`
	// HubError is why the hub's part is missing.
	HubError string `json:"hubError,omitempty"`
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
  stopped    with --stopped: no session, but a volume with somebody's files

CULLED-IN is how long it is until the hub stops a session in which nobody does
anything any more; see workshopctl sessions extend.

Idle and orphaned sessions, when they were last active and when they end are known
only while the hub answers. Without it the list shows what the cluster knows.

It asks for the pods 250 at a time, the hub's sessions 200 at a time, and the
volumes only with --stopped. --watch then follows the pods by one watch, and asks
the hub every 30 seconds.`,
		Example: `  workshopctl sessions list
  workshopctl sessions list -w
  workshopctl sessions list -o wide --stopped
  workshopctl sessions list -o jsonpath='{.items[?(@.state=="failed")].user}'`,
		Args: factory.Args(),
		RunE: factory.RunE(f, o, run, List),
	}
	o.AddFlags(f, cmd)
	cmd.Flags().BoolVarP(&o.Watch, "watch", "w", false, "Go on with a line for each change, until Ctrl-C")
	cmd.Flags().BoolVar(&o.Stopped, "stopped", false, "Those who have a volume but no session, too")
	o.Format.AddFlag(cmd, output.JSON, output.YAML, output.Wide, output.Name, output.JSONPath)
	return cmd
}

// Validate checks what can be checked without the cluster.
func (o *ListOptions) Validate() error {
	switch {
	case o.Watch && o.Format.Machine():
		return fault.Usage("--watch is for people; leave --output out, or use -o wide")
	case o.Watch && o.Stopped:
		return fault.Usage("--watch shows sessions; leave --stopped out")
	}
	return errors.Join(o.WorkshopOptions.Validate(), o.Format.Validate())
}

// List shows the sessions.
func List(ctx context.Context, f *factory.Factory, o *ListOptions) error {
	c, r, err := o.Load(ctx, f)
	if err != nil {
		return err
	}
	query, closeHub := c.SessionQuery(r.Spec)
	defer closeHub()
	query.Volumes = o.Stopped
	rules := factory.Rules(r.Spec)
	if o.Watch {
		return watch(ctx, f, query, rules, r.Spec, o.Format.Is(output.Wide))
	}
	overview, err := query.Read(ctx)
	if err != nil {
		return err
	}
	list := overview.Sessions
	if o.Stopped {
		list = withStopped(list, overview.Volumes)
	}
	rules.Apply(list)
	printed := SessionList{Items: list}
	if overview.HubError != nil {
		printed.HubError = overview.HubError.Error()
		sayHubError(f, overview.HubError)
	}
	names := []string{}
	for _, s := range list {
		names = append(names, "session/"+s.User)
	}
	return o.Format.Print(f.Out, printed, names, func(wide bool) error {
		if len(list) == 0 {
			f.Say("Workshop %s has no sessions.", r.Spec.Name)
			return nil
		}
		return table(list, wide, true).Write(f.Out)
	})
}

func sayHubError(f *factory.Factory, err error) {
	f.Say("The hub does not answer (%v): who is idle or orphaned is not known.", err)
}

// withStopped adds those who have a volume and no session.
func withStopped(list []session.Session, volumes []session.Volume) []session.Session {
	has := map[string]bool{}
	for _, s := range list {
		has[s.User] = true
	}
	for _, v := range volumes {
		if v.User != "" && !has[v.User] {
			has[v.User] = true
			list = append(list, session.Session{User: v.User, State: session.Stopped, Created: v.Created, Volume: v.Name})
		}
	}
	slices.SortStableFunc(list, func(a, b session.Session) int { return cmp.Compare(a.User, b.User) })
	return list
}

func table(list []session.Session, wide, header bool) *output.Table {
	t := &output.Table{}
	if header {
		t.Header = []string{"USER", "STATE", "AGE", "LAST-ACTIVITY", "CULLED-IN", "IMAGE", "NODE", "REASON"}
		if wide {
			t.Header = append(t.Header, "DIGEST", "POD", "VOLUME", "URL")
		}
	}
	for _, s := range list {
		row := []string{s.User, string(s.State), output.Age(s.Created), output.Age(s.LastActivity), output.In(s.CulledAt), named(s), s.Node, s.Reason}
		if wide {
			row = append(row, image.ShortDigest(s.Digest), s.Pod, s.Volume, s.URL)
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

// watch shows the sessions, and then each that has changed.
func watch(ctx context.Context, f *factory.Factory, query session.Query, rules session.Rules, spec workshop.Spec, wide bool) error {
	var (
		shown  map[string]session.Session // nil before the first list
		hubErr error
	)
	err := query.Follow(ctx, refresh, func(overview session.Overview) error {
		rules.Apply(overview.Sessions)
		if overview.HubError != nil && hubErr == nil {
			sayHubError(f, overview.HubError)
		}
		hubErr = overview.HubError
		first := shown == nil
		var changed []session.Session
		changed, shown = changes(shown, overview.Sessions)
		if first && len(changed) == 0 {
			f.Say("Workshop %s has no sessions.", spec.Name)
			return nil
		}
		if len(changed) == 0 {
			return nil
		}
		return table(changed, wide, first).Write(f.Out)
	})
	if ctx.Err() != nil {
		return nil //nolint:nilerr // Ctrl-C is the way to end it
	}
	return err
}

// changes are the sessions that are worth a new line, those that are gone among
// them; now is what is shown afterwards.
func changes(shown map[string]session.Session, list []session.Session) (changed []session.Session, now map[string]session.Session) {
	now = make(map[string]session.Session, len(list))
	for _, s := range list {
		key := s.User + "/" + s.Pod
		now[key] = visible(s)
		if was, there := shown[key]; !there || was != now[key] {
			changed = append(changed, s)
		}
	}
	for key, s := range shown {
		if _, there := now[key]; !there {
			s.State, s.Reason = session.Stopped, ""
			changed = append(changed, s)
		}
	}
	return changed, now
}

// visible is what of a session is worth a new line: activity alone isn't.
func visible(s session.Session) session.Session {
	s.LastActivity, s.CulledAt = time.Time{}, time.Time{}
	return s
}
