// SPDX-License-Identifier: Apache-2.0

//go:build integration

package preflight_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/workshopctl/workshopctl/pkg/apply"
	"github.com/workshopctl/workshopctl/pkg/capability"
	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/image"
	"github.com/workshopctl/workshopctl/pkg/preflight"
	"github.com/workshopctl/workshopctl/pkg/render"
	"github.com/workshopctl/workshopctl/pkg/rollout"
	"github.com/workshopctl/workshopctl/pkg/workshop"
	"github.com/workshopctl/workshopctl/test/testcluster"
)

const digest = "sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1"

func input(t *testing.T, c *testcluster.Cluster) preflight.Input {
	t.Helper()
	s := workshop.Spec{TerminalImage: "registry.example.com/terminal:1", Expose: workshop.ExposeNone}.
		WithDefaults(workshop.Images{Gateway: "gateway:1", Hub: "hub:1", Proxy: "proxy:1"})
	in := preflight.Input{Namespace: c.Namespace, Spec: s, Session: image.Named(s.TerminalImage), Capabilities: capability.Set{Ingress: true}}
	var err error
	if in.Objects, err = render.Objects(render.Input{Spec: s, Namespace: c.Namespace, Version: "v0.1.0", Capabilities: in.Capabilities}); err != nil {
		t.Fatal(err)
	}
	return in
}

func codes(found []preflight.Finding) map[explain.Code]bool {
	m := map[explain.Code]bool{}
	for _, f := range found {
		m[f.Code] = f.Warning
	}
	return m
}

