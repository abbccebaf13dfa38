// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"testing"
	"time"

	openshiftappsv1 "github.com/openshift/api/apps/v1"
	routev1 "github.com/openshift/api/route/v1"
	appsfake "github.com/openshift/client-go/apps/clientset/versioned/fake"
	routefake "github.com/openshift/client-go/route/clientset/versioned/fake"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// When a DeploymentConfig is ready, by oc's rule, and what is said until then.
func TestDeploymentConfigIsReady(t *testing.T) {
	const names = workshop.Names("terminals")
	type world struct {
		config     *openshiftappsv1.DeploymentConfig
		controller *corev1.ReplicationController
		pods       []runtime.Object
	}
	pod := func(name, owner string, phase corev1.PodPhase, labels map[string]string) runtime.Object {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "spring", Labels: labels}, Status: corev1.PodStatus{Phase: phase}}
		if owner != "" {
			p.OwnerReferences = []metav1.OwnerReference{{UID: "rc", Name: owner, Controller: new(true)}}
		}
		return p
	}
	deployer := names.Selector(workshop.ComponentDeployer)
	deployer[openshiftappsv1.DeployerPodForDeploymentLabel] = "terminals-2"
	for name, c := range map[string]struct {
		change     func(*world)
		generation int64
		want       string
	}{
		"ready":                     {func(*world) {}, 2, "ready"},
		"not observed yet":          {func(w *world) { w.config.Status.ObservedGeneration = 1 }, 0, "waiting for the cluster to take up the change"},
		"out of a cache":            {func(*world) {}, 3, "waiting for the cluster to take up the change"},
		"an old pod is still there": {func(w *world) { w.config.Status.Replicas = 2 }, 2, "waiting for its pod to be made"},
		"not available any more":    {func(w *world) { w.config.Status.AvailableReplicas = 0 }, 2, "waiting for its pod to be made"},
		"its rollout goes on": {func(w *world) {
			w.config.Status.Conditions[0].Reason = "ReplicationControllerUpdated"
		}, 2, "waiting for its pod to be made"},
		"a new rollout begins":         {func(w *world) { w.config.Status.LatestVersion = 3 }, 2, "waiting for its rollout to begin"},
		"before the first rollout":     {func(w *world) { w.config.Status.LatestVersion, w.controller.Name = 0, "other" }, 2, "waiting for its rollout to begin"},
		"somebody else's of that name": {func(w *world) { w.controller.OwnerReferences[0].UID = "other" }, 2, "waiting for its rollout to begin"},
		"its rollout's pod starts": {func(w *world) {
			w.config.Status = openshiftappsv1.DeploymentConfigStatus{ObservedGeneration: 2, LatestVersion: 2}
			w.pods = append(w.pods, pod("terminals-2-deploy", "", corev1.PodPending, deployer))
		}, 2, "its rollout: waiting for a node"},
		"its pod starts": {func(w *world) {
			w.config.Status.AvailableReplicas = 0
			w.pods = append(w.pods, pod("terminals-2-deploy", "", corev1.PodRunning, deployer), pod("terminals-2-x", "terminals-2", corev1.PodPending, names.Labels(workshop.ComponentHub)))
		}, 2, "waiting for a node"},
		"switched off": {func(w *world) { w.config.Spec.Replicas = 0 }, 2, "somebody has switched it off"},
	} {
		t.Run(name, func(t *testing.T) {
			owner := metav1.OwnerReference{UID: "dc", Controller: new(true)}
			w := world{
				config: &openshiftappsv1.DeploymentConfig{
					ObjectMeta: metav1.ObjectMeta{Name: names.Hub(), Namespace: "spring", UID: "dc", Generation: 2, Labels: names.Labels(workshop.ComponentHub)},
					Spec:       openshiftappsv1.DeploymentConfigSpec{Replicas: 1, Triggers: openshiftappsv1.DeploymentTriggerPolicies{{Type: openshiftappsv1.DeploymentTriggerOnConfigChange}}},
					Status: openshiftappsv1.DeploymentConfigStatus{ObservedGeneration: 2, LatestVersion: 2, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1,
						Conditions: []openshiftappsv1.DeploymentCondition{{Type: openshiftappsv1.DeploymentProgressing, Reason: "NewReplicationControllerAvailable"}}},
				},
				controller: &corev1.ReplicationController{ObjectMeta: metav1.ObjectMeta{Name: "terminals-2", Namespace: "spring", UID: "rc", Labels: names.Labels(workshop.ComponentHub), OwnerReferences: []metav1.OwnerReference{owner}}},
			}
			c.change(&w)
			clients := Clients{
				Kubernetes:        fake.NewClientset(append(w.pods, w.controller)...),
				DeploymentConfigs: appsfake.NewClientset(w.config).AppsV1(),
			}
			target := Target{Namespace: "spring", Generations: map[string]int64{names.Hub(): c.generation},
				Spec: workshop.Spec{Name: string(names), HubStorageSize: "0", Expose: workshop.ExposeNone, Workload: workshop.WorkloadDeploymentConfig}}
			s, err := Status(t.Context(), clients, target)
			if err != nil {
				t.Fatal(err)
			}
			if s.Parts[0].Message != c.want || s.Parts[0].Ready != (c.want == "ready") || s.Parts[0].Object.Kind != "DeploymentConfig" {
				t.Errorf("%+v, want %q", s.Parts[0], c.want)
			}
		})
	}
}

// A Route is ready when a router has admitted it under the host that it has.
func TestAdmitted(t *testing.T) {
	route := func(host, status string) *routev1.Route {
		return &routev1.Route{ObjectMeta: metav1.ObjectMeta{Name: "terminals", Namespace: "spring", CreationTimestamp: metav1.NewTime(time.Now())}, Spec: routev1.RouteSpec{Host: "a.example.com"},
			Status: routev1.RouteStatus{Ingress: []routev1.RouteIngress{{Host: host, Conditions: []routev1.RouteIngressCondition{{Type: routev1.RouteAdmitted, Status: corev1.ConditionStatus(status)}}}}}}
	}
	for name, c := range map[string]struct {
		route *routev1.Route
		want  string
	}{
		"admitted":           {route("a.example.com", "True"), Ready},
		"under another host": {route("b.example.com", "True"), Starting},
		"rejected":           {route("a.example.com", "False"), Failed},
	} {
		clients := Clients{Kubernetes: fake.NewClientset(), Routes: routefake.NewClientset(c.route).RouteV1()}
		s, err := Status(t.Context(), clients, Target{Namespace: "spring", Spec: workshop.Spec{Name: "terminals", HubStorageSize: "0", Expose: workshop.ExposeRoute}})
		if err != nil {
			t.Fatal(err)
		}
		if p := s.Parts[2]; p.Name != "route" || p.State != c.want || p.Ready != (c.want == Ready) {
			t.Errorf("%s: %+v, want %s", name, p, c.want)
		}
	}
}
