// SPDX-License-Identifier: Apache-2.0

// Package capability finds out what a cluster can do. Code that depends on it
// asks for the capability ("has Routes"), never for the product ("is
// OpenShift"): clusters come with any mix of them.
package capability

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"k8s.io/client-go/rest"
)

// Set says which of the API resources that a workshop can make use of a
// cluster serves. The zero value is a cluster with none of them.
type Set struct {
	// Ingress: networking.k8s.io/v1 ingresses.
	Ingress bool `json:"ingress"`
	// Route: route.openshift.io/v1 routes.
	Route bool `json:"route"`
	// OAuth: oauth.openshift.io/v1, a login of the cluster's own that service
	// accounts can be clients of. Clusters with an external identity provider
	// lack it.
	OAuth bool `json:"oauth"`
	// Image: image.openshift.io/v1 imagestreams.
	Image bool `json:"image"`
	// Template: template.openshift.io/v1 processedtemplates.
	Template bool `json:"template"`
	// DeploymentConfig: apps.openshift.io/v1 deploymentconfigs.
	DeploymentConfig bool `json:"deploymentConfig"`
	// SecurityContext: security.openshift.io/v1, whose constraints give every
	// pod a user and a group of its namespace's range. Pods that ask for one
	// of their own are refused there.
	SecurityContext bool `json:"securityContext"`
	// Metrics: metrics.k8s.io/v1beta1, what pods use at the moment.
	Metrics bool `json:"metrics"`
}

// Discover asks the API server what it serves, in one request (GET /apis with
// aggregated discovery; servers before Kubernetes 1.27 answer it with the bare
// list of groups, which is enough).
func Discover(ctx context.Context, client rest.Interface) (Set, error) {
	const accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
	answer := client.Get().AbsPath("/apis").SetHeader("Accept", accept).Do(ctx)
	body, err := answer.Raw()
	if err != nil {
		err = answer.Error() // with what the server said, where Raw has only the status
		return Set{}, fmt.Errorf("ask the cluster what it can do (GET /apis): %w", err)
	}
	served, err := groupVersions(body)
	if err != nil {
		return Set{}, fmt.Errorf("ask the cluster what it can do (GET /apis): %w", err)
	}
	return Set{
		Ingress:          served["networking.k8s.io/v1"],
		Route:            served["route.openshift.io/v1"],
		OAuth:            served["oauth.openshift.io/v1"],
		Image:            served["image.openshift.io/v1"],
		Metrics:          served["metrics.k8s.io/v1beta1"],
		Template:         served["template.openshift.io/v1"],
		DeploymentConfig: served["apps.openshift.io/v1"],
		SecurityContext:  served["security.openshift.io/v1"],
	}, nil
}

// groupVersions reads either answer to GET /apis.
func groupVersions(body []byte) (map[string]bool, error) {
	var answer struct {
		// APIGroupDiscoveryList
		Items []struct {
			Metadata struct {
				Name string `json:"name"`
			} `json:"metadata"`
			Versions []struct {
				Version   string            `json:"version"`
				Resources []json.RawMessage `json:"resources"`
			} `json:"versions"`
		} `json:"items"`
		// APIGroupList
		Groups []struct {
			Versions []struct {
				GroupVersion string `json:"groupVersion"`
			} `json:"versions"`
		} `json:"groups"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("the answer is no API discovery: %w", err)
	}
	served := map[string]bool{}
	for _, group := range answer.Items {
		for _, v := range group.Versions {
			// A registered API whose server was never reached has no resources.
			served[group.Metadata.Name+"/"+v.Version] = len(v.Resources) > 0
		}
	}
	for _, group := range answer.Groups {
		for _, v := range group.Versions {
			served[v.GroupVersion] = true
		}
	}
	if len(served) == 0 {
		return nil, errors.New("the answer lists no API groups; is this the address of a Kubernetes API server?")
	}
	return served, nil
}
