// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/workshopctl/workshopctl/pkg/apply"
	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/progress"
	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/image"
	"github.com/workshopctl/workshopctl/pkg/preflight"
	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/rollout"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Result of a Carry.
type Result struct {
	Results []apply.Result
	// Changed is true if anything was written, or would have been.
	Changed bool
}

// Carry brings a plan into the cluster and waits until it is so.
func Carry(ctx context.Context, f *factory.Factory, c *factory.Cluster, p *Plan, o Options, say *progress.Progress) (Result, error) {
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	if p.Unrecorded && !o.TakeOwnership {
		return Result{}, fault.Refuse(f.UnrecordedHint(p.Spec.Name), "%s %s: namespace %s has a workshop of this name, but no record of it; nothing was written", p.verb, p.Spec.Name, p.Namespace)
	}
	for _, n := range p.Notes {
		say.Note("%s", n)
	}
	if err := check(ctx, c, p, o, say); err != nil {
		return Result{}, fault.Hint(interrupted(outer, p, err), interruptedHint(outer, "Nothing was written; the image check's pod is deleted."))
	}
	r, err := write(ctx, f, c, p, o, say)
	if err != nil {
		return r, fault.Hint(interrupted(outer, p, err), interruptedHint(outer, "A part may be written; the same command again finishes it."))
	}
	if o.DryRun || !o.Wait {
		return r, nil
	}
	if err := p.retry(ctx, c, r, say); err != nil {
		return r, fault.Hint(interrupted(outer, p, err), goesOn(outer, f, p, err))
	}
	if err := Wait(ctx, c, p.target(r), say); err != nil {
		return r, fault.Hint(interrupted(outer, p, err), goesOn(outer, f, p, err))
	}
	return r, nil
}

// interrupted names the workshop in an error, and in that of a person's own
// Ctrl-C says no more than that.
func interrupted(ctx context.Context, p *Plan, err error) error {
	if ctx.Err() != nil {
		return p.failed(fmt.Errorf("interrupted: %w", context.Canceled))
	}
	return p.failed(err)
}

func interruptedHint(ctx context.Context, hint string) string {
	if ctx.Err() == nil {
		return ""
	}
	return hint
}

// goesOn says what the cluster does on its own when a person or the time ends
// the waiting.
func goesOn(ctx context.Context, f *factory.Factory, p *Plan, err error) string {
	if ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) {
		return ""
	}
	return "The cluster goes on starting the workshop. Wait for it with: workshopctl rollout status" + f.On(p.Spec.Name)
}

