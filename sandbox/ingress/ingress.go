// SPDX-License-Identifier: Apache-2.0

// Package ingress turns Ingress objects, and OpenShift's Routes, into the
// configuration of an HAProxy that it runs, and writes back to their status
// where they are reached.
//
// Translate makes a Model of the objects, Render makes HAProxy's files of the
// Model, and proxy keeps an HAProxy running on those files. Run ties the three
// to a cluster.
//
// The host of an Ingress with a tls entry is served over https only, and http
// leads there; a host without one is served over http only.
//
// Routes are admitted, refused and served as OpenShift's router does, which is
// an HAProxy, too. Left out are alternateBackends and their weights, wildcard
// routes, which it refuses by default, cookies that tie a client to a pod,
// spec.httpHeaders, and annotations other than the two timeouts.
package ingress

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	routev1 "github.com/openshift/api/route/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
)

// Config of the controller and of its HAProxy.
type Config struct {
	// Dir holds HAProxy's configuration, certificates and sockets. It is made
	// with mode 0700.
	Dir string
	// HTTPPort and HTTPSPort are where HAProxy listens, on all addresses.
	// Clients must reach it by the same ports: redirects name them.
	HTTPPort, HTTPSPort int
	// CertPEM is a file with the default certificate, its chain and its key.
	CertPEM string
	// ClassName is the name of the IngressClass, which is made the default.
	ClassName string
	// Address is the IP written to status.loadBalancer.ingress.
	Address string
	// RouteDomain makes it serve Routes, too, in a cluster that has them. It
	// is the domain of their hosts.
	RouteDomain string
	// Log receives a line for each event of interest. Nil discards them.
	Log func(format string, args ...any)
}

// controllerName is what IngressClass objects call this controller.
const controllerName = "github.com/workshopctl/sandbox-ingress"

const (
	// settle is how long changes are collected before HAProxy is reloaded.
	settle = 100 * time.Millisecond
	// retry is how long after a failed write to the cluster it is tried again.
	retry = time.Second
)

// Run serves until ctx ends and takes HAProxy down with it. It returns early
// with an error if HAProxy or the cluster can't be used at all.
func Run(ctx context.Context, rc *rest.Config, cfg Config) error {
	client, err := kubernetes.NewForConfig(rc)
	if err != nil {
		return fmt.Errorf("ingress: %w", err)
	}
	routes, err := dynamic.NewForConfig(rc)
	if err != nil {
		return fmt.Errorf("ingress: %w", err)
	}
	if err := run(ctx, client, routes, cfg); err != nil && ctx.Err() == nil {
		return fmt.Errorf("ingress: %w", err)
	}
	return nil
}

