// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	rbaclisters "k8s.io/client-go/listers/rbac/v1"
	"k8s.io/client-go/tools/cache"
)

func TestScopeCheck(t *testing.T) {
	roles := cache.NewIndexer(cache.MetaNamespaceKeyFunc, nil)
	if err := roles.Add(&rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "view"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get"}}},
	}); err != nil {
		t.Fatal(err)
	}
	check := scopeCheck{rbaclisters.NewClusterRoleLister(roles)}
	pod := authorizer.AttributesRecord{Verb: "get", Namespace: "demo", Resource: "pods", ResourceRequest: true}
	self := authorizer.AttributesRecord{Verb: "get", APIGroup: "user.openshift.io", Resource: "users", Name: "~", ResourceRequest: true}
	for name, c := range map[string]struct {
		scopes  []string
		request authorizer.AttributesRecord
		denied  bool
	}{
		"no scopes":              {nil, pod, false},
		"all":                    {[]string{"user:full"}, pod, false},
		"info for oneself":       {[]string{"user:info"}, self, false},
		"info for a pod":         {[]string{"user:info"}, pod, true},
		"role in its namespace":  {[]string{"role:view:demo"}, pod, false},
		"role in another":        {[]string{"role:view:other"}, pod, true},
		"an unknown one":         {[]string{"nonsense"}, pod, true},
		"an unknown one besides": {[]string{"nonsense", "user:full"}, pod, false},
	} {
		c.request.User = &user.DefaultInfo{Name: "jane", Extra: map[string][]string{scopesKey: c.scopes}}
		decision, reason, _ := check.Authorize(t.Context(), c.request)
		if denied := decision == authorizer.DecisionDeny; denied != c.denied || denied != strings.Contains(reason, "prevent this action") {
			t.Errorf("%s: decision %v, %q", name, decision, reason)
		}
		if decision == authorizer.DecisionAllow {
			t.Errorf("%s: a scope allows what is for others to allow", name)
		}
	}
	if decision, _, _ := check.Authorize(t.Context(), pod); decision != authorizer.DecisionNoOpinion {
		t.Errorf("without a user: %v", decision)
	}
}
