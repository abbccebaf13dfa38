// SPDX-License-Identifier: Apache-2.0

package session

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Culling is when the hub stops sessions by itself. Zero values mean never.
type Culling struct {
	// IdleTimeout is how long nobody must have done anything.
	IdleTimeout time.Duration
	// MaxAge is how long a session may run, used or not.
	MaxAge time.Duration
}

// CullingOf is that of a workshop.
func CullingOf(s workshop.Spec) Culling {
	return Culling{IdleTimeout: time.Duration(s.IdleTimeout.Seconds()) * time.Second, MaxAge: time.Duration(s.MaxAge.Seconds()) * time.Second}
}

// EndReason is why a session is going to be stopped, in one word.
type EndReason string

// The reasons.
const (
	EndIdle   EndReason = "idle"
	EndMaxAge EndReason = "max-age"
)

// End is when a session is going to be stopped if nothing more happens in it.
// The hub looks now and then, so that it is stopped up to a few minutes later.
type End struct {
	// At is zero if the session isn't stopped by itself.
	At  time.Time
	Why EndReason
	// Kept is true if it would be stopped earlier, were it not kept until At.
	Kept bool
}

// End says when a session is stopped. lastActivity is the hub's, and zero
// where there was none or it isn't known: the session then counts as used when
// it started. keepUntil is zero where nobody keeps it.
func (c Culling) End(started, lastActivity, keepUntil time.Time) End {
	var end End
	earliest := func(from time.Time, after time.Duration, why EndReason) {
		if at := from.Add(after); after > 0 && !from.IsZero() && (end.At.IsZero() || at.Before(end.At)) {
			end.At, end.Why = at, why
		}
	}
	if lastActivity.Before(started) {
		lastActivity = started
	}
	earliest(lastActivity, c.IdleTimeout, EndIdle)
	earliest(started, c.MaxAge, EndMaxAge)
	if !end.At.IsZero() && keepUntil.After(end.At) {
		end.At, end.Kept = keepUntil, true
	}
	return end
}

// KeepUntil is how long a session's pod says that the session is kept. It is
// zero if it says nothing, or nothing that can be read: the hub then does the
// same.
func KeepUntil(p *corev1.Pod) time.Time {
	t, err := ParseKeepUntil(p.Annotations[workshop.KeepUntilAnnotation])
	if err != nil {
		return time.Time{}
	}
	return t
}

// FormatKeepUntil writes a time as workshop.KeepUntilAnnotation has it, in whole
// seconds.
func FormatKeepUntil(t time.Time) string { return t.UTC().Truncate(time.Second).Format(time.RFC3339) }

// ParseKeepUntil reads a value of workshop.KeepUntilAnnotation.
func ParseKeepUntil(value string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return time.Time{}, fmt.Errorf("annotation %s is %q, which is no time like %s", workshop.KeepUntilAnnotation, value, time.RFC3339)
	}
	return t.UTC(), nil
}
