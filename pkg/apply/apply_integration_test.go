// SPDX-License-Identifier: Apache-2.0

//go:build integration

package apply_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/workshopctl/workshopctl/pkg/apply"
	"github.com/workshopctl/workshopctl/pkg/capability"
	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/render"
	"github.com/workshopctl/workshopctl/pkg/workshop"
	"github.com/workshopctl/workshopctl/test/testcluster"
)

const names = workshop.Names("terminals")

// deploy is what `workshopctl deploy` does with these packages, apart from
// the waiting.
type deploy struct {
	t     *testing.T
	c     *testcluster.Cluster
	apply *apply.Client
	store *record.Store
}

func newDeploy(t *testing.T, c *testcluster.Cluster, u *testcluster.User) *deploy {
	return &deploy{t: t, c: c, apply: apply.New(u.Dynamic, c.Namespace), store: record.NewStore(u.Kubernetes, c.Namespace, "v0.1.0")}
}

func spec() workshop.Spec {
	return workshop.Spec{Host: "workshop.example.com", Expose: workshop.ExposeIngress, TerminalImage: "image:1"}.
		WithDefaults(workshop.Images{Gateway: "gateway:1", Hub: "hub:1", Proxy: "proxy:1"})
}

func (d *deploy) objects(s workshop.Spec) []*unstructured.Unstructured {
	d.t.Helper()
	secret := d.read(apply.SecretRef(names)).Secret(names)
	objects, err := render.Objects(render.Input{Spec: s, Namespace: d.c.Namespace, Version: "v0.1.0", Capabilities: capability.Set{Ingress: true}, Secret: secret})
	if err != nil {
		d.t.Fatal(err)
	}
	return objects
}

func (d *deploy) read(refs ...record.Ref) apply.Live {
	d.t.Helper()
	live, err := d.apply.Read(d.t.Context(), refs)
	if err != nil {
		d.t.Fatal(err)
	}
	return live
}

