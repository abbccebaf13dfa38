// SPDX-License-Identifier: Apache-2.0

// Package rollout watches a workshop get ready, and says why it does not. It
// never polls: what it knows comes by watches, which it renews when they
// break, and it needs no rights outside the namespace.
package rollout

import (
	"context"
	"errors"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Target is the workshop to wait for.
type Target struct {
	Namespace string
	// Spec as it is deployed: which parts there are follows from it.
	Spec workshop.Spec
	// Generations that the Deployments must have reached, by name: those that
	// apply.Result says. Without them an older state out of a cache could pass
	// for the new one. May be nil.
	Generations map[string]int64
}

// Progress is a change worth telling.
type Progress struct {
	// Part: "hub", "proxy", "hub volume", "ingress", "session".
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
func Wait(ctx context.Context, client kubernetes.Interface, t Target, report func(Progress)) error {
	return errors.New("rollout: not written yet")
}

// WaitSession returns nil as soon as the session's pod is ready; the pod need
// not exist yet. Errors as for Wait.
func WaitSession(ctx context.Context, client kubernetes.Interface, namespace, pod string, report func(Progress)) error {
	return errors.New("rollout: not written yet")
}

// TimeoutError says what was still missing at the deadline.
type TimeoutError struct {
	// Missing in words, a line an object: "hub: container not ready: …".
	Missing []string
}

func (e *TimeoutError) Error() string { return "" }

// Unwrap makes it a context.DeadlineExceeded.
func (e *TimeoutError) Unwrap() error { return context.DeadlineExceeded }

// Part is the state of one part of a workshop.
type Part struct {
	// Name: "hub", "proxy", "hub volume", "ingress".
	Name string `json:"name"`
	// Object behind it.
	Object record.Ref `json:"object"`
	// State in a word or two: "ready", "starting", "failed", "missing".
	State string `json:"state"`
	Ready bool   `json:"ready"`
	// ReadyReplicas and Replicas wanted, for Deployments.
	ReadyReplicas int32 `json:"readyReplicas,omitempty"`
	Replicas      int32 `json:"replicas,omitempty"`
	// Image that runs (hub and proxy).
	Image string `json:"image,omitempty"`
	// Capacity of a volume.
	Capacity string `json:"capacity,omitempty"`
	// Created is when the object was made.
	Created time.Time `json:"created,omitzero"`
	// Message says more where it isn't ready.
	Message string `json:"message,omitempty"`
	// Failure is set where the cause is known.
	Failure *explain.Failure `json:"failure,omitempty"`
}

// Snapshot is the state of a workshop at one time.
type Snapshot struct {
	Parts []Part `json:"parts"`
	// Ready is true if every part is.
	Ready bool `json:"ready"`
}

// Status reads the state of a workshop in a fixed number of requests, sent at
// once.
func Status(ctx context.Context, client kubernetes.Interface, t Target) (Snapshot, error) {
	return Snapshot{}, errors.New("rollout: not written yet")
}

// WatchStatus calls report with the state of a workshop at first and after
// each change, until the context ends; then it returns the context's error.
func WatchStatus(ctx context.Context, client kubernetes.Interface, t Target, report func(Snapshot)) error {
	return errors.New("rollout: not written yet")
}
