// SPDX-License-Identifier: Apache-2.0

package ingress

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	routev1 "github.com/openshift/api/route/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
)

// routerName is what the router calls itself in a Route's status. OpenShift's
// first one has this name, too.
const routerName = "default"

var routeResource = routev1.GroupVersion.WithResource("routes")

// watchRoutes returns a function that lists the Routes of an informer.
func (c *controller) watchRoutes(ctx context.Context, handler cache.ResourceEventHandler) (func() ([]*routev1.Route, error), error) {
	factory := dynamicinformer.NewDynamicSharedInformerFactory(c.routes, 0)
	informer := factory.ForResource(routeResource)
	if _, err := informer.Informer().AddEventHandler(handler); err != nil {
		return nil, err
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), informer.Informer().HasSynced) {
		return nil, fmt.Errorf("list routes: %w", context.Cause(ctx))
	}
	return func() ([]*routev1.Route, error) {
		objects, err := informer.Lister().List(labels.Everything())
		if err != nil {
			return nil, err
		}
		list := make([]*routev1.Route, 0, len(objects))
		for _, o := range objects {
			u, ok := o.(*unstructured.Unstructured)
			if !ok {
				return nil, fmt.Errorf("list routes: got a %T", o)
			}
			r := &routev1.Route{}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, r); err != nil {
				return nil, fmt.Errorf("route %s/%s: %w", u.GetNamespace(), u.GetName(), err)
			}
			list = append(list, r)
		}
		return list, nil
	}, nil
}

// writeRouteStatus says where a Route is served, or why it isn't.
func (c *controller) writeRouteStatus(ctx context.Context, v RouteVerdict) error {
	status, changed := routeStatus(v, "router-default."+c.cfg.RouteDomain, time.Now())
	if !changed {
		return nil
	}
	if v.Reason != "" {
		c.cfg.Log("ingress: route %s/%s: %s: %s", v.Route.Namespace, v.Route.Name, v.Reason, v.Message)
	}
	// With the version that it was decided on: of two writers one tries again.
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": v.Route.ResourceVersion},
		"status":   map[string]any{"ingress": status},
	})
	if err != nil {
		return err
	}
	if _, err := c.routes.Resource(routeResource).Namespace(v.Route.Namespace).Patch(ctx, v.Route.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
		return fmt.Errorf("write the status of route %s/%s: %w", v.Route.Namespace, v.Route.Name, err)
	}
	return nil
}

// routeStatus returns what status.ingress should be, with the entries of other
// routers as they are, and whether that is news.
func routeStatus(v RouteVerdict, canonicalHostname string, now time.Time) ([]routev1.RouteIngress, bool) {
	condition := routev1.RouteIngressCondition{Type: routev1.RouteAdmitted, Status: corev1.ConditionTrue}
	if v.Reason != "" {
		condition.Status, condition.Reason, condition.Message = corev1.ConditionFalse, v.Reason, v.Message
	}
	status := slices.Clone(v.Route.Status.Ingress)
	i := slices.IndexFunc(status, func(i routev1.RouteIngress) bool { return i.RouterName == routerName })
	if i < 0 {
		i = len(status)
		status = append(status, routev1.RouteIngress{RouterName: routerName})
	}
	entry := status[i]
	old := slices.IndexFunc(entry.Conditions, func(c routev1.RouteIngressCondition) bool { return c.Type == condition.Type })
	same := entry.Host == v.Host && entry.WildcardPolicy == v.Route.Spec.WildcardPolicy && entry.RouterCanonicalHostname == canonicalHostname
	if old >= 0 && same {
		condition.LastTransitionTime = entry.Conditions[old].LastTransitionTime
		if entry.Conditions[old] == condition {
			return v.Route.Status.Ingress, false
		}
	}
	at := metav1.NewTime(now).Rfc3339Copy()
	condition.LastTransitionTime = &at
	entry.Host, entry.WildcardPolicy, entry.RouterCanonicalHostname = v.Host, v.Route.Spec.WildcardPolicy, canonicalHostname
	entry.Conditions = slices.Clone(entry.Conditions)
	if old >= 0 {
		entry.Conditions[old] = condition
	} else {
		entry.Conditions = append(entry.Conditions, condition)
	}
	status[i] = entry
	return status, true
}
