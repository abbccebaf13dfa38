// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/randfill"

	"github.com/workshopctl/workshopctl/pkg/workshop"
)

var now = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

func ago(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }

func pod(component workshop.Component, age time.Duration, change func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "terminals-x", UID: "pod", Labels: workshop.Names("terminals").Labels(component), CreationTimestamp: ago(age)},
		Status: corev1.PodStatus{Phase: corev1.PodPending}}
	change(p)
	return p
}

// waits is a pod whose container waits.
func waits(component workshop.Component, age time.Duration, reason, message string) *corev1.Pod {
	return pod(component, age, func(p *corev1.Pod) {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "hub", Image: "registry.example.com/team/401-not-found:1",
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}}
	})
}

func pods(p ...*corev1.Pod) Facts { return Facts{Pods: p} }

func event(uid types.UID, reason, message string, age time.Duration) *corev1.Event {
	return &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: reason}, InvolvedObject: corev1.ObjectReference{UID: uid}, Reason: reason, Message: message, FirstTimestamp: ago(age), LastTimestamp: ago(0)}
}

func unscheduled(age time.Duration, component workshop.Component, message string) *corev1.Pod {
	return pod(component, age, func(p *corev1.Pod) {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: message, LastTransitionTime: ago(age)}}
	})
}

func replicaSet(age time.Duration, message string) Facts {
	return Facts{
		Deployment: &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "terminals"}},
		ReplicaSet: &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: "terminals-6f"}, Status: appsv1.ReplicaSetStatus{Conditions: []appsv1.ReplicaSetCondition{
			{Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", Message: message, LastTransitionTime: ago(age)}}}},
	}
}

func claim(component workshop.Component, class *string, age time.Duration) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "terminals-hub", UID: "claim", Labels: workshop.Names("terminals").Labels(component), CreationTimestamp: ago(age)},
		Spec: corev1.PersistentVolumeClaimSpec{StorageClassName: class}, Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending}}
}

func crashed(component workshop.Component, reason string, code int32, message string) *corev1.Pod {
	return pod(component, time.Minute, func(p *corev1.Pod) {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "hub", RestartCount: 2,
			State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off 10s restarting failed container"}},
			LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, Message: message}}}}
	})
}

func ingress(class *string, age time.Duration) *networkingv1.Ingress {
	return &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Name: "terminals", CreationTimestamp: ago(age)}, Spec: networkingv1.IngressSpec{IngressClassName: class}}
}

const (
	hub     = workshop.ComponentHub
	session = workshop.ComponentSession
)

