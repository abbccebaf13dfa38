// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Rules returns the table, in the order in which causes are looked for: what
// explains something else comes before it.
func Rules() []Rule {
	return []Rule{
		{Name: "switched off", match: switchedOff},
		{Name: "pods are refused", Grace: 5 * time.Second, match: refused},
		{Name: "rollout's pod is refused", Grace: 5 * time.Second, match: deployerRefused},
		{Name: "image can't be pulled", match: image},
		// The kubelet looks for ConfigMaps and Secrets again and again.
		{Name: "container can't be made", Grace: 10 * time.Second, match: containerConfig},
		{Name: "container crashes", match: crash},
		{Name: "pod has failed", match: podFailed},
		{Name: "volume is lost", match: lost},
		{Name: "volume has no storage class", Grace: 5 * time.Second, match: noStorageClass},
		{Name: "volume can't be provisioned", Grace: 15 * time.Second, match: provisioning},
		{Name: "no node fits", Grace: 15 * time.Second, match: unschedulable},
		{Name: "volume can't be mounted", Grace: 45 * time.Second, match: mount},
		{Name: "node can't start the pod", Grace: 45 * time.Second, match: sandbox},
		{Name: "rollout has stalled", match: stalled},
		{Name: "rollout has failed", match: rolloutFailed},
		{Name: "route is rejected", Grace: 5 * time.Second, match: routeRejected},
		{Name: "route without router", Grace: 20 * time.Second, match: routeNoRouter},
		{Name: "ingress without class", Grace: 10 * time.Second, match: ingressNoClass},
		{Name: "ingress of an unknown class", Grace: 5 * time.Second, match: ingressClass},
	}
}

func podName(p *corev1.Pod) string { return "pod " + Clean(p.Name) }

// alive are the pods that are meant to run.
func (f *Facts) alive() []*corev1.Pod {
	var pods []*corev1.Pod
	for _, p := range append(f.Pods[:len(f.Pods):len(f.Pods)], f.Deployer) {
		if p != nil && p.DeletionTimestamp == nil {
			pods = append(pods, p)
		}
	}
	return pods
}

// container is one container of a pod as it is.
type container struct {
	corev1.ContainerStatus
	pod *corev1.Pod
}

func (c container) object() string {
	return fmt.Sprintf("%s, container %s", podName(c.pod), Clean(c.Name))
}

func (f *Facts) containers() []container {
	var all []container
	for _, p := range f.alive() {
		for _, statuses := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
			for _, s := range statuses {
				all = append(all, container{s, p})
			}
		}
	}
	return all
}

// isSession tells the pods whose size and image the trainer chooses.
func isSession(p *corev1.Pod) bool {
	switch workshop.Component(p.Labels[workshop.LabelComponent]) {
	case workshop.ComponentHub, workshop.ComponentProxy, workshop.ComponentDeployer:
		return false
	}
	return true
}

// workload names the object that runs the part's pods: in words, and for a
// command.
func (f *Facts) workload() (object, argument string) {
	switch {
	case f.Deployment != nil:
		name := Clean(f.Deployment.Name)
		return "deployment " + name, "deployment " + name
	case f.DeploymentConfig != nil:
		name := Clean(f.DeploymentConfig.Name)
		return "deployment config " + name, "deploymentconfig " + name
	}
	return "", ""
}

func switchedOff(f *Facts) []finding {
	off := f.Deployment != nil && f.Deployment.Spec.Replicas != nil && *f.Deployment.Spec.Replicas == 0 ||
		f.DeploymentConfig != nil && f.DeploymentConfig.Spec.Replicas == 0
	if !off {
		return nil
	}
	object, argument := f.workload()
	return []finding{{failure: &Failure{Code: SwitchedOff, Object: object, Cause: "somebody has switched it off",
		Evidence: []string{"replicas: 0"}, Remedy: "switch it on again: kubectl scale " + argument + " --replicas 1"}}}
}

func refused(f *Facts) []finding {
	if rs := f.ReplicaSet; rs != nil {
		for _, c := range rs.Status.Conditions {
			if c.Type == appsv1.ReplicaSetReplicaFailure && c.Status == corev1.ConditionTrue {
				return []finding{f.refusedPod(c.Message, c.LastTransitionTime.Time)}
			}
		}
	}
	if rc := f.ReplicationController; rc != nil {
		for _, c := range rc.Status.Conditions {
			if c.Type == corev1.ReplicationControllerReplicaFailure && c.Status == corev1.ConditionTrue {
				return []finding{f.refusedPod(c.Message, c.LastTransitionTime.Time)}
			}
		}
	}
	return nil
}

