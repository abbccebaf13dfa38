// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/workshopctl/workshopctl/pkg/cmd/ask"
	"github.com/workshopctl/workshopctl/pkg/cmd/batch"
	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/output"
	"github.com/workshopctl/workshopctl/pkg/session"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// DeleteOptions of `sessions delete`.
type DeleteOptions struct {
	factory.WorkshopOptions
	Users []string
	All   bool
	// Volumes deletes what the users have saved.
	Volumes bool
	asker
	factory.TimeoutOptions
	Format output.Format
}

// volumesFlag is called as that of `workshopctl delete`.
const volumesFlag = "delete-volumes"

func newDelete(f *factory.Factory, run factory.Run[*DeleteOptions]) *cobra.Command {
	o := &DeleteOptions{}
	do := factory.RunE(f, o, run, Delete)
	cmd := &cobra.Command{
		Use:   "delete USER… | --all",
		Short: "Delete users with their sessions; volumes stay unless you say otherwise",
		Long: `Stops the sessions of users and has the hub forget them. Who may log in can come
back, and finds the same files: volumes stay. --delete-volumes deletes those, too;
that can't be undone.

In an anonymous workshop nobody can come back, and volumes go with their users.

While the hub doesn't answer, sessions' pods and volumes are deleted all the
same; the same command again has the hub forget the users once it is back.`,
		Example: `  workshopctl sessions delete ann

  # Everybody and all files, in a script
  workshopctl sessions delete --all --delete-volumes --yes`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: f.CompleteUsers,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Users = args
			return do(cmd, args)
		},
	}
	o.WorkshopOptions.AddFlags(f, cmd)
	cmd.Flags().BoolVar(&o.All, "all", false, "Delete all users of the workshop")
	cmd.Flags().BoolVar(&o.Volumes, volumesFlag, false, "Delete what they have saved as well")
	o.asker.AddFlags(cmd)
	o.TimeoutOptions.AddFlags(cmd, " for each session until it is gone")
	resultFormats(cmd, &o.Format)
	return cmd
}

// Validate checks what can be checked without the cluster.
func (o *DeleteOptions) Validate() error {
	switch {
	case len(o.Users) == 0 && !o.All:
		return fault.Usage("sessions delete needs the name of a USER, or --all")
	case len(o.Users) > 0 && o.All:
		return fault.Usage("USER and --all both say who is meant; use one of them")
	}
	return errors.Join(o.WorkshopOptions.Validate(), o.TimeoutOptions.Validate(), o.Format.Validate())
}

// person is somebody whom the hub knows, or who has a session or a volume.
type person struct {
	name    string
	known   bool // by the hub
	session []session.Session
	volumes []session.Volume
}

// people puts together who there is, by name.
func people(hubUsers []string, overview session.Overview) map[string]*person {
	all := map[string]*person{}
	of := func(name string) *person {
		if all[name] == nil {
			all[name] = &person{name: name}
		}
		return all[name]
	}
	for _, name := range hubUsers {
		of(name).known = true
	}
	for _, s := range overview.Sessions {
		of(s.User).session = append(of(s.User).session, s)
	}
	for _, v := range overview.Volumes {
		of(v.User).volumes = append(of(v.User).volumes, v)
	}
	delete(all, "") // a claim without an annotation is nobody's
	return all
}

