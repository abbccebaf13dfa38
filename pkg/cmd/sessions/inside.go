// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/workshopctl/workshopctl/pkg/cmd/batch"
	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/output"
	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/inside"
	"github.com/workshopctl/workshopctl/pkg/session"
)

// insideOptions are those of a command that does something in sessions while
// they run, by exec into their pods: exec, cp, message.
type insideOptions struct {
	factory.WorkshopOptions
	Target
	atOnce
	Format output.Format
}

// AddFlags gives a command the flags for it; what it does begins the help of
// those that say whose sessions are meant.
func (o *insideOptions) AddFlags(f *factory.Factory, cmd *cobra.Command, what string) {
	o.WorkshopOptions.AddFlags(f, cmd)
	o.addTo(f, cmd, what)
	o.atOnce.AddFlags(cmd, batch.AtOnce)
	o.Format.AddFlag(cmd, output.JSON, output.YAML)
}

// meant are the sessions that are meant, and the cluster that they are in.
func (o *insideOptions) meant(ctx context.Context, f *factory.Factory) (*factory.Cluster, []session.Session, error) {
	c, r, err := o.Load(ctx, f)
	if err != nil {
		return nil, nil, err
	}
	list, _, err := o.load(ctx, c, r.Spec, false)
	return c, list, err
}

// nobody says to a person that no session is meant. A program gets an empty
// list.
func (o *insideOptions) nobody(f *factory.Factory, list []session.Session) bool {
	if len(list) > 0 || !o.Format.Is("") {
		return false
	}
	f.Say("No session is meant.")
	return true
}

// summary prints the results for a program, and says how it went.
func (o *insideOptions) summary(f *factory.Factory, namespace, ok string, users []string, errs []error, results any) error {
	if err := o.print(f, results); err != nil || len(users) == 0 {
		return err
	}
	return summed(f, namespace, ok, users, errs)
}

// print prints the results for a program; a person reads the summary.
func (o *insideOptions) print(f *factory.Factory, results any) error {
	return o.Format.Print(f.Out, map[string]any{"items": results}, nil, func(bool) error { return nil })
}

// each does something in several sessions side by side. The errors come in their
// order; a session that doesn't run is one where it failed.
func (o atOnce) each(ctx context.Context, list []session.Session, do func(context.Context, int, session.Session) error) []error {
	return batch.Job{AtOnce: o.AtOnce}.Each(ctx, nil, usersOf(list), func(ctx context.Context, i int) error {
		if err := runs(list[i]); err != nil {
			return err
		}
		return do(ctx, i, list[i])
	})
}

// runs says why nothing can be run in a session, yet or any more. An orphaned
// one has a pod that may run.
func runs(s session.Session) error {
	switch s.State {
	case session.Running, session.Idle, session.Orphaned:
		return nil
	}
	text := "the session is " + string(s.State)
	if s.Reason != "" {
		text += ": " + s.Reason
	}
	return errors.New(text)
}

// maxNamed is how many of those where something failed are named.
const maxNamed = 20

// summed says how it went: on stderr if all is well, else as an error.
func summed(f *factory.Factory, namespace, ok string, users []string, errs []error) error {
	var failed []string
	var first error
	done, interrupted := 0, false
	for i, err := range errs {
		if err == nil {
			done++
			continue
		}
		interrupted = interrupted || errors.Is(err, context.Canceled)
		if first == nil || errors.Is(first, context.Canceled) {
			first = err
		}
		failed = append(failed, fmt.Sprintf("%s (%s)", users[i], brief(err)))
	}
	text := fmt.Sprintf("%d of %d %s", done, len(users), ok)
	if len(failed) == 0 {
		f.Say("%s", text)
		return nil
	}
	if more := len(failed) - maxNamed; more > 0 {
		failed = append(failed[:maxNamed], fmt.Sprintf("%d more", more))
	}
	e := &fault.Error{Code: fault.Failed, Err: fmt.Errorf("%s; failed: %s", text, strings.Join(failed, ", "))}
	var hinted *fault.Error
	switch {
	case interrupted:
		e.Code, e.Hint = fault.Interrupted, "What was started in a session may go on there."
	case errors.As(refused(f, namespace, first), &hinted):
		e.Hint = hinted.Hint
	}
	return e
}

// brief is an error in few words.
func brief(err error) string {
	var exit *inside.ExitError
	switch {
	case errors.As(err, &exit):
		return fmt.Sprintf("exit %d", exit.Code)
	case errors.Is(err, context.Canceled):
		return "interrupted"
	}
	text := strings.Join(strings.Fields(explain.Clean(err.Error())), " ")
	if runes := []rune(text); len(runes) > 200 {
		text = string(runes[:200]) + "…"
	}
	return text
}

// within runs programs in the sessions of the cluster's namespace.
func within(c *factory.Cluster) inside.Sessions {
	return inside.Sessions{Config: c.Config, Client: c.Kubernetes, Namespace: c.Namespace}
}

// refused adds what to do about the error of a program that could not be run in
// a session.
func refused(f *factory.Factory, namespace string, err error) error {
	switch {
	case apierrors.IsForbidden(err):
		return fault.Hint(err, fmt.Sprintf("It needs the verbs create and get of pods/exec in namespace %s, which the roles edit and admin have. Ask its owner.", namespace))
	case errors.Is(err, inside.ErrOlder):
		return fault.Hint(err, fmt.Sprintf("It gets the current one when it is stopped and started again, by its owner or on the hub's admin page. `workshopctl deploy%s` updates the workshop itself.", f.Where()))
	}
	return err
}
