// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/output"
	"github.com/workshopctl/workshopctl/pkg/session"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Target says which sessions a command is about: those of the users who are
// named, all of them, or those that nobody has used for a while.
type Target struct {
	Users []string
	All   bool
	// Idle is for how long nobody must have done anything; 0 if it was not
	// asked for.
	Idle time.Duration

	command string
	idle    bool // the flag was given
}

// targetUse is the part of a command's usage line.
const targetUse = "USER… | --all | --idle DURATION"

// addTo gives a command the arguments and flags for it. what is done to the
// sessions begins the flags' help: "Stop".
func (t *Target) addTo(f *factory.Factory, cmd *cobra.Command, what string) {
	cmd.Flags().BoolVar(&t.All, "all", false, what+" all sessions")
	cmd.Flags().DurationVar(&t.Idle, "idle", 0, what+" the sessions in which nobody has done anything for at least a `DURATION`, such as 30m")
	cmd.Args = cobra.ArbitraryArgs
	cmd.ValidArgsFunction = f.CompleteUsers
}

// read takes what the command line names. It belongs into the command's RunE.
func (t *Target) read(cmd *cobra.Command, args []string) {
	t.Users, t.command, t.idle = args, cmd.CommandPath(), cmd.Flags().Changed("idle")
}

// Validate checks what can be checked without the cluster.
func (t *Target) Validate() error {
	ways := 0
	for _, given := range []bool{len(t.Users) > 0, t.All, t.idle || t.Idle != 0} {
		if given {
			ways++
		}
	}
	switch {
	case ways == 0:
		return &fault.Error{Code: fault.BadUsage, Err: fmt.Errorf("%s needs the name of a USER, --all or --idle DURATION", t.command),
			Hint: "`workshopctl sessions list` shows who has a session."}
	case ways > 1:
		return fault.Usage("USER, --all and --idle each say whose sessions are meant; use one of them")
	case (t.idle || t.Idle != 0) && t.Idle < time.Minute:
		return fault.Usage("--idle: must be at least 1m: the hub hears of activity up to a minute late")
	}
	for _, user := range t.Users {
		if strings.TrimSpace(user) == "" {
			return fault.Usage("the name of a USER is empty")
		}
	}
	return nil
}

// load reads the workshop's sessions and picks those that are meant. The hub is
// asked only where it is needed: --idle is its to answer, and what a command
// does may be (withHub). The rest works while it is down, and without a wait.
func (t *Target) load(ctx context.Context, c *factory.Cluster, spec workshop.Spec, withHub bool) ([]session.Session, session.Overview, error) {
	n := workshop.Names(spec.Name)
	var (
		overview session.Overview
		err      error
	)
	if withHub || t.Idle > 0 {
		overview, err = c.Sessions(ctx, spec)
	} else {
		overview, err = session.List(ctx, c.Kubernetes, c.Namespace, n, nil)
	}
	if err != nil {
		return nil, overview, err
	}
	picked, err := t.Pick(overview, n, time.Now())
	return picked, overview, err
}

// Pick returns the sessions that are meant, one a user, in the order of the
// list. Somebody who is named and has none is an error, and so is --idle
// without the hub, which alone knows who is.
func (t *Target) Pick(overview session.Overview, n workshop.Names, now time.Time) ([]session.Session, error) {
	list := perUser(overview.Sessions)
	switch {
	case t.All:
		return list, nil
	case t.Idle > 0 && overview.HubError != nil:
		return nil, fault.Hint(fmt.Errorf("find out who is idle: %w", overview.HubError), "Name the users, or take --all: neither needs the hub.")
	case t.Idle > 0:
		return slices.DeleteFunc(list, func(s session.Session) bool {
			return s.State != session.Idle && s.State != session.Running || s.LastActivity.IsZero() || now.Sub(s.LastActivity) < t.Idle
		}), nil
	}
	var have []string
	for _, s := range list {
		have = append(have, s.User)
	}
	users, err := resolve(t.Users, have, noSession(n))
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list, func(s session.Session) bool { return !slices.Contains(users, s.User) }), nil
}

// noSession is the error about a name without a session.
func noSession(n workshop.Names) func(name, near string) error {
	return func(name, near string) error {
		return fault.Hint(fmt.Errorf("%s has no session in workshop %s%s", name, n, near), "`workshopctl sessions list` shows who has one.")
	}
}

// describe says who is meant, for a question: "the session of ann", "3
// sessions (ann, bob, carl)".
func describe(list []session.Session) string {
	if len(list) == 1 {
		return "the session of " + list[0].User
	}
	return fmt.Sprintf("%s (%s)", output.Count(len(list), "session"), output.Some(usersOf(list)))
}

func usersOf(list []session.Session) []string {
	users := make([]string, len(list))
	for i, s := range list {
		users[i] = s.User
	}
	return users
}

// perUser leaves one session a user: the one that isn't about to go, where a
// session that was started again has two pods for a moment.
func perUser(list []session.Session) []session.Session {
	var out []session.Session
	at := map[string]int{}
	for _, s := range list {
		i, seen := at[s.User]
		switch {
		case !seen:
			at[s.User] = len(out)
			out = append(out, s)
		case out[i].State == session.Stopping:
			out[i] = s
		}
	}
	return out
}

// resolve finds the users that names mean among those that there are: the one
// of exactly that name, or else the only one who is spelled like that but for
// upper and lower case. none says what is wrong with a name that is nobody's,
// near the end of that sentence with the name that was probably meant. Nobody
// is returned unless everybody was found.
func resolve(names, users []string, none func(name, near string) error) ([]string, error) {
	var (
		found []string
		errs  []error
	)
	for _, name := range names {
		user, err := resolveOne(name, users, none)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if !slices.Contains(found, user) {
			found = append(found, user)
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return found, nil
}

func resolveOne(name string, users []string, none func(name, near string) error) (string, error) {
	if slices.Contains(users, name) {
		return name, nil
	}
	var alike []string
	for _, user := range users {
		if factory.SameUser(user, name) && !slices.Contains(alike, user) {
			alike = append(alike, user)
		}
	}
	switch len(alike) {
	case 0:
		return "", none(name, factory.DidYouMean(name, users))
	case 1:
		return alike[0], nil
	}
	slices.Sort(alike)
	return "", fault.Usage("%s could be any of %s; write the name as it is", name, strings.Join(alike, ", "))
}
