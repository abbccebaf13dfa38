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
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"

	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// right is one thing that somebody may or may not do.
type right struct {
	group, resource, verb string
	// name of the one object that it is about; empty for all.
	name string
}

func (r right) String() string {
	text := r.verb + " " + schema.GroupResource{Group: r.group, Resource: r.resource}.String()
	if r.name != "" {
		text += " " + r.name
	}
	return text
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
	may := allowed(review)
	var found []Finding
	if missing := without(needed(in), may); len(missing) > 0 {
		f := explain.Failure{Code: explain.Rights, Object: "namespace " + in.Namespace,
			Cause: "you lack rights that a deploy needs", Evidence: missing,
			Remedy: "check the namespace's name; if it is right, ask an administrator of the cluster to bind you to the ClusterRole admin in it"}
		if !slices.ContainsFunc(needed(in), func(r right) bool { return r.group != rbacv1.GroupName && !may(r) }) {
			f.Remedy = "ask an administrator of the cluster to bind you to the ClusterRole admin in the namespace; or " + AccountRemedy(in.Namespace, in.Spec, in.Capabilities.Route)
		}
		found = append(found, Finding{Failure: f})
	}
	if may(right{group: rbacv1.GroupName, resource: "roles", verb: "escalate"}) {
		return found, nil
	}
	given, err := granted(in.Objects)
	if err != nil {
		return nil, err
	}
	if missing := without(given, may); len(missing) > 0 {
		found = append(found, Finding{Failure: explain.Failure{Code: explain.Rights, Object: "role of the hub",
			Cause: "the hub needs rights that you don't have and so can't give", Evidence: missing,
			Remedy: "ask an administrator of the cluster to bind you to the ClusterRole admin in this namespace; or " + AccountRemedy(in.Namespace, in.Spec, in.Capabilities.Route)}})
	}
	return found, nil
}

// allowed reads what somebody may do.
func allowed(review *authorizationv1.SelfSubjectRulesReview) func(right) bool {
	return func(r right) bool {
		return slices.ContainsFunc(review.Status.ResourceRules, func(rule authorizationv1.ResourceRule) bool {
			return (len(rule.ResourceNames) == 0 || r.name != "" && slices.Contains(rule.ResourceNames, r.name)) &&
				has(rule.APIGroups, r.group) && has(rule.Resources, r.resource) && has(rule.Verbs, r.verb)
		})
	}
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
	add := func(group, resource string, verbs ...string) {
		for _, verb := range verbs {
			all = append(all, right{group: group, resource: resource, verb: verb})
		}
	}
	for _, o := range in.Objects {
		gvr, _ := meta.UnsafeGuessKindToResource(o.GroupVersionKind())
		add(gvr.Group, gvr.Resource, "get", "create", "patch")
	}
	add("", "pods", "list", "watch")
	if in.Spec.Workload == workshop.WorkloadDeploymentConfig {
		add("apps.openshift.io", "deploymentconfigs", "list", "watch")
		add("", "replicationcontrollers", "list", "watch")
	} else {
		add("apps", "deployments", "list", "watch")
		add("apps", "replicasets", "list", "watch")
	}
	if in.Spec.Expose == workshop.ExposeRoute {
		add("route.openshift.io", "routes", "list", "watch")
		if !in.Spec.HostAssigned && !in.Existing {
			add("route.openshift.io", "routes/custom-host", "create")
		}
	}
	// The record, and the pod of the image check.
	add("", "configmaps", "create", "update")
	add("", "pods", "create", "delete")
	return all
}

// granted is what the Roles among the objects give.
func granted(objects []*unstructured.Unstructured) ([]right, error) {
	var all []right
	for _, o := range objects {
		if o.GetKind() != "Role" {
			continue
		}
		var role rbacv1.Role
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &role); err != nil {
			return nil, fmt.Errorf("read the rendered role %s: %w", o.GetName(), err)
		}
		for _, rule := range role.Rules {
			names := rule.ResourceNames
			if len(names) == 0 {
				names = []string{""}
			}
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, verb := range rule.Verbs {
						for _, name := range names {
							all = append(all, right{group, strings.ToLower(resource), verb, name})
						}
					}
				}
			}
		}
	}
	return all, nil
}
