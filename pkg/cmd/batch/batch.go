// SPDX-License-Identifier: Apache-2.0

// Package batch does something to many sessions: side by side but bounded,
// with a count of how far it is, and with one error at the end that says for
// whom it failed and why.
package batch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/workshopctl/workshopctl/pkg/cmd/output"
	"github.com/workshopctl/workshopctl/pkg/cmd/progress"
)

// AtOnce is how many sessions are worked on at the same time, where nobody
// says otherwise: a class of forty must not meet the nodes in one instant.
const AtOnce = 8

// Job is what is done to sessions, or to their users.
type Job struct {
	// Doing and Failed put it into words: "Stopping", "did not stop".
	Doing, Failed string
	// What is worked on; empty means sessions.
	What string
	// AtOnce bounds how many are worked on at the same time; 0 means AtOnce.
	AtOnce int
	// Timeout is how long each of them may take; 0 for as long as it takes.
	Timeout time.Duration
	// Interrupted says what goes on after Ctrl-C.
	Interrupted string
}

// Each does something for each of the users, tells how far it is unless say is
// nil, and returns for each the error of it. It goes on when some fail, and
// begins nothing more once the context has ended.
func (j Job) Each(ctx context.Context, say *progress.Progress, users []string, do func(ctx context.Context, i int) error) []error {
	errs := make([]error, len(users))
	count := counter{say: say, total: len(users)}
	if say != nil {
		say.Step("%s %s", j.Doing, j.count(len(users)))
	}
	var group errgroup.Group
	group.SetLimit(max(1, orElse(j.AtOnce, AtOnce)))
	for i := range users {
		group.Go(func() error {
			ctx := ctx
			if j.Timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, j.Timeout)
				defer cancel()
			}
			if errs[i] = ctx.Err(); errs[i] == nil {
				errs[i] = do(ctx, i)
			}
			if say != nil {
				count.add(users[i], errs[i])
			}
			return nil
		})
	}
	_ = group.Wait()
	return errs
}

// count is a number of what is worked on.
func (j Job) count(n int) string {
	if j.What == "" {
		return output.Count(n, "session")
	}
	return output.Count(n, j.What)
}

func orElse(n, other int) int {
	if n == 0 {
		return other
	}
	return n
}

// Outcome is the error that says which users' sessions failed and why, nil if
// none did. Those with the same reason are one line.
func (j Job) Outcome(users []string, errs []error) error {
	type reason struct {
		users []string
		err   error
	}
	var (
		reasons []*reason
		late    []string
		ended   error
		failed  int
	)
	for i, err := range errs {
		switch {
		case err == nil:
			continue
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
			// Whoever waited for longest knows best what is missing.
			if late = append(late, users[i]); ended == nil || len(err.Error()) > len(ended.Error()) {
				ended = err
			}
			continue
		}
		failed++
		same := slices.IndexFunc(reasons, func(r *reason) bool { return r.err.Error() == err.Error() })
		if same < 0 {
			reasons, same = append(reasons, &reason{err: err}), len(reasons)
		}
		reasons[same].users = append(reasons[same].users, users[i])
	}
	var out []error
	if failed > 0 {
		out = append(out, fmt.Errorf("%d of %s %s", failed, j.count(len(users)), j.Failed))
	}
	for _, r := range reasons {
		out = append(out, fmt.Errorf("%s: %w", output.Some(r.users), r.err))
	}
	switch {
	case errors.Is(ended, context.Canceled):
		out = append(out, fmt.Errorf("not done yet: %s: interrupted: %w%s", output.Some(late), context.Canceled, after(j.Interrupted)))
	case ended != nil:
		out = append(out, fmt.Errorf("not done yet: %s: %w", output.Some(late), ended))
	}
	return errors.Join(out...)
}

func after(text string) string {
	if text == "" {
		return ""
	}
	return "\n" + text
}

// counter tells how many are done.
type counter struct {
	say   *progress.Progress
	total int

	mu           sync.Mutex
	done, failed int
}

func (c *counter) add(user string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.failed++
		user += " failed"
	} else {
		c.done++
	}
	c.say.Count(c.done, c.failed, c.total, user)
}
