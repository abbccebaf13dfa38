// SPDX-License-Identifier: Apache-2.0

//go:build integration && openshift

package render_test

import (
	"testing"

	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// OpenShift's API server takes Routes and DeploymentConfigs as that of
// Kubernetes takes the rest.
func TestOpenShiftAccepted(t *testing.T) {
	for name, in := range cases(t) {
		if in.Spec.Expose == workshop.ExposeRoute {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				accepted(t, name, in)
			})
		}
	}
}