func TestCheck(t *testing.T) {
	c := testcluster.New(t)
	ctx := t.Context()
	in := input(t, c)
	check := func(u *testcluster.User, in preflight.Input) []preflight.Finding {
		t.Helper()
		found, err := preflight.Check(ctx, u.Kubernetes, in)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	// Nothing is wrong, and storage classes are none of a trainer's business.
	if found := check(c.Trainer, in); len(found) != 0 {
		t.Errorf("trainer: %v", found)
	}
	// One who may see that there are none is warned.
	exposed := in
	exposed.Spec.Expose, exposed.Spec.Host = workshop.ExposeIngress, "workshop.example.com"
	if diff := cmp.Diff(map[explain.Code]bool{explain.VolumePending: true, explain.IngressNoClass: true}, codes(check(c.Admin, exposed))); diff != "" {
		t.Error("administrator (-want +got):\n" + diff)
	}
	// Who may edit may not make Roles.
	found := check(c.Bound(t, "edit"), in)
	want := []string{"get roles.rbac.authorization.k8s.io", "create roles.rbac.authorization.k8s.io", "patch roles.rbac.authorization.k8s.io",
		"get rolebindings.rbac.authorization.k8s.io", "create rolebindings.rbac.authorization.k8s.io", "patch rolebindings.rbac.authorization.k8s.io"}
	if len(found) != 1 || found[0].Code != explain.Rights {
		t.Fatalf("editor: %v", found)
	}
	if diff := cmp.Diff(want, found[0].Evidence); diff != "" {
		t.Error("editor lacks (-want +got):\n" + diff)
	}
	if !strings.Contains(found[0].Remedy, "`workshopctl render --admin --workshop terminals -n "+c.Namespace+"`") {
		t.Errorf("editor is told: %s", found[0].Remedy)
	}
	// Who may only look can't give the hub what it needs.
	if found := check(c.Bound(t, "view"), in); len(found) != 2 || found[1].Object != "role of the hub" || !strings.Contains(strings.Join(found[1].Evidence, " "), "create pods") {
		t.Errorf("viewer: %v", found)
	}
	secret := in
	secret.Spec.PullSecret = "pull"
	if found := check(c.Trainer, secret); len(found) != 1 || !strings.Contains(found[0].Cause, "does not exist") {
		t.Errorf("pull secret: %v", found)
	}
	if _, err := c.Admin.Kubernetes.CoreV1().Secrets(c.Namespace).Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "pull"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if found := check(c.Trainer, secret); len(found) != 1 || !strings.Contains(found[0].Cause, "this one is of type Opaque") {
		t.Errorf("pull secret: %v", found)
	}
	nowhere := in
	nowhere.Namespace = "no-such-namespace"
	nowhere.Spec.Storage.Size, nowhere.Spec.HubStorageSize = "0", "0"
	if diff := cmp.Diff(map[explain.Code]bool{explain.Namespace: false}, codes(check(c.Admin, nowhere))); diff != "" {
		t.Error("no namespace (-want +got):\n" + diff)
	}
}

// Who may edit uses an account that an administrator has prepared, and hears
// what it lacks.
func TestCheckAccount(t *testing.T) {
	c := testcluster.New(t)
	editor := c.Bound(t, "edit")
	in := input(t, c)
	in.Spec.ServiceAccount = "prepared"
	rendered := render.Input{Spec: in.Spec, Namespace: c.Namespace, Version: "v0.1.0", Capabilities: in.Capabilities}
	var err error
	if in.Objects, err = render.Objects(rendered); err != nil {
		t.Fatal(err)
	}
	if in.Account, err = render.Account(rendered); err != nil {
		t.Fatal(err)
	}
	in.Impersonate = func(user string) (kubernetes.Interface, error) {
		config := rest.CopyConfig(editor.Config)
		config.Impersonate.UserName = user
		return kubernetes.NewForConfig(config)
	}
	check := func() []preflight.Finding {
		t.Helper()
		found, err := preflight.Check(t.Context(), editor.Kubernetes, in)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	want := func(found []preflight.Finding, cause, evidence string) {
		t.Helper()
		if len(found) != 1 || found[0].Code != explain.Rights || found[0].Warning || !strings.Contains(found[0].Cause, cause) || !strings.Contains(strings.Join(found[0].Evidence, ", "), evidence) {
			t.Errorf("found %+v; want %q, %q", found, cause, evidence)
		}
	}
	want(check(), "does not exist", "")
	for i, o := range in.Account {
		resource, _ := meta.UnsafeGuessKindToResource(o.GroupVersionKind())
		if _, err := c.Admin.Dynamic.Resource(resource).Namespace(c.Namespace).Create(t.Context(), o, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if i < len(in.Account)-1 {
			want(check(), "lacks rights", "create pods")
		}
	}
	// The authorizer learns of the binding a moment later.
	err = wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, 20*time.Second, true, func(context.Context) (bool, error) { return len(check()) == 0, nil })
	if err != nil {
		t.Errorf("still: %+v", check())
	}
}

func TestCheckQuota(t *testing.T) {
	c := testcluster.New(t)
	ctx := t.Context()
	quotas := c.Admin.Kubernetes.CoreV1().ResourceQuotas(c.Namespace)
	if _, err := quotas.Create(ctx, &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "team"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	in := input(t, c)
	for _, step := range []struct {
		hard     string
		existing bool
		want     string
		warning  bool
	}{
		{`{"limits.memory":"1Gi"}`, false, "limits.memory: 1280Mi needed, 1Gi of 1Gi left", false},
		{`{"limits.memory":"1500Mi"}`, false, "limits.memory: 1792Mi needed, 1500Mi of 1500Mi left", true},
		{`{"limits.memory":"1792Mi","pods":"3","requests.storage":"2Gi","persistentvolumeclaims":"2","requests.cpu":"200m"}`, false, "", false},
		{`{"pods":"0"}`, true, "pods: 1 needed, 0 of 0 left", true},
		{`{"requests.storage":"1Gi"}`, false, "requests.storage: 2Gi needed, 1Gi of 1Gi left", true},
	} {
		var q *corev1.ResourceQuota
		for _, hard := range []string{"null", step.hard} {
			var err error
			if q, err = quotas.Patch(ctx, "team", types.MergePatchType, []byte(`{"spec":{"hard":`+hard+`}}`), metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		testcluster.Await(t, quotas, "team", func(now *corev1.ResourceQuota) bool {
			return equality.Semantic.DeepEqual(now.Status.Hard, q.Spec.Hard) && len(now.Status.Used) == len(now.Spec.Hard)
		})
		in.Existing = step.existing
		found, err := preflight.Check(ctx, c.Trainer.Kubernetes, in)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case step.want == "" && len(found) == 0:
		case len(found) != 1 || found[0].Code != explain.Quota || found[0].Warning != step.warning || found[0].Evidence[0] != step.want:
			t.Errorf("%s: %+v, want %s", step.hard, found, step.want)
		}
	}
}

// probes lists the pods of the image check that are there.
func probes(t *testing.T, c *testcluster.Cluster) []corev1.Pod {
	t.Helper()
	list, err := c.Admin.Kubernetes.CoreV1().Pods(c.Namespace).List(context.WithoutCancel(t.Context()), metav1.ListOptions{LabelSelector: workshop.LabelComponent + "=" + string(apply.ComponentImageCheck)})
	if err != nil {
		t.Fatal(err)
	}
	var left []corev1.Pod
	for _, p := range list.Items {
		if p.DeletionTimestamp == nil {
			left = append(left, p)
		}
	}
	return left
}

func TestTerminalImage(t *testing.T) {
	c := testcluster.New(t)
	c.ServiceAccount(t)
	k := testcluster.NewKubelet(t, c)
	in := input(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
	defer cancel()
	ended := func(reason string) testcluster.Fate {
		return func(pod *corev1.Pod) corev1.PodStatus {
			s := testcluster.Waiting("x", "")(pod)
			s.Phase = corev1.PodFailed
			s.ContainerStatuses[0].ImageID = "registry.example.com/terminal@" + digest
			s.ContainerStatuses[0].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 128, Reason: reason}}
			return s
		}
	}
	// Pulled, although the container can't start.
	k.Say(apply.ComponentImageCheck, ended("StartError"))
	got, err := preflight.TerminalImage(ctx, c.Trainer.Kubernetes, in, nil)
	if err != nil || got != digest {
		t.Errorf("digest %q, error %v", got, err)
	}
	k.Say(apply.ComponentImageCheck, testcluster.Waiting("RunContainerError", "no such file: true"))
	if _, err = preflight.TerminalImage(ctx, c.Trainer.Kubernetes, in, nil); err != nil {
		t.Errorf("not startable: %v", err)
	}

	for message, code := range map[string]explain.Code{
		`failed to resolve reference "registry.example.com/terminal:1": registry.example.com/terminal:1: not found`: explain.ImageNotFound,
		`failed to authorize: failed to fetch anonymous token: unexpected status: 401 Unauthorized`:                 explain.ImageUnauthorized,
	} {
		k.Say(apply.ComponentImageCheck, testcluster.Waiting("ErrImagePull", message))
		_, err = preflight.TerminalImage(ctx, c.Trainer.Kubernetes, in, nil)
		f, ok := errors.AsType[*explain.Failure](err)
		if !ok || f.Code != code || f.Evidence[0] != message {
			t.Errorf("%s: %v", code, err)
		}
	}

	// Ctrl-C while it is pulling.
	k.Say(apply.ComponentImageCheck, testcluster.Waiting("ContainerCreating", ""))
	interrupted, interrupt := context.WithCancel(ctx)
	_, err = preflight.TerminalImage(interrupted, c.Trainer.Kubernetes, in, func(m string) {
		if m == "getting its containers ready" {
			interrupt()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	short, cancel2 := context.WithTimeout(ctx, 2*time.Second)
	defer cancel2()
	if _, err = preflight.TerminalImage(short, c.Trainer.Kubernetes, in, nil); !isTimeout(err) {
		t.Errorf("timeout: %v", err)
	}
	if left := probes(t, c); len(left) != 0 {
		t.Errorf("%d probe pods are left", len(left))
	}
}

func isTimeout(err error) bool {
	_, ok := errors.AsType[*rollout.TimeoutError](err)
	return ok
}

func TestTerminalImageRemovesLeftovers(t *testing.T) {
	c := testcluster.New(t)
	ctx := t.Context()
	c.ServiceAccount(t)
	in := input(t, c)
	labels := workshop.Names(in.Spec.Name).Labels(apply.ComponentImageCheck)
	for _, name := range []string{"ended", "under-way"} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "image", Image: "image:1"}}}}
		if _, err := c.Admin.Kubernetes.CoreV1().Pods(c.Namespace).Create(ctx, pod, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Admin.Kubernetes.CoreV1().Pods(c.Namespace).Patch(ctx, "ended", types.MergePatchType, []byte(`{"status":{"phase":"Failed"}}`), metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if _, err := preflight.TerminalImage(short, c.Trainer.Kubernetes, in, nil); !isTimeout(err) {
		t.Errorf("timeout: %v", err)
	}
	if left := probes(t, c); len(left) != 1 || left[0].Name != "under-way" {
		t.Errorf("left %v", left)
	}
}

// In a namespace that enforces the restricted standard and whose quota wants
// requests and limits of everything.
func TestTerminalImageInAStrictNamespace(t *testing.T) {
	c := testcluster.New(t)
	ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
	defer cancel()
	c.ServiceAccount(t)
	if _, err := c.Admin.Kubernetes.CoreV1().Namespaces().Patch(ctx, c.Namespace, types.MergePatchType, []byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	hard := corev1.ResourceList{}
	for _, name := range []corev1.ResourceName{"requests.cpu", "requests.memory", "limits.cpu", "limits.memory"} {
		hard[name] = resource.MustParse("1Gi")
	}
	quotas := c.Admin.Kubernetes.CoreV1().ResourceQuotas(c.Namespace)
	if _, err := quotas.Create(ctx, &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "team"}, Spec: corev1.ResourceQuotaSpec{Hard: hard}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	testcluster.Await(t, quotas, "team", func(q *corev1.ResourceQuota) bool { return len(q.Status.Used) == 4 })
	k := testcluster.NewKubelet(t, c)
	k.Say(apply.ComponentImageCheck, testcluster.Running)
	for _, scc := range []bool{false, true} {
		in := input(t, c)
		in.Capabilities.SecurityContext = scc
		if _, err := preflight.TerminalImage(ctx, c.Trainer.Kubernetes, in, nil); err != nil {
			t.Error(err)
		}
	}
	// And where the quota is used up, that is what is said.
	if _, err := quotas.Patch(ctx, "team", types.MergePatchType, []byte(`{"spec":{"hard":{"requests.memory":"1Mi"}}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	testcluster.Await(t, quotas, "team", func(q *corev1.ResourceQuota) bool {
		return q.Status.Hard.Name("requests.memory", resource.BinarySI).Value() == 1<<20
	})
	_, err := preflight.TerminalImage(ctx, c.Trainer.Kubernetes, input(t, c), nil)
	if f, ok := errors.AsType[*explain.Failure](err); !ok || f.Code != explain.Quota {
		t.Errorf("quota: %v", err)
	}
}
