// SPDX-License-Identifier: Apache-2.0

//go:build integration

package testcluster

import (
	"encoding/json"
	"net/url"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Route makes a Route with TLS as the trainer, waits until the router has
// admitted it, and returns the address that browsers use, with the port of the
// cluster's login page, which comes by the same router.
func (c *Cluster) Route(t *testing.T, name string) *url.URL {
	t.Helper()
	routes := c.Trainer.Dynamic.Resource(schema.GroupVersionResource{Group: "route.openshift.io", Version: "v1", Resource: "routes"}).Namespace(c.Namespace)
	route := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "route.openshift.io/v1", "kind": "Route", "metadata": map[string]any{"name": name},
		"spec": map[string]any{"to": map[string]any{"kind": "Service", "name": name}, "tls": map[string]any{"termination": "edge"}},
	}}
	if _, err := routes.Create(t.Context(), route, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	var host string
	Await(t, routes, name, func(r *unstructured.Unstructured) bool {
		host, _, _ = unstructured.NestedString(r.Object, "spec", "host")
		ingress, _, _ := unstructured.NestedSlice(r.Object, "status", "ingress")
		return len(ingress) > 0
	})
	login := c.LoginServer(t)
	if port := login.Port(); port != "" {
		host += ":" + port
	}
	return &url.URL{Scheme: "https", Host: host, Path: "/"}
}

// LoginServer is where the cluster's login page is.
func (c *Cluster) LoginServer(t *testing.T) *url.URL {
	t.Helper()
	var metadata struct {
		Issuer string `json:"issuer"`
	}
	body, err := c.Trainer.Kubernetes.Discovery().RESTClient().Get().AbsPath("/.well-known/oauth-authorization-server").DoRaw(t.Context())
	if err == nil {
		err = json.Unmarshal(body, &metadata)
	}
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := url.Parse(metadata.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	return issuer
}

// Authorities are the certificate authorities that pods of the namespace know
// the cluster by, its router's among them.
func (c *Cluster) Authorities(t *testing.T) string {
	t.Helper()
	var bundle string
	Await(t, c.Trainer.Kubernetes.CoreV1().ConfigMaps(c.Namespace), "kube-root-ca.crt", func(m *corev1.ConfigMap) bool {
		bundle = m.Data["ca.crt"]
		return bundle != ""
	})
	return bundle
}
