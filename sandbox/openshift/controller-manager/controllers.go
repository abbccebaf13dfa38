// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"sync"
	"time"

	appsv1 "github.com/openshift/api/apps/v1"
	appsclient "github.com/openshift/client-go/apps/clientset/versioned"
	appsinformers "github.com/openshift/client-go/apps/informers/externalversions"
	imageclient "github.com/openshift/client-go/image/clientset/versioned"
	imageinformers "github.com/openshift/client-go/image/informers/externalversions"
	deployercontroller "github.com/openshift/openshift-controller-manager/pkg/apps/deployer"
	dccontroller "github.com/openshift/openshift-controller-manager/pkg/apps/deploymentconfig"
	"github.com/openshift/openshift-controller-manager/pkg/authorization/defaultrolebindings"
	imagecontroller "github.com/openshift/openshift-controller-manager/pkg/image/controller"
	imagetrigger "github.com/openshift/openshift-controller-manager/pkg/image/controller/trigger"
	dctrigger "github.com/openshift/openshift-controller-manager/pkg/image/trigger/deploymentconfigs"
	projectcontroller "github.com/openshift/openshift-controller-manager/pkg/project/controller"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	sacontroller "k8s.io/kubernetes/pkg/controller/serviceaccount"
)

const (
	resync  = 10 * time.Minute
	workers = 2
	// deployerAccount runs deployer pods; the default role bindings know it by this name.
	deployerAccount = "deployer"
)

// controllers are what this program runs, with the informers they read from.
type controllers struct {
	kube   informers.SharedInformerFactory
	apps   appsinformers.SharedInformerFactory
	images imageinformers.SharedInformerFactory

	synced map[string]cache.InformerSynced // by what is read
	loops  []func(stop <-chan struct{})
}

// newControllers sets them up; they start with run.
func newControllers(o options) (*controllers, error) {
	config, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig %s: %w", o.kubeconfig, err)
	}
	// A new namespace needs eight writes here before its first pod can be admitted.
	config.QPS, config.Burst = 100, 200
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	apps, err := appsclient.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	images, err := imageclient.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	// The events about DeploymentConfigs need their type.
	if err := appsv1.Install(legacyscheme.Scheme); err != nil {
		return nil, err
	}
	c := &controllers{
		kube:   informers.NewSharedInformerFactory(kube, resync),
		apps:   appsinformers.NewSharedInformerFactory(apps, resync),
		images: imageinformers.NewSharedInformerFactory(images, resync),
	}
	core, configs, streams := c.kube.Core().V1(), c.apps.Apps().V1().DeploymentConfigs(), c.images.Image().V1().ImageStreams()

	deployer := deployercontroller.NewDeployerController(core.ReplicationControllers(), core.Pods(), kube, deployerAccount, o.deployerImage, nil)
	deploymentConfigs := dccontroller.NewDeploymentConfigController(configs, core.ReplicationControllers(), apps, kube)
	triggers := imagetrigger.NewTriggerController(o.registryHost, imagetrigger.NewTriggerEventBroadcaster(kube.CoreV1()), streams, imagetrigger.TriggerSource{
		Resource:  schema.GroupResource{Group: appsv1.GroupName, Resource: "deploymentconfigs"},
		Informer:  configs.Informer(),
		Store:     configs.Informer().GetIndexer(),
		TriggerFn: dctrigger.NewDeploymentConfigTriggerIndexer,
		Reactor:   &dctrigger.DeploymentConfigReactor{Client: apps.AppsV1()},
	})
	imports := imagecontroller.NewImageStreamController(images, streams)
	accounts, err := sacontroller.NewServiceAccountsController(core.ServiceAccounts(), core.Namespaces(), kube, sacontroller.ServiceAccountsControllerOptions{
		ServiceAccounts: []corev1.ServiceAccount{{ObjectMeta: metav1.ObjectMeta{Name: "builder"}}, {ObjectMeta: metav1.ObjectMeta{Name: deployerAccount}}},
	})
	if err != nil {
		return nil, err
	}
	bindings := defaultrolebindings.NewDefaultRoleBindingsController(c.kube.Rbac().V1().RoleBindings(), core.Namespaces(), kube.RbacV1())
	finalizer := projectcontroller.NewProjectFinalizerController(core.Namespaces(), kube)
	ranges := newRangeController(core.Namespaces(), kube.CoreV1().Namespaces())

	c.synced = map[string]cache.InformerSynced{
		"DeploymentConfigs":      configs.Informer().HasSynced,
		"ImageStreams":           streams.Informer().HasSynced,
		"ReplicationControllers": core.ReplicationControllers().Informer().HasSynced,
		"Pods":                   core.Pods().Informer().HasSynced,
		"Namespaces":             core.Namespaces().Informer().HasSynced,
		"ServiceAccounts":        core.ServiceAccounts().Informer().HasSynced,
		"RoleBindings":           c.kube.Rbac().V1().RoleBindings().Informer().HasSynced,
	}
	c.loops = []func(<-chan struct{}){
		func(stop <-chan struct{}) { deployer.Run(workers, stop) },
		func(stop <-chan struct{}) { deploymentConfigs.Run(workers, stop) },
		func(stop <-chan struct{}) { triggers.Run(workers, stop) },
		func(stop <-chan struct{}) { imports.Run(workers, stop) },
		func(stop <-chan struct{}) { accounts.Run(workers, stop) },
		func(stop <-chan struct{}) { bindings.Run(workers, stop) },
		func(stop <-chan struct{}) { finalizer.Run(stop, workers) },
		ranges.run,
	}
	return c, nil
}

// run returns when stop is closed and all controllers have ended.
func (c *controllers) run(stop <-chan struct{}) {
	c.kube.Start(stop)
	c.apps.Start(stop)
	c.images.Start(stop)
	var running sync.WaitGroup
	for _, loop := range c.loops {
		running.Add(1)
		go func(loop func(<-chan struct{})) {
			defer running.Done()
			loop(stop)
		}(loop)
	}
	running.Wait()
}

// unsynced names something that wasn't read whole yet, or nothing.
func (c *controllers) unsynced() string {
	for kind, synced := range c.synced {
		if !synced() {
			return kind
		}
	}
	return ""
}
