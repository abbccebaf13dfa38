// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// unrecorded is record.NotFoundError where there is a workshop nonetheless.
type unrecorded struct{ *record.NotFoundError }

func (u unrecorded) Error() string {
	return fmt.Sprintf("namespace %s has a workshop %s, but no record of it", u.Namespace, u.Name)
}
func (u unrecorded) Unwrap() error { return u.NotFoundError }

// Unrecorded returns the names of the namespace's workshops that were applied
// by other means than deploy (`template export`, `render`), so that there is no
// record of them; known are those that have one. It finds none where the
// person may not look.
func (f *Factory) Unrecorded(ctx context.Context, c *Cluster, known []string) []string {
	selector := fmt.Sprintf("%s=%s,%s=%s", workshop.LabelManagedBy, workshop.ManagedBy, workshop.LabelComponent, workshop.ComponentHub)
	var names []string
	for _, kind := range []schema.GroupVersionResource{
		{Group: "apps", Version: "v1", Resource: "deployments"},
		{Group: "apps.openshift.io", Version: "v1", Resource: "deploymentconfigs"},
	} {
		hubs, err := c.Dynamic.Resource(kind).Namespace(c.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
		if err != nil {
			continue
		}
		for _, hub := range hubs.Items {
			if name := hub.GetName(); name == hub.GetLabels()[workshop.LabelInstance] && !slices.Contains(known, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// UnrecordedHint says what can be done with such a workshop.
func (f *Factory) UnrecordedHint(name string) string {
	return fmt.Sprintf("%s was applied from a Template or a file, and workshopctl keeps no record of it.\n"+
		"Change it or delete it in the way in which it was made, as with oc process … | oc delete -f -.\n"+
		"Or have it taken over, with its passwords and volumes and the settings that you name: workshopctl deploy %s --take-ownership%s", name, name, f.Where())
}
