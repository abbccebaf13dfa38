// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/pkg/cmd/batch"
	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/output"
	"github.com/workshopctl/workshopctl/pkg/hub"
	"github.com/workshopctl/workshopctl/pkg/users"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// StartOptions of `sessions start`.
type StartOptions struct {
	factory.WorkshopOptions
	Users []string
	// From is a file of names; "-" is stdin.
	From string
	waitFlags
	Format output.Format
}

// startAtOnce is how many sessions start at the same time. Nobody works yet whom
// that could disturb.
const startAtOnce = 20

func newStart(f *factory.Factory, run factory.Run[*StartOptions]) *cobra.Command {
	o := &StartOptions{}
	do := factory.RunE(f, o, run, Start)
	cmd := &cobra.Command{
		Use:   "start USER… | --from FILE",
		Short: "Start sessions before their attendees come",
		Long: `Has the hub start sessions, and waits until they are ready: images are pulled,
volumes made and filled before the class begins. Users that the hub doesn't know
yet are made, with no more rights than they would get at their first login; who
may log in is decided then. A session that runs already is left alone.

--from reads the names from a file, one a line, or from the first column of a CSV
file, or from a file as users import takes it. A first line that is a header
(name, user, login, email …), empty lines and those that begin with # don't count.

A hub that limits how many sessions start at once is asked again later, until all
have started. Without a running hub nothing can start.`,
		Example: `  workshopctl sessions start ann bob

  # A class, from a list of names
  workshopctl sessions start --from class.csv

  # Begin, and look later
  workshopctl sessions start --from class.csv --no-wait`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Users = args
			return do(cmd, args)
		},
	}
	o.WorkshopOptions.AddFlags(f, cmd)
	cmd.Flags().StringVar(&o.From, "from", "", "`FILE` with names, one a line or in its first column; - for stdin")
	o.waitFlags.AddFlags(cmd, " until it is ready", startAtOnce)
	resultFormats(cmd, &o.Format)
	return cmd
}

// Validate checks what can be checked without the cluster.
func (o *StartOptions) Validate() error {
	switch {
	case len(o.Users) == 0 && o.From == "":
		return fault.Usage("sessions start needs the name of a USER, or --from FILE")
	case len(o.Users) > 0 && o.From != "":
		return fault.Usage("USER and --from both say whose sessions are meant; use one of them")
	}
	return errors.Join(o.WorkshopOptions.Validate(), o.waitFlags.Validate(), o.Format.Validate())
}

// Start starts sessions.
func Start(ctx context.Context, f *factory.Factory, o *StartOptions) error {
	names, err := o.names(f)
	if err != nil {
		return err
	}
	c, r, err := o.Load(ctx, f)
	if err != nil {
		return err
	}
	if r.Spec.Auth == workshop.AuthAnonymous {
		return fault.Usage("workshop %s is anonymous: a session belongs to the browser that opened it, and nobody could open one that is started here", r.Spec.Name)
	}
	w, err := connect(ctx, c, r.Spec)
	if err != nil {
		return err
	}
	defer w.end()
	if err := w.needHub("start sessions"); err != nil {
		return err
	}
	users, made, err := enroll(ctx, w.client, names)
	if err != nil {
		return err
	}
	if made > 0 {
		f.Say("The hub has got %s it didn't know.", output.Count(made, "user"))
	}
	if strangers := notAllowed(r.Spec, users); len(strangers) > 0 {
		f.Say("Not among --allowed-users, and so can't log in unless a group of theirs is allowed: %s", output.Some(strangers))
	}
	job := batch.Job{
		Doing: "Starting", Failed: "did not start", AtOnce: o.AtOnce, Timeout: o.Timeout,
		Interrupted: "The hub goes on with what it has begun to start; the same command again does the rest.",
	}
	rules := factory.Rules(r.Spec)
	result, done := "running", output.Count(len(users), "session")+" ready"
	if o.NoWait {
		result, done = "starting", "The hub is starting "+output.Count(len(users), "session")
	}
	err = carryOut(ctx, f, &o.Format, job, users, func(ctx context.Context, i int) error {
		if err := w.Start(ctx, users[i]); err != nil || o.NoWait {
			return err
		}
		return w.Ready(ctx, users[i])
	}, done, func(i int) Done { return Done{User: users[i], Result: result, URL: rules.Address(users[i])} })
	var full batch.FullError
	if errors.As(err, &full) {
		err = fault.Hint(err, fmt.Sprintf("`workshopctl sessions stop --idle 1h%s` makes room, or `workshopctl deploy --limit NUMBER%s` a larger limit. The same command again then does the rest.", f.On(r.Spec.Name), f.On(r.Spec.Name)))
	}
	return err
}