func (f *Facts) refusedPod(message string, since time.Time) finding {
	object, _ := f.workload()
	failure := Refusal(object, message)
	if failure == nil {
		failure = &Failure{Code: PodRefused, Object: object, Cause: "the cluster refuses to make its pod", Evidence: evidence(message),
			Remedy: "see what the cluster says, and ask its administrator if that doesn't help"}
	}
	return finding{failure: failure, since: since}
}

// pullReasons are the kubelet's reasons for a container that waits for its
// image (pkg/kubelet/images/types.go).
var pullReasons = map[string]bool{
	"ErrImagePull": true, "ImagePullBackOff": true, invalidImage: true, "ErrImageNeverPull": true,
	"RegistryUnavailable": true, "ImageInspectError": true, "SignatureValidationFailed": true,
}

// pullGrace is the time for a second attempt at what often passes: the kubelet
// makes it after 10 s, and the third 20 s later.
const pullGrace = 25 * time.Second

func image(f *Facts) []finding {
	var found []finding
	for _, c := range f.containers() {
		if c.State.Waiting == nil || !pullReasons[c.State.Waiting.Reason] {
			continue
		}
		// While the kubelet backs off, its message may be no more than that
		// (before Kubernetes 1.31); the event has the registry's words.
		text := c.State.Waiting.Message
		for _, e := range f.eventsOf(c.pod.UID, "Failed") {
			if strings.Contains(e.Message, "pull image") && (strings.Contains(e.Message, c.Image) || c.Image == "") && !moreThan(text, "Back-off pulling image") {
				text = e.Message
			}
		}
		if c.State.Waiting.Reason == "ImagePullBackOff" && !moreThan(text, "Back-off pulling image") {
			// The registry's words are on their way, in an event or the next
			// attempt.
			failure, _ := Pull(c.object(), c.Image, c.State.Waiting.Reason, text)
			found = append(found, finding{failure: failure, since: c.pod.CreationTimestamp.Time, grace: pullGrace})
			continue
		}
		failure, passes := Pull(c.object(), c.Image, c.State.Waiting.Reason, text)
		one := finding{failure: failure}
		if passes {
			one.since, one.grace = c.pod.CreationTimestamp.Time, pullGrace
		}
		found = append(found, one)
	}
	return found
}

// moreThan says whether a message is more than its well-known beginning and
// the image's name in quotes.
func moreThan(message, beginning string) bool {
	rest, ok := strings.CutPrefix(message, beginning)
	if !ok {
		return message != ""
	}
	return strings.Contains(strings.TrimSpace(rest), `": `)
}

// configReasons are the kubelet's reasons for a container that it can't make
// (pkg/kubelet/kuberuntime).
var configReasons = map[string]bool{"CreateContainerConfigError": true, "CreateContainerError": true, "PreCreateHookError": true}

func containerConfig(f *Facts) []finding {
	var found []finding
	for _, c := range f.containers() {
		w := c.State.Waiting
		if w == nil || !configReasons[w.Reason] {
			continue
		}
		failure := &Failure{Code: ContainerConfig, Object: c.object(), Cause: "the container can't be made", Evidence: evidence(w.Message),
			Remedy: "see what the node says; a Secret or ConfigMap that is missing is made anew by another deploy"}
		if strings.Contains(w.Message, "runAsNonRoot") {
			failure.Cause = "the image wants to run as root (or as a user without a number), which the workshop doesn't allow"
			failure.Remedy = "give the image a numeric user other than 0 (USER 1001 in its Containerfile)"
		}
		found = append(found, finding{failure: failure, since: c.pod.CreationTimestamp.Time})
	}
	return found
}

