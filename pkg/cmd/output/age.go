// SPDX-License-Identifier: Apache-2.0

package output

import (
	"time"

	"k8s.io/apimachinery/pkg/util/duration"
)

// Age is how long ago something was, as kubectl writes it; empty where the time
// isn't known.
func Age(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return duration.HumanDuration(max(time.Since(t), 0))
}

// Span is a length of time, as Age writes it.
func Span(d time.Duration) string { return duration.HumanDuration(max(d, 0)) }

// In is how long it is until something, as Age writes it; empty where the time
// isn't known.
func In(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return Span(time.Until(t))
}