func (d *deploy) load() *record.Record {
	d.t.Helper()
	r, err := d.store.Load(d.t.Context(), string(names))
	if _, ok := errors.AsType[*record.NotFoundError](err); ok {
		return record.New()
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return r
}

// intend writes the record, as deploy does before its first object.
func (d *deploy) intend(s workshop.Spec) (*record.Record, []*unstructured.Unstructured) {
	d.t.Helper()
	r, objects := d.load(), d.objects(s)
	if err := r.Begin(s, record.RefsOf(objects), "workshopctl deploy", time.Now()); err != nil {
		d.t.Fatal(err)
	}
	if err := d.store.Save(d.t.Context(), r); err != nil {
		d.t.Fatal(err)
	}
	return r, objects
}

func (d *deploy) run(s workshop.Spec, o apply.Options) []apply.Result {
	d.t.Helper()
	results, err := d.try(s, o)
	if err != nil {
		d.t.Fatal(err)
	}
	return results
}

func (d *deploy) try(s workshop.Spec, o apply.Options) ([]apply.Result, error) {
	d.t.Helper()
	ctx := d.t.Context()
	r, objects := d.intend(s)
	results, err := d.apply.Apply(ctx, objects, d.read(record.RefsOf(objects)...), o)
	if err != nil {
		return results, err
	}
	pruned, err := d.apply.Prune(ctx, names, r.Inventory, objects, o)
	if err != nil {
		return results, err
	}
	var kept []record.Ref
	for _, p := range pruned {
		if p.Action == apply.Kept {
			kept = append(kept, p.Ref)
		}
	}
	r.Finish(record.RefsOf(objects), kept)
	return append(results, pruned...), d.store.Save(ctx, r)
}

func (d *deploy) recordRef() record.Ref {
	return record.Ref{APIVersion: "v1", Kind: "ConfigMap", Name: names.Record()}
}

// versions are the resourceVersions of everything that the workshop has.
func (d *deploy) versions() map[string]string {
	d.t.Helper()
	versions := map[string]string{}
	for ref, object := range d.read(append(d.load().Inventory, d.recordRef())...) {
		versions[ref.String()] = object.GetResourceVersion()
	}
	return versions
}

func actions(results []apply.Result) map[apply.Action]int {
	m := map[apply.Action]int{}
	for _, r := range results {
		m[r.Action]++
	}
	return m
}

// settle waits until the controllers have written what they write about the
// Deployments, and writes what a provisioner writes on the claim: the first
// write to a claim after its creation gives it a new resourceVersion whatever
// it says (seen with kube-apiserver 1.34.4), and on a cluster with storage that
// write is the provisioner's.
func (d *deploy) settle() {
	d.t.Helper()
	patch := []byte(`{"metadata":{"annotations":{"volume.kubernetes.io/storage-provisioner":"test"}}}`)
	if _, err := d.c.Admin.Kubernetes.CoreV1().PersistentVolumeClaims(d.c.Namespace).Patch(d.t.Context(), names.HubPart(), types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		d.t.Fatal(err)
	}
	for _, name := range []string{names.Hub(), names.Proxy()} {
		testcluster.Await(d.t, d.c.Admin.Kubernetes.AppsV1().Deployments(d.c.Namespace), name, func(o *appsv1.Deployment) bool {
			return o.Status.ObservedGeneration == o.Generation && o.Status.Replicas == 1 && o.Status.UnavailableReplicas == 1
		})
	}
}

func TestApplyUnchanged(t *testing.T) {
	c := testcluster.New(t)
	d := newDeploy(t, c, c.Trainer)
	results := d.run(spec(), apply.Options{})
	if got := actions(results); len(got) != 1 || got[apply.Created] != len(d.objects(spec())) {
		t.Errorf("first deploy: %v", got)
	}
	d.settle()
	before := d.versions()
	results = d.run(spec(), apply.Options{})
	if got := actions(results); len(got) != 1 || got[apply.Unchanged] == 0 {
		t.Errorf("second deploy: %v", results)
	}
	if diff := cmp.Diff(before, d.versions()); diff != "" {
		t.Error("a deploy of the same changed objects (-before +after):\n" + diff)
	}
	if len(before) != len(results)+1 {
		t.Errorf("%d objects compared, of %d and the record", len(before), len(results))
	}
	// A dry run of a change says what would happen and changes nothing.
	s := spec()
	s.IdleTimeout = "3h"
	objects := d.objects(s)
	dry, err := d.apply.Apply(t.Context(), objects, d.read(record.RefsOf(objects)...), apply.Options{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := actions(dry); got[apply.Configured] != 1 || got[apply.Created] != 0 {
		t.Errorf("dry run: %v", dry)
	}
	if diff := cmp.Diff(before, d.versions()); diff != "" {
		t.Error("a dry run changed objects (-before +after):\n" + diff)
	}
	if got := actions(d.run(s, apply.Options{})); got[apply.Configured] != 1 {
		t.Errorf("third deploy: %v", got)
	}
}

func TestForeignObjectsAreRefusedBeforeTheFirstWrite(t *testing.T) {
	c := testcluster.New(t)
	ctx := t.Context()
	d := newDeploy(t, c, c.Trainer)
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: names.Proxy(), Annotations: map[string]string{"meta.helm.sh/release-name": "shop"}},
		Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}
	if _, err := c.Admin.Kubernetes.CoreV1().Services(c.Namespace).Create(ctx, service, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: names.HubPart(), Labels: map[string]string{"a": "b"}}}
	if _, err := c.Admin.Kubernetes.CoreV1().ServiceAccounts(c.Namespace).Create(ctx, account, metav1.CreateOptions{FieldManager: "kubectl-create"}); err != nil {
		t.Fatal(err)
	}
	config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: names.HubPart(), Labels: workshop.Names("other").Labels(workshop.ComponentHub)}}
	if _, err := c.Admin.Kubernetes.CoreV1().ConfigMaps(c.Namespace).Create(ctx, config, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	objects := d.objects(spec())
	live := d.read(record.RefsOf(objects)...)
	err := live.CheckOwnership(names)
	foreign, ok := errors.AsType[*apply.ForeignError](err)
	if !ok {
		t.Fatalf("error %v", err)
	}
	want := []apply.Foreign{
		{Ref: record.Ref{APIVersion: "v1", Kind: "ConfigMap", Name: names.HubPart()}, Owner: `workshop "other"`},
		{Ref: record.Ref{APIVersion: "v1", Kind: "Service", Name: names.Proxy()}, Owner: `Helm release "shop"`},
		{Ref: record.Ref{APIVersion: "v1", Kind: "ServiceAccount", Name: names.HubPart()}, Owner: "kubectl-create"},
	}
	if diff := cmp.Diff(want, foreign.Objects); diff != "" {
		t.Error("foreign objects (-want +got):\n" + diff)
	}
	if len(live) != len(want) {
		t.Errorf("%d objects exist: something was written", len(live))
	}
	if !strings.Contains(err.Error(), `configmap/terminals-hub (belongs to workshop "other")`) {
		t.Error(err)
	}
}