func crash(f *Facts) []finding {
	var found []finding
	for _, c := range f.containers() {
		end := c.LastTerminationState.Terminated
		waits := c.State.Waiting != nil && c.State.Waiting.Reason == "CrashLoopBackOff"
		switch t := c.State.Terminated; {
		case waits:
		case t != nil && t.ExitCode != 0 && c.RestartCount > 0:
			end = t
		default:
			continue
		}
		failure := &Failure{Code: ContainerCrash, Object: c.object(), Cause: "the container stops again and again",
			Remedy: "see its last lines",
			// A container that waits for its next start has no log of its own.
			Log: &Log{Pod: c.pod.Name, Container: c.Name, Previous: waits}}
		if end != nil {
			failure.Evidence = evidence(exit(end), end.Message)
		}
		switch {
		case end != nil && end.Reason == "OOMKilled" && isSession(c.pod):
			failure.Code, failure.Cause, failure.Remedy = OutOfMemory, "the container needs more memory than its limit", "raise the limit with --memory-limit"
		case end != nil && end.Reason == "OOMKilled":
			failure.Code, failure.Cause, failure.Remedy = OutOfMemory, "the container needs more memory than its limit", "see its last lines; the limit is part of workshopctl, please report what needs more"
		case end != nil && (end.Reason == "StartError" || end.Reason == "ContainerCannotRun"):
			failure.Cause, failure.Remedy, failure.Log = "the container's program can't be started", "check that the image has that program, and is made for the nodes' kind of processor", nil
		}
		found = append(found, finding{failure: failure})
	}
	return found
}

// exit writes how a container ended.
func exit(t *corev1.ContainerStateTerminated) string {
	s := fmt.Sprintf("exit status %d", t.ExitCode)
	if t.Signal != 0 {
		s = fmt.Sprintf("signal %d", t.Signal)
	}
	if t.Reason != "" && t.Reason != "Error" {
		s += " (" + t.Reason + ")"
	}
	return s
}

func podFailed(f *Facts) []finding {
	var found []finding
	for _, p := range f.alive() {
		if p.Status.Phase != corev1.PodFailed {
			continue
		}
		// Of a ReplicaSet's pods a new one takes the place.
		if len(p.OwnerReferences) > 0 {
			continue
		}
		failure := &Failure{Code: PodFailed, Object: podName(p), Cause: "the pod has ended", Evidence: evidence(strings.TrimPrefix(p.Status.Reason+": "+p.Status.Message, ": ")),
			Remedy: "start it again"}
		switch p.Status.Reason {
		case "Evicted":
			failure.Cause, failure.Remedy = "the node has thrown the pod out, to save itself", "start it again; if it happens often, raise --memory-request so that nodes with room are chosen"
		case "DeadlineExceeded":
			failure.Cause = "the pod's time has run out"
		}
		for _, c := range p.Status.ContainerStatuses {
			if t := c.State.Terminated; t != nil && t.ExitCode != 0 {
				failure.Evidence = append(failure.Evidence, evidence("container "+c.Name+": "+exit(t), t.Message)...)
				failure.Log = &Log{Pod: p.Name, Container: c.Name}
			}
		}
		found = append(found, finding{failure: failure})
	}
	return found
}

func claimName(c *corev1.PersistentVolumeClaim) string { return "claim " + Clean(c.Name) }

// pending are the claims that have no volume yet.
func (f *Facts) pending() []*corev1.PersistentVolumeClaim {
	var claims []*corev1.PersistentVolumeClaim
	for _, c := range f.Claims {
		if c != nil && c.DeletionTimestamp == nil && c.Status.Phase != corev1.ClaimBound && c.Spec.VolumeName == "" {
			claims = append(claims, c)
		}
	}
	return claims
}

// storageRemedy names the flag that is for the claim: sessions' volumes have
// one for the class, the hub's can be left out.
func storageRemedy(c *corev1.PersistentVolumeClaim) string {
	if c.Labels[workshop.LabelComponent] == string(workshop.ComponentHub) {
		return "name a class with --storage-class, or do without the hub's volume with --hub-storage-size 0"
	}
	return "name a class with --storage-class, or do without volumes with --storage-size 0"
}

func lost(f *Facts) []finding {
	var found []finding
	for _, c := range f.Claims {
		if c != nil && c.Status.Phase == corev1.ClaimLost {
			found = append(found, finding{failure: &Failure{Code: VolumeLost, Object: claimName(c), Cause: "the volume behind it is gone, with its data",
				Evidence: evidence("phase Lost, volume " + c.Spec.VolumeName), Remedy: "delete the claim and deploy again, for a new and empty one"}})
		}
	}
	return found
}

func noStorageClass(f *Facts) []finding {
	var found []finding
	for _, c := range f.pending() {
		// Where there is a default class, the API server has written it here.
		if c.Spec.StorageClassName != nil {
			continue
		}
		found = append(found, finding{since: c.CreationTimestamp.Time, failure: &Failure{Code: VolumePending, Object: claimName(c),
			Cause:    "it names no storage class, and the cluster has no default one",
			Evidence: []string{"phase Pending, no storageClassName"},
			Remedy:   storageRemedy(c)}})
	}
	return found
}

