// SPDX-License-Identifier: Apache-2.0

//go:build integration

package render_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/workshopctl/workshopctl/pkg/render"
	"github.com/workshopctl/workshopctl/pkg/workshop"
	"github.com/workshopctl/workshopctl/test/testcluster"
)

// A real API server takes all that is rendered, from a trainer with one
// namespace in which pods must be restricted and every container must have
// requests and limits; it has nothing to warn of; and the same again changes
// nothing. The hub's account may start the sessions that KubeSpawner makes.
func TestAccepted(t *testing.T) {
	for name, in := range cases(t) {
		if in.Capabilities.Image || in.Spec.Expose == workshop.ExposeRoute {
			continue // a right to be given that nobody has here, and kinds that aren't served here
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			accepted(t, name, in)
		})
	}
}

func accepted(t *testing.T, name string, in render.Input) {
	t.Helper()
	c := testcluster.New(t)
	in.Namespace = c.Namespace
	demanding(t, c)
	warnings := &warnings{}
	config := rest.CopyConfig(c.Trainer.Config)
	config.WarningHandler = warnings
	trainer, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	all := objects(t, in)
	if in.Spec.ServiceAccount != "" {
		prepare(t, c, in)
	}
	apply := func(o *unstructured.Unstructured) *unstructured.Unstructured {
		resource, _ := meta.UnsafeGuessKindToResource(o.GroupVersionKind())
		live, err := trainer.Resource(resource).Namespace(in.Namespace).Apply(t.Context(), o.GetName(), o, metav1.ApplyOptions{FieldManager: workshop.ManagedBy})
		if err != nil {
			t.Fatalf("%s %s: %v", o.GetKind(), o.GetName(), err)
		}
		return live
	}
	for _, o := range all {
		first, second := apply(o), apply(o)
		if before, after := version(first), version(second); before != after {
			t.Errorf("%s %s: version %s became %s", o.GetKind(), o.GetName(), before, after)
		}
	}
	for _, o := range all {
		tree, found, _ := unstructured.NestedMap(o.Object, "spec", "template")
		if !found {
			continue
		}
		var template corev1.PodTemplateSpec
		convert(t, &unstructured.Unstructured{Object: tree}, &template)
		pod := &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
		pod.GenerateName = o.GetName() + "-"
		if _, err := c.Admin.Kubernetes.CoreV1().Pods(in.Namespace).Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
			t.Errorf("a pod of %s: %v", o.GetName(), err)
		}
	}
	if len(warnings.text) > 0 {
		t.Errorf("the API server warns: %s", strings.Join(warnings.text, "\n"))
	}
	startSessions(t, c, name, workshop.Names(in.Spec.Name))
}

