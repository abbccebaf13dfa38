// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"fmt"
	"slices"
	"time"

	openshiftappsv1 "github.com/openshift/api/apps/v1"
	routev1 "github.com/openshift/api/route/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/livecopy"
	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// config is the state of hub or proxy where DeploymentConfigs run them, and
// what explains it. It decides as `oc rollout status` does: by the reason of
// the condition Progressing, once the cluster has taken up the change.
func (w *whole) config(name string, claims []*corev1.PersistentVolumeClaim, events []*corev1.Event) (Part, explain.Facts) {
	p, facts := w.workload(name, claims)
	all := w.configs.Items()
	i := slices.IndexFunc(all, func(d *openshiftappsv1.DeploymentConfig) bool { return d.Name == name })
	if i < 0 {
		p.is(Missing, "it does not exist")
		return p, facts
	}
	d := all[i]
	p.Created, p.Replicas, p.ReadyReplicas = d.CreationTimestamp.Time, d.Spec.Replicas, d.Status.ReadyReplicas
	if d.Spec.Template != nil {
		p.image(d.Spec.Template.Spec)
	}
	if d.Generation < w.Generations[name] || d.Status.ObservedGeneration < d.Generation {
		p.is(Starting, "waiting for the cluster to take up the change")
		return p, facts
	}
	facts.DeploymentConfig = d
	facts.ReplicationController = latest(d, w.controllers.Items())
	old := 0
	for _, pod := range w.pods.Items() {
		owner := metav1.GetControllerOf(pod)
		switch {
		case facts.ReplicationController != nil && pod.Labels[openshiftappsv1.DeployerPodForDeploymentLabel] == facts.ReplicationController.Name:
			facts.Deployer = pod
		case owner == nil:
		case facts.ReplicationController != nil && owner.UID == facts.ReplicationController.UID:
			facts.Pods = append(facts.Pods, pod)
		case slices.ContainsFunc(w.controllers.Items(), func(rc *corev1.ReplicationController) bool {
			return rc.UID == owner.UID && metav1.IsControlledBy(rc, d)
		}):
			old++
		}
	}
	s := d.Status
	switch {
	case p.Replicas == 0:
		p.is(Failed, "switched off: somebody has set its replicas to 0")
	case facts.ReplicationController == nil:
		p.is(Starting, "waiting for its rollout to begin")
	case explain.Progressing(d) == explain.RolloutDone && s.UpdatedReplicas == p.Replicas && s.Replicas == p.Replicas && s.AvailableReplicas == p.Replicas:
		p.is(Ready, "ready")
	case len(facts.Pods) == 0 && old > 0:
		p.is(Starting, "stopping the old one")
	case len(facts.Pods) == 0 && facts.Deployer != nil && facts.Deployer.Status.Phase == corev1.PodPending:
		p.is(Starting, "")
		p.Message, p.detail = doing(facts.Deployer, nil, events)
		p.Message = "its rollout: " + p.Message
	case len(facts.Pods) == 0:
		p.is(Starting, "waiting for its pod to be made")
	default:
		p.is(Starting, "")
		p.Message, p.detail = doing(facts.Pods[len(facts.Pods)-1], claims, events)
		if pod := facts.Pods[len(facts.Pods)-1]; ready(pod) {
			p.Message = "waiting for its rollout to end"
		}
	}
	return p, facts
}

// latest is the ReplicationController of the newest rollout; nil where it
// hasn't been made yet.
func latest(d *openshiftappsv1.DeploymentConfig, controllers []*corev1.ReplicationController) *corev1.ReplicationController {
	name := fmt.Sprintf("%s-%d", d.Name, d.Status.LatestVersion)
	for _, rc := range controllers {
		if rc.Name == name && metav1.IsControlledBy(rc, d) {
			return rc
		}
	}
	return nil
}

func ready(pod *corev1.Pod) bool {
	c := condition(pod, corev1.PodReady)
	return c != nil && c.Status == corev1.ConditionTrue
}

// route is the copy of a workshop's Route.
type route struct {
	name   string
	routes *livecopy.Copy[*routev1.Route]
	memory memory
}

func watchRoute(m *livecopy.Set, clients Clients, t Target) *route {
	name := workshop.Names(t.Spec.Name).Ingress()
	return &route{name: name, memory: memory{}, routes: livecopy.Add(m, clients.Routes.Routes(t.Namespace), &routev1.Route{},
		metav1.ListOptions{FieldSelector: "metadata.name=" + name}, false)}
}

func (r *route) parts(j judgement) ([]Part, time.Duration) {
	p := Part{Name: "route", Object: record.Ref{APIVersion: routev1.GroupVersion.String(), Kind: "Route", Name: r.name}}
	facts := explain.Facts{}
	switch items := r.routes.Items(); {
	case len(items) == 0:
		p.is(Missing, "it does not exist")
	case Admitted(items[0]):
		p.Created = items[0].CreationTimestamp.Time
		p.is(Ready, "ready")
	default:
		facts.Route = items[0]
		p.Created = items[0].CreationTimestamp.Time
		p.is(Starting, "waiting for a router to serve it")
	}
	again := judge(&p, facts, j, r.memory.of(p.Name))
	return []Part{p}, again
}

// Admitted says whether a router serves the Route under its host.
func Admitted(r *routev1.Route) bool {
	return slices.ContainsFunc(r.Status.Ingress, func(i routev1.RouteIngress) bool {
		return i.Host == r.Spec.Host && slices.ContainsFunc(i.Conditions, func(c routev1.RouteIngressCondition) bool {
			return c.Type == routev1.RouteAdmitted && c.Status == corev1.ConditionTrue
		})
	})
}
