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
