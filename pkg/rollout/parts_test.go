// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/workshopctl/workshopctl/pkg/explain"
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
			s, err := Status(t.Context(), Clients{Kubernetes: client}, target)
			if err != nil {
				t.Fatal(err)
			}
			if s.Parts[0].Message != c.want || s.Parts[0].Ready != (c.want == "ready") {
				t.Errorf("%+v, want %q", s.Parts[0], c.want)
			}
		})
	}
}

// Nothing changes any more, and yet the wait ends when the grace does.
func TestWaitLooksAgainWhenAGraceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const names = workshop.Names("terminals")
		objects := []runtime.Object{&networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Name: names.Ingress(), Namespace: "spring", CreationTimestamp: metav1.NewTime(time.Now())}}}
		for _, name := range []string{names.Hub(), names.Proxy()} {
			objects = append(objects, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "spring", Labels: names.Labels(workshop.ComponentHub)},
				Status: appsv1.DeploymentStatus{Replicas: 1, UpdatedReplicas: 1, AvailableReplicas: 1}})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		start := time.Now()
		err := Wait(ctx, Clients{Kubernetes: fake.NewClientset(objects...)}, Target{Namespace: "spring", Spec: workshop.Spec{Name: string(names), HubStorageSize: "0", Expose: workshop.ExposeIngress}}, nil)
		if f, ok := errors.AsType[*explain.Failure](err); !ok || f.Code != explain.IngressNoClass {
			t.Errorf("error %v", err)
		}
		if took := time.Since(start); took > time.Minute {
			t.Errorf("it took %v", took)
		}
		cancel()
	})
}

func TestCurrentReplicaSet(t *testing.T) {
	template := func(image string) corev1.PodTemplateSpec {
		return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "x"}}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Image: image}}}}
	}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{UID: "d"}, Spec: appsv1.DeploymentSpec{Template: template("2")}}
	set := func(name, image string, owner types.UID) *appsv1.ReplicaSet {
		rs := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: []metav1.OwnerReference{{UID: owner, Controller: new(true)}}}, Spec: appsv1.ReplicaSetSpec{Template: template(image)}}
		rs.Spec.Template.Labels[appsv1.DefaultDeploymentUniqueLabelKey] = name
		return rs
	}
	sets := []*appsv1.ReplicaSet{set("old", "1", "d"), set("foreign", "2", "e"), set("new", "2", "d")}
	if rs := current(d, sets); rs == nil || rs.Name != "new" {
		t.Errorf("%v", rs)
	}
	if rs := current(d, sets[:2]); rs != nil {
		t.Errorf("%s before there is any", rs.Name)
	}
}