func provisioning(f *Facts) []finding {
	var found []finding
	for _, c := range f.pending() {
		events := f.eventsOf(c.UID, "ProvisioningFailed", "FailedBinding", "VolumeMismatch")
		if len(events) == 0 {
			continue
		}
		last := events[len(events)-1]
		failure := &Failure{Code: VolumePending, Object: claimName(c), Cause: "its volume can't be provisioned", Evidence: evidence(last.Message),
			Remedy: "see what the storage says; " + storageRemedy(c)}
		one := finding{failure: failure, since: firstTime(events[0])}
		switch {
		case strings.Contains(last.Message, "storageclass.storage.k8s.io") && strings.Contains(last.Message, "not found"):
			class := ""
			if c.Spec.StorageClassName != nil {
				class = *c.Spec.StorageClassName
			}
			failure.Cause, failure.Remedy = fmt.Sprintf("the cluster has no storage class %q", Clean(class)), "see `kubectl get storageclass`; "+storageRemedy(c)
			one.since = time.Time{}
		case strings.Contains(strings.ToLower(last.Message), "quota"):
			failure.Cause, failure.Remedy = "the storage's quota is used up", "free some of it, ask for more, or ask for smaller volumes with --storage-size"
		}
		found = append(found, one)
	}
	return found
}

var (
	insufficient = regexp.MustCompile(`Insufficient (memory|cpu|ephemeral-storage)`)
	taint        = regexp.MustCompile(`untolerated taint(?:\(s\))?(?: \{([^}]*)\})?`)
)

func unschedulable(f *Facts) []finding {
	var found []finding
	for _, p := range f.alive() {
		for _, c := range p.Status.Conditions {
			if c.Type != corev1.PodScheduled || c.Status != corev1.ConditionFalse || c.Reason != corev1.PodReasonUnschedulable {
				continue
			}
			failure := &Failure{Code: Unschedulable, Object: podName(p), Evidence: evidence(c.Message)}
			failure.Cause, failure.Remedy = noNode(c.Message, isSession(p))
			one := finding{failure: failure, since: c.LastTransitionTime.Time}
			if events := f.eventsOf(p.UID, "TriggeredScaleUp"); len(events) > 0 {
				// A new node is on its way.
				failure.Evidence = append(failure.Evidence, evidence(events[len(events)-1].Message)...)
				one.since, one.grace = eventTime(events[len(events)-1]), 10*time.Minute
			}
			found = append(found, one)
		}
	}
	return found
}

// noNode reads the scheduler's summary of why no node takes a pod.
func noNode(message string, session bool) (cause, remedy string) {
	const wait = "waited 15 s for the cluster to make room or to add a node; "
	short := insufficient.FindStringSubmatch(message)
	switch {
	case strings.Contains(message, "persistentvolumeclaim"):
		return "no node takes it: its volume isn't there yet", "see the claims: kubectl get persistentvolumeclaims"
	case strings.Contains(message, "volume node affinity"):
		return "no node takes it: its volume is tied to a node that can't run it", wait + "free that node, or delete the volume with its data"
	case short != nil && session:
		return fmt.Sprintf("no node has enough %s left for it", short[1]), wait + fmt.Sprintf("stop sessions that nobody uses, ask for less (--%s-request), or add nodes", short[1])
	case short != nil:
		return fmt.Sprintf("no node has enough %s left for it", short[1]), wait + "free some, or add nodes"
	case strings.Contains(message, "Too many pods"):
		return "no node takes another pod", wait + "stop sessions that nobody uses, or add nodes"
	case strings.Contains(message, "didn't match Pod's node affinity/selector"):
		return "no node has the labels that nodeSelector asks for", "correct nodeSelector in the workshop file, or label nodes"
	case taint.MatchString(message):
		what := ""
		if m := taint.FindStringSubmatch(message); m[1] != "" {
			what = " (" + line(m[1]) + ")"
		}
		return "the nodes are reserved for others by taints" + what, "add tolerations to the workshop file if the workshop may run there"
	case strings.Contains(message, "no nodes available"):
		return "the cluster has no nodes", "add a node"
	}
	return "no node takes it", wait + "see what the scheduler says"
}

