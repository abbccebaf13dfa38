// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"

	openshiftappsv1 "github.com/openshift/api/apps/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/livecopy"
	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// addressGrace is how long a new Ingress is given to get an address. Not every
// controller writes one, so its lack is no failure.
const addressGrace = 10 * time.Second

// events are the copies of the namespace's events that say something.
type events []*livecopy.Copy[*corev1.Event]

// watchEvents leaves out most of what a full workshop's pods cause. Callers
// without the right to read events do without.
func watchEvents(m *livecopy.Set, client kubernetes.Interface, namespace string, progress bool) events {
	selectors := []string{"type=Warning"}
	if progress {
		// Both are of type Normal.
		selectors = append(selectors, "reason=Pulling", "reason=TriggeredScaleUp")
	}
	var e events
	for _, s := range selectors {
		e = append(e, livecopy.Add(m, client.CoreV1().Events(namespace), &corev1.Event{}, metav1.ListOptions{FieldSelector: s}, true))
	}
	return e
}

func (e events) items() []*corev1.Event {
	var all []*corev1.Event
	for _, c := range e {
		all = append(all, c.Items()...)
	}
	return all
}

// whole is the copy of a workshop.
type whole struct {
	Target
	names       workshop.Names
	deployments *livecopy.Copy[*appsv1.Deployment]
	replicaSets *livecopy.Copy[*appsv1.ReplicaSet]
	// configs and controllers are there in place of the two above.
	configs     *livecopy.Copy[*openshiftappsv1.DeploymentConfig]
	controllers *livecopy.Copy[*corev1.ReplicationController]
	pods        *livecopy.Copy[*corev1.Pod]
	claims      *livecopy.Copy[*corev1.PersistentVolumeClaim]
	route       *route
	ingresses   *livecopy.Copy[*networkingv1.Ingress]
	classes     *livecopy.Copy[*networkingv1.IngressClass]
	events      events
	// memory of explain.Facts.Seen, a part each.
	memory memory
}

type memory map[string]map[string]time.Time

func (m memory) of(part string) map[string]time.Time {
	if m == nil {
		return nil
	}
	if m[part] == nil {
		m[part] = map[string]time.Time{}
	}
	return m[part]
}

// forget has one look decide, by the cluster's own times.
func (w *whole) forget() {
	w.memory = nil
	if w.route != nil {
		w.route.memory = nil
	}
}

// watchWorkshop adds what a workshop consists of to the livecopy.
func watchWorkshop(m *livecopy.Set, clients Clients, t Target, progress bool) *whole {
	client := clients.Kubernetes
	w := &whole{Target: t, names: workshop.Names(t.Spec.Name), memory: memory{}}
	o := metav1.ListOptions{LabelSelector: fmt.Sprintf("%s=%s,%s in (%s,%s,%s)", workshop.LabelApp, w.names,
		workshop.LabelComponent, workshop.ComponentHub, workshop.ComponentProxy, workshop.ComponentDeployer)}
	if t.Spec.Workload == workshop.WorkloadDeploymentConfig {
		w.configs = livecopy.Add(m, clients.DeploymentConfigs.DeploymentConfigs(t.Namespace), &openshiftappsv1.DeploymentConfig{}, o, false)
		w.controllers = livecopy.Add(m, client.CoreV1().ReplicationControllers(t.Namespace), &corev1.ReplicationController{}, o, false)
	} else {
		w.deployments = livecopy.Add(m, client.AppsV1().Deployments(t.Namespace), &appsv1.Deployment{}, o, false)
		w.replicaSets = livecopy.Add(m, client.AppsV1().ReplicaSets(t.Namespace), &appsv1.ReplicaSet{}, o, false)
	}
	w.pods = livecopy.Add(m, client.CoreV1().Pods(t.Namespace), &corev1.Pod{}, o, false)
	if w.hasVolume() {
		w.claims = livecopy.Add(m, client.CoreV1().PersistentVolumeClaims(t.Namespace), &corev1.PersistentVolumeClaim{},
			metav1.ListOptions{FieldSelector: "metadata.name=" + w.names.HubPart()}, false)
	}
	switch t.Spec.Expose {
	case workshop.ExposeRoute:
		w.route = watchRoute(m, clients, t)
	case workshop.ExposeIngress:
		w.ingresses = livecopy.Add(m, client.NetworkingV1().Ingresses(t.Namespace), &networkingv1.Ingress{},
			metav1.ListOptions{FieldSelector: "metadata.name=" + w.names.Ingress()}, false)
		w.classes = livecopy.Add(m, client.NetworkingV1().IngressClasses(), &networkingv1.IngressClass{}, metav1.ListOptions{}, true)
	}
	w.events = watchEvents(m, client, t.Namespace, progress)
	return w
}

