// SPDX-License-Identifier: Apache-2.0

package preflight

import (
	"context"
	"fmt"
	"slices"

	openshiftappsv1 "github.com/openshift/api/apps/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"

	"github.com/workshopctl/workshopctl/pkg/explain"
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

// demand is what the workshop's own objects take of a quota, and what a
// session takes.
func demand(in Input) (parts, session corev1.ResourceList, err error) {
	parts, session = corev1.ResourceList{}, corev1.ResourceList{}
	one := *resource.NewQuantity(1, resource.DecimalSI)
	for _, o := range in.Objects {
		switch o.GetKind() {
		case "Deployment":
			var d appsv1.Deployment
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &d); err != nil {
				return nil, nil, fmt.Errorf("read the rendered deployment %s: %w", o.GetName(), err)
			}
			add(parts, corev1.ResourceList{corev1.ResourcePods: one})
			for _, c := range d.Spec.Template.Spec.Containers {
				addContainer(parts, c.Resources)
			}
		case "DeploymentConfig":
			var d openshiftappsv1.DeploymentConfig
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &d); err != nil {
				return nil, nil, fmt.Errorf("read the rendered deployment config %s: %w", o.GetName(), err)
			}
			// Beside its pod there is one that carries out the rollout.
			add(parts, corev1.ResourceList{corev1.ResourcePods: *resource.NewQuantity(2, resource.DecimalSI), corev1.ResourceReplicationControllers: one})
			addContainer(parts, d.Spec.Strategy.Resources)
			for _, c := range d.Spec.Template.Spec.Containers {
				addContainer(parts, c.Resources)
			}
		case "PersistentVolumeClaim":
			var c corev1.PersistentVolumeClaim
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &c); err != nil {
				return nil, nil, fmt.Errorf("read the rendered claim %s: %w", o.GetName(), err)
			}
			add(parts, corev1.ResourceList{corev1.ResourcePersistentVolumeClaims: one, corev1.ResourceRequestsStorage: c.Spec.Resources.Requests[corev1.ResourceStorage]})
		case "Service":
			add(parts, corev1.ResourceList{corev1.ResourceServices: one})
		case "ConfigMap":
			add(parts, corev1.ResourceList{corev1.ResourceConfigMaps: one})
		case "Secret":
			add(parts, corev1.ResourceList{corev1.ResourceSecrets: one})
		}
	}
	add(parts, corev1.ResourceList{corev1.ResourceConfigMaps: one}) // the record
	add(session, corev1.ResourceList{corev1.ResourcePods: one})
	addContainer(session, probe(in).Spec.Containers[0].Resources)
	if size, err := resource.ParseQuantity(in.Spec.Storage.Size); err == nil && !size.IsZero() {
		add(session, corev1.ResourceList{corev1.ResourcePersistentVolumeClaims: one, corev1.ResourceRequestsStorage: size})
	}
	return parts, session, nil
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
