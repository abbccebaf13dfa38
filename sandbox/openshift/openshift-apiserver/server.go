// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net"
	"strings"
	"time"

	openshiftcontrolplanev1 "github.com/openshift/api/openshiftcontrolplane/v1"
	operatorclient "github.com/openshift/client-go/operator/clientset/versioned"
	operatorinformers "github.com/openshift/client-go/operator/informers/externalversions"
	"github.com/openshift/library-go/pkg/apiserver/apiserverconfig"
	routehostassignment "github.com/openshift/library-go/pkg/route/hostassignment"
	// Registers the API groups.
	_ "github.com/openshift/openshift-apiserver/pkg/api/install"
	oappsapiserver "github.com/openshift/openshift-apiserver/pkg/apps/apiserver"
	authorizationapiserver "github.com/openshift/openshift-apiserver/pkg/authorization/apiserver"
	"github.com/openshift/openshift-apiserver/pkg/bootstrappolicy"
	"github.com/openshift/openshift-apiserver/pkg/cmd/openshift-apiserver/openshiftapiserver/configprocessing"
	imageapiserver "github.com/openshift/openshift-apiserver/pkg/image/apiserver"
	"github.com/openshift/openshift-apiserver/pkg/image/apiserver/registryhostname"
	projectapiserver "github.com/openshift/openshift-apiserver/pkg/project/apiserver"
	projectauth "github.com/openshift/openshift-apiserver/pkg/project/auth"
	projectcache "github.com/openshift/openshift-apiserver/pkg/project/cache"
	routeapiserver "github.com/openshift/openshift-apiserver/pkg/route/apiserver"
	templateapiserver "github.com/openshift/openshift-apiserver/pkg/template/apiserver"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/wait"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericfilters "k8s.io/apiserver/pkg/server/filters"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	serverstorage "k8s.io/apiserver/pkg/server/storage"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	cacheddiscovery "k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	openapicontroller "k8s.io/kube-aggregator/pkg/controllers/openapi"
	openapiaggregator "k8s.io/kube-aggregator/pkg/controllers/openapi/aggregator"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	rbacrest "k8s.io/kubernetes/pkg/registry/rbac/rest"
	rbacvalidation "k8s.io/kubernetes/pkg/registry/rbac/validation"
	rbacauthorizer "k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac"
)

const (
	resync = 10 * time.Minute
	// shutdownTimeout is for watches, which end by themselves only when who
	// watches goes away.
	shutdownTimeout = 2 * time.Second
)

// run serves until stop is closed.
func run(o options, stop <-chan struct{}) error {
	if err := o.validate(); err != nil {
		return err
	}
	client, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return fmt.Errorf("read the kubeconfig %s: %w", o.kubeconfig, err)
	}
	// At the default of 5 a second the roles take half a minute.
	client.QPS, client.Burst = 200, 400
	kube, err := kubernetes.NewForConfig(client)
	if err != nil {
		return err
	}
	shared := informers.NewSharedInformerFactory(kube, resync)
	generic, err := o.genericConfig(client, shared)
	if err != nil {
		return err
	}
	g, err := newGroups(o, client, kube, shared, generic)
	if err != nil {
		return err
	}
	server, err := g.chain()
	if err != nil {
		return err
	}
	if err := server.AddPostStartHook("bootstrap-roles", func(hook genericapiserver.PostStartHookContext) error {
		return roles().EnsureRBACPolicy()(genericapiserver.PostStartHookContext{LoopbackClientConfig: client, StopCh: hook.StopCh})
	}); err != nil {
		return err
	}
	if err := server.AddPostStartHook("rest-mapper", func(hook genericapiserver.PostStartHookContext) error {
		go wait.Until(g.mapper.Reset, 10*time.Second, hook.StopCh) // kinds that come later
		return nil
	}); err != nil {
		return err
	}
	shared.Start(stop)
	for kind, synced := range shared.WaitForCacheSync(stop) {
		if !synced {
			return fmt.Errorf("stopped before all objects of type %s were read", kind)
		}
	}
	g.projectAccess.Run(time.Second)
	go g.projects.Run(stop)
	server.ShutdownTimeout = shutdownTimeout
	prepared := server.PrepareRun()
	if err := aggregateOpenAPI(prepared.GenericAPIServer, stop); err != nil {
		return err
	}
	return prepared.Run(stop)
}

