// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/livecopy"
	"github.com/workshopctl/workshopctl/pkg/record"
)

// The states of a part, in a word.
const (
	Ready    = "ready"
	Starting = "starting"
	Failed   = "failed"
	Missing  = "missing"
)

// Part is the state of one part of a workshop.
type Part struct {
	// Name: "hub volume", "hub", "proxy", "route", "ingress".
	Name string `json:"name"`
	// Object behind it.
	Object record.Ref `json:"object"`
	State  string     `json:"state"`
	Ready  bool       `json:"ready"`
	// ReadyReplicas and Replicas wanted, of hub and proxy.
	ReadyReplicas int32 `json:"readyReplicas,omitempty"`
	Replicas      int32 `json:"replicas,omitempty"`
	// Image that runs (hub and proxy).
	Image string `json:"image,omitempty"`
	// Capacity of a volume.
	Capacity string `json:"capacity,omitempty"`
	// Created is when the object was made.
	Created time.Time `json:"created,omitzero"`
	// Message in plain words: "pulling image quay.io/…", "ready".
	Message string `json:"message,omitempty"`
	// Failure is set where the cause is known.
	Failure *explain.Failure `json:"failure,omitempty"`

	// What a part that takes its time says last.
	detail string
}

// Snapshot is the state of a workshop at one time.
type Snapshot struct {
	Parts []Part `json:"parts"`
	// Ready is true if every part is.
	Ready bool `json:"ready"`
}

func snapshot(parts []Part) Snapshot {
	s := Snapshot{Parts: parts, Ready: true}
	for i := range s.Parts {
		p := &s.Parts[i]
		s.Ready = s.Ready && p.Ready
		if p.Failure != nil {
			p.Message = p.Failure.Cause
		} else if p.detail != "" {
			p.Message += ": " + p.detail
		}
	}
	return s
}

// Status reads the state of a workshop in some seven requests, sent at once.
func Status(ctx context.Context, clients Clients, t Target) (Snapshot, error) {
	m := livecopy.New()
	w := watchWorkshop(m, clients, t, false)
	if err := m.Once(ctx); err != nil {
		return Snapshot{}, fmt.Errorf("read the state of workshop %q in namespace %q: %w", t.Spec.Name, t.Namespace, err)
	}
	w.forget()
	parts, _ := w.parts(judgement{now: time.Now()})
	return snapshot(parts), nil
}

// WatchStatus calls report with the state of a workshop at first and after
// each change, until the context ends; then it returns the context's error.
func WatchStatus(ctx context.Context, clients Clients, t Target, report func(Snapshot)) error {
	m := livecopy.New()
	w := watchWorkshop(m, clients, t, true)
	watching, stop := context.WithCancel(ctx)
	defer stop()
	m.Run(watching)
	var last *Snapshot
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-m.Changed():
		case <-timer.C:
		}
		if err := m.Err(); err != nil {
			return fmt.Errorf("watch workshop %q in namespace %q: %w", t.Spec.Name, t.Namespace, err)
		}
		if !m.Synced() {
			continue
		}
		parts, again := w.parts(judgement{now: time.Now()})
		if s := snapshot(parts); last == nil || !reflect.DeepEqual(*last, s) {
			last = &s
			report(s)
		}
		timer.Stop()
		if again > 0 {
			timer.Reset(again)
		}
	}
}
