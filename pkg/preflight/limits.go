// SPDX-License-Identifier: Apache-2.0

package preflight

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/workshopctl/workshopctl/pkg/explain"
)

// limits looks whether the namespace's LimitRanges, which say what a single
// container, pod or claim may ask for, let through what the workshop asks for.
// The API server would refuse it only when a pod is made: the hub's after the
// deploy, a session's in front of its attendee.
func limits(ctx context.Context, client kubernetes.Interface, in Input) ([]Finding, error) {
	ranges, err := client.CoreV1().LimitRanges(in.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil || len(ranges.Items) == 0 {
		return nil, err
	}
	pods, err := pods(in)
	if err != nil {
		return nil, err
	}
	// Not the hub's own claim and pods, if they are there already.
	if in.Existing {
		pods = nil
	}
	pods = append(pods, part{"a session", probe(in).Spec})
	claims := map[string]string{"a session's volume": in.Spec.Storage.Size}
	if !in.Existing {
		claims["the hub's volume"] = in.Spec.HubStorageSize
	}
	var found []Finding
	for _, r := range ranges.Items {
		f := explain.Failure{Code: explain.LimitRange, Object: "limitrange " + explain.Clean(r.Name), Cause: "the namespace doesn't allow what the workshop asks for",
			Remedy: "ask for other amounts (sessions: --memory-request, --memory-limit, --cpu-request, --cpu-limit, --storage-size; the hub's volume: --hub-storage-size), or have an administrator change the LimitRange"}
		for _, item := range r.Spec.Limits {
			f.Evidence = append(f.Evidence, refused(item, pods, claims)...)
		}
		if len(f.Evidence) > 0 {
			slices.Sort(f.Evidence)
			found = append(found, Finding{Failure: f})
		}
	}
	return found, nil
}

// refused lists what an item of a LimitRange doesn't let through.
func refused(item corev1.LimitRangeItem, pods []part, claims map[string]string) []string {
	var lines []string
	switch item.Type {
	case corev1.LimitTypeContainer:
		for _, p := range pods {
			for _, c := range p.spec.Containers {
				lines = append(lines, outside(item, p.name+"'s container", c.Resources)...)
			}
		}
	case corev1.LimitTypePod:
		for _, p := range pods {
			sum := corev1.ResourceRequirements{Requests: corev1.ResourceList{}, Limits: corev1.ResourceList{}}
			for _, c := range p.spec.Containers {
				add(sum.Requests, c.Resources.Requests)
				add(sum.Limits, c.Resources.Limits)
			}
			lines = append(lines, outside(item, p.name+"'s pod", sum)...)
		}
	case corev1.LimitTypePersistentVolumeClaim:
		for name, size := range claims {
			if !hasSize(size) {
				continue
			}
			storage := corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)} // parsed by hasSize
			lines = append(lines, outside(item, name, corev1.ResourceRequirements{Requests: storage, Limits: storage})...)
		}
	}
	return lines
}

// outside compares as the API server does: the least with the request, the
// most with the limit, and the two with each other.
func outside(item corev1.LimitRangeItem, name string, r corev1.ResourceRequirements) []string {
	var lines []string
	for resource, least := range item.Min {
		if q, ok := r.Requests[resource]; ok && q.Cmp(least) < 0 {
			lines = append(lines, fmt.Sprintf("%s asks for %s of %s, the least is %s", name, q.String(), resource, least.String()))
		}
	}
	for resource, most := range item.Max {
		if q, ok := r.Limits[resource]; ok && q.Cmp(most) > 0 {
			lines = append(lines, fmt.Sprintf("%s may use %s of %s, the most is %s", name, q.String(), resource, most.String()))
		}
	}
	for resource, most := range item.MaxLimitRequestRatio {
		request, limit := r.Requests[resource], r.Limits[resource]
		if !request.IsZero() && limit.AsApproximateFloat64() > most.AsApproximateFloat64()*request.AsApproximateFloat64() {
			lines = append(lines, fmt.Sprintf("%s may use %s of %s and asks for %s, the most is %s times as much", name, limit.String(), resource, request.String(), most.String()))
		}
	}
	return lines
}