// check looks before the first write for what would go wrong.
func check(ctx context.Context, c *factory.Cluster, p *Plan, o Options, say *progress.Progress) error {
	if o.DryRun {
		return nil
	}
	if p.SessionErr != nil && !o.SkipImageCheck && p.imageIsNew() {
		return p.SessionErr
	}
	in := preflight.Input{Namespace: p.Namespace, Spec: p.Spec, Session: p.Session, Capabilities: p.Capabilities, Objects: p.Objects, As: c.As, Existing: !p.First, Routes: c.Rollout().Routes}
	if p.Spec.ServiceAccount != "" {
		account, err := p.account()
		if err != nil {
			return err
		}
		in.Account, in.Impersonate = account, c.Impersonate
	}
	findings, err := preflight.Check(ctx, c.Kubernetes, in)
	if err != nil {
		return err
	}
	var errs []error
	for _, finding := range findings {
		if finding.Warning {
			say.Warn("%s", strings.Join(explained(&finding.Failure), "\n  "))
			continue
		}
		errs = append(errs, &finding.Failure)
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	if p.SessionErr != nil {
		say.Warn("New sessions won't start: %s", strings.Join(explained(p.SessionErr), "\n  "))
	}
	if o.SkipImageCheck || !p.imageIsNew() {
		return nil
	}
	say.Step("Checking that the cluster can pull %s", p.imageInWords())
	_, err = preflight.TerminalImage(ctx, c.Kubernetes, in, func(message string) { say.Detail("%s", message) })
	say.Stop(err)
	if err != nil {
		return advise(p.Spec, p.notStream(ctx, c, withLog(ctx, c, err)))
	}
	say.Done("The cluster can pull %s", p.imageInWords())
	return nil
}

// notStream says of a name that can't be pulled that no image stream has it.
func (p *Plan) notStream(ctx context.Context, c *factory.Cluster, err error) error {
	var failure *explain.Failure
	tag, surely, ok := p.Spec.Image().StreamTag()
	if !p.Capabilities.Image || p.Session.Tag != nil || !ok || surely || !errors.As(err, &failure) {
		return err
	}
	line := fmt.Sprintf("project %s has no image stream %s, so this is the name of an image on a registry", p.Namespace, tag.Name)
	// Who may not list them has to do without.
	if tags, listErr := image.NewStreams(c.Dynamic, p.Namespace).Tags(ctx); listErr == nil && len(tags) > 0 {
		line += "; its image stream tags: " + explain.Clean(strings.Join(tags, ", "))
	}
	failure.Evidence = append(failure.Evidence, line)
	return err
}

// imageInWords is the image of new sessions as it was named, and what that
// stands for.
func (p *Plan) imageInWords() string {
	if p.Session.Tag == nil {
		return p.Spec.Image().String()
	}
	return fmt.Sprintf("%s (%s)", p.Spec.Image(), p.Session.Short())
}

// explained is an error with all that is known of it, a line each.
func explained(err error) []string {
	var f *explain.Failure
	if !errors.As(err, &f) {
		return []string{err.Error()}
	}
	return slices.Concat([]string{f.Error()}, f.Evidence, []string{fault.Sentence(f.Remedy)})
}

// imageIsNew says whether the cluster has yet to show that it can pull the
// terminal image. A tag that somebody names may have another one than before.
func (p *Plan) imageIsNew() bool {
	return p.First || p.TakeImage && p.Session.Tag != nil || p.Image != p.Spec.Image() || p.Record.Spec.PullSecret != p.Spec.PullSecret
}

// write saves the record, applies the objects and takes away what is no longer
// wanted.
func write(ctx context.Context, f *factory.Factory, c *factory.Cluster, p *Plan, o Options, say *progress.Progress) (Result, error) {
	store, client := f.Records(c), c.Apply()
	refs := record.RefsOf(p.Objects)
	before := slices.Clone(p.Record.Inventory)
	changed := p.Changed()
	say.Step("Applying %d objects", len(p.Objects))
	defer say.Stop(nil)
	options := apply.Options{DryRun: o.DryRun, TakeTerminalImage: p.TakeImage, TakeOwnership: o.TakeOwnership && p.Unrecorded}
	if !o.DryRun && !p.First {
		if err := rehearse(ctx, client, p, options); err != nil {
			say.Stop(err)
			return Result{}, err
		}
	}
	if !o.DryRun {
		if err := p.Record.Begin(p.Spec, refs, record.CommandLine(f.CommandLine), time.Now()); err != nil {
			return Result{}, err
		}
		if err := store.Save(ctx, p.Record); err != nil {
			return Result{}, err
		}
	}
	if err := p.makeRoute(ctx, client, options); err != nil {
		say.Stop(err)
		return Result{Changed: true}, err
	}
	results, err := client.Apply(ctx, p.Objects, p.Live, options)
	if err != nil {
		say.Stop(err)
		return Result{Results: results, Changed: true}, err
	}
	pruned, err := client.Prune(ctx, p.Names(), before, p.Objects, options)
	results = append(results, pruned...)
	if err != nil {
		say.Stop(err)
		return Result{Results: results, Changed: true}, err
	}
	var kept []record.Ref
	for _, r := range pruned {
		if r.Action == apply.Kept {
			kept = append(kept, r.Ref)
		}
		if r.Note != "" {
			say.Warn("%s", r.Note)
		}
	}
	if !o.DryRun {
		p.Record.Finish(refs, kept)
		if err := store.Save(ctx, p.Record); err != nil {
			return Result{Results: results, Changed: true}, err
		}
	}
	counts := count(results)
	out := Result{Results: results, Changed: changed || counts[apply.Unchanged]+counts[apply.Kept] < len(results)}
	if !out.Changed {
		say.Done("%s is unchanged", p.Spec.Name)
		return out, nil
	}
	say.Done("%s", summary(p.Spec.Name, counts, o.DryRun))
	return out, nil
}

// rehearse has the API server check a change before the record takes it up: a
// Spec that it refuses would be the base of every later deploy, and fail each.
// What a dry run alone can't do (a webhook that doesn't support it) is no
// reason to stop.
func rehearse(ctx context.Context, client *apply.Client, p *Plan, o apply.Options) error {
	o.DryRun = true
	_, err := client.Apply(ctx, p.Objects, p.Live, o)
	var (
		conflict *apply.ConflictError
		rights   *apply.RightsError
		known    *explain.Failure
	)
	if errors.As(err, &conflict) || errors.As(err, &rights) || errors.As(err, &known) || apierrors.IsInvalid(err) {
		return err
	}
	return nil
}

func count(results []apply.Result) map[apply.Action]int {
	counts := map[apply.Action]int{}
	for _, r := range results {
		counts[r.Action]++
	}
	return counts
}

// summary is one line on what was done: "terminals: 3 objects created, 2
// configured".
func summary(name string, counts map[apply.Action]int, dryRun bool) string {
	var parts []string
	for _, a := range []apply.Action{apply.Created, apply.Configured, apply.Unchanged, apply.Pruned, apply.Kept} {
		if counts[a] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[a], a))
		}
	}
	line := name + ": " + strings.Join(parts, ", ")
	if dryRun {
		line += " (dry run: nothing was written)"
	}
	return line
}

