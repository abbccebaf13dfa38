// SPDX-License-Identifier: Apache-2.0

package preflight

import (
	"context"
	"fmt"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"

	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// right is one thing that somebody may or may not do.
type right struct{ group, resource, verb string }

func (r right) String() string {
	return r.verb + " " + schema.GroupResource{Group: r.group, Resource: r.resource}.String()
}

// rights asks what the caller may do in the namespace, once, and compares it
// with what a deploy does and with what the hub's Role gives: nobody can give
// rights that they don't have.
func rights(ctx context.Context, client kubernetes.Interface, in Input) ([]Finding, error) {
	review, err := client.AuthorizationV1().SelfSubjectRulesReviews().Create(ctx, &authorizationv1.SelfSubjectRulesReview{
		Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: in.Namespace}}, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	if review.Status.Incomplete {
		// Another authorizer than RBAC has its say; only trying will tell.
		return nil, nil
	}
	may := func(r right) bool {
		return slices.ContainsFunc(review.Status.ResourceRules, func(rule authorizationv1.ResourceRule) bool {
			return len(rule.ResourceNames) == 0 && has(rule.APIGroups, r.group) && has(rule.Resources, r.resource) && has(rule.Verbs, r.verb)
		})
	}
	var found []Finding
	if missing := without(needed(in), may); len(missing) > 0 {
		found = append(found, Finding{Failure: explain.Failure{Code: explain.Rights, Object: "namespace " + in.Namespace,
			Cause: "you lack rights that a deploy needs", Evidence: missing,
			Remedy: "check the namespace's name; if it is right, ask an administrator of the cluster to bind you to the ClusterRole admin in it"}})
	}
	if may(right{rbacv1.GroupName, "roles", "escalate"}) {
		return found, nil
	}
	given, err := granted(in)
	if err != nil {
		return nil, err
	}
	if missing := without(given, may); len(missing) > 0 {
		found = append(found, Finding{Failure: explain.Failure{Code: explain.Rights, Object: "role of the hub",
			Cause: "the hub needs rights that you don't have and so can't give", Evidence: missing,
			Remedy: "ask an administrator of the cluster to bind you to the ClusterRole admin in this namespace, or to apply the Role and RoleBinding for you"}})
	}
	return found, nil
}

// has says whether a rule's list names the value; resources may be named with
// all their subresources.
func has(list []string, value string) bool {
	return slices.Contains(list, value) || slices.Contains(list, "*")
}

func without(wanted []right, may func(right) bool) []string {
	var missing []string
	for _, r := range wanted {
		if !may(r) && !slices.Contains(missing, r.String()) {
			missing = append(missing, r.String())
		}
	}
	return missing
}

// needed is what a deploy does: server-side apply creates and patches.
func needed(in Input) []right {
	var all []right
	for _, o := range in.Objects {
		gvr, _ := meta.UnsafeGuessKindToResource(o.GroupVersionKind())
		for _, verb := range []string{"get", "create", "patch"} {
			all = append(all, right{gvr.Group, gvr.Resource, verb})
		}
	}
	watched := []right{{"", "pods", ""}}
	if in.Spec.Workload == workshop.WorkloadDeploymentConfig {
		watched = append(watched, right{"apps.openshift.io", "deploymentconfigs", ""}, right{"", "replicationcontrollers", ""})
	} else {
		watched = append(watched, right{"apps", "deployments", ""}, right{"apps", "replicasets", ""})
	}
	if in.Spec.Expose == workshop.ExposeRoute {
		watched = append(watched, right{"route.openshift.io", "routes", ""})
		if !in.Spec.HostAssigned && !in.Existing {
			all = append(all, right{"route.openshift.io", "routes/custom-host", "create"})
		}
	}
	for _, watched := range watched {
		for _, verb := range []string{"list", "watch"} {
			all = append(all, right{watched.group, watched.resource, verb})
		}
	}
	// The record, and the pod of the image check.
	for _, verb := range []string{"create", "update"} {
		all = append(all, right{"", "configmaps", verb})
	}
	return append(all, right{"", "pods", "create"}, right{"", "pods", "delete"})
}

// granted is what the rendered Roles give.
func granted(in Input) ([]right, error) {
	var all []right
	for _, o := range in.Objects {
		if o.GetKind() != "Role" {
			continue
		}
		var role rbacv1.Role
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &role); err != nil {
			return nil, fmt.Errorf("read the rendered role %s: %w", o.GetName(), err)
		}
		for _, rule := range role.Rules {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, verb := range rule.Verbs {
						all = append(all, right{group, strings.ToLower(resource), verb})
					}
				}
			}
		}
	}
	return all, nil
}
