// SPDX-License-Identifier: Apache-2.0

// Package preflight checks before a deploy what would go wrong in it: rights,
// namespace, quota, limits, storage, and whether the cluster can pull the terminal
// image.
package preflight

import (
	"context"
	"fmt"
	"slices"

	routeclient "github.com/openshift/client-go/route/clientset/versioned/typed/route/v1"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"

	"github.com/workshopctl/workshopctl/pkg/capability"
	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/image"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Input is what is to be deployed.
type Input struct {
	Namespace string
	Spec      workshop.Spec
	// Session is the image that sessions will run.
	Session      image.Session
	Capabilities capability.Set
	// Objects as rendered.
	Objects []*unstructured.Unstructured
	// As returns a client that has a token in place of the caller's
	// credentials; nil leaves out what needs one.
	As func(token string) (kubernetes.Interface, error)
	// Account is what Spec.ServiceAccount must have (render.Account), where one
	// is named, and Impersonate gives a client that acts as a user of that name.
	Account     []*unstructured.Unstructured
	Impersonate func(user string) (kubernetes.Interface, error)
	// Existing says that the workshop runs already: its own use of the quota
	// is then not counted a second time.
	Existing bool
	// Routes is the client for them, where the cluster has Routes.
	Routes routeclient.RoutesGetter
}

// Finding is what a check found wrong.
type Finding struct { //nolint:errname // an error only by what it embeds
	// Warning is true where the deploy may go well nonetheless.
	Warning bool `json:"warning"`
	explain.Failure
}

// check looks for one kind of trouble. Errors that say that the caller may
// not look are taken for "nothing found".
type check func(ctx context.Context, client kubernetes.Interface, in Input) ([]Finding, error)

func checks() []check {
	return []check{namespace, rights, account, quota, limits, storageClass, ingressClass, routeHost, oauthServer, oidcIssuer, oidcSecret, secrets, streamRights}
}

// Check runs all checks but TerminalImage's, at once, and returns what they
// found. It writes nothing. Checks that need rights the caller doesn't have
// find nothing.
func Check(ctx context.Context, client kubernetes.Interface, in Input) ([]Finding, error) {
	all := checks()
	found := make([][]Finding, len(all))
	group, ctx := errgroup.WithContext(ctx)
	for i, c := range all {
		group.Go(func() (err error) {
			found[i], err = c(ctx, client, in)
			if apierrors.IsForbidden(err) {
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("check namespace %q before the deploy: %w", in.Namespace, err)
	}
	return slices.Concat(found...), nil
}

func namespace(ctx context.Context, client kubernetes.Interface, in Input) ([]Finding, error) {
	ns, err := client.CoreV1().Namespaces().Get(ctx, in.Namespace, metav1.GetOptions{})
	object := "namespace " + in.Namespace
	switch {
	case apierrors.IsNotFound(err):
		return []Finding{{Failure: explain.Failure{Code: explain.Namespace, Object: object, Cause: "it does not exist",
			Remedy: fmt.Sprintf("make it (kubectl create namespace %s), or choose another with --namespace", in.Namespace)}}}, nil
	case err != nil:
		return nil, err
	case ns.Status.Phase == corev1.NamespaceTerminating:
		return []Finding{{Failure: explain.Failure{Code: explain.Namespace, Object: object, Cause: "it is being deleted",
			Remedy: "wait until it is gone and make it anew, or choose another with --namespace"}}}, nil
	}
	return nil, nil
}

// hasSize says whether a quantity, which may be written in many ways, is more
// than none.
func hasSize(size string) bool {
	q, err := resource.ParseQuantity(size)
	return err == nil && !q.IsZero()
}

func storageClass(ctx context.Context, client kubernetes.Interface, in Input) ([]Finding, error) {
	if !hasSize(in.Spec.Storage.Size) && !hasSize(in.Spec.HubStorageSize) {
		return nil, nil
	}
	classes, err := client.StorageV1().StorageClasses().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, c := range classes.Items {
		if c.Name == in.Spec.Storage.ClassName || (in.Spec.Storage.ClassName == "" && c.Annotations["storageclass.kubernetes.io/is-default-class"] == "true") {
			return nil, nil
		}
		names = append(names, c.Name)
	}
	// Volumes that somebody has made by hand need no class.
	f := explain.Failure{Code: explain.VolumePending, Object: "storage", Cause: "the cluster has no default storage class, so volumes may never come", Evidence: list("classes: ", names),
		Remedy: "name a class with --storage-class, or do without volumes with --storage-size 0 and --hub-storage-size 0"}
	if in.Spec.Storage.ClassName != "" {
		f.Cause = fmt.Sprintf("the cluster has no storage class %q, so volumes may never come", in.Spec.Storage.ClassName)
	}
	return []Finding{{Warning: true, Failure: f}}, nil
}

func ingressClass(ctx context.Context, client kubernetes.Interface, in Input) ([]Finding, error) {
	if in.Spec.Expose != workshop.ExposeIngress || in.Spec.Annotations["kubernetes.io/ingress.class"] != "" || in.Existing {
		return nil, nil
	}
	classes, err := client.NetworkingV1().IngressClasses().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, c := range classes.Items {
		if c.Annotations["ingressclass.kubernetes.io/is-default-class"] == "true" {
			return nil, nil
		}
		names = append(names, c.Name)
	}
	return []Finding{{Warning: true, Failure: explain.Failure{Code: explain.IngressNoClass, Object: "ingress",
		Cause: "the cluster has no default ingress class, so nothing may serve the workshop", Evidence: list("classes: ", names),
		Remedy: "put a class into the workshop file (annotations: {kubernetes.io/ingress.class: NAME}), or deploy with --expose none and use `url --forward`"}}}, nil
}

// routeHost looks for another Route with the workshop's host. Of those in other
// namespaces only the router can tell, afterwards.
func routeHost(ctx context.Context, _ kubernetes.Interface, in Input) ([]Finding, error) {
	if in.Spec.Expose != workshop.ExposeRoute || in.Routes == nil || in.Spec.Host == "" {
		return nil, nil
	}
	routes, err := in.Routes.Routes(in.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	host, _ := workshop.SplitHost(in.Spec.Host)
	name := workshop.Names(in.Spec.Name).Ingress()
	for _, r := range routes.Items {
		made := slices.ContainsFunc(r.OwnerReferences, func(o metav1.OwnerReference) bool { return o.Kind == "Ingress" && o.Name == name })
		if r.Spec.Host != host || r.Spec.Path != "" && r.Spec.Path != "/" || r.Name == name || made {
			continue // the last is made of the workshop's own Ingress, and goes with it
		}
		other := explain.Clean(r.Name)
		return []Finding{{Failure: explain.Failure{Code: explain.HostClaimed, Object: "route " + name,
			Cause:  fmt.Sprintf("its host %s is taken by route %s of this namespace", host, other),
			Remedy: "choose another host with --host, or delete the other route if nobody needs it: kubectl delete route " + other}}}, nil
	}
	return nil, nil
}

// oauthServer looks for the cluster's login where attendees are to use it.
func oauthServer(_ context.Context, _ kubernetes.Interface, in Input) ([]Finding, error) {
	if in.Spec.Auth != workshop.AuthOpenShift || in.Capabilities.OAuth {
		return nil, nil
	}
	return []Finding{{Failure: explain.Failure{Code: explain.Login, Object: "login", Cause: "the cluster has no OAuth server, so attendees can't log in with their accounts of the cluster",
		Evidence: []string{"it doesn't serve oauth.openshift.io: it is no OpenShift cluster, or one with an external identity provider"},
		Remedy:   "use a password instead: --auth password"}}}, nil
}

// secrets looks for those that the Spec names.
func secrets(ctx context.Context, client kubernetes.Interface, in Input) ([]Finding, error) {
	var found []Finding
	for _, want := range []struct {
		name  string
		kinds []corev1.SecretType
		flag  string
		how   string
	}{
		{in.Spec.PullSecret, []corev1.SecretType{corev1.SecretTypeDockerConfigJson, corev1.SecretTypeDockercfg}, "--pull-secret", "kubectl -n %s create secret docker-registry %s --docker-server=… --docker-username=… --docker-password=…"},
		{in.Spec.TLSSecret, []corev1.SecretType{corev1.SecretTypeTLS}, "--tls-secret", "kubectl -n %s create secret tls %s --cert=… --key=…"},
	} {
		if want.name == "" || want.name == workshop.TLSDefault {
			continue
		}
		secret, err := client.CoreV1().Secrets(in.Namespace).Get(ctx, want.name, metav1.GetOptions{})
		f := explain.Failure{Code: explain.ContainerConfig, Object: "secret " + want.name, Remedy: fmt.Sprintf("make it: "+want.how, in.Namespace, want.name)}
		switch {
		case apierrors.IsNotFound(err):
			f.Cause = want.flag + " names a secret that does not exist"
		case err != nil:
			return nil, err
		case !slices.Contains(want.kinds, secret.Type):
			f.Cause = fmt.Sprintf("%s wants a secret of type %s; this one is of type %s", want.flag, want.kinds[0], explain.Clean(string(secret.Type)))
		default:
			continue
		}
		found = append(found, Finding{Failure: f})
	}
	return found, nil
}

// list is a line of evidence, none for no names.
func list(title string, names []string) []string {
	if len(names) == 0 {
		return nil
	}
	line := title
	for i, n := range names {
		if i > 0 {
			line += ", "
		}
		line += explain.Clean(n)
	}
	return []string{line}
}
