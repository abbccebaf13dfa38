// SPDX-License-Identifier: Apache-2.0

//go:build integration

package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/workshopctl/workshopctl/pkg/cmd/sessions"
	"github.com/workshopctl/workshopctl/pkg/workshop"
	"github.com/workshopctl/workshopctl/test/testcluster"
)

// volume makes the claim of a session, as the hub does.
func (tr *trainer) volume(user string) {
	tr.t.Helper()
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "terminals--" + user, Annotations: map[string]string{workshop.UsernameAnnotation: user},
			Labels: workshop.Names("terminals").Labels(workshop.ComponentSession)},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}
	claim.Labels[workshop.LabelManagedBy] = "kubespawner"
	if _, err := tr.Trainer.Kubernetes.CoreV1().PersistentVolumeClaims(tr.Namespace).Create(tr.t.Context(), claim, metav1.CreateOptions{}); err != nil {
		tr.t.Fatal(err)
	}
}

// json runs a command with -o json.
func (tr *trainer) json(into any, args ...string) {
	tr.t.Helper()
	if err := json.Unmarshal([]byte(tr.run(append(args, "-o", "json")...)), into); err != nil {
		tr.t.Fatal(err)
	}
}

// there says whether a pod and a claim of a user are, and aren't about to go.
func (tr *trainer) there(user string) (pod, claim bool) {
	tr.t.Helper()
	core := tr.Admin.Kubernetes.CoreV1()
	_, err := core.Pods(tr.Namespace).Get(tr.t.Context(), "terminals--"+user, metav1.GetOptions{})
	pod = !apierrors.IsNotFound(err)
	volume, err := core.PersistentVolumeClaims(tr.Namespace).Get(tr.t.Context(), "terminals--"+user, metav1.GetOptions{})
	return pod, !apierrors.IsNotFound(err) && (err != nil || volume.DeletionTimestamp == nil)
}