// The texts are those of real clusters: kubelet and scheduler 1.34, containerd
// 1.6 and 2.0, CRI-O 1.29, Docker Hub, Quay.
func TestExplain(t *testing.T) {
	fast := "fast"
	for _, c := range []struct {
		name   string
		facts  Facts
		code   Code
		cause  string // a part of it
		remedy string // a part of it
		again  time.Duration
	}{
		{"containerd: no such tag", pods(waits(hub, 0, "ErrImagePull", `rpc error: code = NotFound desc = failed to pull and unpack image "registry.example.com/team/401-not-found:1": failed to resolve reference "registry.example.com/team/401-not-found:1": registry.example.com/team/401-not-found:1: not found`)),
			ImageNotFound, "registry has no such image: registry.example.com/team/401-not-found:1", "tag", 0},
		{"CRI-O: no such tag", pods(waits(hub, 0, "ErrImagePull", `initializing source docker://x:1: reading manifest 1 in quay.io/x: manifest unknown`)), ImageNotFound, "", "", 0},
		{"containerd: login", pods(waits(hub, 0, "ErrImagePull", `failed to pull and unpack image "private.example.com/x:1": failed to resolve reference "private.example.com/x:1": pulling from host private.example.com failed with status code [manifests 1]: 401 Unauthorized`)),
			ImageUnauthorized, "wants a login", "--pull-secret", 0},
		{"containerd: anonymous token", pods(waits(hub, 0, "ErrImagePull", `failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://quay.io/v2/auth: 401 Unauthorized`)), ImageUnauthorized, "", "", 0},
		{"Docker Hub: either", pods(waits(hub, 0, "ErrImagePull", `pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed`)),
			ImageUnauthorized, "knows no such image, or shows it only", "--pull-secret", 0},
		{"Docker Hub: limit", pods(waits(hub, 0, "ErrImagePull", `429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit.`)), RegistryLimit, "", "--pull-secret", 0},
		{"no such registry", pods(waits(hub, 30*time.Second, "ErrImagePull", `dial tcp: lookup nosuch.example.com on 10.0.0.10:53: no such host`)), RegistryNotFound, "can't find the registry", "registry's name", 0},
		{"no such registry, perhaps", pods(waits(hub, 5*time.Second, "ErrImagePull", `dial tcp: lookup nosuch.example.com on 10.0.0.10:53: no such host`)), "", "", "", 20 * time.Second},
		{"certificate", pods(waits(hub, 0, "ErrImagePull", `tls: failed to verify certificate: x509: certificate signed by unknown authority`)), RegistryTLS, "", "", 0},
		{"plain HTTP", pods(waits(hub, 0, "ErrImagePull", `http: server gave HTTP response to HTTPS client`)), RegistryTLS, "", "", 0},
		{"no answer", pods(waits(hub, 30*time.Second, "ErrImagePull", `dial tcp 10.1.2.3:443: connect: connection refused`)), ImagePull, "does not answer", "", 0},
		{"architecture", pods(waits(hub, 0, "ErrImagePull", `no match for platform in manifest: not found`)), ImageInvalid, "processor", "", 0},
		{"name", pods(waits(hub, 0, "InvalidImageName", `couldn't parse image name "X:Y:Z": invalid reference format`)), ImageInvalid, "is no image name", "", 0},
		{"unknown words", pods(waits(hub, time.Minute, "ErrImagePull", `the moon is full`)), ImagePull, "can't be pulled", "", 0},
		{"back-off with the words", pods(waits(hub, 0, "ImagePullBackOff", `Back-off pulling image "registry.example.com/team/401-not-found:1": ErrImagePull: not found`)), ImageNotFound, "", "", 0},
		{"back-off without them", pods(waits(hub, 10*time.Second, "ImagePullBackOff", `Back-off pulling image "registry.example.com/team/401-not-found:1"`)), "", "", "", 15 * time.Second},
		{"back-off, the words in an event", Facts{Pods: []*corev1.Pod{waits(hub, 0, "ImagePullBackOff", `Back-off pulling image "registry.example.com/team/401-not-found:1"`)},
			Events: []*corev1.Event{event("pod", "Failed", `Failed to pull image "registry.example.com/team/401-not-found:1": manifest unknown`, time.Second), event("pod", "Failed", "Error: ErrImagePull", time.Second)}}, ImageNotFound, "", "", 0},

		{"quota", replicaSet(6*time.Second, `pods "terminals-6f-" is forbidden: exceeded quota: team, requested: pods=1, used: pods=4, limited: pods=4`), Quota, "quota is used up (team)", "--memory-request", 0},
		{"quota, perhaps for a moment", replicaSet(time.Second, `pods "terminals-6f-" is forbidden: exceeded quota: team, requested: pods=1`), "", "", "", 4 * time.Second},
		{"quota wants limits", replicaSet(time.Minute, `pods "x" is forbidden: failed quota: team: must specify limits.cpu for: hub; limits.memory for: hub`), Quota, "wants every container to say its limits.cpu for: hub", "", 0},
		{"limit range", replicaSet(time.Minute, `pods "x" is forbidden: maximum memory usage per Container is 256Mi, but limit is 1Gi`), LimitRange, "maximum memory usage per Container is 256Mi", "", 0},
		{"pod security", replicaSet(time.Minute, `pods "x" is forbidden: violates PodSecurity "restricted:latest": seccompProfile (pod or container "x" must set …)`), PodSecurity, "restricted:latest", "", 0},
		{"SCC", replicaSet(time.Minute, `pods "x" is forbidden: unable to validate against any security context constraint: [provider "anyuid": Forbidden]`), PodSecurity, "security context constraints", "", 0},
		{"webhook", replicaSet(time.Minute, `admission webhook "validate.kyverno.svc" denied the request: no latest tags`), PodRefused, "validate.kyverno.svc", "", 0},
		{"other refusal", replicaSet(time.Minute, `the moon is full`), PodRefused, "refuses", "", 0},

		{"root", pods(waits(hub, 20*time.Second, "CreateContainerConfigError", `container has runAsNonRoot and image will run as root (pod: "x", container: hub)`)), ContainerConfig, "root", "USER", 0},
		{"missing secret", pods(waits(hub, 20*time.Second, "CreateContainerConfigError", `secret "terminals-hub" not found`)), ContainerConfig, "can't be made", "", 0},
		{"missing secret, perhaps for a moment", pods(waits(hub, 0, "CreateContainerConfigError", `secret "terminals-hub" not found`)), "", "", "", 10 * time.Second},
		{"crash", pods(crashed(hub, "Error", 1, "")), ContainerCrash, "again and again", "last lines", 0},
		{"memory of a session", pods(crashed(session, "OOMKilled", 137, "")), OutOfMemory, "more memory", "--memory-limit", 0},
		{"memory of the hub", pods(crashed(hub, "OOMKilled", 137, "")), OutOfMemory, "more memory", "report", 0},
		{"no program", pods(crashed(hub, "StartError", 128, `exec: "jupyterhub": executable file not found in $PATH`)), ContainerCrash, "can't be started", "", 0},
		{"evicted", pods(pod(session, 0, func(p *corev1.Pod) {
			p.Status = corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted", Message: "The node was low on resource: memory."}
		})), PodFailed, "thrown", "--memory-request", 0},

		{"no memory", pods(unscheduled(16*time.Second, session, "0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 2 Insufficient memory. preemption: 0/3 nodes are available")), Unschedulable, "enough memory", "--memory-request", 0},
		{"no cpu for the hub", pods(unscheduled(16*time.Second, hub, "0/1 nodes are available: 1 Insufficient cpu.")), Unschedulable, "enough cpu", "add nodes", 0},
		{"within grace", pods(unscheduled(5*time.Second, hub, "0/1 nodes are available: 1 Insufficient cpu.")), "", "", "", 10 * time.Second},
		{"selector", pods(unscheduled(time.Minute, hub, "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.")), Unschedulable, "nodeSelector", "nodeSelector", 0},
		{"taint", pods(unscheduled(time.Minute, hub, "0/1 nodes are available: 1 node(s) had untolerated taint {team: blue}.")), Unschedulable, "taints (team: blue)", "tolerations", 0},
		{"a node is on its way", Facts{Pods: []*corev1.Pod{unscheduled(time.Minute, hub, "0/1 nodes are available: 1 Insufficient cpu.")},
			Events: []*corev1.Event{event("pod", "TriggeredScaleUp", "pod triggered scale-up", time.Minute)}}, "", "", "", 10 * time.Minute},
		{"scheduled by now", pods(pod(hub, time.Minute, func(p *corev1.Pod) {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}}
		})), "", "", "", 0},

		{"no default class", Facts{Claims: []*corev1.PersistentVolumeClaim{claim(hub, nil, 6*time.Second)}}, VolumePending, "no default one", "--hub-storage-size 0", 0},
		{"no default class for sessions", Facts{Claims: []*corev1.PersistentVolumeClaim{claim(session, nil, time.Minute)}}, VolumePending, "no default one", "--storage-size 0", 0},
		{"no such class", Facts{Claims: []*corev1.PersistentVolumeClaim{claim(session, &fast, 0)}, Events: []*corev1.Event{event("claim", "ProvisioningFailed", `storageclass.storage.k8s.io "fast" not found`, 0)}}, VolumePending, `no storage class "fast"`, "kubectl get storageclass", 0},
		{"provisioner", Facts{Claims: []*corev1.PersistentVolumeClaim{claim(session, &fast, time.Minute)}, Events: []*corev1.Event{event("claim", "ProvisioningFailed", `failed to provision volume: rpc error: disk is full`, 20*time.Second)}}, VolumePending, "can't be provisioned", "", 0},
		{"provisioner, first try", Facts{Claims: []*corev1.PersistentVolumeClaim{claim(session, &fast, time.Minute)}, Events: []*corev1.Event{event("claim", "ProvisioningFailed", `failed to provision volume`, 5*time.Second)}}, "", "", "", 10 * time.Second},
		{"waits for its first user", Facts{Claims: []*corev1.PersistentVolumeClaim{claim(session, &fast, time.Hour)}}, "", "", "", 0},
		{"mount", Facts{Pods: []*corev1.Pod{waits(hub, time.Minute, "ContainerCreating", "")}, Events: []*corev1.Event{event("pod", "FailedAttachVolume", `Multi-Attach error for volume "pvc-1"`, time.Minute)}}, VolumeMount, "another node", "", 0},
		{"sandbox", Facts{Pods: []*corev1.Pod{waits(hub, time.Minute, "ContainerCreating", "")}, Events: []*corev1.Event{event("pod", "FailedCreatePodSandBox", `failed to setup network`, time.Minute)}}, NodeTrouble, "", "", 0},

		{"lost", Facts{Claims: []*corev1.PersistentVolumeClaim{{Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimLost}}}}, VolumeLost, "is gone", "delete the claim", 0},
		{"switched off", Facts{Deployment: &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Replicas: new(int32)}}}, SwitchedOff, "switched it off", "--replicas 1", 0},
		{"stalled", Facts{Deployment: &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "terminals"}, Status: appsv1.DeploymentStatus{Conditions: []appsv1.DeploymentCondition{
			{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded", Message: "has timed out progressing."}}}}}, NotReady, "", "", 0},
		{"stalled, before the change", Facts{Deployment: &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Generation: 2}, Status: appsv1.DeploymentStatus{ObservedGeneration: 1, Conditions: []appsv1.DeploymentCondition{
			{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded"}}}}}, "", "", "", 0},

		{"ingress without class", Facts{Ingress: ingress(nil, 11*time.Second)}, IngressNoClass, "no default one", "--expose none", 0},
		{"ingress without class, new", Facts{Ingress: ingress(nil, 0)}, "", "", "", 10 * time.Second},
		{"ingress of a class that may not be looked up", Facts{Ingress: ingress(&fast, time.Hour)}, "", "", "", 0},
		{"ingress of an unknown class", Facts{Ingress: ingress(&fast, time.Hour), IngressClasses: []*networkingv1.IngressClass{{ObjectMeta: metav1.ObjectMeta{Name: "nginx"}}}}, IngressClass, `no ingress class "fast"`, "", 0},
		{"ingress of a known class", Facts{Ingress: ingress(&fast, time.Hour), IngressClasses: []*networkingv1.IngressClass{{ObjectMeta: metav1.ObjectMeta{Name: "fast"}}}}, "", "", "", 0},
		{"nothing", Facts{}, "", "", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.facts.Now = now
			f, again := Explain(c.facts)
			if again != c.again {
				t.Errorf("again in %v, want %v", again, c.again)
			}
			if f == nil {
				if c.code != "" {
					t.Errorf("nothing found, want %s", c.code)
				}
				return
			}
			if f.Code != c.code || !strings.Contains(f.Cause, c.cause) || !strings.Contains(f.Remedy, c.remedy) {
				t.Errorf("code %s, want %s\ncause %q, want %q\nremedy %q, want %q", f.Code, c.code, f.Cause, c.cause, f.Remedy, c.remedy)
			}
			if f.Object == "" || f.Remedy == "" || strings.HasSuffix(f.Cause, ".") {
				t.Errorf("incomplete: %+v", f)
			}
		})
	}
}

// The clocks of the caller and the cluster differ by an hour: what counts is
// how long the caller has seen it.
func TestGraceByTheCallersClock(t *testing.T) {
	facts := pods(unscheduled(time.Hour, hub, "0/1 nodes are available: 1 Insufficient cpu."))
	facts.Seen = map[string]time.Time{}
	for _, step := range []struct {
		after time.Duration
		known bool
		again time.Duration
	}{{0, false, 15 * time.Second}, {10 * time.Second, false, 5 * time.Second}, {15 * time.Second, true, 0}} {
		facts.Now = now.Add(step.after)
		f, again := Explain(facts)
		if (f != nil) != step.known || again != step.again {
			t.Errorf("after %v: %v, again in %v", step.after, f, again)
		}
	}
	// Gone and come again is new.
	healthy := facts
	healthy.Pods = nil
	if f, _ := Explain(healthy); f != nil || len(facts.Seen) != 0 {
		t.Errorf("%v, %v", f, facts.Seen)
	}
	if f, _ := Explain(facts); f != nil {
		t.Error(f)
	}
}

func TestLogOfACrash(t *testing.T) {
	f, _ := Explain(pods(crashed(hub, "Error", 3, "\x1b[31mno database\x1b[0m\n")))
	if d := cmp.Diff(&Log{Pod: "terminals-x", Container: "hub", Previous: true}, f.Log); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"exit status 3", "no database"}, f.Evidence); d != "" {
		t.Error(d)
	}
}

// What the API server says of changes to a volume, word by word. The last is a
// refusal that is no matter of rights, though the answer is 403.
func TestRefusalOfVolumeChanges(t *testing.T) {
	for message, cause := range map[string]string{
		`PersistentVolumeClaim "terminals-hub" is invalid: spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims`: "storage class that it was made with",
		`PersistentVolumeClaim "terminals-hub" is invalid: spec.resources.requests.storage: Forbidden: field can not be less than status.capacity`:                                     "smaller",
		`persistentvolumeclaims "terminals-hub" is forbidden: only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize`:        "grow",
	} {
		f := Refusal("persistentvolumeclaim/terminals-hub", message)
		if f == nil {
			t.Errorf("not known: %s", message)
			continue
		}
		if f.Code != VolumeChange || !strings.Contains(f.Cause, cause) || !strings.Contains(f.Remedy, "kubectl delete pvc terminals-hub`") || !strings.HasSuffix(f.Remedy, "what you want") {
			t.Errorf("%+v", f)
		}
	}
}

func TestRefusalOfWhatIsNotKnown(t *testing.T) {
	if f := Refusal("service/x", "the moon is full"); f != nil {
		t.Error(f)
	}
	if f := Refusal("configmap/x", `namespaces "spring" not found`); f.Cause != "there is no namespace spring" {
		t.Error(f)
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain\ttext\nnext":                 "plain\ttext\nnext",
		"\x1b[1;31mred\x1b[0m":              "red",
		"\x1b]0;title\x07x\x1b]8;;u\x1b\\y": "xy",
		"\x1b]0;never ends":                 "",
		"a\x00b\x08c\rd\x7fe":               "abcde",
		"\u009b31mC1\u0085":                 "C1",
		"evil\u202egnp.exe":                 "evilgnp.exe",
		"bad \xff byte":                     "bad \uFFFD byte",
		"\x1b(Bx\x1bcy\x1b":                 "xy",
		"grüße ✓":                           "grüße ✓",
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
	if d := cmp.Diff([]string{"b", "c"}, LastLines("a\n\nb\n\x1b[0m\nc", 2)); d != "" {
		t.Error(d)
	}
}

func FuzzClean(f *testing.F) {
	f.Add("\x1b[31m\x1b]0;x\x07")
	f.Add("\x1b\x1b[\x9b")
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s)
		if strings.ContainsAny(got, "\x1b\x07\r\x00\u009b\u202e") {
			t.Errorf("Clean(%q) = %q", s, got)
		}
		if again := Clean(got); again != got {
			t.Errorf("Clean isn't stable: %q, %q", got, again)
		}
	})
}

// FuzzExplain gives every rule objects with anything, or nothing, in them.
func FuzzExplain(f *testing.F) {
	for seed := range int64(200) {
		f.Add(seed)
	}
	reasons := []string{"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError", "CrashLoopBackOff", "FailedCreate", "Unschedulable", "FailedMount", "ProvisioningFailed", "OOMKilled", "Evicted", "Failed", "ProgressDeadlineExceeded", "Unhealthy"}
	f.Fuzz(func(t *testing.T, seed int64) {
		var facts Facts
		pick := func(c randfill.Continue) string { return reasons[c.Intn(len(reasons))] }
		randfill.NewWithSeed(seed).NilChance(.3).NumElements(0, 3).MaxDepth(10).Funcs(
			func(s *corev1.ContainerStateWaiting, c randfill.Continue) { s.Reason, s.Message = pick(c), c.String(0) },
			func(s *corev1.PodCondition, c randfill.Continue) {
				*s = corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: pick(c), Message: c.String(0)}
			},
			func(s *appsv1.ReplicaSetCondition, c randfill.Continue) {
				*s = appsv1.ReplicaSetCondition{Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue, Reason: pick(c), Message: c.String(0)}
			},
			func(s *corev1.Event, c randfill.Continue) {
				*s = corev1.Event{Reason: pick(c), Message: c.String(0)}
				if c.Bool() {
					s.Series = &corev1.EventSeries{}
				}
			},
			func(s *corev1.PodSpec, c randfill.Continue) {},
			func(s *metav1.ObjectMeta, c randfill.Continue) { s.Name = c.String(0) },
		).Fill(&facts)
		facts.Now = now
		failure, again := Explain(facts)
		if again < 0 {
			t.Errorf("again in %v", again)
		}
		if failure == nil {
			return
		}
		for _, s := range append(slices.Clone(failure.Evidence), failure.Cause, failure.Object, failure.Remedy, failure.Error()) {
			if s != Clean(s) || strings.Contains(s, "\n") {
				t.Errorf("not clean: %q", s)
			}
		}
	})
}

func ExampleExplain() {
	facts := Facts{Now: now, Pods: []*corev1.Pod{waits(hub, 0, "ErrImagePull", "registry.example.com/team/x:1: not found")}}
	failure, _ := Explain(facts)
	fmt.Println(failure.Cause)
	// Output: the registry has no such image: registry.example.com/team/401-not-found:1
}
