// SPDX-License-Identifier: Apache-2.0

package session_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/workshopctl/workshopctl/pkg/hub"
	"github.com/workshopctl/workshopctl/pkg/session"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// pod of a user, an hour old and ready.
func pod(user string, change func(*corev1.Pod)) corev1.Pod {
	p := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "terminals--" + user, Annotations: map[string]string{workshop.UsernameAnnotation: user}, CreationTimestamp: metav1.NewTime(now.Add(-time.Hour))},
		Spec: corev1.PodSpec{
			NodeName:   "n1",
			Containers: []corev1.Container{{Name: "notebook", Image: "t:1"}},
			Volumes:    []corev1.Volume{{Name: "home", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "terminals--" + user}}}},
		},
		Status: corev1.PodStatus{
			Phase:      corev1.PodRunning,
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		},
	}
	if change != nil {
		change(&p)
	}
	return p
}

func user(name string, s hub.Server) hub.User {
	return hub.User{Name: name, Servers: map[string]hub.Server{"": s}}
}

func TestImage(t *testing.T) {
	const asked, pulled = "sha256:aaaa", "sha256:bbbb"
	for name, test := range map[string]struct {
		pod  corev1.Pod
		want [3]string // image, tag, digest
	}{
		"by name": {pod("ann", nil), [3]string{"t:1", "", ""}},
		"pulled by name": {pod("ann", func(p *corev1.Pod) {
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "other", ImageID: "r/x@sha256:cccc"}, {Name: session.Container, ImageID: "r/t@" + pulled}}
		}), [3]string{"t:1", "", pulled}},
		"by an image stream tag": {pod("ann", func(p *corev1.Pod) {
			p.Annotations[workshop.ImageStreamTagAnnotation] = "training/t:1"
			p.Spec.Containers[0].Image = "r/t@" + asked
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: session.Container, ImageID: "r/t@" + pulled}}
		}), [3]string{"r/t@" + asked, "training/t:1", asked}},
	} {
		s := session.FromPod(&test.pod)
		if got := [3]string{s.Image, s.ImageStreamTag, s.Digest}; got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestJoin(t *testing.T) {
	deleted := metav1.NewTime(now)
	active := hub.Server{Ready: true, LastActivity: now.Add(-time.Minute)}
	type want struct {
		State  session.State
		Reason string
	}
	for name, test := range map[string]struct {
		pods  []corev1.Pod
		users []hub.User // nil: the hub doesn't answer
		want  []want
	}{
		"nobody":       {users: []hub.User{}},
		"running":      {pods: []corev1.Pod{pod("ann", nil)}, users: []hub.User{user("ann", active)}, want: []want{{State: session.Running}}},
		"without hub":  {pods: []corev1.Pod{pod("ann", nil)}, want: []want{{State: session.Running}}},
		"idle":         {pods: []corev1.Pod{pod("ann", nil)}, users: []hub.User{user("ann", hub.Server{Ready: true, LastActivity: now.Add(-session.IdleAfter)})}, want: []want{{State: session.Idle}}},
		"never active": {pods: []corev1.Pod{pod("ann", nil)}, users: []hub.User{user("ann", hub.Server{Ready: true})}, want: []want{{State: session.Running}}},
		"orphaned":     {pods: []corev1.Pod{pod("ann", nil)}, users: []hub.User{}, want: []want{{session.Orphaned, "the hub doesn't know this session"}}},
		"too young to be orphaned": {
			pods:  []corev1.Pod{pod("ann", func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(now.Add(-time.Second)) })},
			users: []hub.User{}, want: []want{{State: session.Running}},
		},
		"stopping": {pods: []corev1.Pod{pod("ann", func(p *corev1.Pod) { p.DeletionTimestamp = &deleted })}, users: []hub.User{}, want: []want{{State: session.Stopping}}},
		"stopping by the hub": {
			pods: []corev1.Pod{pod("ann", nil)}, users: []hub.User{user("ann", hub.Server{Pending: "stop", LastActivity: now})},
			want: []want{{State: session.Stopping}},
		},
		"the hub's own": {
			users: []hub.User{user("ann", hub.Server{Pending: "spawn"}), user("bob", hub.Server{Pending: "stop"}), user("carl", active)},
			want:  []want{{session.Starting, "the hub is making its pod"}, {State: session.Stopping}, {session.Failed, "its pod is gone; the hub finds out within a minute"}},
		},
		"no node": {
			pods: []corev1.Pod{pod("ann", func(p *corev1.Pod) {
				p.Status = corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes are available"}}}
			})},
			want: []want{{session.Starting, "Unschedulable: 0/3 nodes are available"}},
		},
		"filling the volume": {
			pods: []corev1.Pod{pod("ann", func(p *corev1.Pod) {
				p.Status = corev1.PodStatus{Phase: corev1.PodPending, InitContainerStatuses: []corev1.ContainerStatus{
					{Name: "gateway", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}},
					{Name: "seed", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
				}}
			})},
			want: []want{{session.Starting, "filling the volume"}},
		},
		"no image": {
			pods: []corev1.Pod{pod("ann", func(p *corev1.Pod) {
				p.Status = corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{
					{Name: "notebook", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "not found"}}},
				}}
			})},
			want: []want{{session.Failed, "ImagePullBackOff: not found"}},
		},
		"evicted": {
			pods: []corev1.Pod{pod("ann", func(p *corev1.Pod) {
				p.Status = corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted", Message: "low on memory"}
			})},
			want: []want{{session.Failed, "Evicted: low on memory"}},
		},
		"out of memory": {
			pods: []corev1.Pod{pod("ann", func(p *corev1.Pod) {
				p.Status = corev1.PodStatus{Phase: corev1.PodFailed, ContainerStatuses: []corev1.ContainerStatus{
					{Name: "notebook", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled"}}},
				}}
			})},
			want: []want{{session.Failed, "OOMKilled"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got []want
			for _, s := range session.Join(test.pods, test.users, now) {
				got = append(got, want{s.State, s.Reason})
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestJoinFields(t *testing.T) {
	activity := now.Add(-time.Minute)
	got := session.Join([]corev1.Pod{pod("zoe", nil), pod("ann", nil)}, []hub.User{user("ann", hub.Server{Ready: true, LastActivity: activity})}, now)
	if len(got) != 2 || got[1].User != "zoe" {
		t.Fatalf("not by user: %+v", got)
	}
	want := session.Session{
		User: "ann", State: session.Running, Created: now.Add(-time.Hour), LastActivity: activity,
		Image: "t:1", Node: "n1", Pod: "terminals--ann", Volume: "terminals--ann",
	}
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Error(diff)
	}
}