func setReplicas(t *testing.T, c *testcluster.Cluster, name, manager string) {
	t.Helper()
	patch := []byte(`{"spec":{"revisionHistoryLimit":7}}`)
	if _, err := c.Admin.Kubernetes.AppsV1().Deployments(c.Namespace).Patch(t.Context(), name, types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: manager}); err != nil {
		t.Fatal(err)
	}
}

func setTerminalImage(t *testing.T, c *testcluster.Cluster, image string) {
	t.Helper()
	patch := fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"hub","env":[{"name":"TERMINAL_IMAGE","value":%q}]}]}}}}`, image)
	if _, err := c.Admin.Kubernetes.AppsV1().Deployments(c.Namespace).Patch(t.Context(), names.Hub(), types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: "kubectl-set"}); err != nil {
		t.Fatal(err)
	}
}

func TestConflictNamesTheManager(t *testing.T) {
	c := testcluster.New(t)
	d := newDeploy(t, c, c.Trainer)
	d.run(spec(), apply.Options{})
	setReplicas(t, c, names.Proxy(), "kubectl-edit")
	_, err := d.try(spec(), apply.Options{TakeTerminalImage: true})
	conflict, ok := errors.AsType[*apply.ConflictError](err)
	if !ok {
		t.Fatalf("error %v", err)
	}
	if conflict.Ref.Name != names.Proxy() {
		t.Errorf("object %s", conflict.Ref)
	}
	if diff := cmp.Diff([]apply.Conflict{{Manager: "kubectl-edit", Field: ".spec.revisionHistoryLimit"}}, conflict.Conflicts); diff != "" {
		t.Error("conflicts (-want +got):\n" + diff)
	}
	// A diff shows both values.
	objects := d.objects(spec())
	differences, err := d.apply.Diff(t.Context(), names, objects, d.read(record.RefsOf(objects)...), nil, apply.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(differences) != 1 || !strings.Contains(differences[0].Unified, "-  revisionHistoryLimit: 7\n+  revisionHistoryLimit: 3\n") ||
		!strings.Contains(differences[0].Note, ".spec.revisionHistoryLimit by kubectl-edit") {
		t.Errorf("diff: %+v", differences)
	}
}

func TestTerminalImageOfOthers(t *testing.T) {
	c := testcluster.New(t)
	d := newDeploy(t, c, c.Trainer)
	d.run(spec(), apply.Options{})
	if image, manager := d.read(apply.HubRef(names, workshop.WorkloadDeployment)).Image(names); image.Name != "image:1" || manager != "" {
		t.Errorf("ours: %q by %q", image, manager)
	}
	setTerminalImage(t, c, "image:theirs")
	if image, manager := d.read(apply.HubRef(names, workshop.WorkloadDeployment)).Image(names); image.Name != "image:theirs" || manager != "kubectl-set" {
		t.Errorf("theirs: %q by %q", image, manager)
	}
	// A deploy that keeps it conflicts with nothing.
	keep := spec()
	keep.TerminalImage = "image:theirs"
	d.run(keep, apply.Options{})

	take := spec()
	take.TerminalImage = "image:2"
	_, err := d.try(take, apply.Options{})
	if conflict, ok := errors.AsType[*apply.ConflictError](err); !ok || conflict.Conflicts[0].Manager != "kubectl-set" {
		t.Errorf("not asked to take it: %v", err)
	}
	// Another conflict beside it is not taken along.
	setReplicas(t, c, names.Hub(), "kubectl-edit")
	_, err = d.try(take, apply.Options{TakeTerminalImage: true})
	if conflict, ok := errors.AsType[*apply.ConflictError](err); !ok || len(conflict.Conflicts) != 2 {
		t.Errorf("with another conflict: %v", err)
	}
	if image, _ := d.read(apply.HubRef(names, workshop.WorkloadDeployment)).Image(names); image.Name != "image:theirs" {
		t.Errorf("taken with another conflict: %q", image)
	}
	patch := []byte(`{"spec":{"revisionHistoryLimit":3}}`)
	if _, err := c.Admin.Kubernetes.AppsV1().Deployments(c.Namespace).Patch(t.Context(), names.Hub(), types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: "kubectl-edit"}); err != nil {
		t.Fatal(err)
	}
	results := d.run(take, apply.Options{TakeTerminalImage: true})
	if !slices.ContainsFunc(results, func(r apply.Result) bool { return r.Note == "the terminal image was set by kubectl-set" }) {
		t.Errorf("the takeover isn't told: %v", results)
	}
	if image, manager := d.read(apply.HubRef(names, workshop.WorkloadDeployment)).Image(names); image.Name != "image:2" || manager != "" {
		t.Errorf("taken: %q by %q", image, manager)
	}
}

// An image stream outdoes what was set by hand before, and not after.
func TestImageStreamAndOthers(t *testing.T) {
	c := testcluster.New(t)
	// Where there are no image streams, an admin of the namespace has no right to
	// read them that could be given to the hub.
	d := newDeploy(t, c, c.Admin)
	stream, byName := spec(), spec()
	stream.SetImage(workshop.Image{Stream: "others/terminal:1"})
	byName.SetImage(workshop.Image{Name: "image:3"})
	check := func(when string, want workshop.Image, by string) {
		t.Helper()
		if image, manager := d.read(apply.HubRef(names, workshop.WorkloadDeployment)).Image(names); image != want || manager != by {
			t.Errorf("%s: %+v by %q", when, image, manager)
		}
	}
	d.run(spec(), apply.Options{})
	setTerminalImage(t, c, "image:theirs")
	d.run(stream, apply.Options{TakeTerminalImage: true})
	check("an image stream after a change by hand", stream.Image(), "")
	setTerminalImage(t, c, "image:theirs")
	check("a change by hand after an image stream", workshop.Image{Name: "image:theirs"}, "kubectl-set")
	d.run(stream, apply.Options{TakeTerminalImage: true})
	check("the image stream again", stream.Image(), "")
	d.run(byName, apply.Options{TakeTerminalImage: true})
	check("an image in its place", byName.Image(), "")
}

func TestInterruptedDeployContinues(t *testing.T) {
	c := testcluster.New(t)
	ctx := t.Context()
	newDeploy(t, c, c.Trainer).intend(spec()) // and killed

	d := newDeploy(t, c, c.Trainer)
	r := d.load()
	if len(r.Inventory) == 0 || len(d.read(r.Inventory...)) != 0 {
		t.Fatalf("the record must know of objects that don't exist yet: %v", r.Inventory)
	}
	d.run(r.Spec, apply.Options{})
	if got := d.load(); got.Revision() != 1 {
		t.Errorf("revision %d after the same deploy was continued", got.Revision())
	}

	// Killed between apply and prune, with an object that is no longer wanted.
	s := spec()
	s.Expose, s.Host = workshop.ExposeNone, ""
	r, objects := d.intend(s)
	if _, err := d.apply.Apply(ctx, objects, d.read(record.RefsOf(objects)...), apply.Options{}); err != nil {
		t.Fatal(err)
	}
	ingress := record.Ref{APIVersion: "networking.k8s.io/v1", Kind: "Ingress", Name: names.Ingress()}
	if !slices.Contains(r.Inventory, ingress) || len(d.read(ingress)) != 1 {
		t.Fatal("there should be an Ingress to prune")
	}
	d = newDeploy(t, c, c.Trainer)
	if got := actions(d.run(d.load().Spec, apply.Options{})); got[apply.Pruned] != 1 {
		t.Errorf("continued: %v", got)
	}
	if len(d.read(ingress)) != 0 || slices.Contains(d.load().Inventory, ingress) {
		t.Error("the Ingress is still there, or in the inventory")
	}
}

func TestPruneKeepsClaimsAndStrangers(t *testing.T) {
	c := testcluster.New(t)
	d := newDeploy(t, c, c.Trainer)
	d.run(spec(), apply.Options{})
	// Somebody made the Ingress theirs.
	patch := []byte(`{"metadata":{"labels":{"app.kubernetes.io/managed-by":"jane"}}}`)
	if _, err := c.Admin.Kubernetes.NetworkingV1().Ingresses(c.Namespace).Patch(t.Context(), names.Ingress(), types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	s := spec()
	s.Expose, s.Host, s.HubStorageSize = workshop.ExposeNone, "", "0"
	results := d.run(s, apply.Options{})
	claim := record.Ref{APIVersion: "v1", Kind: "PersistentVolumeClaim", Name: names.HubPart()}
	var kept []record.Ref
	for _, r := range results {
		switch r.Action {
		case apply.Kept:
			kept = append(kept, r.Ref)
			if !strings.Contains(r.Note, "kubectl -n "+c.Namespace+" delete persistentvolumeclaim/terminals-hub") {
				t.Errorf("note %q", r.Note)
			}
		case apply.Pruned:
			t.Errorf("pruned %s", r.Ref)
		}
	}
	if diff := cmp.Diff([]record.Ref{claim}, kept); diff != "" {
		t.Error("kept (-want +got):\n" + diff)
	}
	if len(d.read(claim)) != 1 {
		t.Error("the claim is gone")
	}
	if _, err := c.Admin.Kubernetes.NetworkingV1().Ingresses(c.Namespace).Get(t.Context(), names.Ingress(), metav1.GetOptions{}); err != nil {
		t.Errorf("somebody else's Ingress: %v", err)
	}
	// The inventory still has the claim, so that delete finds it.
	if !slices.Contains(d.load().Inventory, claim) {
		t.Error("the inventory has forgotten the claim")
	}
}

func TestDiff(t *testing.T) {
	c := testcluster.New(t)
	ctx := t.Context()
	d := newDeploy(t, c, c.Trainer)
	diff := func(s workshop.Spec, change func([]*unstructured.Unstructured)) map[string]apply.Difference {
		t.Helper()
		objects := d.objects(s)
		if change != nil {
			change(objects)
		}
		differences, err := d.apply.Diff(ctx, names, objects, d.read(record.RefsOf(objects)...), d.load().Inventory, apply.Options{})
		if err != nil {
			t.Fatal(err)
		}
		m := map[string]apply.Difference{}
		for _, difference := range differences {
			m[difference.Ref.String()] = difference
		}
		return m
	}
	// Of a workshop that doesn't exist, with the rights of its namespace only.
	for name, difference := range diff(spec(), nil) {
		if difference.Action != apply.Created || !strings.Contains(difference.Unified, "\n+kind: ") || strings.Contains(difference.Unified, "\n-") && !strings.HasPrefix(difference.Unified, "--- ") {
			t.Errorf("%s: %s\n%s", name, difference.Action, difference.Unified)
		}
	}
	d.run(spec(), apply.Options{})
	d.settle()
	before := d.versions()
	if got := diff(spec(), nil); len(got) != 0 {
		t.Errorf("an unchanged workshop differs: %v", got)
	}
	s := spec()
	s.Expose, s.Host, s.IdleTimeout, s.HubStorageSize = workshop.ExposeNone, "", "3h", "0"
	got := diff(s, func(objects []*unstructured.Unstructured) {
		for _, o := range objects {
			if o.GetKind() == "Secret" {
				if err := unstructured.SetNestedField(o.Object, "bmV3LXNlY3JldA==", "data", workshop.SecretUserPassword); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
	if text := got["deployment.apps/terminals"].Unified; !strings.Contains(text, "-          value: \"7200\"\n+          value: \"10800\"\n") || strings.Contains(text, "managedFields") || strings.Contains(text, "status") {
		t.Errorf("deployment:\n%s", text)
	}
	if got["ingress.networking.k8s.io/terminals"].Action != apply.Pruned {
		t.Errorf("ingress: %v", got["ingress.networking.k8s.io/terminals"])
	}
	if claim, ok := got["persistentvolumeclaim/terminals-hub"]; ok {
		t.Errorf("the claim, which a deploy keeps: %v", claim)
	}
	secret := got["secret/terminals-hub"].Unified
	if strings.Contains(secret, "bmV3") || strings.Contains(secret, "new-secret") || strings.Count(secret, "USER_PASSWORD: '*** (") != 2 {
		t.Errorf("secret:\n%s", secret)
	}
	for key, value := range d.read(apply.SecretRef(names)).Secret(names) {
		for name, difference := range got {
			if strings.Contains(difference.Unified, string(value)) {
				t.Errorf("%s shows the value of %s", name, key)
			}
		}
	}
	if diff := cmp.Diff(before, d.versions()); diff != "" {
		t.Error("a diff changed objects (-before +after):\n" + diff)
	}
}

func TestMissingRights(t *testing.T) {
	c := testcluster.New(t)
	ctx := t.Context()
	objects := newDeploy(t, c, c.Trainer).objects(spec())
	live := apply.Live{}

	_, err := newDeploy(t, c, c.Bound(t, "edit")).apply.Apply(ctx, objects, live, apply.Options{})
	rights, ok := errors.AsType[*apply.RightsError](err)
	if !ok || rights.Escalation || !slices.Contains([]string{"Role", "RoleBinding"}, rights.Ref.Kind) || !strings.HasPrefix(rights.Missing[0], "patch role") {
		t.Errorf("editor: %v", err)
	}

	role := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": map[string]any{"name": "x"},
		"rules": []any{map[string]any{"apiGroups": []any{""}, "resources": []any{"nodes"}, "verbs": []any{"get", "list"}}}}}
	_, err = newDeploy(t, c, c.Trainer).apply.Apply(ctx, []*unstructured.Unstructured{role}, live, apply.Options{})
	rights, ok = errors.AsType[*apply.RightsError](err)
	if !ok || !rights.Escalation || !cmp.Equal(rights.Missing, []string{"get/list nodes"}) {
		t.Errorf("escalation: %v", err)
	}
	if !strings.Contains(err.Error(), "rights that you don't have and so can't give: get/list nodes; ask an administrator") {
		t.Error(err)
	}
}

func TestRefusals(t *testing.T) {
	c := testcluster.New(t)
	ctx := t.Context()
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "small"}, Spec: corev1.ResourceQuotaSpec{
		Hard: corev1.ResourceList{corev1.ResourceRequestsStorage: resource.MustParse("1Mi")}}}
	if _, err := c.Admin.Kubernetes.CoreV1().ResourceQuotas(c.Namespace).Create(ctx, quota, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	testcluster.Await(t, c.Admin.Kubernetes.CoreV1().ResourceQuotas(c.Namespace), "small", func(q *corev1.ResourceQuota) bool { return len(q.Status.Hard) > 0 })
	_, err := newDeploy(t, c, c.Trainer).try(spec(), apply.Options{})
	if failure, ok := errors.AsType[*explain.Failure](err); !ok || failure.Code != explain.Quota {
		t.Errorf("quota: %v", err)
	}
	elsewhere := *c
	elsewhere.Namespace = "no-such-namespace"
	d := newDeploy(t, &elsewhere, c.Admin)
	objects := d.objects(spec())
	_, err = d.apply.Apply(ctx, objects, d.read(record.RefsOf(objects)...), apply.Options{})
	if failure, ok := errors.AsType[*explain.Failure](err); !ok || failure.Code != explain.Namespace {
		t.Errorf("no namespace: %v", err)
	}
}

func TestTwoSaveAtOnce(t *testing.T) {
	c := testcluster.New(t)
	ctx := t.Context()
	d := newDeploy(t, c, c.Trainer)
	conflict := func(s workshop.Spec, between func()) *record.ConflictError {
		t.Helper()
		r := d.load()
		if err := r.Begin(s, nil, "workshopctl deploy", time.Now()); err != nil {
			t.Fatal(err)
		}
		between()
		err := d.store.Save(ctx, r)
		e, ok := errors.AsType[*record.ConflictError](err)
		if !ok {
			t.Fatalf("error %v", err)
		}
		return e
	}
	mine, theirs := spec(), spec()
	mine.TerminalImage, theirs.TerminalImage = "image:mine", "image:theirs"
	first := conflict(mine, func() { newDeploy(t, c, c.Trainer).intend(theirs) })
	if first.Theirs == nil || first.Theirs.Spec.TerminalImage != "image:theirs" || first.Theirs.Author != "system:serviceaccount:"+c.Namespace+":trainer-admin" {
		t.Errorf("first deploys: %+v", first.Theirs)
	}
	again := spec()
	second := conflict(mine, func() { newDeploy(t, c, c.Admin).intend(again) })
	if second.Theirs == nil || second.Theirs.Number != 2 || second.Theirs.Author != "admin" {
		t.Errorf("second deploys: %+v", second.Theirs)
	}
	if !strings.Contains(second.Error(), `workshop "terminals" in namespace "`+c.Namespace+`" was changed by admin at `) {
		t.Error(second)
	}
	if got := d.load(); got.Spec.TerminalImage != again.TerminalImage {
		t.Errorf("the loser has written: %q", got.Spec.TerminalImage)
	}
	stale := d.load()
	deleted := conflict(mine, func() {
		if err := d.store.Delete(ctx, d.load()); err != nil {
			t.Fatal(err)
		}
	})
	if !deleted.Deleted {
		t.Errorf("deleted meanwhile: %v", deleted)
	}
	if err := d.store.Delete(ctx, stale); err != nil {
		t.Errorf("delete of what is gone: %v", err)
	}
	// And a delete must not remove what was deployed meanwhile.
	d.intend(spec())
	stale = d.load()
	d.intend(mine)
	if err := d.store.Delete(ctx, stale); err == nil {
		t.Error("a delete removed a newer record")
	}
}

func (d *deploy) session(user string, finalizers ...string) {
	d.t.Helper()
	ctx := d.t.Context()
	labels := names.Labels(workshop.ComponentSession)
	labels[workshop.LabelManagedBy] = "kubespawner"
	meta := metav1.ObjectMeta{Name: names.SessionPrefix() + user, Labels: labels, Finalizers: finalizers}
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: meta, Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Mi")}}}}
	claim.Finalizers = nil
	if _, err := d.c.Admin.Kubernetes.CoreV1().PersistentVolumeClaims(d.c.Namespace).Create(ctx, claim, metav1.CreateOptions{}); err != nil {
		d.t.Fatal(err)
	}
	pod := &corev1.Pod{ObjectMeta: meta, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "notebook", Image: "image:1"}}}}
	if _, err := d.c.Admin.Kubernetes.CoreV1().Pods(d.c.Namespace).Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		d.t.Fatal(err)
	}
}

// left lists what carries the workshop's label.
func (d *deploy) left() []string {
	d.t.Helper()
	o := metav1.ListOptions{LabelSelector: workshop.LabelInstance + "=" + string(names)}
	var left []string
	for _, kind := range []string{
		"v1 pods", "v1 persistentvolumeclaims", "v1 services", "v1 secrets", "v1 configmaps", "v1 serviceaccounts", "apps/v1 deployments", "apps/v1 replicasets",
		"networking.k8s.io/v1 ingresses", "networking.k8s.io/v1 networkpolicies", "rbac.authorization.k8s.io/v1 roles", "rbac.authorization.k8s.io/v1 rolebindings",
	} {
		version, plural, _ := strings.Cut(kind, " ")
		gv, err := schema.ParseGroupVersion(version)
		if err != nil {
			d.t.Fatal(err)
		}
		list, err := d.c.Admin.Dynamic.Resource(gv.WithResource(plural)).Namespace(d.c.Namespace).List(d.t.Context(), o)
		if err != nil {
			d.t.Fatal(err)
		}
		for i := range list.Items {
			left = append(left, record.RefOf(&list.Items[i]).String())
		}
	}
	return left
}

// deadline bounds a wait that should end much sooner.
func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestDelete(t *testing.T) {
	c := testcluster.New(t)
	ctx := deadline(t)
	c.ServiceAccount(t)
	d := newDeploy(t, c, c.Trainer)
	d.run(spec(), apply.Options{})
	d.settle()
	d.session("jane")
	d.session("hub")
	var reports []string
	done, err := d.apply.Delete(ctx, names, d.load().Inventory, apply.DeleteOptions{Report: func(m string) { reports = append(reports, m) }})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"stopping the hub", "stopping 2 sessions", "deleting the rest"}, reports); diff != "" {
		t.Error("reports (-want +got):\n" + diff)
	}
	if done.Deleted[0] != apply.HubRef(names, workshop.WorkloadDeployment) {
		t.Errorf("the hub must go first: %v", done.Deleted)
	}
	want := []string{"persistentvolumeclaim/terminals--hub", "persistentvolumeclaim/terminals--jane", "configmap/terminals-workshop"}
	if diff := cmp.Diff(want, d.left()); diff != "" {
		t.Error("left (-want +got):\n" + diff)
	}
	if diff := cmp.Diff(want[:2], []string{done.Kept[0].String(), done.Kept[1].String()}); diff != "" {
		t.Error("kept (-want +got):\n" + diff)
	}
	// Once more, now with the volumes: there is no hub, and nothing of the
	// inventory is left.
	if done, err = d.apply.Delete(ctx, names, d.load().Inventory, apply.DeleteOptions{Volumes: true}); err != nil {
		t.Fatal(err)
	}
	if err := d.store.Delete(ctx, d.load()); err != nil {
		t.Fatal(err)
	}
	if got := d.left(); len(got) != 0 || len(done.Deleted) != 2 {
		t.Errorf("left %v, deleted %v", got, done.Deleted)
	}
}

// A hub that somebody's `kubectl delete --cascade=orphan` left running would
// start sessions again.
func TestDeleteStopsAnOrphanedHub(t *testing.T) {
	c := testcluster.New(t)
	ctx := deadline(t)
	d := newDeploy(t, c, c.Trainer)
	d.run(spec(), apply.Options{})
	d.settle()
	orphan := metav1.DeletePropagationOrphan
	if err := c.Admin.Kubernetes.AppsV1().Deployments(c.Namespace).Delete(ctx, names.Hub(), metav1.DeleteOptions{PropagationPolicy: &orphan}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.apply.Delete(ctx, names, d.load().Inventory, apply.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"configmap/terminals-workshop"}, d.left()); diff != "" {
		t.Error("left (-want +got):\n" + diff)
	}
}

func TestDeleteSaysWhatHangs(t *testing.T) {
	c := testcluster.New(t)
	c.ServiceAccount(t)
	d := newDeploy(t, c, c.Trainer)
	d.run(spec(), apply.Options{})
	d.session("jane", "example.com/hangs")
	// A stray pod of the image check goes along.
	check := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "check", Labels: names.Labels(apply.ComponentImageCheck)}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "image:1"}}}}
	if _, err := c.Admin.Kubernetes.CoreV1().Pods(c.Namespace).Create(t.Context(), check, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := d.apply.Delete(ctx, names, d.load().Inventory, apply.DeleteOptions{})
	stuck, ok := errors.AsType[*apply.StuckError](err)
	if !ok || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v", err)
	}
	if diff := cmp.Diff([]string{"pod terminals--jane: waits for whoever set its finalizer example.com/hangs; is that controller running?"}, stuck.Objects); diff != "" {
		t.Error("stuck (-want +got):\n" + diff)
	}
	if _, err := c.Admin.Kubernetes.CoreV1().Pods(c.Namespace).Patch(t.Context(), names.SessionPrefix()+"jane", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.apply.Delete(deadline(t), names, d.load().Inventory, apply.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"persistentvolumeclaim/terminals--jane", "configmap/terminals-workshop"}, d.left()); diff != "" {
		t.Error("left (-want +got):\n" + diff)
	}
}

// A workshop of which only a part was made.
func TestDeleteHalfAWorkshop(t *testing.T) {
	c := testcluster.New(t)
	d := newDeploy(t, c, c.Trainer)
	_, objects := d.intend(spec())
	if _, err := d.apply.Apply(t.Context(), objects[:3], apply.Live{}, apply.Options{}); err != nil {
		t.Fatal(err)
	}
	done, err := d.apply.Delete(deadline(t), names, d.load().Inventory, apply.DeleteOptions{})
	if err != nil || len(done.Deleted) != 3 {
		t.Errorf("deleted %v, error %v", done.Deleted, err)
	}
}
