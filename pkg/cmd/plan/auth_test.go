// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"strings"
	"testing"

	"github.com/workshopctl/workshopctl/pkg/capability"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

func TestBestAuth(t *testing.T) {
	for name, test := range map[string]struct {
		capabilities capability.Set
		expose       workshop.Expose
		want         workshop.Auth
		note         string
	}{
		"plain Kubernetes":        {capability.Set{Ingress: true}, workshop.ExposeIngress, workshop.AuthPassword, ""},
		"OpenShift":               {capability.Set{Route: true, OAuth: true}, workshop.ExposeRoute, workshop.AuthOpenShift, ""},
		"OpenShift, an ingress":   {capability.Set{Route: true, OAuth: true}, workshop.ExposeIngress, workshop.AuthOpenShift, ""},
		"OpenShift, no way in":    {capability.Set{Route: true, OAuth: true}, workshop.ExposeNone, workshop.AuthPassword, "--expose none gives it none"},
		"another identity server": {capability.Set{Route: true}, workshop.ExposeRoute, workshop.AuthPassword, "no OAuth server"},
	} {
		p := &Plan{Capabilities: test.capabilities}
		if got := p.bestAuth(workshop.Spec{Expose: test.expose}); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
		if got := strings.Join(p.Notes, "\n"); !strings.Contains(got, test.note) || (got == "") != (test.note == "") {
			t.Errorf("%s: notes %q, want %q", name, got, test.note)
		}
	}
}
