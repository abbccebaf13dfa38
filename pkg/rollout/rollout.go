// SPDX-License-Identifier: Apache-2.0

// Package rollout watches a workshop get ready, and says why it does not. It
// never polls: what it knows comes by watches, which it renews when they
// break, and it needs no rights outside the namespace.
package rollout

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/workshopctl/workshopctl/pkg/livecopy"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Target is the workshop to wait for.
type Target struct {
	Namespace string
	// Spec as it is deployed: which parts there are follows from it.
	Spec workshop.Spec
	// Generations that the Deployments or DeploymentConfigs must have reached,
	// by name: those that apply.Result says. May be nil.
	Generations map[string]int64
}

// Progress is a change worth telling.
type Progress struct {
	// Part: "hub volume", "hub", "proxy", "route", "ingress", "session".
	Part string
	// Message in plain words: "pulling image quay.io/…", "starting", "ready".
	Message string
	// Ready is true for a part that is done.
	Ready bool
}

// Wait returns nil as soon as the workshop is ready. Errors: *explain.Failure
// for a known cause, *TimeoutError at the context's deadline, the context's
// own error when it is cancelled. report may be nil; it is called from one
// goroutine, before Wait returns.
func Wait(ctx context.Context, clients Clients, t Target, report func(Progress)) error {
	m := livecopy.New()
	w := watchWorkshop(m, clients, t, true)
	return wait(ctx, clients.Kubernetes, t.Namespace, m, w.parts, report)
}

// WaitRoute returns nil as soon as a router has admitted the workshop's Route.
// Errors as for Wait.
func WaitRoute(ctx context.Context, clients Clients, t Target, report func(Progress)) error {
	m := livecopy.New()
	w := watchRoute(m, clients, t)
	return wait(ctx, clients.Kubernetes, t.Namespace, m, w.parts, report)
}

// WaitSession returns nil as soon as the session's pod is ready; the pod need
// not exist yet. The claim of its volume has the pod's name, as KubeSpawner
// makes it. Errors as for Wait.
func WaitSession(ctx context.Context, client kubernetes.Interface, namespace, pod string, report func(Progress)) error {
	m := livecopy.New()
	w := watchPod(m, client, namespace, pod)
	return wait(ctx, client, namespace, m, w.parts, report)
}

// TimeoutError says what was still missing at the deadline.
type TimeoutError struct {
	// Missing in words, a line an object: "hub: starting (readiness probe
	// failed: …)".
	Missing []string
}

func (e *TimeoutError) Error() string {
	return "the time is up; not ready yet: " + strings.Join(e.Missing, "; ")
}

// Unwrap makes it a context.DeadlineExceeded.
func (e *TimeoutError) Unwrap() error { return context.DeadlineExceeded }

// judgement is how one evaluation looks at what it finds.
type judgement struct {
	now time.Time
	// final takes everything for settled that is else given some time to pass.
	final bool
}

// wait evaluates the copies whenever they change, until they are as wanted or
// never will be. parts also says when to evaluate again although nothing
// changes, 0 for never.
func wait(ctx context.Context, client kubernetes.Interface, namespace string, m *livecopy.Set, parts func(judgement) ([]Part, time.Duration), report func(Progress)) error {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	m.Run(watching)
	told := map[string]string{}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return timeout(m, parts)
			}
			return ctx.Err()
		case <-m.Changed():
		case <-timer.C:
		}
		if err := m.Err(); err != nil {
			return fmt.Errorf("watch the workshop in namespace %q: %w", namespace, err)
		}
		if !m.Synced() {
			continue
		}
		now, again := parts(judgement{now: time.Now()})
		ready := true
		for _, p := range now {
			if p.Failure != nil {
				return withLog(ctx, client, namespace, p.Failure)
			}
			ready = ready && p.Ready
			if told[p.Name] != p.Message && report != nil {
				told[p.Name] = p.Message
				report(Progress{Part: p.Name, Message: p.Message, Ready: p.Ready})
			}
		}
		if ready {
			return nil
		}
		timer.Stop()
		if again > 0 {
			timer.Reset(again)
		}
	}
}

func timeout(m *livecopy.Set, parts func(judgement) ([]Part, time.Duration)) error {
	e := &TimeoutError{}
	if !m.Synced() {
		e.Missing = []string{"the API server did not answer in time"}
		return e
	}
	now, _ := parts(judgement{now: time.Now(), final: true})
	for _, p := range now {
		switch {
		case p.Failure != nil:
			e.Missing = append(e.Missing, fmt.Sprintf("%s: %s", p.Name, strings.Join(append([]string{p.Failure.Error()}, p.Failure.Evidence...), ": ")))
		case p.Ready:
		case p.detail != "":
			e.Missing = append(e.Missing, fmt.Sprintf("%s: %s (%s)", p.Name, p.Message, p.detail))
		default:
			e.Missing = append(e.Missing, p.Name+": "+p.Message)
		}
	}
	return e
}
