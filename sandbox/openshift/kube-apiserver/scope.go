// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/openshift/apiserver-library-go/pkg/authorization/scope"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	rbaclisters "k8s.io/client-go/listers/rbac/v1"
	rbacauthorizer "k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac"
)

// scopesKey is where a token review says which scopes an OAuth token has.
const scopesKey = "scopes.authorization.openshift.io"

// scopeCheck denies what the scopes of an OAuth token don't include, and has
// no opinion on the rest.
type scopeCheck struct {
	roles rbaclisters.ClusterRoleLister
}

func (s scopeCheck) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	user := a.GetUser()
	if user == nil || len(user.GetExtra()[scopesKey]) == 0 {
		return authorizer.DecisionNoOpinion, "", nil
	}
	scopes := user.GetExtra()[scopesKey]
	// The rules that could be found count, also beside an unknown scope.
	rules, err := scope.ScopesToRules(scopes, a.GetNamespace(), s.roles)
	if rbacauthorizer.RulesAllow(a, rules...) {
		return authorizer.DecisionNoOpinion, "", nil
	}
	return authorizer.DecisionDeny, fmt.Sprintf("scopes %v prevent this action", scopes), err
}
