// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/pkg/cmd/ask"
	"github.com/workshopctl/workshopctl/pkg/cmd/batch"
	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/output"
	"github.com/workshopctl/workshopctl/pkg/hub"
	"github.com/workshopctl/workshopctl/pkg/session"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// PruneOptions of `sessions prune`.
type PruneOptions struct {
	factory.WorkshopOptions
	DryRun bool
	// Volumes deletes the volumes of users whom the hub doesn't know, too.
	Volumes bool
	asker
	factory.TimeoutOptions
	Format output.Format
}

func newPrune(f *factory.Factory, run factory.Run[*PruneOptions]) *cobra.Command {
	o := &PruneOptions{}
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove sessions and volumes that the hub no longer knows",
		Long: `Shows and deletes the pods of sessions that the hub knows nothing of: nobody can
reach them, and nobody would ever stop them. Volumes of users whom the hub doesn't
know are shown, too; they are deleted only with --delete-volumes, and that can't
be undone. A user who logs in again is known again, and finds their volume.

It needs a running hub: nobody else can say whom it knows.`,
		Example: `  workshopctl sessions prune --dry-run
  workshopctl sessions prune

  # With the files of those who were deleted, in a script
  workshopctl sessions prune --delete-volumes --yes`,
		Args: factory.Args(),
		RunE: factory.RunE(f, o, run, Prune),
	}
	o.WorkshopOptions.AddFlags(f, cmd)
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "Only show what would be deleted")
	cmd.Flags().BoolVar(&o.Volumes, volumesFlag, false, "Delete the volumes of users whom the hub doesn't know as well")
	o.asker.AddFlags(cmd)
	o.TimeoutOptions.AddFlags(cmd, " for each session until it is gone")
	o.Format.AddFlag(cmd, output.JSON, output.YAML, output.Name, output.JSONPath)
	return cmd
}

// Validate checks what can be checked without the cluster.
func (o *PruneOptions) Validate() error {
	return errors.Join(o.WorkshopOptions.Validate(), o.TimeoutOptions.Validate(), o.Format.Validate())
}

// Orphans are what the hub no longer knows.
type Orphans struct {
	Sessions []session.Session `json:"sessions"`
	Volumes  []session.Volume  `json:"volumes"`
	// Deleted is true if the sessions are gone, and VolumesDeleted if the
	// volumes are.
	Deleted        bool `json:"deleted"`
	VolumesDeleted bool `json:"volumesDeleted"`
}

// Prune removes orphans.
func Prune(ctx context.Context, f *factory.Factory, o *PruneOptions) error {
	c, r, err := o.Load(ctx, f)
	if err != nil {
		return err
	}
	w, err := connect(ctx, c, r.Spec)
	if err != nil {
		return err
	}
	defer w.end()
	if err := w.needHub("find out what the hub doesn't know"); err != nil {
		return err
	}
	// The cluster is asked first: a user who is new since then has nothing among
	// what it said.
	before, err := session.List(ctx, c.Kubernetes, c.Namespace, workshop.Names(r.Spec.Name), nil)
	if err != nil {
		return err
	}
	users, err := w.client.Users(ctx)
	if err != nil {
		return err
	}
	found := orphans(before, users)
	if err := o.show(f, r.Spec, found); err != nil {
		return err
	}
	volumes := found.Volumes
	if !o.Volumes {
		volumes = nil
	}
	if o.DryRun || len(found.Sessions) == 0 && len(volumes) == 0 {
		return o.Format.Print(f.Out, found, found.names(), func(bool) error { return nil })
	}
	if len(found.Sessions) > 0 {
		if err := ask.Confirm(ctx, f, o.Yes, fmt.Sprintf("Delete %s? What runs there is lost.", describe(found.Sessions))); err != nil {
			return err
		}
	}
	if len(volumes) > 0 {
		if err := ask.Confirm(ctx, f, o.Yes, fmt.Sprintf("Delete %s of %s? What they saved can't be brought back.", output.Count(len(volumes), "volume"), owners(volumes))); err != nil {
			return err
		}
	}
	err = w.prune(ctx, f, o, found.Sessions, volumes)
	found.Deleted, found.VolumesDeleted = err == nil && len(found.Sessions) > 0, err == nil && len(volumes) > 0
	printed := o.Format.Print(f.Out, found, found.names(), func(bool) error { return nil })
	return cmp.Or(err, printed)
}