func mount(f *Facts) []finding {
	var found []finding
	for _, p := range f.alive() {
		if p.Status.Phase != corev1.PodPending {
			continue
		}
		events := f.eventsOf(p.UID, "FailedMount", "FailedAttachVolume", "FailedMapVolume")
		if len(events) == 0 {
			continue
		}
		last := events[len(events)-1]
		failure := &Failure{Code: VolumeMount, Object: podName(p), Cause: "a volume of it can't be mounted", Evidence: evidence(last.Message),
			Remedy: "see what the node says; it keeps trying"}
		if strings.Contains(last.Message, "Multi-Attach error") {
			failure.Cause, failure.Remedy = "its volume is still in use on another node", "wait for the other pod to end; if its node is gone for good, delete that pod with --force"
		}
		found = append(found, finding{failure: failure, since: firstTime(events[0])})
	}
	return found
}

func sandbox(f *Facts) []finding {
	var found []finding
	for _, p := range f.alive() {
		if p.Status.Phase != corev1.PodPending {
			continue
		}
		events := f.eventsOf(p.UID, "FailedCreatePodSandBox", "NetworkNotReady")
		if len(events) == 0 {
			continue
		}
		last := events[len(events)-1]
		found = append(found, finding{since: firstTime(events[0]), failure: &Failure{Code: NodeTrouble, Object: podName(p),
			Cause: fmt.Sprintf("node %s can't start pods", Clean(p.Spec.NodeName)), Evidence: evidence(last.Message),
			Remedy: "tell the cluster's administrator; it is the node's trouble, not the workshop's"}})
	}
	return found
}

func stalled(f *Facts) []finding {
	if f.Deployment == nil || f.Deployment.Status.ObservedGeneration < f.Deployment.Generation {
		return nil
	}
	for _, c := range f.Deployment.Status.Conditions {
		if c.Type != appsv1.DeploymentProgressing || c.Status != corev1.ConditionFalse || c.Reason != "ProgressDeadlineExceeded" {
			continue
		}
		failure := &Failure{Code: NotReady, Object: "deployment " + Clean(f.Deployment.Name), Cause: "it does not get ready", Evidence: evidence(c.Message),
			Remedy: "see its last lines"}
		for _, p := range f.alive() {
			for _, e := range f.eventsOf(p.UID, "Unhealthy") {
				failure.Evidence = evidence(append(failure.Evidence, e.Message)...)
			}
			for _, s := range p.Status.ContainerStatuses {
				if s.State.Running != nil && !s.Ready {
					failure.Log = &Log{Pod: p.Name, Container: s.Name}
				}
			}
		}
		return []finding{{failure: failure}}
	}
	return nil
}

const classAnnotation = "kubernetes.io/ingress.class"

func ingressNoClass(f *Facts) []finding {
	i := f.Ingress
	if i == nil || i.Spec.IngressClassName != nil || i.Annotations[classAnnotation] != "" || len(i.Status.LoadBalancer.Ingress) > 0 {
		return nil
	}
	// Where there is a default class, the API server has written it there.
	return []finding{{since: i.CreationTimestamp.Time, failure: &Failure{Code: IngressNoClass, Object: "ingress " + Clean(i.Name),
		Cause:    "no ingress controller serves it: it names no class, and the cluster has no default one",
		Evidence: []string{"no ingressClassName, no address"},
		Remedy:   "ask the cluster's administrator for the name of a class and put it into the workshop file (annotations: {" + classAnnotation + ": NAME}), or deploy with --expose none and use `url --forward`"}}}
}

func ingressClass(f *Facts) []finding {
	i := f.Ingress
	if i == nil || i.Spec.IngressClassName == nil || f.IngressClasses == nil || len(i.Status.LoadBalancer.Ingress) > 0 {
		return nil
	}
	var names []string
	for _, c := range f.IngressClasses {
		if c == nil {
			continue
		}
		if c.Name == *i.Spec.IngressClassName {
			return nil
		}
		names = append(names, Clean(c.Name))
	}
	return []finding{{since: i.CreationTimestamp.Time, failure: &Failure{Code: IngressClass, Object: "ingress " + Clean(i.Name),
		Cause:    fmt.Sprintf("the cluster has no ingress class %q", Clean(*i.Spec.IngressClassName)),
		Evidence: evidence("classes: " + strings.Join(names, ", ")),
		Remedy:   "delete the ingress and deploy again, to get the default class"}}}
}
