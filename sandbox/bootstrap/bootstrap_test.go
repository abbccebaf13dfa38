// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/fake"
)

func testCluster(t *testing.T) cluster {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, []byte("authority"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Address: "10.77.0.10", OpenShiftPort: 6444, OAuthAPIPort: 6445, OAuthPort: 6447, RegistryPort: 5000,
		OAuthHost: "oauth-openshift.apps.demo.localhost", OAuthURL: "https://oauth-openshift.apps.demo.localhost:8443", CA: ca}
	client := fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{})
	return cluster{client, cfg.values()}
}

// Every manifest is filled in, and its objects are of kinds whose resources
// are known.
func TestManifests(t *testing.T) {
	c := testCluster(t)
	files, err := manifests.ReadDir("manifests")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	var resources []string
	for _, file := range files {
		objects, err := c.read(file.Name())
		if err != nil {
			t.Fatalf("%s: %v", file.Name(), err)
		}
		if len(objects) == 0 {
			t.Errorf("%s has no objects", file.Name())
		}
		for _, o := range objects {
			kinds[o.GetKind()]++
			resources = append(resources, resourceOf(o.GroupVersionKind()).Resource)
		}
	}
	if kinds["APIService"] != 8 {
		t.Errorf("there are %v", kinds)
	}
	slices.Sort(resources)
	want := "apiservices clusterrolebindings clusterroles endpointslices imagestreams namespaces oauthclients rolebindings roles routes services users"
	if got := strings.Join(slices.Compact(resources), " "); got != want {
		t.Errorf("resources are\n%s, want\n%s", got, want)
	}
}

func TestUnknownVariable(t *testing.T) {
	if _, err := (cluster{}).read("apis.yaml"); err == nil || !strings.Contains(err.Error(), "nothing is known for $") {
		t.Errorf("got %v", err)
	}
}

// What somebody changed stays, but for what names ports and certificates.
func TestCreateAndReplace(t *testing.T) {
	c := testCluster(t)
	ctx := t.Context()
	for range 2 {
		if err := c.create(ctx, "cluster.yaml"); err != nil {
			t.Fatal(err)
		}
		if err := c.replace(ctx, "apis.yaml"); err != nil {
			t.Fatal(err)
		}
	}
	services := c.client.Resource(schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"})
	roles := c.client.Resource(schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"})
	change := func(resource dynamic.ResourceInterface, name string, value any, field ...string) {
		t.Helper()
		o, err := resource.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := unstructured.SetNestedField(o.Object, value, field...); err != nil {
			t.Fatal(err)
		}
		if _, err := resource.Update(ctx, o, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	change(services, "v1.route.openshift.io", "old", "spec", "caBundle")
	change(services, "v1.route.openshift.io", "kept", "spec", "other")
	change(roles, "system:deployer", []any{}, "rules")
	if err := errors.Join(c.create(ctx, "cluster.yaml"), c.replace(ctx, "apis.yaml")); err != nil {
		t.Fatal(err)
	}
	service, err := services.Get(ctx, "v1.route.openshift.io", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	spec := service.Object["spec"].(map[string]any)
	if spec["caBundle"] != c.values["CA"] || spec["other"] != "kept" || service.GetAnnotations()[startAnnotation] == "" {
		t.Errorf("the API service is %v", service.Object)
	}
	role, err := roles.Get(ctx, "system:deployer", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if rules := role.Object["rules"].([]any); len(rules) != 0 {
		t.Errorf("the role was written anew: %v", rules)
	}
}

func TestAvailable(t *testing.T) {
	service := func(status, reason string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"conditions": []any{
			map[string]any{"type": "Available", "status": status, "reason": reason, "message": "why"}}}}}
	}
	if err := available(service("True", "Passed")); err != nil {
		t.Error(err)
	}
	if err := available(service("False", "FailedDiscoveryCheck")); err == nil || err.Error() != "FailedDiscoveryCheck: why" {
		t.Errorf("got %v", err)
	}
	if err := available(&unstructured.Unstructured{}); err == nil {
		t.Error("a group that nobody looked for is available")
	}
}

func TestToken(t *testing.T) {
	token := NewToken()
	if token == NewToken() || !strings.HasPrefix(token, "sha256~") {
		t.Errorf("a token is %s", token)
	}
	// As `oc` and the servers compute it.
	if got := hash("sha256~secret"); got != "K7gNU3sdo-OL0wNhqoVWhr3g6s1xYv72ol_pe_Unols" {
		t.Errorf("the hash is %s", got)
	}
}