func (w *whole) hasVolume() bool {
	q, err := resource.ParseQuantity(w.Spec.HubStorageSize)
	return err != nil || !q.IsZero()
}

// parts are the workshop's parts as they are, those that others wait for
// first.
func (w *whole) parts(j judgement) ([]Part, time.Duration) {
	var parts []Part
	var again time.Duration
	events := w.events.items()
	add := func(p Part, f explain.Facts) {
		f.Events = events
		again = sooner(again, judge(&p, f, j, w.memory.of(p.Name)))
		parts = append(parts, p)
	}
	var claims []*corev1.PersistentVolumeClaim
	if w.claims != nil {
		claims = w.claims.Items()
		p := Part{Name: "hub volume", Object: record.Ref{APIVersion: "v1", Kind: "PersistentVolumeClaim", Name: w.names.HubPart()}}
		p.claim(claims)
		add(p, explain.Facts{Claims: claims})
	}
	for _, name := range []string{w.names.Hub(), w.names.Proxy()} {
		state := w.deployment
		if w.configs != nil {
			state = w.config
		}
		add(state(name, claims, events))
	}
	if w.route != nil {
		found, later := w.route.parts(j)
		parts, again = append(parts, found...), sooner(again, later)
	}
	if w.ingresses != nil {
		p := Part{Name: "ingress", Object: record.Ref{APIVersion: "networking.k8s.io/v1", Kind: "Ingress", Name: w.names.Ingress()}}
		facts := explain.Facts{}
		if items := w.ingresses.Items(); len(items) > 0 {
			facts.Ingress = items[0]
		}
		if w.classes.Known() {
			facts.IngressClasses = append([]*networkingv1.IngressClass{}, w.classes.Items()...)
		}
		again = sooner(again, p.ingress(facts.Ingress, j, w.memory.of("address")))
		add(p, facts)
	}
	return parts, again
}

// sooner is the shorter of two durations of which 0 means never.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || (b != 0 && b < a) {
		return b
	}
	return a
}

// judge looks for a cause where a part isn't ready.
func judge(p *Part, f explain.Facts, j judgement, seen map[string]time.Time) (again time.Duration) {
	if p.Ready {
		clear(seen)
		return 0
	}
	f.Now, f.Seen = j.now, seen
	if j.final {
		f.Now, f.Seen = j.now.Add(24*time.Hour), nil
	}
	if p.Failure, again = explain.Explain(f); p.Failure != nil {
		p.State = Failed
	}
	return again
}

func (p *Part) is(state, message string) {
	p.State, p.Ready, p.Message = state, state == Ready, message
}

func (p *Part) claim(claims []*corev1.PersistentVolumeClaim) {
	if len(claims) == 0 {
		p.is(Missing, "its claim does not exist")
		return
	}
	c := claims[0]
	p.Created = c.CreationTimestamp.Time
	capacity := c.Status.Capacity[corev1.ResourceStorage]
	switch c.Status.Phase {
	case corev1.ClaimBound:
		p.Capacity = capacity.String()
		p.is(Ready, "ready")
	case corev1.ClaimLost:
		p.is(Failed, "lost: the volume behind its claim is gone")
	default:
		p.is(Starting, "waiting for the storage")
	}
}

func (p *Part) ingress(i *networkingv1.Ingress, j judgement, seen map[string]time.Time) (again time.Duration) {
	if i == nil {
		p.is(Missing, "it does not exist")
		return 0
	}
	p.Created = i.CreationTimestamp.Time
	class := i.Annotations["kubernetes.io/ingress.class"]
	if i.Spec.IngressClassName != nil {
		class = *i.Spec.IngressClassName
	}
	since := p.Created
	// As in explain.Facts.Seen; one that is old by any clock isn't waited for.
	if seen != nil && j.now.Sub(since) < 10*time.Minute {
		if _, ok := seen[""]; !ok {
			seen[""] = j.now
		}
		since = seen[""]
	}
	left := since.Add(addressGrace).Sub(j.now)
	switch {
	case len(i.Status.LoadBalancer.Ingress) > 0:
		p.is(Ready, "ready")
	case class == "":
		p.is(Starting, "waiting for a controller")
	case left <= 0:
		p.is(Ready, explain.Clean(fmt.Sprintf("made; the controller of class %s has not given it an address, which some never do", class)))
	default:
		p.is(Starting, explain.Clean(fmt.Sprintf("waiting for the controller of class %s", class)))
		return left
	}
	return 0
}

