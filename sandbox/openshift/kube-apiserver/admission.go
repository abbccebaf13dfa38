// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	securityv1 "github.com/openshift/api/security/v1"
	"github.com/openshift/apiserver-library-go/pkg/securitycontextconstraints/sccadmission"
	securityclient "github.com/openshift/client-go/security/clientset/versioned"
	securitylisters "github.com/openshift/client-go/security/listers/security/v1"
	extensionsclient "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/initializer"
	mutatingwebhook "k8s.io/apiserver/pkg/admission/plugin/webhook/mutating"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// execPlugin forbids to exec into a pod that the user couldn't create. The
// library has the plugin and no constant for its name.
const execPlugin = "security.openshift.io/SCCExecRestrictions"

// sccAdmission has OpenShift's admission plugins for pods and what they read:
// an informer whose client comes later, as plugins are made first.
type sccAdmission struct {
	informer   cache.SharedIndexInformer
	security   securityclient.Interface
	kube       kubernetes.Interface
	extensions extensionsclient.Interface
	plugins    []initializer.WantsAuthorizer
}

func newSCCAdmission() *sccAdmission {
	c := &sccAdmission{}
	c.informer = cache.NewSharedIndexInformer(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return c.security.SecurityV1().SecurityContextConstraints().List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return c.security.SecurityV1().SecurityContextConstraints().Watch(ctx, o)
		},
	}, &securityv1.SecurityContextConstraints{}, 0, cache.Indexers{})
	return c
}

// Informer and Lister are what the plugins' initializer asks for.
func (c *sccAdmission) Informer() cache.SharedIndexInformer { return c.informer }

// Lister reads from the informer.
func (c *sccAdmission) Lister() securitylisters.SecurityContextConstraintsLister {
	return securitylisters.NewSecurityContextConstraintsLister(c.informer.GetIndexer())
}

// register adds the plugins, on by default and before the mutating webhooks,
// as in OpenShift.
func (c *sccAdmission) register(o *genericoptions.AdmissionOptions) {
	set := sccadmission.NewInitializer(c)
	o.Plugins.Register(sccadmission.PluginName, func(io.Reader) (admission.Interface, error) {
		p := sccadmission.NewConstraint()
		set.Initialize(p)
		c.plugins = append(c.plugins, p)
		return p, nil
	})
	o.Plugins.Register(execPlugin, func(io.Reader) (admission.Interface, error) {
		p := sccadmission.NewSCCExecRestrictions()
		set.Initialize(p)
		c.plugins = append(c.plugins, p)
		return p, nil
	})
	order := slices.Clone(o.RecommendedPluginOrder)
	o.RecommendedPluginOrder = slices.Insert(order, slices.Index(order, mutatingwebhook.PluginName), sccadmission.PluginName, execPlugin)
}

// authorizeBy says who decides whether a user may use a constraint.
func (c *sccAdmission) authorizeBy(a authorizer.Authorizer) {
	for _, p := range c.plugins {
		p.SetAuthorizer(a)
	}
}

// connect makes the clients.
func (c *sccAdmission) connect(loopback *rest.Config) error {
	config := rest.CopyConfig(loopback)
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON // custom resources speak nothing else
	var err error
	if c.security, err = securityclient.NewForConfig(config); err != nil {
		return err
	}
	if c.extensions, err = extensionsclient.NewForConfig(config); err != nil {
		return err
	}
	c.kube, err = kubernetes.NewForConfig(config)
	return err
}

// start makes what isn't there yet and reads the constraints until the server
// ends. The server isn't ready before it returns: a pod that comes while one
// of the standard constraints is missing waits ten seconds and is refused.
func (c *sccAdmission) start(hook genericapiserver.PostStartHookContext) error {
	var last error
	err := wait.PollUntilContextCancel(hook, 100*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		if err := c.ensure(ctx); err != nil {
			if last == nil || err.Error() != last.Error() {
				klog.InfoS("The standard security context constraints aren't there yet", "reason", err)
			}
			last = err
			return false, nil
		}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("make the standard security context constraints: %w", err)
	}
	go c.informer.RunWithContext(hook)
	if !cache.WaitForCacheSync(hook.Done(), c.informer.HasSynced) {
		return hook.Err()
	}
	return nil
}

// ensure makes the definition, the standard constraints, and the roles to use
// them. What is there it leaves as it is.
func (c *sccAdmission) ensure(ctx context.Context) error {
	create := metav1.CreateOptions{}
	if _, err := c.extensions.ApiextensionsV1().CustomResourceDefinitions().Create(ctx, definition(), create); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	for _, scc := range standardConstraints() {
		if _, err := c.security.SecurityV1().SecurityContextConstraints().Create(ctx, &scc, create); err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
		if _, err := c.kube.RbacV1().ClusterRoles().Create(ctx, useRole(scc.Name), create); err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	_, err := c.kube.RbacV1().ClusterRoleBindings().Create(ctx, everybodyUses("restricted-v2"), create)
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}
