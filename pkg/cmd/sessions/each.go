// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/inside"
	"github.com/workshopctl/workshopctl/pkg/session"
)

// Parallel bounds in how many sessions something is done at one time.
type Parallel int

func (p *Parallel) addTo(cmd *cobra.Command) {
	cmd.Flags().IntVar((*int)(p), "parallel", 10, "In at most so many sessions at one time")
}

// Validate checks the number.
func (p Parallel) Validate() error {
	if p < 1 {
		return fault.Usage("--parallel: must be 1 or more")
	}
	return nil
}

// outcome is how something went in a session.
type outcome struct {
	user string
	err  error
}

// each does something in several sessions side by side. The outcomes come in
// their order; a session that doesn't run is one that failed.
func (p Parallel) each(ctx context.Context, list []session.Session, do func(context.Context, int, session.Session) error) []outcome {
	outcomes := make([]outcome, len(list))
	var group errgroup.Group
	group.SetLimit(int(p))
	for i, s := range list {
		outcomes[i].user = s.User
		group.Go(func() error {
			switch {
			case ctx.Err() != nil:
				outcomes[i].err = ctx.Err()
			case runs(s) != nil:
				outcomes[i].err = runs(s)
			default:
				outcomes[i].err = do(ctx, i, s)
			}
			return nil
		})
	}
	_ = group.Wait()
	return outcomes
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
func summed(f *factory.Factory, namespace, ok string, outcomes []outcome) error {
	var failed []string
	var first error
	done, interrupted := 0, false
	for _, o := range outcomes {
		if o.err == nil {
			done++
			continue
		}
		interrupted = interrupted || errors.Is(o.err, context.Canceled)
		if first == nil || errors.Is(first, context.Canceled) {
			first = o.err
		}
		failed = append(failed, fmt.Sprintf("%s (%s)", o.user, brief(o.err)))
	}
	text := fmt.Sprintf("%d of %d %s", done, len(outcomes), ok)
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
