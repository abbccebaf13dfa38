// SPDX-License-Identifier: Apache-2.0

package workshop_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/workshopctl/workshopctl/pkg/workshop"
)

func TestOAuthRedirects(t *testing.T) {
	const reference, uri = workshop.OAuthRedirectPrefix + "reference.first", workshop.OAuthRedirectPrefix + "uri.first"
	const route = `{"kind":"OAuthRedirectReference","apiVersion":"v1","reference":{"kind":"Route","name":"class"}}`
	for name, test := range map[string]struct {
		spec workshop.Spec
		want map[string]string
	}{
		"another login":   {workshop.Spec{Auth: workshop.AuthPassword}, nil},
		"a route":         {workshop.Spec{Auth: workshop.AuthOpenShift, Expose: workshop.ExposeRoute, Host: "a.example.com"}, map[string]string{reference: route}},
		"not known yet":   {workshop.Spec{Auth: workshop.AuthOpenShift, Expose: workshop.ExposeRoute}, map[string]string{reference: route}},
		"a route, a port": {workshop.Spec{Auth: workshop.AuthOpenShift, Expose: workshop.ExposeRoute, Host: "a.example.com:8443"}, map[string]string{reference: route, uri: "//:8443"}},
		"an ingress": {workshop.Spec{Auth: workshop.AuthOpenShift, Expose: workshop.ExposeIngress, Host: "a.example.com:8443", TLSSecret: "default"},
			map[string]string{uri: "https://a.example.com:8443/"}},
	} {
		if diff := cmp.Diff(test.want, workshop.Names("class").OAuthRedirects(test.spec)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}
