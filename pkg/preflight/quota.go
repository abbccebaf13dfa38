// SPDX-License-Identifier: Apache-2.0

package preflight

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"

	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// quota looks whether what is left of the namespace's quota takes the hub and
// the proxy, which it must, and one session, which is worth a warning.
func quota(ctx context.Context, client kubernetes.Interface, in Input) ([]Finding, error) {
	quotas, err := client.CoreV1().ResourceQuotas(in.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil || len(quotas.Items) == 0 {
		return nil, err
	}
	parts, session, err := demand(in)
	if err != nil {
		return nil, err
	}
	if in.Existing {
		parts = corev1.ResourceList{}
	}
	both := corev1.ResourceList{}
	add(both, parts)
	add(both, session)
	var found []Finding
	for _, q := range quotas.Items {
		if !counts(q.Spec) {
			continue
		}
		f := explain.Failure{Code: explain.Quota, Object: "quota " + explain.Clean(q.Name),
			Remedy: "free some of it, ask for a larger quota, or ask for less (sessions: --memory-request, --memory-limit, --cpu-request, --cpu-limit, --storage-size)"}
		if f.Evidence = short(q, parts); len(f.Evidence) > 0 {
			f.Cause = "it has not enough left for the hub and the proxy"
			found = append(found, Finding{Failure: f})
		} else if f.Evidence = short(q, both); len(f.Evidence) > 0 {
			f.Cause = "it has not enough left for a session"
			found = append(found, Finding{Failure: f, Warning: true})
		}
	}
	return found, nil
}

// counts says whether a quota counts pods like a workshop's: they run without
// a deadline, with requests, and without a priority class.
func counts(s corev1.ResourceQuotaSpec) bool {
	if s.ScopeSelector != nil && len(s.ScopeSelector.MatchExpressions) > 0 {
		return false
	}
	return !slices.ContainsFunc(s.Scopes, func(scope corev1.ResourceQuotaScope) bool {
		return scope != corev1.ResourceQuotaScopeNotBestEffort && scope != corev1.ResourceQuotaScopeNotTerminating
	})
}

// short lists what the quota lacks.
func short(q corev1.ResourceQuota, want corev1.ResourceList) []string {
	var lines []string
	for name, need := range want {
		hard, ok := q.Status.Hard[name]
		if !ok || need.IsZero() {
			continue
		}
		left := hard.DeepCopy()
		left.Sub(q.Status.Used[name])
		if left.Cmp(need) < 0 {
			lines = append(lines, fmt.Sprintf("%s: %s needed, %s of %s left", name, need.String(), left.String(), hard.String()))
		}
	}
	slices.Sort(lines)
	return lines
}

// add counts b to a.
func add(a, b corev1.ResourceList) {
	for name, q := range b {
		sum := a[name]
		sum.Add(q)
		a[name] = sum
	}
}

// part is a pod of the workshop, and what it is in words.
type part struct {
	name string
	spec corev1.PodSpec
}

// pods are those that the rendered objects make. A deployer pod, where there
// is one, comes after the other.
func pods(in Input) ([]part, error) {
	var all []part
	for _, o := range in.Objects {
		tree, found, err := unstructured.NestedMap(o.Object, "spec", "template")
		if err != nil || !found {
			continue
		}
		var pod corev1.PodTemplateSpec
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(tree, &pod); err != nil {
			return nil, fmt.Errorf("read the rendered %s %s: %w", strings.ToLower(o.GetKind()), o.GetName(), err)
		}
		name := "the " + pod.Labels[workshop.LabelComponent]
		all = append(all, part{name, pod.Spec})
		if o.GetKind() != "DeploymentConfig" {
			continue
		}
		var resources corev1.ResourceRequirements
		if tree, found, _ := unstructured.NestedMap(o.Object, "spec", "strategy", "resources"); found {
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(tree, &resources); err != nil {
				return nil, fmt.Errorf("read the rendered deploymentconfig %s: %w", o.GetName(), err)
			}
		}
		all = append(all, part{name + "'s deployer", corev1.PodSpec{Containers: []corev1.Container{{Resources: resources}}}})
	}
	return all, nil
}

// demand is what the workshop's own objects take of a quota, and what a
// session takes.
func demand(in Input) (parts, session corev1.ResourceList, err error) {
	parts, session = corev1.ResourceList{}, corev1.ResourceList{}
	made, err := pods(in)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range made {
		addPod(parts, p.spec)
	}
	for _, o := range in.Objects {
		addObject(parts, o.GroupVersionKind())
		if o.GetKind() == "PersistentVolumeClaim" {
			addClaim(parts, in.Spec.HubStorageSize, in.Spec.Storage.ClassName)
		}
	}
	addObject(parts, schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}) // the record
	addPod(session, probe(in).Spec)
	if hasSize(in.Spec.Storage.Size) {
		addObject(session, schema.GroupVersionKind{Version: "v1", Kind: "PersistentVolumeClaim"})
		addClaim(session, in.Spec.Storage.Size, in.Spec.Storage.ClassName)
	}
	return parts, session, nil
}

// one object.
func one() resource.Quantity { return *resource.NewQuantity(1, resource.DecimalSI) }

// addObject counts an object under all the names that quotas know its kind by.
func addObject(sum corev1.ResourceList, kind schema.GroupVersionKind) {
	plural, _ := meta.UnsafeGuessKindToResource(kind)
	name := plural.GroupResource().String()
	add(sum, corev1.ResourceList{corev1.ResourceName(name): one(), corev1.ResourceName("count/" + name): one()})
	if kind.Kind == "Deployment" {
		add(sum, corev1.ResourceList{"count/replicasets.apps": one()})
	}
	if kind.Kind == "DeploymentConfig" {
		add(sum, corev1.ResourceList{corev1.ResourceReplicationControllers: one(), "count/replicationcontrollers": one()})
	}
}

// addClaim counts the storage of a claim, which quotas may limit for a class.
func addClaim(sum corev1.ResourceList, size, class string) {
	storage, err := resource.ParseQuantity(size)
	if err != nil {
		return // workshop.Validate has the word
	}
	add(sum, corev1.ResourceList{corev1.ResourceRequestsStorage: storage})
	if class != "" {
		prefix := corev1.ResourceName(class + ".storageclass.storage.k8s.io/")
		add(sum, corev1.ResourceList{prefix + corev1.ResourceRequestsStorage: storage, prefix + corev1.ResourcePersistentVolumeClaims: one()})
	}
}

// addPod counts a pod and its containers. Init containers ask for no more than
// those do.
func addPod(sum corev1.ResourceList, pod corev1.PodSpec) {
	addObject(sum, schema.GroupVersionKind{Version: "v1", Kind: "Pod"})
	for _, c := range pod.Containers {
		addContainer(sum, c.Resources)
	}
}

// addContainer counts a container under all the names that quotas know its
// resources by.
func addContainer(sum corev1.ResourceList, r corev1.ResourceRequirements) {
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		if q, ok := r.Requests[name]; ok {
			add(sum, corev1.ResourceList{name: q, "requests." + name: q})
		}
		if q, ok := r.Limits[name]; ok {
			add(sum, corev1.ResourceList{"limits." + name: q})
		}
	}
}
