// SPDX-License-Identifier: Apache-2.0

package users

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/output"
	"github.com/workshopctl/workshopctl/pkg/hub"
	"github.com/workshopctl/workshopctl/pkg/session"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// ListOptions of `users list`.
type ListOptions struct {
	factory.WorkshopOptions
	Format output.Format
}

func newList(f *factory.Factory, run factory.Run[*ListOptions]) *cobra.Command {
	o := &ListOptions{}
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List who may log in, and who has been there",
		Long: `Lists the users of a workshop: those on its lists, those with a password of their
own, and those who have been there, as their session, their volume or the hub shows.

ALLOWED is yes for those who may log in. Where groups may, too (--allowed-groups), it
is "by group" for those who are not on the list: whether they may is for the login to
find out.

It works without a running hub; when somebody was last active is not known then.`,
		Example: `  workshopctl users list
  workshopctl users list -o jsonpath='{.items[?(@.admin==true)].name}'`,
		Args: factory.Args(),
		RunE: factory.RunE(f, o, run, List),
	}
	o.AddFlags(f, cmd)
	o.Format.AddFlag(cmd, output.JSON, output.YAML, output.Wide, output.Name, output.JSONPath)
	return cmd
}

// Validate checks what can be checked without the cluster.
func (o *ListOptions) Validate() error {
	return errors.Join(o.WorkshopOptions.Validate(), o.Format.Validate())
}

// The values of User.Allowed.
const (
	allowedYes   = "yes"
	allowedNo    = "no"
	allowedGroup = "by group"
)

// User is an entry of `users list -o json`.
type User struct {
	Name string `json:"name"`
	// Allowed is yes, no, or "by group" for who may be in one that is allowed.
	Allowed string `json:"allowed"`
	// Listed says whether the user is on a list, and not only allowed like all.
	Listed bool `json:"listed"`
	Admin  bool `json:"admin"`
	// OwnPassword says whether the user has one beside that of all.
	OwnPassword bool `json:"ownPassword"`
	// State of the user's session, "" without one.
	State session.State `json:"state,omitempty"`
	// Volume with the user's files.
	Volume string `json:"volume,omitempty"`
	// LastActivity as the hub knows it.
	LastActivity time.Time `json:"lastActivity,omitzero"`
}

// List shows the users.
func List(ctx context.Context, f *factory.Factory, o *ListOptions) error {
	c, r, err := o.Load(ctx, f)
	if err != nil {
		return err
	}
	var (
		hashes   map[string]string
		overview session.Overview
		known    []hub.User
		hubErr   error
		secret   bool // from this person
	)
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		hashes, err = passwordsOf(c, r.Spec).Read(groupCtx)
		if secret = apierrors.IsForbidden(err); secret {
			return nil
		}
		return err
	})
	group.Go(func() (err error) {
		overview, err = session.List(groupCtx, c.Kubernetes, c.Namespace, workshop.Names(r.Spec.Name), nil)
		return err
	})
	group.Go(func() error {
		known, hubErr = hubUsers(groupCtx, c, r.Spec)
		return nil
	})
	if err := group.Wait(); err != nil {
		return err
	}
	if secret {
		f.Say("You may not read Secrets in namespace %s: who has a password of their own is not known.", c.Namespace)
	}
	if hubErr != nil && ctx.Err() == nil {
		f.Say("The hub does not answer (%v): who was active when is not known.", hubErr)
	}
	list := join(r.Spec, hashes, overview, known)
	names := []string{}
	for _, u := range list {
		names = append(names, "user/"+u.Name)
	}
	return o.Format.Print(f.Out, map[string]any{"items": list}, names, func(wide bool) error {
		if len(list) == 0 {
			f.Say("Workshop %s has no users yet, and nobody is on its lists.", r.Spec.Name)
			return nil
		}
		return userTable(r.Spec, list, wide).Write(f.Out)
	})
}

// hubTime is how long the hub gets to answer a list that can do without.
const hubTime = 10 * time.Second

func hubUsers(ctx context.Context, c *factory.Cluster, spec workshop.Spec) ([]hub.User, error) {
	ctx, cancel := context.WithTimeout(ctx, hubTime)
	defer cancel()
	client, end, err := c.Hub(ctx, spec)
	if err != nil {
		return nil, err
	}
	defer end()
	return client.Users(ctx)
}

// join makes users of what each place knows, sorted by name.
func join(spec workshop.Spec, hashes map[string]string, overview session.Overview, known []hub.User) []User {
	users := map[string]*User{}
	user := func(name string) *User {
		if users[name] == nil {
			users[name] = &User{Name: name}
		}
		return users[name]
	}
	for _, n := range spec.AllowedUsers {
		user(spec.UserName(n)).Listed = true
	}
	for _, n := range spec.AdminUsers {
		u := user(spec.UserName(n))
		u.Listed, u.Admin = true, true
	}
	if spec.Auth == workshop.AuthPassword { // elsewhere nobody asks for them
		for n := range hashes {
			user(n).OwnPassword = true
		}
	}
	for _, v := range overview.Volumes {
		if v.User != "" {
			user(v.User).Volume = v.Name
		}
	}
	for _, s := range overview.Sessions {
		if s.User != "" {
			user(s.User).State = s.State
		}
	}
	for _, k := range known {
		u := user(k.Name)
		u.LastActivity = k.LastActivity
		// Groups make admins, too, and the hub has learnt that at their login.
		u.Admin = u.Admin || k.Admin && len(spec.AdminGroups) > 0
	}
	list := make([]User, 0, len(users))
	for _, u := range users {
		switch {
		case !closed(spec), u.Listed, u.Admin:
			u.Allowed = allowedYes
		case len(spec.AllowedGroups)+len(spec.AdminGroups) > 0:
			u.Allowed = allowedGroup
		default:
			u.Allowed = allowedNo
		}
		list = append(list, *u)
	}
	slices.SortFunc(list, func(a, b User) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

func userTable(spec workshop.Spec, list []User, wide bool) *output.Table {
	t := &output.Table{Header: []string{"NAME", "ALLOWED", "ADMIN", "PASSWORD", "SESSION", "LAST ACTIVE"}}
	if wide {
		t.Header = append(t.Header, "LISTED", "VOLUME")
	}
	yes := map[bool]string{true: "yes", false: "no"}
	for _, u := range list {
		password := ""
		if spec.Auth == workshop.AuthPassword {
			password = map[bool]string{true: "own", false: "shared"}[u.OwnPassword]
		}
		row := []string{u.Name, u.Allowed, yes[u.Admin], password, string(u.State), output.Age(u.LastActivity)}
		if wide {
			row = append(row, yes[u.Listed], u.Volume)
		}
		t.Add(row...)
	}
	return t
}

// sorted are the keys of a map in order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