// roles are those that OpenShift's installation makes.
func roles() *rbacrest.PolicyData {
	p := bootstrappolicy.Policy()
	return &rbacrest.PolicyData{
		ClusterRoles: p.ClusterRoles, ClusterRoleBindings: p.ClusterRoleBindings,
		Roles: p.Roles, RoleBindings: p.RoleBindings, ClusterRolesToAggregate: p.ClusterRolesToAggregate,
	}
}

// genericConfig is what the servers of all groups have in common.
func (o options) genericConfig(client *rest.Config, shared informers.SharedInformerFactory) (*genericapiserver.RecommendedConfig, error) {
	c := genericapiserver.NewRecommendedConfig(legacyscheme.Codecs)
	c.SharedInformerFactory, c.ClientConfig = shared, client
	c.OpenAPIConfig = configprocessing.DefaultOpenAPIConfig()
	// Without log in this list `oc logs -f dc/NAME` would end after a minute.
	c.LongRunningFunc = genericfilters.BasicLongRunningRequestCheck(sets.NewString("watch", "proxy"), sets.NewString("attach", "exec", "proxy", "log", "portforward"))
	// A user's right on a project lies in the namespace of that name.
	c.RequestInfoResolver = apiserverconfig.OpenshiftRequestInfoResolver()

	etcd := genericoptions.NewEtcdOptions(&storagebackend.Config{
		Prefix:    "openshift.io",
		Transport: storagebackend.TransportConfig{ServerList: strings.Split(o.etcdServers, ",")},
	})
	etcd.DefaultStorageMediaType = "application/json"
	if err := etcd.Complete(c.StorageObjectCountTracker, c.DrainedNotify(), c.AddPostStartHook); err != nil {
		return nil, err
	}
	storage := serverstorage.NewDefaultStorageFactory(etcd.StorageConfig, etcd.DefaultStorageMediaType, legacyscheme.Codecs,
		serverstorage.NewDefaultResourceEncodingConfig(legacyscheme.Scheme), &serverstorage.ResourceConfig{}, map[schema.GroupResource]string{})
	if err := etcd.ApplyWithStorageFactoryTo(storage, &c.Config); err != nil {
		return nil, err
	}

	serving := genericoptions.NewSecureServingOptions().WithLoopback()
	serving.BindAddress, serving.BindPort = net.ParseIP(o.bindAddress), o.securePort
	serving.ServerCert.CertKey = genericoptions.CertKey{CertFile: o.certFile, KeyFile: o.keyFile}
	if err := serving.ApplyTo(&c.SecureServing, &c.LoopbackClientConfig); err != nil {
		return nil, err
	}
	authentication := genericoptions.NewDelegatingAuthenticationOptions()
	authentication.RemoteKubeConfigFile = o.kubeconfig
	if err := authentication.ApplyTo(&c.Authentication, c.SecureServing, c.OpenAPIConfig); err != nil {
		return nil, err
	}
	authorization := genericoptions.NewDelegatingAuthorizationOptions()
	authorization.RemoteKubeConfigFile = o.kubeconfig
	if err := authorization.ApplyTo(&c.Authorization); err != nil {
		return nil, err
	}
	// Without any admission `oc rollout latest` makes the server panic.
	return c, genericoptions.NewAdmissionOptions().ApplyTo(&c.Config, shared, client, utilfeature.DefaultFeatureGate)
}

// groups are the servers of API groups with what they need.
type groups struct {
	generic         *genericapiserver.RecommendedConfig
	client          *rest.Config
	shared          informers.SharedInformerFactory
	projectTemplate string

	operators     operatorinformers.SharedInformerFactory
	routeHosts    *routehostassignment.SimpleAllocationPlugin
	registry      registryhostname.RegistryHostnameRetriever
	rules         rbacvalidation.AuthorizationRuleResolver
	subjects      rbacauthorizer.SubjectLocator
	projectAccess *projectauth.AuthorizationCache
	projects      *projectcache.ProjectCache
	mapper        *restmapper.DeferredDiscoveryRESTMapper
}

