// SPDX-License-Identifier: Apache-2.0

//go:build integration && openshift

package test

import (
	"fmt"
	"path/filepath"
	"testing"
)

// testRoutes has two people want the same host, one of whom has a project.
func testRoutes(t *testing.T, s *sandbox, owner person) {
	status := s.status()
	domain := "apps." + s.dirs.Name + ".localhost"
	browser := trusting(t, s.dirs.CA())
	if out, err := owner.create(`{apiVersion: v1, kind: Pod, metadata: {name: page, labels: {app: page}}, spec: {terminationGracePeriodSeconds: 1, containers: [
  {name: page, image: registry.localhost/workshop/ash:1, command: [sh, -c, "mkdir /tmp/w; echo hello >/tmp/w/index.html; httpd -f -p 8080 -h /tmp/w"], ports: [{containerPort: 8080}]}]}}`); err != nil {
		t.Fatal(out)
	}
	owner.oc("expose", "pod", "page", "--port", "8080")

	owner.oc("expose", "service", "page")
	host := "page-mine." + domain // the API server gave it
	until(t, "the route leads to the pod", get(browser, fmt.Sprintf("http://%s:%d/", host, status.Ports.HTTP), "hello\n"))
	owner.answers("True", "get", "route", "page", "-o", `jsonpath={.status.ingress[?(@.routerName=="default")].conditions[?(@.type=="Admitted")].status}`)
	if out := owner.oc("get", "route", "page", "-o", "jsonpath={.status.ingress[0].host} {.status.ingress[0].routerCanonicalHostname} {.status.ingress[0].wildcardPolicy}"); out != host+" router-default."+domain+" None" {
		t.Errorf("the status has %s", out)
	}

	owner.oc("create", "route", "edge", "secure", "--service", "page", "--insecure-policy", "Redirect")
	until(t, "http leads to https", get(browser, fmt.Sprintf("http://secure-mine.%s:%d/", domain, status.Ports.HTTP), "hello\n"))

	other := s.person(filepath.Join(t.TempDir(), "kubeconfig"))
	other.login("user2", "openshift")
	other.oc("new-project", "theirs")
	other.oc("create", "service", "clusterip", "page", "--tcp", "8080")
	other.oc("expose", "service", "page", "--hostname", host)
	other.answers("HostAlreadyClaimed", "get", "route", "page")
	other.answers("a route in another namespace holds "+host+" and is older than page", "describe", "route", "page")

	owner.oc("delete", "route", "page")
	other.answers(host, "get", "route", "page")
}
