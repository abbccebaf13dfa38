// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/pkg/cmd/batch"
	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/output"
	"github.com/workshopctl/workshopctl/pkg/hub"
	"github.com/workshopctl/workshopctl/pkg/session"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Done is what became of one user's session.
type Done struct {
	User string `json:"user"`
	// Result in a word: running, starting, stopped, stopping, kept, deleted,
	// failed.
	Result string `json:"result"`
	// Error is why it failed.
	Error string `json:"error,omitempty"`
	// URL of a session that was started.
	URL string `json:"url,omitempty"`
	// KeepUntil is until when a session is kept at least.
	KeepUntil time.Time `json:"keepUntil,omitzero"`
	// KeptVolume has what the user saved, still.
	KeptVolume string `json:"keptVolume,omitempty"`
	// DeletedVolume had it.
	DeletedVolume string `json:"deletedVolume,omitempty"`
}

const failed = "failed"

// Results of a command about several sessions.
type Results struct {
	Items []Done `json:"items"`
}

// results puts together what became of the users.
func results(users []string, errs []error, done func(i int) Done) Results {
	r := Results{Items: []Done{}}
	for i, user := range users {
		d := Done{User: user, Result: failed}
		if errs[i] == nil {
			d = done(i)
		} else {
			d.Error = errs[i].Error()
		}
		r.Items = append(r.Items, d)
	}
	return r
}

// carryOut does a job for each of the users, tells how it goes and went, and
// prints what became of them. done says it to a person where all went well,
// unless it is empty, and one to a program.
func carryOut(ctx context.Context, f *factory.Factory, format *output.Format, job batch.Job, users []string, do func(ctx context.Context, i int) error, done string, one func(i int) Done) error {
	say := f.Progress()
	errs := job.Each(ctx, say, users, do)
	err := job.Outcome(users, errs)
	say.Stop(err)
	if err == nil && done != "" {
		say.Done("%s", done)
	}
	printed := results(users, errs, one).writeTo(f, format)
	return cmp.Or(err, printed)
}

// resultFormats are the formats of such a command.
func resultFormats(cmd *cobra.Command, format *output.Format) {
	format.AddFlag(cmd, output.JSON, output.YAML, output.Name, output.JSONPath)
}

// writeTo writes the results for a program; a person has read the summary.
func (r Results) writeTo(f *factory.Factory, format *output.Format) error {
	names := []string{}
	for _, d := range r.Items {
		if d.Result != failed {
			names = append(names, "session/"+d.User)
		}
	}
	return format.Print(f.Out, r, names, func(bool) error { return nil })
}

// waitFlags are those of a command that waits for sessions.
type waitFlags struct {
	factory.TimeoutOptions
	atOnce
	NoWait bool
}

// AddFlags gives a command the flags for it; what it waits for ends the flags'
// help.
func (o *waitFlags) AddFlags(cmd *cobra.Command, what string, atOnce int) {
	o.TimeoutOptions.AddFlags(cmd, " for each session"+what)
	cmd.Flags().BoolVar(&o.NoWait, "no-wait", false, "Don't wait"+what)
	o.atOnce.AddFlags(cmd, atOnce)
}

// Validate checks what can be checked without the cluster.
func (o *waitFlags) Validate() error {
	return errors.Join(o.atOnce.Validate(), o.TimeoutOptions.Validate())
}

// atOnce bounds how many sessions are worked on at the same time.
type atOnce struct{ AtOnce int }

// AddFlags gives a command the flag for it.
func (o *atOnce) AddFlags(cmd *cobra.Command, number int) {
	cmd.Flags().IntVar(&o.AtOnce, "at-once", number, "`NUMBER` of sessions to work on at the same time")
}

// Validate checks what can be checked without the cluster.
func (o *atOnce) Validate() error {
	if o.AtOnce < 1 || o.AtOnce > 100 {
		return fault.Usage("--at-once: must be from 1 to 100")
	}
	return nil
}

// asker is the question before what loses work or files.
type asker struct{ Yes bool }

// AddFlags gives a command the flag for it.
func (o *asker) AddFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&o.Yes, "yes", "y", false, "Don't ask")
}

// connected is a workshop with its hub, if that answers.
type connected struct {
	*batch.Work
	client *hub.Client
	hubErr error
	end    func()
}

// answerTime is how long the hub gets to say that it is there.
const answerTime = 10 * time.Second

// connect reaches the hub, and begins to follow the sessions' pods. That the
// hub doesn't answer is no error here: hubErr says why.
func connect(ctx context.Context, c *factory.Cluster, spec workshop.Spec) (*connected, error) {
	live, err := session.NewLive(ctx, session.Query{Client: c.Kubernetes, Namespace: c.Namespace, Names: workshop.Names(spec.Name)})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &connected{Work: &batch.Work{Client: c.Kubernetes, Namespace: c.Namespace, Live: live}, end: cancel}
	go func() { _ = live.Run(ctx) }() // who waits for a pod has a time limit
	client, closeHub, err := c.Hub(ctx, spec)
	if err == nil {
		// Reached is not yet answered.
		ctx, cancel := context.WithTimeout(ctx, answerTime)
		if _, err = client.Version(ctx); err != nil {
			closeHub()
		}
		cancel()
	}
	if err != nil {
		w.hubErr = err
		return w, nil //nolint:nilerr // what can be done without the hub is for the command to know
	}
	w.client, w.Hub = client, client
	w.end = func() { cancel(); closeHub() }
	return w, nil
}

// needHub is the error of a command that can do nothing without the hub.
func (w *connected) needHub(what string) error {
	if w.hubErr == nil {
		return nil
	}
	return fault.Hint(fmt.Errorf("%s: the hub does not answer: %w", what, w.hubErr), "`workshopctl rollout status` waits for the hub and says what is wrong with it.")
}
