// SPDX-License-Identifier: Apache-2.0

//go:build integration || scale

// Package testcluster gives integration tests a real API server: each test a
// namespace of its own with a trainer, who is its admin and has no rights
// elsewhere. Pods need not run there (`workshop-sandbox up --control-plane`).
package testcluster

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	appsclient "github.com/openshift/client-go/apps/clientset/versioned/typed/apps/v1"
	routeclient "github.com/openshift/client-go/route/clientset/versioned/typed/route/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/workshopctl/workshopctl/pkg/livecopy"
)

// Cluster is a namespace with the two who use it.
type Cluster struct {
	Namespace string
	// Admin may do everything in the cluster.
	Admin *User
	// Trainer is bound to the ClusterRole admin in the namespace.
	Trainer *User
}

// User has the clients of one person.
type User struct {
	Config     *rest.Config
	Kubernetes kubernetes.Interface
	Dynamic    dynamic.Interface
	// Apps and Routes are OpenShift's; see NewOpenShift.
	Apps   appsclient.AppsV1Interface
	Routes routeclient.RouteV1Interface
}

// New makes a namespace, and has it deleted after the test.
func New(t *testing.T) *Cluster {
	t.Helper()
	kubeconfig := os.Getenv("WORKSHOPCTL_TEST_KUBECONFIG")
	if kubeconfig == "" {
		t.Fatal("WORKSHOPCTL_TEST_KUBECONFIG names no kubeconfig of a cluster to test on: use `make integration`")
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{Admin: user(t, config)}
	ns, err := c.Admin.Kubernetes.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.Namespace = ns.Name
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := c.Admin.Kubernetes.CoreV1().Namespaces().Delete(ctx, ns.Name, metav1.DeleteOptions{}); err != nil {
			t.Log(err)
		}
	})
	c.Trainer = c.Bound(t, "admin")
	return c
}

// Bound makes a user of the namespace who is bound to a ClusterRole there.
func (c *Cluster) Bound(t *testing.T, clusterRole string) *User {
	t.Helper()
	client := c.Admin.Kubernetes
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "trainer-" + strings.ReplaceAll(clusterRole, ":", "-")}}
	if _, err := client.CoreV1().ServiceAccounts(c.Namespace).Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: account.Name},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: clusterRole},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: account.Name, Namespace: c.Namespace}}}
	if _, err := client.RbacV1().RoleBindings(c.Namespace).Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	u := c.Account(t, account.Name)
	if strings.HasPrefix(clusterRole, "system:") {
		return u // a stranger, who has no rights to wait for
	}
	// The API server's authorizer learns of a binding a moment later.
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: c.Namespace, Verb: "get", Resource: "pods"}}}
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		r, err := u.Kubernetes.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		return err == nil && r.Status.Allowed, err
	})
	if err != nil {
		t.Fatalf("wait for the rights of %s: %v", account.Name, err)
	}
	return u
}

// Account returns a service account of the namespace as a user.
func (c *Cluster) Account(t *testing.T, name string) *User {
	t.Helper()
	token, err := c.Admin.Kubernetes.CoreV1().ServiceAccounts(c.Namespace).CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	config := rest.AnonymousClientConfig(c.Admin.Config)
	config.BearerToken = token.Status.Token
	return user(t, config)
}

func user(t *testing.T, config *rest.Config) *User {
	t.Helper()
	config.QPS, config.Burst = 100, 200
	config.WarningHandlerWithContext = rest.NoWarnings{}
	u := &User{Config: config}
	var err error
	if u.Kubernetes, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	if u.Dynamic, err = dynamic.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	if u.Apps, err = appsclient.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	if u.Routes, err = routeclient.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	return u
}

// ServiceAccount waits until the namespace can have pods: its controller has
// made the account that they run under.
func (c *Cluster) ServiceAccount(t *testing.T) {
	t.Helper()
	Await(t, c.Admin.Kubernetes.CoreV1().ServiceAccounts(c.Namespace), "default", func(*corev1.ServiceAccount) bool { return true })
}

// Await waits by watch until the object of that name is as it should be.
func Await[T livecopy.Object, L runtime.Object](t *testing.T, client livecopy.Client[L], name string, done func(T) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	w, err := client.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		if o, ok := e.Object.(T); ok && e.Type != watch.Deleted && done(o) {
			return
		}
	}
	t.Fatalf("%s never became what the test waits for", name)
}
