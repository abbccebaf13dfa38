// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"slices"
	"strings"
	"testing"
	"time"

	openshiftappsv1 "github.com/openshift/api/apps/v1"
	routev1 "github.com/openshift/api/route/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// rollout is a DeploymentConfig's whose condition Progressing has that reason.
func rollout(reason, message string, change func(*Facts)) Facts {
	f := Facts{
		DeploymentConfig: &openshiftappsv1.DeploymentConfig{
			ObjectMeta: metav1.ObjectMeta{Name: "terminals", UID: "config"},
			Spec:       openshiftappsv1.DeploymentConfigSpec{Replicas: 1, Triggers: openshiftappsv1.DeploymentTriggerPolicies{{Type: openshiftappsv1.DeploymentTriggerOnConfigChange}}},
			Status: openshiftappsv1.DeploymentConfigStatus{LatestVersion: 2, Conditions: []openshiftappsv1.DeploymentCondition{
				{Type: openshiftappsv1.DeploymentProgressing, Reason: reason, Message: message}}},
		},
		ReplicationController: &corev1.ReplicationController{ObjectMeta: metav1.ObjectMeta{Name: "terminals-2", UID: "controller", CreationTimestamp: ago(time.Minute)}},
		Deployer: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "terminals-2-deploy", OwnerReferences: []metav1.OwnerReference{{Name: "terminals-2"}},
			Labels: workshop.Names("terminals").Labels(workshop.ComponentDeployer)}, Status: corev1.PodStatus{Phase: corev1.PodFailed}},
	}
	if change != nil {
		change(&f)
	}
	return f
}

func route(age time.Duration, reason, message string) Facts {
	r := &routev1.Route{ObjectMeta: metav1.ObjectMeta{Name: "terminals", CreationTimestamp: ago(age)}, Spec: routev1.RouteSpec{Host: "t.example.com"}}
	if reason != "" {
		since := ago(age)
		r.Status.Ingress = []routev1.RouteIngress{{Host: "t.example.com", RouterName: "default", Conditions: []routev1.RouteIngressCondition{
			{Type: routev1.RouteAdmitted, Status: corev1.ConditionFalse, Reason: reason, Message: message, LastTransitionTime: &since}}}}
	}
	return Facts{Route: r}
}

