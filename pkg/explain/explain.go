// SPDX-License-Identifier: Apache-2.0

// Package explain tells why something in the cluster does not get ready: one
// table of rules that go from what the cluster says (states, conditions,
// events) to a cause in plain words, the evidence for it, and a remedy. It is
// pure: it asks nobody and prints nothing.
package explain

import (
	"maps"
	"time"

	openshiftappsv1 "github.com/openshift/api/apps/v1"
	routev1 "github.com/openshift/api/route/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Code names a cause for programs; it is part of `-o json` and never changes
// its meaning.
type Code string

// The causes that are known.
const (
	ImageNotFound     Code = "image-not-found"
	ImageUnauthorized Code = "image-unauthorized"
	ImageInvalid      Code = "image-invalid"
	RegistryNotFound  Code = "registry-not-found"
	RegistryTLS       Code = "registry-tls"
	RegistryLimit     Code = "registry-limit"
	ImagePull         Code = "image-pull"
	Quota             Code = "quota"
	LimitRange        Code = "limit-range"
	PodSecurity       Code = "pod-security"
	PodRefused        Code = "pod-refused"
	Unschedulable     Code = "unschedulable"
	VolumePending     Code = "volume-pending"
	VolumeLost        Code = "volume-lost"
	VolumeMount       Code = "volume-mount"
	VolumeChange      Code = "volume-change"
	NodeTrouble       Code = "node-trouble"
	ContainerConfig   Code = "container-config"
	ContainerCrash    Code = "container-crash"
	OutOfMemory       Code = "out-of-memory"
	PodFailed         Code = "pod-failed"
	SwitchedOff       Code = "switched-off"
	NotReady          Code = "not-ready"
	IngressNoClass    Code = "ingress-no-class"
	IngressClass      Code = "ingress-class-unknown"
	Login             Code = "login"
	HostClaimed       Code = "host-claimed"
	RouteHost         Code = "route-host"
	RouteRejected     Code = "route-rejected"
	RouteNoRouter     Code = "route-no-router"
	RolloutFailed     Code = "rollout-failed"
	RolloutCancelled  Code = "rollout-cancelled"
	RolloutPaused     Code = "rollout-paused"
	Rights            Code = "rights"
	Namespace         Code = "namespace"
)

// The causes that image streams know (pkg/image).
const (
	ImageStreamNotFound Code = "image-stream-not-found"
	ImageStreamRights   Code = "image-stream-rights"
	ImageTagNotFound    Code = "image-tag-not-found"
	ImageTagEmpty       Code = "image-tag-empty"
)

// Failure is a known cause: why something does not get ready, and what to do.
type Failure struct { //nolint:errname // it is shown as data (status, checks) as often as returned as an error
	Code Code `json:"code"`
	// Object in words: "pod terminals-7d9f-x2x4z", "claim terminals-hub".
	Object string `json:"object"`
	// Cause in plain words, one sentence without a full stop.
	Cause string `json:"cause"`
	// Evidence: what the cluster said, line by line, without control sequences.
	Evidence []string `json:"evidence,omitempty"`
	// Remedy: what to do next, with a flag where one helps.
	Remedy string `json:"remedy,omitempty"`
	// Log is the container whose last lines belong to the evidence; the caller
	// reads them. Nil where there is none.
	Log *Log `json:"-"`
}

// Log says which container's log tells more.
type Log struct {
	Pod, Container string
	// Previous is true for the log of the container's last run.
	Previous bool
}

// Error is the cause with its object; evidence and remedy are for the caller
// to set beside it.
func (f *Failure) Error() string { return f.Object + ": " + f.Cause }

// Facts are what the cluster says about one part of a workshop. All are
// optional.
type Facts struct {
	// Now is the time to measure waiting against.
	Now time.Time
	// Deployment of the part, and the ReplicaSet of its present template.
	Deployment *appsv1.Deployment
	ReplicaSet *appsv1.ReplicaSet
	// DeploymentConfig of the part in place of a Deployment, the
	// ReplicationController of its newest rollout, and the pod that carries the
	// rollout out.
	DeploymentConfig      *openshiftappsv1.DeploymentConfig
	ReplicationController *corev1.ReplicationController
	Deployer              *corev1.Pod
	// Pods of the present template.
	Pods []*corev1.Pod
	// Claims that the pods mount.
	Claims  []*corev1.PersistentVolumeClaim
	Route   *routev1.Route
	Ingress *networkingv1.Ingress
	// IngressClasses of the cluster; nil where the caller may not read them.
	IngressClasses []*networkingv1.IngressClass
	// Events of the namespace; those of other objects are ignored.
	Events []*corev1.Event
	// Seen remembers what was found when, between calls for the same part;
	// Explain keeps it. With it, waiting is measured by the caller's clock
	// alone, which may differ from the cluster's. Without it (nil), the
	// cluster's own times are compared with Now.
	Seen map[string]time.Time
}

// Rule finds one kind of cause.
type Rule struct {
	// Name for tests and documentation.
	Name string
	// Grace is how long the cluster is given to get over it by itself, from
	// the time that the finding is dated.
	Grace time.Duration
	match func(*Facts) []finding
}

// finding is what a rule has found, and since when it is so. The zero time
// means long ago; grace, where it isn't 0, takes the place of the rule's.
type finding struct {
	failure *Failure
	since   time.Time
	grace   time.Duration
}

// Explain goes through the rules and returns the first cause that has
// outlasted its grace, or nil. again is then when to ask once more even if
// nothing changes, because a grace ends; 0 means never.
func Explain(f Facts) (failure *Failure, again time.Duration) {
	seen := map[string]time.Time{}
	defer func() {
		if f.Seen != nil {
			clear(f.Seen)
			maps.Copy(f.Seen, seen)
		}
	}()
	for _, rule := range Rules() {
		for _, found := range rule.match(&f) {
			grace := rule.Grace
			if found.grace != 0 {
				grace = found.grace
			}
			if f.Seen != nil && !found.since.IsZero() {
				key := rule.Name + ": " + found.failure.Object
				found.since = f.Now
				if first, ok := f.Seen[key]; ok {
					found.since = first
				}
				seen[key] = found.since
			}
			left := time.Duration(0)
			if !found.since.IsZero() {
				left = found.since.Add(grace).Sub(f.Now)
			}
			if left <= 0 {
				return found.failure, 0
			}
			if again == 0 || left < again {
				again = left
			}
		}
	}
	return nil, again
}

// eventsOf returns the events about an object with one of the reasons, newest
// last.
func (f *Facts) eventsOf(uid types.UID, reasons ...string) []*corev1.Event {
	var events []*corev1.Event
	for _, e := range f.Events {
		if e == nil || e.InvolvedObject.UID != uid {
			continue
		}
		for _, reason := range reasons {
			if e.Reason == reason {
				events = append(events, e)
			}
		}
	}
	sortByTime(events)
	return events
}
