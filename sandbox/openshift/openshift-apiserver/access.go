// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strconv"
	"sync/atomic"

	projectauth "github.com/openshift/openshift-apiserver/pkg/project/auth"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	coreinformers "k8s.io/client-go/informers/core/v1"
	rbacinformers "k8s.io/client-go/informers/rbac/v1"
	rbaclisters "k8s.io/client-go/listers/rbac/v1"
	"k8s.io/client-go/tools/cache"
	rbacauthorizer "k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac"
)

// newProjectAccess knows who sees which projects. The cache looks anew at
// namespaces whose roles and bindings have changed, and doesn't notice one
// that is gone: a user would see a project for as long as nothing else changes
// in it. What it does notice is any change of the cluster's bindings, after
// which it looks at everything; so each deletion is shown to it as one.
func newProjectAccess(namespaces coreinformers.NamespaceInformer, rbac rbacinformers.Interface, subjects rbacauthorizer.SubjectLocator) *projectauth.AuthorizationCache {
	gone := new(deletions)
	rbac.RoleBindings().Informer().AddEventHandler(gone)
	rbac.Roles().Informer().AddEventHandler(gone)
	return projectauth.NewAuthorizationCache(namespaces.Lister(), versions{namespaces.Informer(), gone}, projectauth.NewAuthorizerReviewer(subjects), countedRBAC{rbac, gone})
}

// deletions counts objects that are gone.
type deletions struct{ n atomic.Int64 }

func (d *deletions) OnAdd(any)         {}
func (d *deletions) OnUpdate(_, _ any) {}
func (d *deletions) OnDelete(any)      { d.n.Add(1) }

func (d *deletions) version() string { return "deletions-" + strconv.FormatInt(d.n.Load(), 10) }

// versions changes with each deletion, too, so that one is never overlooked
// that comes between the cache's look at the informers and the count.
type versions struct {
	informer cache.SharedIndexInformer
	gone     *deletions
}

func (v versions) LastSyncResourceVersion() string {
	return v.informer.LastSyncResourceVersion() + v.gone.version()
}

type countedRBAC struct {
	rbacinformers.Interface
	gone *deletions
}

func (c countedRBAC) ClusterRoleBindings() rbacinformers.ClusterRoleBindingInformer {
	return countedBindings{c.Interface.ClusterRoleBindings(), c.gone}
}

type countedBindings struct {
	rbacinformers.ClusterRoleBindingInformer
	gone *deletions
}

func (c countedBindings) Lister() rbaclisters.ClusterRoleBindingLister {
	return countedLister{c.ClusterRoleBindingInformer.Lister(), c.gone}
}

type countedLister struct {
	rbaclisters.ClusterRoleBindingLister
	gone *deletions
}

// List adds one binding that changes with each deletion and binds nobody.
func (c countedLister) List(s labels.Selector) ([]*rbacv1.ClusterRoleBinding, error) {
	list, err := c.ClusterRoleBindingLister.List(s)
	return append(list, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{ResourceVersion: c.gone.version()}}), err
}
