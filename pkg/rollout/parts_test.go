// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// A Deployment that is ready with the template before is not ready.
func TestReadyMeansTheNewTemplate(t *testing.T) {
	const names = workshop.Names("terminals")
	ready := func(change func(*appsv1.Deployment)) *appsv1.Deployment {
		d := &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: names.Hub(), Namespace: "spring", Generation: 2, Labels: names.Labels(workshop.ComponentHub), CreationTimestamp: metav1.NewTime(time.Now())},
			Spec:       appsv1.DeploymentSpec{Replicas: new(int32(1)), Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "hub", Image: "hub:2"}}}}},
			Status:     appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1},
		}
		change(d)
		return d
	}
	for name, c := range map[string]struct {
		change     func(*appsv1.Deployment)
		generation int64
		want       string
	}{
		"ready":                       {func(*appsv1.Deployment) {}, 2, "ready"},
		"not observed yet":            {func(d *appsv1.Deployment) { d.Status.ObservedGeneration = 1 }, 0, "waiting for the cluster to take up the change"},
		"out of a cache":              {func(*appsv1.Deployment) {}, 3, "waiting for the cluster to take up the change"},
		"an old pod is still there":   {func(d *appsv1.Deployment) { d.Status.Replicas = 2 }, 2, "waiting for its pod to be made"},
		"the pod isn't available yet": {func(d *appsv1.Deployment) { d.Status.AvailableReplicas = 0 }, 2, "waiting for its pod to be made"},
	} {
		t.Run(name, func(t *testing.T) {
			client := fake.NewClientset(ready(c.change))
			target := Target{Namespace: "spring", Spec: workshop.Spec{Name: string(names), HubStorageSize: "0", Expose: workshop.ExposeNone}, Generations: map[string]int64{names.Hub(): c.generation}}
			s, err := Status(t.Context(), client, target)
			if err != nil {
				t.Fatal(err)
			}
			if s.Parts[0].Message != c.want || s.Parts[0].Ready != (c.want == "ready") {
				t.Errorf("%+v, want %q", s.Parts[0], c.want)
			}
		})
	}
}