// While the hub is down each verb does what can be done without it, and says
// what it could not learn or do.
func TestSessionsWithoutHub(t *testing.T) {
	tr, _ := newTrainer(t)
	tr.run(append([]string{"deploy", "--idle-timeout", "2h"}, deployable...)...)
	for _, user := range []string{"ann", "bob", "carl", "emil"} {
		meta := tr.session(user)
		testcluster.Await(t, tr.Admin.Kubernetes.CoreV1().Pods(tr.Namespace), meta.Name, func(p *corev1.Pod) bool { return len(p.Status.ContainerStatuses) > 0 })
	}
	for _, user := range []string{"ann", "bob", "dora"} {
		tr.volume(user)
	}
	// Nobody's hub is up any more.
	scale := []byte(`{"spec":{"replicas":0}}`)
	if _, err := tr.Admin.Kubernetes.AppsV1().Deployments(tr.Namespace).Patch(t.Context(), "terminals", types.MergePatchType, scale, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	const down = "The hub does not answer"

	// Who is there.
	var list sessions.SessionList
	tr.json(&list, "sessions", "list", "--stopped")
	if len(list.Items) != 5 || list.HubError == "" {
		t.Errorf("list: %+v", list)
	}
	for _, s := range list.Items {
		if want := map[bool]string{true: "stopped", false: "running"}[s.User == "dora"]; string(s.State) != want || !s.CulledAt.IsZero() {
			t.Errorf("%s: %+v", s.User, s)
		}
	}
	var one sessions.Description
	tr.json(&one, "sessions", "describe", "Ann")
	if one.User != "ann" || one.State != "running" || one.HubError == "" || one.UsageError == "" || len(one.Containers) != 1 || len(one.Conditions) == 0 ||
		one.VolumeDetails == nil || one.VolumeDetails.Size != "1Gi" {
		t.Errorf("describe: %+v", one)
	}
	if out := tr.run("sessions", "describe", "dora"); !strings.Contains(out, "stopped") || !strings.Contains(out, "terminals--dora, 1Gi") {
		t.Errorf("describe of one without a session:\n%s", out)
	}

	// Kept longer: by what was asked for, on top of what can be left at most.
	extended := func(args ...string) time.Time {
		t.Helper()
		var done sessions.Results
		tr.json(&done, append([]string{"sessions", "extend"}, args...)...)
		p, err := tr.Admin.Kubernetes.CoreV1().Pods(tr.Namespace).Get(t.Context(), "terminals--ann", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		until, err := time.Parse(time.RFC3339, p.Annotations[workshop.KeepUntilAnnotation])
		if err != nil || len(done.Items) == 0 || !done.Items[0].KeepUntil.Equal(until) {
			t.Errorf("extend %v: %+v, on the pod %v (%v)", args, done, until, err)
		}
		return until
	}
	before := time.Now()
	first := extended("ann", "--by", "1h")
	if first.Before(before.Add(3*time.Hour)) || first.After(time.Now().Add(3*time.Hour+time.Second)) {
		t.Errorf("kept until %v, at %v", first, before)
	}
	if second := extended("--all", "--by", "30m"); !second.Equal(first.Add(30 * time.Minute)) {
		t.Errorf("kept until %v, then %v", first, second)
	}
	if r := tr.try("sessions", "extend", "ann", "--by", "1m"); r.code != 0 || r.stdout != "" || !strings.Contains(r.stderr, down) || !strings.Contains(r.stderr, "ann is kept until") {
		t.Errorf("extend: %+v", r)
	}

	// Stopped: by the pods. Somebody who is misspelled stops the others.
	tr.fails(1, []string{"annn has no session", "did you mean ann?"}, "sessions", "stop", "bob", "annn", "--yes")
	tr.fails(5, []string{"--yes", "Stop the session of bob?", "is lost"}, "sessions", "stop", "bob")
	if pod, _ := tr.there("bob"); !pod {
		t.Error("bob's session is stopped without a yes")
	}
	if r := tr.try("sessions", "stop", "bob", "emil", "--yes"); r.code != 0 || !strings.Contains(r.stderr, down) || !strings.Contains(r.stderr, "Stopped 2 sessions") {
		t.Errorf("stop: %+v", r)
	}
	if pod, claim := tr.there("bob"); pod || !claim {
		t.Errorf("after stop: pod %v, volume %v", pod, claim)
	}
	tr.fails(1, []string{"find out who is idle", "--all"}, "sessions", "stop", "--idle", "1h", "--yes")

	// What nobody but the hub can do.
	for _, args := range [][]string{{"start", "bob"}, {"restart", "ann", "--yes"}, {"prune"}} {
		tr.fails(1, []string{"the hub does not answer", "rollout status"}, append([]string{"sessions"}, args...)...)
	}

	// Deleted, but for the hub's part; volumes only when that is said.
	tr.fails(5, []string{"--yes", "Delete user ann?", "The volume stays."}, "sessions", "delete", "ann")
	tr.fails(1, []string{down, "still knows them"}, "sessions", "delete", "ann", "--yes")
	if pod, claim := tr.there("ann"); pod || !claim {
		t.Errorf("after delete: pod %v, volume %v", pod, claim)
	}
	tr.fails(1, []string{"still knows them"}, "sessions", "delete", "ann", "dora", "--delete-volumes", "--yes")
	for _, user := range []string{"ann", "dora"} {
		if _, claim := tr.there(user); claim {
			t.Errorf("%s's volume is there after --delete-volumes", user)
		}
	}
	if _, claim := tr.there("bob"); !claim {
		t.Error("bob's volume is gone with that of others")
	}
	tr.fails(1, []string{"nobody has neither session nor volume", "can't be asked now"}, "sessions", "delete", "nobody", "--yes")

	if r := tr.try("sessions", "stop", "--all", "--yes", "-o", "name"); r.code != 0 || r.stdout != "session/carl\n" {
		t.Errorf("stop of all: %+v", r)
	}
	if r := tr.try("sessions", "stop", "--all", "--yes", "-o", "json"); r.code != 0 || strings.TrimSpace(r.stdout) != "{\n  \"items\": []\n}" {
		t.Errorf("stop of nobody: %+v", r)
	}

	// Names are completed for each argument.
	tr.session("ann")
	tr.session("anton")
	if out := tr.try("__complete", "sessions", "stop", "ann", "").stdout; !strings.HasPrefix(out, "anton\n:4") {
		t.Errorf("completion: %q", out)
	}
}
