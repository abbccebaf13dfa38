// SPDX-License-Identifier: Apache-2.0

//go:build integration && openshift

package render_test

import (
	"testing"

	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// OpenShift's own API server takes what is rendered for it, as TestAccepted has
// it for plain Kubernetes.
func TestOpenShiftAccepted(t *testing.T) {
	for name, in := range cases(t) {
		if in.Spec.Expose != workshop.ExposeRoute {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			accepted(t, name, in)
		})
	}
}