// workload begins with hub or proxy.
func (w *whole) workload(name string, claims []*corev1.PersistentVolumeClaim) (Part, explain.Facts) {
	apiVersion, kind := w.Spec.Workload.GroupVersionKind().ToAPIVersionAndKind()
	p := Part{Name: "hub", Object: record.Ref{APIVersion: apiVersion, Kind: kind, Name: name}}
	facts := explain.Facts{Claims: claims}
	if name == w.names.Proxy() {
		p.Name, facts.Claims = "proxy", nil
	}
	return p, facts
}

// image is that of the container which is called like the part.
func (p *Part) image(pod corev1.PodSpec) {
	for _, c := range pod.Containers {
		if c.Name == p.Name {
			p.Image = c.Image
		}
	}
}

// deployment is the state of hub or proxy, and what explains it.
func (w *whole) deployment(name string, claims []*corev1.PersistentVolumeClaim, events []*corev1.Event) (Part, explain.Facts) {
	p, facts := w.workload(name, claims)
	all := w.deployments.Items()
	i := slices.IndexFunc(all, func(d *appsv1.Deployment) bool { return d.Name == name })
	if i < 0 {
		p.is(Missing, "it does not exist")
		return p, facts
	}
	d := all[i]
	p.Created, p.Replicas, p.ReadyReplicas = d.CreationTimestamp.Time, 1, d.Status.ReadyReplicas
	if d.Spec.Replicas != nil {
		p.Replicas = *d.Spec.Replicas
	}
	p.image(d.Spec.Template.Spec)
	if d.Generation < w.Generations[name] || d.Status.ObservedGeneration < d.Generation {
		p.is(Starting, "waiting for the cluster to take up the change")
		return p, facts
	}
	facts.Deployment, facts.ReplicaSet = d, current(d, w.replicaSets.Items())
	old := 0
	for _, pod := range w.pods.Items() {
		owner := metav1.GetControllerOf(pod)
		switch {
		case owner == nil:
		case facts.ReplicaSet != nil && owner.UID == facts.ReplicaSet.UID:
			facts.Pods = append(facts.Pods, pod)
		case ownedBy(d, w.replicaSets.Items(), owner):
			old++
		}
	}
	s := d.Status
	switch {
	case p.Replicas == 0:
		p.is(Failed, "switched off: somebody has set its replicas to 0")
	case s.UpdatedReplicas == p.Replicas && s.Replicas == p.Replicas && s.AvailableReplicas == p.Replicas:
		p.is(Ready, "ready")
	case len(facts.Pods) == 0 && old > 0:
		p.is(Starting, "stopping the old one")
	case len(facts.Pods) == 0:
		p.is(Starting, "waiting for its pod to be made")
	default:
		p.is(Starting, "")
		p.Message, p.detail = doing(facts.Pods[len(facts.Pods)-1], claims, events)
	}
	return p, facts
}

