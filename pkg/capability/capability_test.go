// SPDX-License-Identifier: Apache-2.0

package capability_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"github.com/workshopctl/workshopctl/pkg/capability"
)

const (
	aggregated = `{"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2","items":[
	  {"metadata":{"name":"networking.k8s.io"},"versions":[{"version":"v1","resources":[{"resource":"ingresses"}],"freshness":"Current"}]},
	  {"metadata":{"name":"route.openshift.io"},"versions":[{"version":"v1","resources":[{"resource":"routes"}],"freshness":"Stale"}]},
	  {"metadata":{"name":"image.openshift.io"},"versions":[{"version":"v1","freshness":"Stale"}]},
	  {"metadata":{"name":"security.openshift.io"},"versions":[{"version":"v1","resources":[{"resource":"securitycontextconstraints"}]}]}]}`
	groups = `{"kind":"APIGroupList","apiVersion":"v1","groups":[
	  {"name":"networking.k8s.io","versions":[{"groupVersion":"networking.k8s.io/v1","version":"v1"}]},
	  {"name":"apps.openshift.io","versions":[{"groupVersion":"apps.openshift.io/v1","version":"v1"}]}]}`
)

func TestDiscover(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		status       int
		want         capability.Set
		err          string
	}{
		{"aggregated", aggregated, 200, capability.Set{Ingress: true, Route: true, SecurityContext: true}, ""},
		{"old server", groups, 200, capability.Set{Ingress: true, DeploymentConfig: true}, ""},
		{"something else", `{"hello":"world"}`, 200, capability.Set{}, "lists no API groups"},
		{"no JSON", `<html>`, 200, capability.Set{}, "no API discovery"},
		{"refused", `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no, no","reason":"Forbidden","code":403}`, 403, capability.Set{}, "no, no"},
	} {
		t.Run(c.name, func(t *testing.T) {
			requests := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests++
				if r.URL.Path != "/apis" || !strings.Contains(r.Header.Get("Accept"), "as=APIGroupDiscoveryList") {
					t.Errorf("asked for %s, accepting %q", r.URL.Path, r.Header.Get("Accept"))
				}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.answer))
			}))
			defer server.Close()
			client, err := discovery.NewDiscoveryClientForConfig(&rest.Config{Host: server.URL})
			if err != nil {
				t.Fatal(err)
			}
			got, err := capability.Discover(context.Background(), client.RESTClient())
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if (err == nil) != (c.err == "") || err != nil && (!strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), "what it can do")) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			if requests != 1 {
				t.Errorf("%d requests", requests)
			}
		})
	}
}
