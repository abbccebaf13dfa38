// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// hostGenerated is OpenShift's mark on a Route whose host it has assigned.
const hostGenerated = "openshift.io/host.generated"

// RouteHost returns the host of the workshop's Route: the one that it has, or
// else the one that the cluster would assign to it, which a dry run tells.
// chosen is true if somebody has chosen the host that it has. The host is
// empty where the caller may not make Routes.
func (c *Client) RouteHost(ctx context.Context, n workshop.Names, objects []*unstructured.Unstructured, live Live) (host string, chosen bool, err error) {
	for _, object := range objects {
		ref := record.RefOf(object)
		if ref.Kind != "Route" || ref.Name != n.Ingress() {
			continue
		}
		route := live[ref]
		if route != nil {
			return routeHost(route), route.GetAnnotations()[hostGenerated] != "true", nil
		}
		route, err = c.resource(ref).Apply(ctx, ref.Name, object, metav1.ApplyOptions{FieldManager: workshop.ManagedBy, DryRun: []string{metav1.DryRunAll}})
		switch {
		case apierrors.IsForbidden(err), apierrors.IsNotFound(err), apierrors.IsBadRequest(err):
			return "", false, nil
		case err != nil:
			return "", false, c.refusal(ref, "apply", err)
		}
		return routeHost(route), false, nil
	}
	return "", false, nil
}

func routeHost(route *unstructured.Unstructured) string {
	host, _, _ := unstructured.NestedString(route.Object, "spec", "host")
	return host
}

// replaced says whether a Route is to have another host than it has. Only
// administrators of a cluster may change that, but whoever may choose the host
// of a new Route may make the Route anew.
func replaced(before, wanted *unstructured.Unstructured) bool {
	if before == nil || wanted.GetKind() != "Route" {
		return false
	}
	host := routeHost(wanted)
	return host != "" && host != routeHost(before)
}

// mayHaveHost asks whether the caller may make a Route with that host, before
// the one that there is gets deleted for it.
func (c *Client) mayHaveHost(ctx context.Context, wanted *unstructured.Unstructured) error {
	route := wanted.DeepCopy()
	route.SetName("")
	route.SetGenerateName(wanted.GetName() + "-")
	_, err := c.resource(record.RefOf(wanted)).Create(ctx, route, metav1.CreateOptions{FieldManager: workshop.ManagedBy, DryRun: []string{metav1.DryRunAll}})
	return err
}

const replaceNote = "made anew, because only the cluster's administrators may change its host"

// withHost is the Route as it will be with the host that is wanted. The API
// server can't tell in a dry run, which deletes nothing.
func withHost(before, wanted *unstructured.Unstructured) *unstructured.Unstructured {
	after := before.DeepCopy()
	unstructured.RemoveNestedField(after.Object, "metadata", "annotations", hostGenerated)
	_ = unstructured.SetNestedField(after.Object, routeHost(wanted), "spec", "host") // a Route has a spec
	return after
}
