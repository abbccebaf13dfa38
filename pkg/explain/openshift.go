// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	openshiftappsv1 "github.com/openshift/api/apps/v1"
	routev1 "github.com/openshift/api/route/v1"
	corev1 "k8s.io/api/core/v1"
)

// The reasons of a DeploymentConfig's condition Progressing that decide a
// rollout (library-go, pkg/apps/appsutil).
const (
	RolloutDone      = "NewReplicationControllerAvailable"
	rolloutTimedOut  = "ProgressDeadlineExceeded"
	rolloutCancelled = "RolloutCancelled"
	rolloutPaused    = "DeploymentConfigPaused"
	rolloutUnmade    = "ReplicationControllerCreateError"
)

// deployerContainer is what the one container of a rollout's pod is called.
const deployerContainer = "deployment"

// Progressing is the reason of that condition, empty where there is none.
func Progressing(d *openshiftappsv1.DeploymentConfig) string {
	return progressing(d).Reason
}

func progressing(d *openshiftappsv1.DeploymentConfig) openshiftappsv1.DeploymentCondition {
	for _, c := range d.Status.Conditions {
		if c.Type == openshiftappsv1.DeploymentProgressing {
			return c
		}
	}
	return openshiftappsv1.DeploymentCondition{}
}

// deployerRefused finds rollouts whose pod the cluster doesn't take. Their
// controller tries again until the rollout's time is over.
func deployerRefused(f *Facts) []finding {
	if f.DeploymentConfig == nil || f.Deployer != nil {
		return nil
	}
	events := f.eventsOf(f.DeploymentConfig.UID, "FailedCreate")
	if rc := f.ReplicationController; rc != nil {
		events = append(events, f.eventsOf(rc.UID, "FailedCreate")...)
	}
	for _, e := range slices.Backward(events) {
		if !strings.Contains(e.Message, "deployer pod") || f.ReplicationController != nil && eventTime(e).Before(f.ReplicationController.CreationTimestamp.Time) {
			continue
		}
		one := f.refusedPod(e.Message, firstTime(e))
		if one.failure.Code == PodRefused {
			one.failure.Cause = "the cluster refuses to make the pod that carries out its rollout"
		}
		return []finding{one}
	}
	return nil
}

// rolloutFailed finds rollouts of DeploymentConfigs that have ended without
// success. The pods that failed are gone by then, and the last good version
// runs again where there is one.
func rolloutFailed(f *Facts) []finding {
	d := f.DeploymentConfig
	if d == nil {
		return nil
	}
	object, argument := f.workload()
	c := progressing(d)
	failure := &Failure{Object: object, Evidence: evidence(c.Message)}
	switch {
	case c.Reason == rolloutUnmade:
		if known := Refusal(object, c.Message); known != nil {
			return []finding{{failure: known}}
		}
		failure.Code, failure.Cause, failure.Remedy = PodRefused, "the cluster refuses to make its replication controller", "see what the cluster says, and ask its administrator if that doesn't help"
	case c.Reason == rolloutPaused:
		failure.Code, failure.Cause, failure.Remedy = RolloutPaused, "somebody has paused its rollouts", "let them go on: oc rollout resume "+argument
	case f.ReplicationController == nil && d.Status.LatestVersion == 0 && len(d.Spec.Triggers) == 0:
		failure.Code, failure.Cause, failure.Remedy = RolloutFailed, "nothing begins its rollouts, because somebody has removed its triggers", "begin one: oc rollout latest "+d.Name
	case f.ReplicationController == nil:
		return nil // a new rollout is about to begin
	case c.Reason == rolloutCancelled:
		failure.Code, failure.Cause, failure.Remedy = RolloutCancelled, "its rollout was cancelled", "deploy again, or begin one: oc rollout latest "+Clean(d.Name)
	case c.Reason == rolloutTimedOut:
		failure.Code, failure.Cause, failure.Remedy = RolloutFailed, "its rollout has failed", "see what the rollout's pod says; deploy again once the cause is gone"
		// With its pod there, it holds no more than what began the rollout.
		if why := f.ReplicationController.Annotations[openshiftappsv1.DeploymentStatusReasonAnnotation]; why != "" && f.Deployer == nil {
			failure.Evidence = append(failure.Evidence, evidence(why)...)
		}
		if d.Status.AvailableReplicas > 0 {
			failure.Evidence = append(failure.Evidence, "the version before it runs again")
		}
	default:
		return nil
	}
	if f.Deployer != nil && f.Deployer.Status.Phase == corev1.PodFailed {
		failure.Log = &Log{Pod: f.Deployer.Name, Container: deployerContainer}
	}
	return []finding{{failure: failure}}
}

// The words of OpenShift's router about a host that is taken
// (pkg/router/controller).
var (
	claimedBy   = regexp.MustCompile(`route (\S+) already exposes|older route (\S+)`)
	claimedAfar = regexp.MustCompile(`another namespace|namespace (\S+) owns`)
)

const otherHost = "choose another host with --host"

func routeRejected(f *Facts) []finding {
	r := f.Route
	if r == nil {
		return nil
	}
	for _, i := range r.Status.Ingress {
		for _, c := range i.Conditions {
			if c.Type != routev1.RouteAdmitted || c.Status != corev1.ConditionFalse || i.Host != r.Spec.Host {
				continue
			}
			one := finding{failure: rejection(r, i, c)}
			if c.LastTransitionTime != nil {
				one.since = c.LastTransitionTime.Time
			}
			return []finding{one}
		}
	}
	return nil
}

func rejection(r *routev1.Route, i routev1.RouteIngress, c routev1.RouteIngressCondition) *Failure {
	object := "route " + Clean(r.Name)
	said := evidence(fmt.Sprintf("router %s: %s: %s", i.RouterName, c.Reason, c.Message))
	if c.Reason != "HostAlreadyClaimed" {
		return &Failure{Code: RouteRejected, Object: object, Cause: fmt.Sprintf("the router refuses to serve it under %s", Clean(r.Spec.Host)), Evidence: said,
			Remedy: "see what the router says; " + otherHost}
	}
	failure := &Failure{Code: HostClaimed, Object: object, Evidence: said,
		Cause: fmt.Sprintf("its host %s is taken by another route", Clean(r.Spec.Host)), Remedy: otherHost}
	switch m := claimedBy.FindStringSubmatch(c.Message); {
	case claimedAfar.MatchString(c.Message):
		failure.Cause = fmt.Sprintf("its host %s is taken by a route in another namespace", Clean(r.Spec.Host))
	case m != nil:
		other := Clean(m[1] + m[2])
		failure.Cause = fmt.Sprintf("its host %s is taken by route %s of this namespace", Clean(r.Spec.Host), other)
		failure.Remedy += ", or delete the other route if nobody needs it: kubectl delete route " + other
	}
	return failure
}

func routeNoRouter(f *Facts) []finding {
	r := f.Route
	if r == nil {
		return nil
	}
	// A router that has said something of another host has yet to see this one.
	for _, i := range r.Status.Ingress {
		if i.Host == r.Spec.Host && len(i.Conditions) > 0 {
			return nil
		}
	}
	return []finding{{since: r.CreationTimestamp.Time, failure: &Failure{Code: RouteNoRouter, Object: "route " + Clean(r.Name),
		Cause: "no router serves it", Evidence: []string{"no router has admitted or rejected it"},
		Remedy: "ask the cluster's administrator whether a router serves this namespace, or deploy with --expose none and use `url --forward`"}}}
}