// Delete deletes users.
func Delete(ctx context.Context, f *factory.Factory, o *DeleteOptions) error {
	c, r, err := o.Load(ctx, f)
	if err != nil {
		return err
	}
	n := workshop.Names(r.Spec.Name)
	w, err := connect(ctx, c, r.Spec)
	if err != nil {
		return err
	}
	defer w.end()
	overview, err := session.List(ctx, c.Kubernetes, c.Namespace, n, nil)
	if err != nil {
		return err
	}
	var hubUsers []string
	if w.client != nil {
		users, err := w.client.Users(ctx)
		if err != nil {
			return err
		}
		for _, u := range users {
			hubUsers = append(hubUsers, u.Name)
		}
	}
	all := people(hubUsers, overview)
	names := slices.Sorted(maps.Keys(all))
	if !o.All {
		unknown := fmt.Sprintf("is no user of workshop %s, and has neither session nor volume there", n)
		if w.hubErr != nil {
			unknown = fmt.Sprintf("has neither session nor volume in workshop %s; whether the hub knows them can't be asked now", n)
		}
		names, err = resolve(o.Users, names, func(name, near string) error { return fmt.Errorf("%s %s%s", name, unknown, near) })
		if err != nil {
			return err
		}
	}
	if len(names) == 0 {
		f.Say("Workshop %s has no users.", n)
		return results(nil, nil, nil).writeTo(f, &o.Format)
	}
	withoutHub(f, w.hubErr, "Sessions and volumes are deleted without it; it still knows the users afterwards.")
	var list []*person
	var volumes []session.Volume
	for _, name := range names {
		list = append(list, all[name])
		volumes = append(volumes, all[name].volumes...)
	}
	anonymous := r.Spec.Auth == workshop.AuthAnonymous
	if err := o.confirm(ctx, f, list, volumes, anonymous); err != nil {
		return err
	}
	job := batch.Job{
		Doing: "Deleting", What: "user", Failed: "were not deleted", Timeout: o.Timeout,
		Interrupted: "What was asked for goes on disappearing; the same command again does the rest.",
	}
	err = carryOut(ctx, f, &o.Format, job, names, func(ctx context.Context, i int) error { return w.delete(ctx, list[i], o.Volumes) }, "Deleted "+output.Count(len(names), "user"), func(i int) Done {
		d := Done{User: names[i], Result: "deleted"}
		for _, v := range list[i].volumes {
			if o.Volumes || anonymous {
				d.DeletedVolume = v.Name
			} else {
				d.KeptVolume = v.Name
			}
		}
		return d
	})
	if kept := len(volumes); kept > 0 && !o.Volumes && !anonymous {
		f.Say("Kept: %s. Who comes back finds their files again; --%s deletes them.", output.Count(kept, "volume"), volumesFlag)
	}
	return err
}

// confirm asks, and once more where files are lost.
func (o *DeleteOptions) confirm(ctx context.Context, f *factory.Factory, list []*person, volumes []session.Volume, anonymous bool) error {
	var names, running []string
	for _, p := range list {
		names = append(names, p.name)
		if len(p.session) > 0 {
			running = append(running, p.name)
		}
	}
	q := fmt.Sprintf("Delete user %s?", names[0])
	if len(names) > 1 {
		q = fmt.Sprintf("Delete %s (%s)?", output.Count(len(names), "user"), output.Some(names))
	}
	if len(running) > 0 {
		q += fmt.Sprintf(" With %s, and what runs there is lost.", output.Count(len(running), "session"))
	}
	gone := o.Volumes || anonymous
	switch kept := len(volumes); {
	case gone || kept == 0:
	case kept == 1:
		q += " The volume stays."
	default:
		q += fmt.Sprintf(" Their %d volumes stay.", kept)
	}
	if err := ask.Confirm(ctx, f, o.Yes, q); err != nil {
		return err
	}
	if len(volumes) == 0 || !gone {
		return nil
	}
	return ask.Confirm(ctx, f, o.Yes, fmt.Sprintf("Delete %s of %s? What they saved can't be brought back.", output.Count(len(volumes), "volume"), owners(volumes)))
}

// owners names the volumes' owners.
func owners(volumes []session.Volume) string {
	var names []string
	for _, v := range volumes {
		names = append(names, cmp.Or(v.User, v.Name))
	}
	return output.Some(names)
}

// delete deletes one user.
func (w *connected) delete(ctx context.Context, p *person, volumes bool) error {
	for _, s := range p.session {
		if err := w.Stop(ctx, s, true); err != nil {
			return fmt.Errorf("stop the session: %w", err)
		}
	}
	if w.client != nil && p.known {
		if err := w.forget(ctx, p.name); err != nil {
			return err
		}
	}
	if volumes {
		for _, v := range p.volumes {
			if err := w.deleteVolume(ctx, v.Name); err != nil {
				return err
			}
		}
	}
	if w.client == nil {
		return errStillKnown
	}
	return nil
}

var errStillKnown = errors.New("the hub, which does not answer, still knows them; the same command again has it forget them once it is back")

// forget has the hub forget a user, whose session it may still be stopping.
func (w *connected) forget(ctx context.Context, user string) error {
	for {
		done, err := w.client.Delete(ctx, user)
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// deleteVolume deletes a claim, unless somebody has been faster.
func (w *connected) deleteVolume(ctx context.Context, name string) error {
	err := w.Client.CoreV1().PersistentVolumeClaims(w.Namespace).Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete volume %s: %w", name, err)
	}
	return nil
}
