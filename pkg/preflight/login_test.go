// SPDX-License-Identifier: Apache-2.0

package preflight

import (
	"testing"

	"github.com/workshopctl/workshopctl/pkg/capability"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

func TestOAuthServer(t *testing.T) {
	for name, test := range map[string]struct {
		auth  workshop.Auth
		oauth bool
		found int
	}{
		"a password":                {workshop.AuthPassword, false, 0},
		"the cluster's login":       {workshop.AuthOpenShift, true, 0},
		"a login that isn't there ": {workshop.AuthOpenShift, false, 1},
	} {
		found, err := oauthServer(t.Context(), nil, Input{Spec: workshop.Spec{Auth: test.auth}, Capabilities: capability.Set{OAuth: test.oauth}})
		if err != nil || len(found) != test.found {
			t.Errorf("%s: %v, %v", name, found, err)
		}
	}
}