// prepare does what an administrator does for a trainer who can't make Roles.
func prepare(t *testing.T, c *testcluster.Cluster, in render.Input) {
	t.Helper()
	all, err := render.Account(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range all {
		resource, _ := meta.UnsafeGuessKindToResource(o.GroupVersionKind())
		if _, err := c.Admin.Dynamic.Resource(resource).Namespace(in.Namespace).Create(t.Context(), o, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// startSessions creates the pods and claims of the golden file as the hub.
func startSessions(t *testing.T, c *testcluster.Cluster, name string, names workshop.Names) {
	content, err := os.ReadFile(filepath.Join("testdata", "sessions", name+".json"))
	if os.IsNotExist(err) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	var golden made
	if err := json.Unmarshal(content, &golden); err != nil {
		t.Fatal(err)
	}
	hub := c.Account(t, names.HubPart()).Kubernetes // which hears no warnings: KubeSpawner's claims have an old annotation too
	for user, claim := range golden.Claims {
		if _, err := hub.CoreV1().PersistentVolumeClaims(c.Namespace).Create(t.Context(), &claim, metav1.CreateOptions{}); err != nil {
			t.Errorf("the hub can't create the claim of %s: %v", user, err)
		}
	}
	for user, pod := range golden.Pods {
		if _, err := hub.CoreV1().Pods(c.Namespace).Create(t.Context(), &pod, metav1.CreateOptions{}); err != nil {
			t.Errorf("the hub can't create the pod of %s: %v", user, err)
		}
	}
	if _, err := hub.CoreV1().Events(c.Namespace).List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := hub.CoreV1().Secrets(c.Namespace).List(t.Context(), metav1.ListOptions{}); err == nil {
		t.Error("the hub can read secrets")
	}
}

// demanding makes a namespace like those that careful administrators give out.
func demanding(t *testing.T, c *testcluster.Cluster) {
	t.Helper()
	labels := `{"metadata": {"labels": {
		"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "latest",
		"pod-security.kubernetes.io/warn": "restricted", "pod-security.kubernetes.io/warn-version": "latest"}}}`
	client := c.Admin.Kubernetes.CoreV1()
	if _, err := client.Namespaces().Patch(t.Context(), c.Namespace, types.MergePatchType, []byte(labels), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	plenty := resource.MustParse("100Gi")
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "demanding"}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{
		corev1.ResourceRequestsCPU: plenty, corev1.ResourceLimitsCPU: plenty, corev1.ResourceRequestsMemory: plenty, corev1.ResourceLimitsMemory: plenty,
	}}}
	if _, err := client.ResourceQuotas(c.Namespace).Create(t.Context(), quota, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	testcluster.Await(t, client.ResourceQuotas(c.Namespace), quota.Name, func(q *corev1.ResourceQuota) bool { return len(q.Status.Hard) > 0 })
	c.ServiceAccount(t)
}

// version changes when workshopctl changes an object. Controllers write into
// some kinds at the same time, whence not the object's own version there.
func version(o *unstructured.Unstructured) string {
	switch o.GetKind() {
	case "Deployment", "DeploymentConfig":
		return strconv.FormatInt(o.GetGeneration(), 10)
	case "PersistentVolumeClaim", "Route":
		for _, m := range o.GetManagedFields() {
			if m.Manager == workshop.ManagedBy {
				return m.Time.String() + m.FieldsV1.GetRawString()
			}
		}
	}
	return o.GetResourceVersion()
}

// warnings collects what the API server warns of.
type warnings struct {
	mu   sync.Mutex
	text []string
}

func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, text)
}

// What an earlier release has deployed can be upgraded in place: nothing that
// Kubernetes lets nobody change has changed. testdata/releases has what each
// release rendered; it is written once and never updated.
func TestUpgrade(t *testing.T) {
	files, err := filepath.Glob("testdata/releases/*/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no objects of earlier releases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimPrefix(file, "testdata/releases/"), func(t *testing.T) {
			t.Parallel()
			c := testcluster.New(t)
			trainer, err := dynamic.NewForConfig(c.Trainer.Config)
			if err != nil {
				t.Fatal(err)
			}
			apply := func(o *unstructured.Unstructured) {
				resource, _ := meta.UnsafeGuessKindToResource(o.GroupVersionKind())
				o.SetNamespace(c.Namespace)
				if _, err := trainer.Resource(resource).Namespace(c.Namespace).Apply(t.Context(), o.GetName(), o, metav1.ApplyOptions{FieldManager: workshop.ManagedBy}); err != nil {
					t.Fatalf("%s %s: %v", o.GetKind(), o.GetName(), err)
				}
			}
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for document := range strings.SplitSeq(string(content), "\n---\n") {
				o := &unstructured.Unstructured{}
				if err := yaml.Unmarshal([]byte(document), &o.Object); err != nil {
					t.Fatal(err)
				}
				apply(o)
			}
			in := cases(t)[strings.TrimSuffix(filepath.Base(file), ".yaml")]
			in.Namespace = c.Namespace
			for _, o := range objects(t, in) {
				apply(o)
			}
		})
	}
}