// run needs the second client only for Routes.
func run(ctx context.Context, client kubernetes.Interface, routes dynamic.Interface, cfg Config) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if cfg.Log == nil {
		cfg.Log = func(string, ...any) {}
	}
	if err := ensureClass(ctx, client, cfg.ClassName); err != nil {
		return err
	}
	c := &controller{client: client, routes: routes, cfg: cfg, reported: map[types.UID]string{}}
	broadcaster := record.NewBroadcaster(record.WithContext(context.WithoutCancel(ctx)))
	defer broadcaster.Shutdown()
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	c.events = broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "sandbox-ingress"})

	changed := make(chan struct{}, 1)
	if err := c.watch(ctx, changed); err != nil {
		return err
	}
	p, err := newProxy(cfg.Dir, cfg.Log)
	if err != nil {
		return err
	}
	defer p.stop()

	// The first pass runs at once; later changes are collected for a moment.
	timer := time.NewTimer(0)
	defer timer.Stop()
	armed := true
	arm := func(d time.Duration) {
		if !armed {
			armed = true
			timer.Reset(d)
		}
	}
	for {
		select {
		case <-changed:
			arm(settle)
		case <-timer.C:
			armed = false
			if err := c.pass(ctx, p); err != nil && ctx.Err() == nil {
				cfg.Log("ingress: %v", err)
				arm(retry)
			}
		case err := <-p.died():
			cfg.Log("ingress: haproxy ended (%v) and is started again", err)
			p.forget()
			arm(retry)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ensureClass makes the IngressClass, and makes it the default.
func ensureClass(ctx context.Context, client kubernetes.Interface, name string) error {
	classes := client.NetworkingV1().IngressClasses()
	_, err := classes.Create(ctx, &networkingv1.IngressClass{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{networkingv1.AnnotationIsDefaultIngressClass: "true"}},
		Spec:       networkingv1.IngressClassSpec{Controller: controllerName},
	}, metav1.CreateOptions{})
	if err == nil || !apierrors.IsAlreadyExists(err) {
		return err
	}
	class, err := classes.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if class.Spec.Controller != controllerName {
		return fmt.Errorf("the IngressClass %q belongs to the controller %q", name, class.Spec.Controller)
	}
	if class.Annotations[networkingv1.AnnotationIsDefaultIngressClass] == "true" {
		return nil
	}
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:"true"}}}`, networkingv1.AnnotationIsDefaultIngressClass)
	_, err = classes.Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	return err
}

// controller reads the cluster, keeps HAProxy up to date and reports.
type controller struct {
	client   kubernetes.Interface
	routes   dynamic.Interface
	cfg      Config
	events   record.EventRecorder
	objects  func() (Objects, error)
	reported map[types.UID]string // what the last Event of an Ingress said
}

// watch fills c.objects from informers, which signal each change.
func (c *controller) watch(ctx context.Context, changed chan<- struct{}) error {
	factory := informers.NewSharedInformerFactory(c.client, 0)
	secrets := informers.NewSharedInformerFactoryWithOptions(c.client, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector("type", string(corev1.SecretTypeTLS)).String()
	}))
	ingresses, services := factory.Networking().V1().Ingresses(), factory.Core().V1().Services()
	endpoints, certificates := factory.Discovery().V1().EndpointSlices(), secrets.Core().V1().Secrets()
	signal := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { signal() },
		UpdateFunc: func(any, any) { signal() },
		DeleteFunc: func(any) { signal() },
	}
	for _, i := range []cache.SharedIndexInformer{ingresses.Informer(), services.Informer(), endpoints.Informer(), certificates.Informer()} {
		if _, err := i.AddEventHandler(handler); err != nil {
			return err
		}
	}
	for _, f := range []informers.SharedInformerFactory{factory, secrets} {
		f.Start(ctx.Done())
		for kind, synced := range f.WaitForCacheSync(ctx.Done()) {
			if !synced {
				return fmt.Errorf("list %v: %w", kind, context.Cause(ctx))
			}
		}
	}
	listRoutes := func() ([]*routev1.Route, error) { return nil, nil }
	if c.cfg.RouteDomain != "" {
		var err error
		if listRoutes, err = c.watchRoutes(ctx, handler); err != nil {
			return err
		}
	}
	c.objects = func() (o Objects, err error) {
		var errs [5]error
		o.Ingresses, errs[0] = ingresses.Lister().List(labels.Everything())
		o.Services, errs[1] = services.Lister().List(labels.Everything())
		o.EndpointSlices, errs[2] = endpoints.Lister().List(labels.Everything())
		o.Secrets, errs[3] = certificates.Lister().List(labels.Everything())
		o.Routes, errs[4] = listRoutes()
		return o, errors.Join(errs[:]...)
	}
	return nil
}

// pass brings HAProxy to the state of the objects and then says so in their
// status.
func (c *controller) pass(ctx context.Context, p *proxy) error {
	objects, err := c.objects()
	if err != nil {
		return err
	}
	certificate, err := os.ReadFile(c.cfg.CertPEM)
	if err != nil {
		return err
	}
	model, verdicts, routeVerdicts := Translate(objects, c.cfg.ClassName, c.cfg.RouteDomain)
	files := Render(model, Settings{HTTPPort: c.cfg.HTTPPort, HTTPSPort: c.cfg.HTTPSPort, DefaultCertificate: certificate,
		Socket: filepath.Join(p.dir, "https.sock"), Routes: c.cfg.RouteDomain != ""})
	if err := p.load(ctx, files); err != nil {
		return err
	}
	var errs []error
	for _, v := range verdicts {
		c.report(v)
		if err := c.writeStatus(ctx, v); err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, err)
		}
	}
	for _, v := range routeVerdicts {
		if err := c.writeRouteStatus(ctx, v); err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, err)
		}
	}
	maps.DeleteFunc(c.reported, func(uid types.UID, _ string) bool {
		return !slices.ContainsFunc(verdicts, func(v Verdict) bool { return v.Ingress.UID == uid })
	})
	return errors.Join(errs...)
}

// report writes an Event for what is wrong with an Ingress, once.
func (c *controller) report(v Verdict) {
	said := fmt.Sprint(v.Problems)
	if c.reported[v.Ingress.UID] == said || len(v.Problems) == 0 {
		c.reported[v.Ingress.UID] = said
		return
	}
	c.reported[v.Ingress.UID] = said
	for _, problem := range v.Problems {
		c.cfg.Log("ingress: %s/%s: %s", v.Ingress.Namespace, v.Ingress.Name, problem.Message)
		c.events.Event(v.Ingress, corev1.EventTypeWarning, problem.Reason, problem.Message)
	}
}

// writeStatus says under which address an Ingress is served, or that it isn't.
func (c *controller) writeStatus(ctx context.Context, v Verdict) error {
	var want []networkingv1.IngressLoadBalancerIngress
	if v.Served {
		want = []networkingv1.IngressLoadBalancerIngress{{IP: c.cfg.Address}}
	}
	has := v.Ingress.Status.LoadBalancer.Ingress
	if len(has) == len(want) && (len(want) == 0 || (has[0].IP == c.cfg.Address && has[0].Hostname == "")) {
		return nil
	}
	update := v.Ingress.DeepCopy()
	update.Status.LoadBalancer.Ingress = want
	_, err := c.client.NetworkingV1().Ingresses(update.Namespace).UpdateStatus(ctx, update, metav1.UpdateOptions{})
	if err != nil {
		return fmt.Errorf("write the status of ingress %s/%s: %w", update.Namespace, update.Name, err)
	}
	return nil
}
