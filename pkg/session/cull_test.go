// SPDX-License-Identifier: Apache-2.0

package session_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/workshopctl/workshopctl/pkg/session"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

func TestEnd(t *testing.T) {
	var never time.Time
	at := func(hours float64) time.Time { return now.Add(time.Duration(hours * float64(time.Hour))) }
	idle := session.Culling{IdleTimeout: 2 * time.Hour}
	age := session.Culling{MaxAge: 6 * time.Hour}
	both := session.Culling{IdleTimeout: 2 * time.Hour, MaxAge: 6 * time.Hour}
	for name, test := range map[string]struct {
		culling                        session.Culling
		started, lastActivity, keepFor time.Time
		want                           session.End
	}{
		"never":            {session.Culling{}, at(-5), at(-4), never, session.End{}},
		"kept without end": {session.Culling{}, at(-5), at(-4), at(3), session.End{}},
		"nothing is known": {idle, never, never, at(3), session.End{}},
		"idle":             {idle, at(-5), at(-1), never, session.End{At: at(1), Why: session.EndIdle}},
		"never used":       {idle, at(-1), never, never, session.End{At: at(1), Why: session.EndIdle}},
		"used before its start": {
			idle, at(-1), at(-3), never, session.End{At: at(1), Why: session.EndIdle},
		},
		"kept":                     {idle, at(-5), at(-1), at(3), session.End{At: at(3), Why: session.EndIdle, Kept: true}},
		"kept shorter than active": {idle, at(-5), at(-1), at(0.5), session.End{At: at(1), Why: session.EndIdle}},
		"no longer kept":           {idle, at(-5), at(-1), at(-2), session.End{At: at(1), Why: session.EndIdle}},
		"old, and used":            {age, at(-5), at(0), never, session.End{At: at(1), Why: session.EndMaxAge}},
		"old first":                {both, at(-5), at(-0.5), never, session.End{At: at(1), Why: session.EndMaxAge}},
		"idle first":               {both, at(-3), at(-1), never, session.End{At: at(1), Why: session.EndIdle}},
		"kept beyond both":         {both, at(-5), at(-1.5), at(3), session.End{At: at(3), Why: session.EndIdle, Kept: true}},
		"kept between the two":     {both, at(-5), at(-1.5), at(0.75), session.End{At: at(0.75), Why: session.EndIdle, Kept: true}},
		"old, activity is unknown": {age, at(-5), never, never, session.End{At: at(1), Why: session.EndMaxAge}},
		"overdue":                  {idle, at(-5), at(-3), never, session.End{At: at(-1), Why: session.EndIdle}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, test.culling.End(test.started, test.lastActivity, test.keepFor)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCullingOf(t *testing.T) {
	got := session.CullingOf(workshop.Spec{IdleTimeout: "90m", MaxAge: "8h"})
	if diff := cmp.Diff(session.Culling{IdleTimeout: 90 * time.Minute, MaxAge: 8 * time.Hour}, got); diff != "" {
		t.Error(diff)
	}
	if got := session.CullingOf(workshop.Spec{IdleTimeout: "0"}); got != (session.Culling{}) {
		t.Errorf("%+v", got)
	}
}

func TestKeepUntil(t *testing.T) {
	for value, want := range map[string]time.Time{
		"2026-11-24T18:00:00Z":      time.Date(2026, 11, 24, 18, 0, 0, 0, time.UTC),
		"2026-11-24T18:00:00+01:00": time.Date(2026, 11, 24, 17, 0, 0, 0, time.UTC),
		"":                          {},
		"tomorrow":                  {},
		"2026-11-24":                {},
		"2026-11-24T18:00:00":       {}, // of which zone?
	} {
		p := pod("ann", func(p *corev1.Pod) { p.Annotations[workshop.KeepUntilAnnotation] = value })
		if got := session.KeepUntil(&p); !got.Equal(want) {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
	berlin := time.FixedZone("", 3600)
	if got := session.FormatKeepUntil(time.Date(2026, 11, 24, 18, 0, 0, 7, berlin)); got != "2026-11-24T17:00:00Z" {
		t.Error(got)
	}
}