// prune deletes what is meant.
func (w *connected) prune(ctx context.Context, f *factory.Factory, o *PruneOptions, list []session.Session, volumes []session.Volume) error {
	interrupted := "What was asked for goes on disappearing; the same command again does the rest."
	say := f.Progress()
	var done []string
	if len(list) > 0 {
		job := batch.Job{Doing: "Deleting", Failed: "were not deleted", Timeout: o.Timeout, Interrupted: interrupted}
		users := usersOf(list)
		// By their pods alone: the hub, asked to stop it, would stop what such a
		// user starts meanwhile.
		orphans := &batch.Work{Client: w.Client, Namespace: w.Namespace, Live: w.Live}
		errs := job.Each(ctx, say, users, func(ctx context.Context, i int) error { return orphans.Stop(ctx, list[i], true) })
		err := job.Outcome(users, errs)
		say.Stop(err)
		if err != nil {
			return err
		}
		done = append(done, output.Count(len(list), "session"))
	}
	var failures []error
	for _, v := range volumes {
		failures = append(failures, w.deleteVolume(ctx, v.Name))
	}
	if err := errors.Join(failures...); err != nil {
		return err
	}
	if len(volumes) > 0 {
		done = append(done, output.Count(len(volumes), "volume"))
	}
	say.Done("Deleted %s", strings.Join(done, " and "))
	return nil
}

// orphans are the pods of sessions and the volumes of users that the hub's list
// of users doesn't have.
func orphans(before session.Overview, users []hub.User) Orphans {
	known := map[string]bool{}
	active := []hub.User{}
	for _, u := range users {
		known[u.Name] = true
		if len(u.Servers) > 0 {
			active = append(active, u)
		}
	}
	out := Orphans{Sessions: []session.Session{}, Volumes: []session.Volume{}}
	for _, s := range session.Known(before.Sessions, active) {
		if s.State == session.Orphaned {
			out.Sessions = append(out.Sessions, s)
		}
	}
	for _, v := range before.Volumes {
		if v.User != "" && !known[v.User] {
			out.Volumes = append(out.Volumes, v)
		}
	}
	return out
}

func (o Orphans) names() []string {
	names := []string{}
	for _, s := range o.Sessions {
		names = append(names, "pod/"+s.Pod)
	}
	for _, v := range o.Volumes {
		names = append(names, "persistentvolumeclaim/"+v.Name)
	}
	return names
}

// show tells a person what was found.
func (o *PruneOptions) show(f *factory.Factory, spec workshop.Spec, found Orphans) error {
	if o.Format.Machine() {
		return nil
	}
	if len(found.Sessions) == 0 && len(found.Volumes) == 0 {
		f.Say("The hub of %s knows all sessions and all owners of volumes.", spec.Name)
		return nil
	}
	t := &output.Table{Header: []string{"KIND", "NAME", "USER", "AGE", "SIZE"}}
	for _, s := range found.Sessions {
		t.Add("session", s.Pod, s.User, output.Age(s.Created), "")
	}
	for _, v := range found.Volumes {
		t.Add("volume", v.Name, v.User, output.Age(v.Created), v.Size)
	}
	if err := t.Write(f.Out); err != nil {
		return err
	}
	if len(found.Volumes) == 0 {
		return nil
	}
	if spec.HubStorageSize == "0" {
		f.Say("The hub has no storage of its own: it forgets everybody when it is restarted, and the volumes may be those of people who come back.")
	}
	if !o.Volumes {
		f.Say("Volumes stay; --%s deletes them.", volumesFlag)
	}
	return nil
}