// names are those that the command line or the file has, each once.
func (o *StartOptions) names(f *factory.Factory) ([]string, error) {
	names := o.Users
	if o.From != "" {
		var (
			content []byte
			err     error
			file    = o.From
		)
		if file == "-" {
			file = "stdin"
			content, err = io.ReadAll(f.In)
		} else {
			content, err = os.ReadFile(file)
		}
		if err != nil {
			return nil, fault.Usage("--from: %w", err)
		}
		if names, err = users.Names(content); err != nil {
			return nil, fault.Usage("--from: %s: %w", file, err)
		}
		if len(names) == 0 {
			return nil, fault.Usage("--from: %s has no names", file)
		}
	}
	var out []string
	for _, name := range names {
		name = strings.TrimSpace(name)
		if name == "" || strings.ContainsAny(name, "/\x00") {
			return nil, fault.Usage("%q can't be the name of a user", name)
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out, nil
}

// makeAtOnce is how many users the hub makes in one request.
const makeAtOnce = 100

// enroller is the part of hub.Client that knows and makes users.
type enroller interface {
	Users(ctx context.Context) ([]hub.User, error)
	Add(ctx context.Context, names ...string) ([]hub.User, error)
}

// enroll makes those users that the hub doesn't know, and returns all as the
// hub spells them. A name that it knows but for upper and lower case is that
// user's.
func enroll(ctx context.Context, h enroller, names []string) (users []string, made int, err error) {
	list, err := h.Users(ctx)
	if err != nil {
		return nil, 0, err
	}
	known := make([]string, 0, len(list))
	for _, u := range list {
		known = append(known, u.Name)
	}
	is := map[string]string{}
	var unknown []string
	for _, name := range names {
		user, err := resolveOne(name, known, func(string, string) error { return errUnknown })
		switch {
		case errors.Is(err, errUnknown):
			unknown = append(unknown, name)
		case err != nil:
			return nil, 0, err
		default:
			is[name] = user
		}
	}
	for some := range slices.Chunk(unknown, makeAtOnce) {
		added, err := h.Add(ctx, some...)
		if err != nil {
			var answer *hub.Error
			if errors.As(err, &answer) && answer.Status == http.StatusBadRequest {
				return nil, made, fault.Usage("%s", answer.Message)
			}
			return nil, made, err
		}
		made += len(added)
		for i, name := range some {
			is[name] = strings.ToLower(name) // somebody else has just made it
			for _, u := range added {
				if factory.SameUser(u.Name, name) {
					is[name] = u.Name
				}
			}
			// A hub may call its users otherwise; it answers in the order of the question.
			if len(added) == len(some) {
				is[name] = added[i].Name
			}
		}
	}
	for _, name := range names {
		if user := is[name]; !slices.Contains(users, user) {
			users = append(users, user)
		}
	}
	return users, made, nil
}

var errUnknown = errors.New("unknown")

// notAllowed are the users whom the workshop's own list of users keeps out.
func notAllowed(spec workshop.Spec, users []string) []string {
	if len(spec.AllowedUsers) == 0 {
		return nil
	}
	var out []string
	for _, user := range users {
		same := func(name string) bool { return factory.SameUser(name, user) }
		if !slices.ContainsFunc(spec.AllowedUsers, same) && !slices.ContainsFunc(spec.AdminUsers, same) {
			out = append(out, user)
		}
	}
	return out
}