func newGroups(o options, client *rest.Config, kube kubernetes.Interface, shared informers.SharedInformerFactory, generic *genericapiserver.RecommendedConfig) (*groups, error) {
	routeHosts, err := routehostassignment.NewSimpleAllocationPlugin(o.routeDomain)
	if err != nil {
		return nil, fmt.Errorf("--route-domain: %w", err)
	}
	registry, err := registryhostname.DefaultRegistryHostnameRetriever(client, "", o.registryHost)
	if err != nil {
		return nil, err
	}
	operators, err := operatorclient.NewForConfig(client)
	if err != nil {
		return nil, err
	}
	rbac, namespaces := shared.Rbac().V1(), shared.Core().V1().Namespaces()
	roles, bindings := &rbacauthorizer.RoleGetter{Lister: rbac.Roles().Lister()}, &rbacauthorizer.RoleBindingLister{Lister: rbac.RoleBindings().Lister()}
	clusterRoles, clusterBindings := &rbacauthorizer.ClusterRoleGetter{Lister: rbac.ClusterRoles().Lister()}, &rbacauthorizer.ClusterRoleBindingLister{Lister: rbac.ClusterRoleBindings().Lister()}
	subjects := rbacauthorizer.NewSubjectAccessEvaluator(roles, bindings, clusterRoles, clusterBindings, "")
	return &groups{
		generic: generic, client: client, shared: shared, projectTemplate: o.projectTemplate,
		// Started by nobody: the image group asks them for an allow list that a sandbox hasn't got.
		operators:     operatorinformers.NewSharedInformerFactory(operators, resync),
		routeHosts:    routeHosts,
		registry:      registry,
		rules:         rbacvalidation.NewDefaultRuleResolver(roles, bindings, clusterRoles, clusterBindings),
		subjects:      subjects,
		projectAccess: newProjectAccess(namespaces, rbac, subjects),
		projects:      projectcache.NewProjectCache(namespaces.Informer(), kube.CoreV1().Namespaces(), ""),
		mapper:        restmapper.NewDeferredDiscoveryRESTMapper(cacheddiscovery.NewMemCacheClient(kube.Discovery())),
	}, nil
}

// config returns a copy, as each server changes its own.
func (g *groups) config() *genericapiserver.RecommendedConfig {
	return &genericapiserver.RecommendedConfig{Config: g.generic.Config, SharedInformerFactory: g.shared}
}

// chain makes the servers, each of which hands on what isn't for it, and one
// before them that speaks for all.
func (g *groups) chain() (*genericapiserver.GenericAPIServer, error) {
	first := genericapiserver.NewEmptyDelegate()
	for _, add := range []func(genericapiserver.DelegationTarget) (*genericapiserver.GenericAPIServer, error){
		g.apps, g.authorization, g.image, g.project, g.route, g.template,
	} {
		server, err := add(first)
		if err != nil {
			return nil, err
		}
		first = server
	}
	config := g.config()
	config.SkipOpenAPIInstallation = true // see aggregateOpenAPI
	return config.Complete().New("openshift-apiserver", first)
}

func (g *groups) apps(next genericapiserver.DelegationTarget) (*genericapiserver.GenericAPIServer, error) {
	c := oappsapiserver.AppsServerConfig{GenericConfig: g.config(), ExtraConfig: oappsapiserver.ExtraConfig{
		KubeAPIServerClientConfig: g.client, Codecs: legacyscheme.Codecs, Scheme: legacyscheme.Scheme,
	}}
	s, err := c.Complete().New(next)
	if err != nil {
		return nil, err
	}
	return s.GenericAPIServer, nil
}