// target is what a rollout of the plan has to reach.
func (p *Plan) target(r Result) rollout.Target {
	t := rollout.Target{Namespace: p.Namespace, Spec: p.Spec, Generations: map[string]int64{}}
	for _, result := range r.Results {
		if result.Ref.Kind == p.Spec.Workload.GroupVersionKind().Kind && result.Action != apply.Pruned {
			t.Generations[result.Ref.Name] = result.Generation
		}
	}
	return t
}

// retry has the cluster try again at once what it has failed at, where the same
// is deployed as before: only what surrounds it has changed.
func (p *Plan) retry(ctx context.Context, c *factory.Cluster, r Result, say *progress.Progress) error {
	kind := p.Spec.Workload.GroupVersionKind().Kind
	if p.First || slices.ContainsFunc(r.Results, func(r apply.Result) bool { return r.Ref.Kind == kind && r.Action != apply.Unchanged }) {
		return nil
	}
	done, err := rollout.Retry(ctx, c.Rollout(), p.target(r))
	for _, d := range done {
		say.Note("Trying again: %s.", d)
	}
	return err
}

// Wait waits until a workshop is ready and its URL answers, and tells what goes
// on meanwhile. A URL that doesn't answer from here is a warning.
func Wait(ctx context.Context, c *factory.Cluster, t rollout.Target, say *progress.Progress) error {
	say.Step("Waiting for %s", t.Spec.Name)
	err := rollout.Wait(ctx, c.Rollout(), t, func(p rollout.Progress) {
		if p.Ready {
			say.Mark("%s %s", p.Part, p.Message)
			return
		}
		say.Detail("%s: %s", p.Part, p.Message)
	})
	say.Stop(err)
	if err != nil {
		return advise(t.Spec, withLog(ctx, c, err))
	}
	if err := checkLogin(ctx, c, t.Spec, say); err != nil {
		return err
	}
	checkURL(ctx, t.Spec.URL(), say)
	say.Done("%s is ready", t.Spec.Name)
	return nil
}

// advise names the flag of the image that can't be pulled.
func advise(spec workshop.Spec, err error) error {
	var failure *explain.Failure
	if !errors.As(err, &failure) || !strings.HasPrefix(string(failure.Code), "image-") {
		return err
	}
	said := failure.Cause + strings.Join(failure.Evidence, "\n")
	for _, i := range []struct{ image, flag string }{
		{spec.TerminalImage, "--terminal-image"}, {spec.GatewayImage, "--gateway-image"},
		{spec.HubImage, "--hub-image"}, {spec.ProxyImage, "--proxy-image"},
	} {
		if i.image != "" && strings.Contains(said, i.image) && !strings.Contains(failure.Remedy, i.flag) {
			failure.Remedy = strings.TrimRight(failure.Remedy, ". ") + "; " + i.flag + " names another one"
			if spec.Registry != "" && strings.HasPrefix(i.image, spec.Registry+"/") {
				failure.Remedy += "; `workshopctl mirror load " + spec.Registry + "` copies the release's images there"
			}
			break
		}
	}
	return err
}

// logLines are as many of a crashed container's last lines as fit on a screen
// beside the rest.
const logLines = 12

// withLog adds the last lines of the log that a failure points at.
func withLog(ctx context.Context, c *factory.Cluster, err error) error {
	var failure *explain.Failure
	if !errors.As(err, &failure) || failure.Log == nil {
		return err
	}
	lines := int64(logLines)
	log, logErr := c.Kubernetes.CoreV1().Pods(c.Namespace).GetLogs(failure.Log.Pod, &corev1.PodLogOptions{
		Container: failure.Log.Container, Previous: failure.Log.Previous, TailLines: &lines,
	}).DoRaw(ctx)
	if logErr != nil {
		return err
	}
	for line := range strings.Lines(explain.Clean(string(log))) {
		failure.Evidence = append(failure.Evidence, strings.TrimRight(line, "\r\n"))
	}
	return err
}
