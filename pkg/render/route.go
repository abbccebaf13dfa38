// SPDX-License-Identifier: Apache-2.0

package render

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/workshopctl/workshopctl/pkg/workshop"
	"github.com/workshopctl/workshopctl/templates"
)

// findRoute lets the hub find out the host of its Route where nobody can know
// it by now.
func findRoute(w *rendering) error {
	if w.Spec.Expose != workshop.ExposeRoute || w.Spec.URL() != "" {
		return nil
	}
	config := w.find("ConfigMap", w.names.HubPart())
	if err := unstructured.SetNestedField(config.Object, templates.RouteAddress, "data", "route_address.py"); err != nil {
		return err
	}
	if role := w.find("Role", w.names.HubPart()); role != nil {
		rules, _, err := unstructured.NestedSlice(role.Object, "rules")
		if err != nil {
			return err
		}
		rules = append(rules, map[string]any{
			"apiGroups": []any{"route.openshift.io"}, "resources": []any{"routes"}, "resourceNames": []any{w.names.Ingress()}, "verbs": []any{"get"},
		})
		if err := unstructured.SetNestedSlice(role.Object, rules, "rules"); err != nil {
			return err
		}
	}
	return w.eachPod(func(component workshop.Component, pod *corev1.PodTemplateSpec) {
		if component == workshop.ComponentHub {
			hub := &pod.Spec.Containers[0]
			hub.Env = append(hub.Env, corev1.EnvVar{Name: "ROUTE", Value: w.names.Ingress()})
		}
	})
}