// current is the ReplicaSet of the Deployment's present template, as the
// Deployment's controller finds it; nil where it hasn't been made yet.
func current(d *appsv1.Deployment, sets []*appsv1.ReplicaSet) *appsv1.ReplicaSet {
	for _, rs := range sets {
		if !metav1.IsControlledBy(rs, d) {
			continue
		}
		template := rs.Spec.Template.DeepCopy()
		delete(template.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
		if equality.Semantic.DeepEqual(*template, d.Spec.Template) {
			return rs
		}
	}
	return nil
}

func ownedBy(d *appsv1.Deployment, sets []*appsv1.ReplicaSet, owner *metav1.OwnerReference) bool {
	return slices.ContainsFunc(sets, func(rs *appsv1.ReplicaSet) bool { return rs.UID == owner.UID && metav1.IsControlledBy(rs, d) })
}

// doing says in plain words what a pod is about, and what it complains of.
func doing(pod *corev1.Pod, claims []*corev1.PersistentVolumeClaim, events []*corev1.Event) (message, detail string) {
	if pod.DeletionTimestamp != nil {
		return "stopping", ""
	}
	if scheduled := condition(pod, corev1.PodScheduled); scheduled == nil || scheduled.Status != corev1.ConditionTrue {
		for _, c := range claims {
			// A claim without a node to be near waits for the pod to get one.
			if c.Status.Phase != corev1.ClaimBound && c.Spec.StorageClassName == nil {
				return "waiting for its volume", ""
			}
		}
		if scheduled != nil && scheduled.Message != "" {
			return "waiting for a node", oneLine(scheduled.Message)
		}
		return "waiting for a node", ""
	}
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		switch w := c.State.Waiting; {
		case c.State.Terminated != nil && c.State.Terminated.ExitCode == 0:
			continue
		case w != nil && (w.Reason == "ErrImagePull" || w.Reason == "ImagePullBackOff"):
			return "trying again to pull image " + explain.Clean(c.Image), oneLine(w.Message)
		case w != nil && w.Reason == "CrashLoopBackOff":
			return "it stopped; waiting for its next start", oneLine(w.Message)
		case w != nil:
			if image := pulling(pod, events); image != "" {
				return "pulling image " + image, ""
			}
			return "getting its containers ready", oneLine(w.Message)
		case c.State.Running != nil && !c.Ready:
			return "starting", unhealthy(pod, events)
		}
	}
	if len(pod.Status.ContainerStatuses) == 0 {
		return "getting its containers ready", ""
	}
	return "started", ""
}

func condition(pod *corev1.Pod, t corev1.PodConditionType) *corev1.PodCondition {
	for i, c := range pod.Status.Conditions {
		if c.Type == t {
			return &pod.Status.Conditions[i]
		}
	}
	return nil
}

// pulling is the image that the pod's newest event of the kind names. The
// kubelet writes `Pulling image "…"`.
func pulling(pod *corev1.Pod, events []*corev1.Event) (image string) {
	var last time.Time
	for _, e := range events {
		if e.InvolvedObject.UID != pod.UID || e.Reason != "Pulling" || e.LastTimestamp.Time.Before(last) {
			continue
		}
		if _, rest, ok := strings.Cut(e.Message, `"`); ok {
			last = e.LastTimestamp.Time
			image, _, _ = strings.Cut(rest, `"`)
		}
	}
	return explain.Clean(image)
}

// unhealthy is the newest complaint of a probe.
func unhealthy(pod *corev1.Pod, events []*corev1.Event) (message string) {
	var last time.Time
	for _, e := range events {
		if e.InvolvedObject.UID == pod.UID && e.Reason == "Unhealthy" && !e.LastTimestamp.Time.Before(last) {
			last, message = e.LastTimestamp.Time, oneLine(e.Message)
		}
	}
	return message
}

func oneLine(s string) string { return strings.Join(strings.Fields(explain.Clean(s)), " ") }

// session is the copy of one session.
type session struct {
	name   string
	pods   *livecopy.Copy[*corev1.Pod]
	claims *livecopy.Copy[*corev1.PersistentVolumeClaim]
	events events
	memory memory
}

func watchPod(m *livecopy.Set, client kubernetes.Interface, namespace, name string) *session {
	o := metav1.ListOptions{FieldSelector: "metadata.name=" + name}
	return &session{
		name:   name,
		pods:   livecopy.Add(m, client.CoreV1().Pods(namespace), &corev1.Pod{}, o, false),
		claims: livecopy.Add(m, client.CoreV1().PersistentVolumeClaims(namespace), &corev1.PersistentVolumeClaim{}, o, true),
		events: watchEvents(m, client, namespace, true),
		memory: memory{},
	}
}

func (s *session) parts(j judgement) ([]Part, time.Duration) {
	p := Part{Name: "session", Object: record.Ref{APIVersion: "v1", Kind: "Pod", Name: s.name}}
	facts := explain.Facts{Pods: s.pods.Items(), Claims: s.claims.Items(), Events: s.events.items()}
	switch {
	case len(facts.Pods) == 0:
		p.is(Starting, "waiting for its pod to be made")
	default:
		pod := facts.Pods[0]
		p.Created = pod.CreationTimestamp.Time
		if ready := condition(pod, corev1.PodReady); ready != nil && ready.Status == corev1.ConditionTrue && pod.DeletionTimestamp == nil {
			p.is(Ready, "ready")
			break
		}
		p.is(Starting, "")
		p.Message, p.detail = doing(pod, facts.Claims, facts.Events)
	}
	again := judge(&p, facts, j, s.memory.of(p.Name))
	return []Part{p}, again
}