// authorization is there for `oc login`, which asks it whether a user without
// projects may request one.
func (g *groups) authorization(next genericapiserver.DelegationTarget) (*genericapiserver.GenericAPIServer, error) {
	c := authorizationapiserver.AuthorizationAPIServerConfig{GenericConfig: g.config(), ExtraConfig: authorizationapiserver.ExtraConfig{
		KubeAPIServerClientConfig: g.client, KubeInformers: g.shared, RuleResolver: g.rules, SubjectLocator: g.subjects,
		Codecs: legacyscheme.Codecs, Scheme: legacyscheme.Scheme,
	}}
	completed := c.Complete()
	resources, err := completed.V1RESTStorage()
	if err != nil {
		return nil, err
	}
	// A custom resource in OpenShift: here it answers errors only, and a
	// namespace that can't be asked for what it has is never deleted.
	delete(resources, "rolebindingrestrictions")
	s, err := completed.New(next)
	if err != nil {
		return nil, err
	}
	return s.GenericAPIServer, nil
}

func (g *groups) image(next genericapiserver.DelegationTarget) (*genericapiserver.GenericAPIServer, error) {
	c := imageapiserver.ImageAPIServerConfig{GenericConfig: g.config(), ExtraConfig: imageapiserver.ExtraConfig{
		KubeAPIServerClientConfig: g.client, RegistryHostnameRetriever: g.registry, OperatorInformers: g.operators,
		AllowedRegistriesForImport: openshiftcontrolplanev1.AllowedRegistries{}, MaxImagesBulkImportedPerRepository: 50,
		Codecs: legacyscheme.Codecs, Scheme: legacyscheme.Scheme,
	}}
	s, err := c.Complete().New(next)
	if err != nil {
		return nil, err
	}
	return s.GenericAPIServer, nil
}

func (g *groups) project(next genericapiserver.DelegationTarget) (*genericapiserver.GenericAPIServer, error) {
	c := projectapiserver.ProjectAPIServerConfig{GenericConfig: g.config(), ExtraConfig: projectapiserver.ExtraConfig{
		KubeAPIServerClientConfig: g.client, ProjectAuthorizationCache: g.projectAccess, ProjectCache: g.projects,
		ProjectRequestTemplate: g.projectTemplate, RESTMapper: g.mapper,
		Codecs: legacyscheme.Codecs, Scheme: legacyscheme.Scheme,
	}}
	s, err := c.Complete().New(next)
	if err != nil {
		return nil, err
	}
	return s.GenericAPIServer, nil
}

func (g *groups) route(next genericapiserver.DelegationTarget) (*genericapiserver.GenericAPIServer, error) {
	c := routeapiserver.RouteAPIServerConfig{GenericConfig: g.config(), ExtraConfig: routeapiserver.ExtraConfig{
		KubeAPIServerClientConfig: g.client, RouteAllocator: g.routeHosts, Codecs: legacyscheme.Codecs, Scheme: legacyscheme.Scheme,
	}}
	s, err := c.Complete().New(next)
	if err != nil {
		return nil, err
	}
	return s.GenericAPIServer, nil
}

func (g *groups) template(next genericapiserver.DelegationTarget) (*genericapiserver.GenericAPIServer, error) {
	c := templateapiserver.TemplateConfig{GenericConfig: g.config(), ExtraConfig: templateapiserver.ExtraConfig{
		KubeAPIServerClientConfig: g.client, Codecs: legacyscheme.Codecs, Scheme: legacyscheme.Scheme,
	}}
	s, err := c.Complete().New(next)
	if err != nil {
		return nil, err
	}
	return s.GenericAPIServer, nil
}

// aggregateOpenAPI publishes the schemas of all groups as one, for
// `kubectl explain`. The servers must have been prepared.
func aggregateOpenAPI(server *genericapiserver.GenericAPIServer, stop <-chan struct{}) error {
	downloader := openapiaggregator.NewDownloader()
	aggregator, err := openapiaggregator.BuildAndRegisterAggregator(&downloader, server.NextDelegate(),
		server.Handler.GoRestfulContainer.RegisteredWebServices(), configprocessing.DefaultOpenAPIConfig(), server.Handler.NonGoRestfulMux)
	if err != nil {
		return fmt.Errorf("publish the schemas: %w", err)
	}
	go openapicontroller.NewAggregationController(&downloader, aggregator).Run(stop)
	return nil
}