func TestExplainOpenShift(t *testing.T) {
	const quota = `Error creating deployer pod: pods "terminals-2-deploy" is forbidden: exceeded quota: team, requested: pods=1`
	for _, c := range []struct {
		name     string
		facts    Facts
		code     Code
		cause    string // a part of it
		remedy   string // a part of it
		evidence string // one of its lines
		again    time.Duration
	}{
		{"done", rollout("NewReplicationControllerAvailable", "", nil), "", "", "", "", 0},
		{"on its way", rollout("NewReplicationControllerCreated", "", nil), "", "", "", "", 0},
		{"failed", rollout("ProgressDeadlineExceeded", `replication controller "terminals-2" has failed progressing`, nil), RolloutFailed, "has failed", "deploy again", `replication controller "terminals-2" has failed progressing`, 0},
		{"failed, the one before runs", rollout("ProgressDeadlineExceeded", "", func(f *Facts) { f.DeploymentConfig.Status.AvailableReplicas = 1 }), RolloutFailed, "", "", "the version before it runs again", 0},
		{"failed, and a new one is about to begin", rollout("ProgressDeadlineExceeded", "", func(f *Facts) { f.ReplicationController = nil }), "", "", "", "", 0},
		{"failed, as it was begun", rollout("ProgressDeadlineExceeded", "", func(f *Facts) {
			f.ReplicationController.Annotations = map[string]string{openshiftappsv1.DeploymentStatusReasonAnnotation: "config change"}
		}), RolloutFailed, "", "", "", 0},
		{"its pod is gone", rollout("ProgressDeadlineExceeded", "", func(f *Facts) {
			f.Deployer, f.ReplicationController.Annotations = nil, map[string]string{openshiftappsv1.DeploymentStatusReasonAnnotation: "deployer pod no longer exists"}
		}), RolloutFailed, "", "", "deployer pod no longer exists", 0},
		{"cancelled", rollout("RolloutCancelled", "", nil), RolloutCancelled, "cancelled", "oc rollout latest terminals", "", 0},
		{"paused", rollout("DeploymentConfigPaused", "", nil), RolloutPaused, "paused", "oc rollout resume deploymentconfig terminals", "", 0},
		{"no triggers", rollout("", "", func(f *Facts) {
			f.ReplicationController, f.Deployer, f.DeploymentConfig.Spec.Triggers, f.DeploymentConfig.Status.LatestVersion = nil, nil, nil, 0
		}), RolloutFailed, "triggers", "oc rollout latest terminals", "", 0},
		{"its controller is refused", rollout("ReplicationControllerCreateError", `replicationcontrollers "terminals-2" is forbidden: exceeded quota: team, requested: replicationcontrollers=1`, nil), Quota, "(team)", "", "", 0},
		{"switched off", rollout("NewReplicationControllerAvailable", "", func(f *Facts) { f.DeploymentConfig.Spec.Replicas = 0 }), SwitchedOff, "", "kubectl scale deploymentconfig terminals", "", 0},
		{"its pod is refused", rollout("NewReplicationControllerCreated", "", func(f *Facts) {
			f.Deployer, f.Events = nil, []*corev1.Event{event("config", "FailedCreate", quota, 6*time.Second)}
		}), Quota, "(team)", "", quota, 0},
		{"its pod is refused, perhaps for a moment", rollout("NewReplicationControllerCreated", "", func(f *Facts) {
			f.Deployer, f.Events = nil, []*corev1.Event{event("controller", "FailedCreate", quota, time.Second)}
		}), "", "", "", "", 4 * time.Second},
		{"the pod of the rollout before was refused", rollout("NewReplicationControllerCreated", "", func(f *Facts) {
			old := event("config", "FailedCreate", quota, time.Hour)
			old.LastTimestamp = ago(2 * time.Minute)
			f.Deployer, f.Events = nil, []*corev1.Event{old}
		}), "", "", "", "", 0},
		{"the hub's pod is refused", rollout("NewReplicationControllerCreated", "", func(f *Facts) {
			f.ReplicationController.Status.Conditions = []corev1.ReplicationControllerCondition{{Type: corev1.ReplicationControllerReplicaFailure, Status: corev1.ConditionTrue,
				Message: `pods "terminals-2-" is forbidden: exceeded quota: team, requested: pods=1`, LastTransitionTime: ago(time.Minute)}}
		}), Quota, "(team)", "", "", 0},
		{"the rollout's pod needs more memory", rollout("NewReplicationControllerCreated", "", func(f *Facts) {
			f.Deployer = unscheduled(time.Minute, workshop.ComponentDeployer, "0/1 nodes are available: 1 Insufficient memory.")
		}), Unschedulable, "enough memory", "free some, or add nodes", "", 0},

		{"host taken here", route(6*time.Second, "HostAlreadyClaimed", "route other already exposes t.example.com and is older"), HostClaimed, "t.example.com is taken by route other of this namespace", "kubectl delete route other", "router default: HostAlreadyClaimed: route other already exposes t.example.com and is older", 0},
		{"host taken elsewhere", route(6*time.Second, "HostAlreadyClaimed", "a route in another namespace holds t.example.com and is older than terminals"), HostClaimed, "taken by a route in another namespace", "--host", "", 0},
		{"host taken, other words", route(6*time.Second, "HostAlreadyClaimed", "the moon is full"), HostClaimed, "taken by another route", "--host", "", 0},
		{"host taken, perhaps for a moment", route(time.Second, "HostAlreadyClaimed", ""), "", "", "", "", 4 * time.Second},
		{"rejected", route(6*time.Second, "ExtendedValidationFailed", "x"), RouteRejected, "refuses to serve it", "--host", "router default: ExtendedValidationFailed: x", 0},
		{"no router", route(21*time.Second, "", ""), RouteNoRouter, "no router", "--expose none", "", 0},
		{"a new route", route(0, "", ""), "", "", "", "", 20 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.facts.Now = now
			f, again := Explain(c.facts)
			if again != c.again {
				t.Errorf("again in %v, want %v", again, c.again)
			}
			switch {
			case f == nil && c.code != "":
				t.Errorf("nothing found, want %s", c.code)
			case f == nil:
			case f.Code != c.code || !strings.Contains(f.Cause, c.cause) || !strings.Contains(f.Remedy, c.remedy):
				t.Errorf("code %s, want %s\ncause %q, want %q\nremedy %q, want %q", f.Code, c.code, f.Cause, c.cause, f.Remedy, c.remedy)
			case slices.Contains(f.Evidence, "config change"):
				t.Error("what began the rollout is taken for what ended it")
			case c.evidence != "" && !slices.Contains(f.Evidence, c.evidence):
				t.Errorf("evidence %q, want %q", f.Evidence, c.evidence)
			}
		})
	}
}

// The last lines of the pod that carried a rollout out say why it failed.
func TestLogOfARollout(t *testing.T) {
	f, _ := Explain(rollout("ProgressDeadlineExceeded", "", nil))
	if f == nil || f.Log == nil || *f.Log != (Log{Pod: "terminals-2-deploy", Container: "deployment"}) {
		t.Errorf("%+v", f)
	}
}

func TestRefusalOfRoutes(t *testing.T) {
	for message, code := range map[string]Code{
		`Route.route.openshift.io "terminals" is invalid: spec.host: Forbidden: you do not have permission to set the host field of the route`:    Rights,
		`Route.route.openshift.io "terminals" is invalid: spec.host: Invalid value: "aaa.apps.example.com": host must conform to DNS conventions`: RouteHost,
	} {
		if f := Refusal("route terminals", message); f == nil || f.Code != code {
			t.Errorf("%s: %+v, want %s", message, f, code)
		}
	}
}
