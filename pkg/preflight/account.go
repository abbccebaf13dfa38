// SPDX-License-Identifier: Apache-2.0

package preflight

import (
	"context"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// AccountRemedy says to people who can't make a Role how a workshop gets its
// account nonetheless.
func AccountRemedy(namespace string, s workshop.Spec, routes bool) string {
	client := "kubectl"
	if routes {
		client = "oc"
	}
	flags := " --workshop " + s.Name
	if _, port := workshop.SplitHost(s.Host); port != "" && routes { // which the login's way back has then
		flags += " --host " + s.Host
	}
	if s.ServiceAccount != "" {
		flags += " --service-account " + s.ServiceAccount
	}
	return fmt.Sprintf("have an administrator of the namespace apply what `workshopctl render --admin%s -n %s` prints (| %s apply -f -), then deploy with --service-account %s",
		flags, namespace, client, s.Account())
}

// account looks whether the account that the Spec names can run the hub. What
// it may do is asked in its own name: who may edit a namespace may act as its
// accounts, while asking on behalf of others (LocalSubjectAccessReview) and
// reading Roles takes rights of the ClusterRole admin.
func account(ctx context.Context, client kubernetes.Interface, in Input) ([]Finding, error) {
	name := in.Spec.ServiceAccount
	if name == "" {
		return nil, nil
	}
	f := explain.Failure{Code: explain.Rights, Object: "serviceaccount " + name, Remedy: AccountRemedy(in.Namespace, in.Spec, in.Capabilities.Route)}
	_, err := client.CoreV1().ServiceAccounts(in.Namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		f.Cause = "--service-account names an account that does not exist"
		return []Finding{{Failure: f}}, nil
	}
	if err != nil || in.Impersonate == nil {
		return nil, err
	}
	as, err := in.Impersonate(fmt.Sprintf("system:serviceaccount:%s:%s", in.Namespace, name))
	if err != nil {
		return nil, err
	}
	review, err := as.AuthorizationV1().SelfSubjectRulesReviews().Create(ctx, &authorizationv1.SelfSubjectRulesReview{
		Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: in.Namespace}}, metav1.CreateOptions{})
	if err != nil || review.Status.Incomplete {
		return nil, err
	}
	wanted, err := granted(in.Account)
	if err != nil {
		return nil, err
	}
	if f.Evidence = without(wanted, allowed(review)); len(f.Evidence) == 0 {
		return nil, nil
	}
	f.Cause = "it lacks rights that the hub needs"
	return []Finding{{Failure: f}}, nil
}
