// SPDX-License-Identifier: Apache-2.0

package imagestream

import (
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/random"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"
)

func TestParseTag(t *testing.T) {
	for in, want := range map[string]Tag{
		"p/n:1": {"p", "n", "1"}, "p/n": {"p", "n", "latest"},
		"n:1": {}, "p/": {}, "/n:1": {}, "p/n:": {}, "p/n/m:1": {}, "p/n:1:2": {}, "p/n@sha256:0": {}, "": {},
	} {
		got, err := ParseTag(in)
		if got != want || (err == nil) != (want != Tag{}) {
			t.Errorf("%q: got %+v, %v, want %+v", in, got, err, want)
		}
	}
}

func newClient(t *testing.T) *fake.FakeDynamicClient {
	t.Helper()
	return fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{streams: "ImageStreamList", mappings: "ImageStreamMappingList"})
}

func TestSet(t *testing.T) {
	img, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	client := newClient(t)
	tag := Tag{"p", "terminal", "1"}
	want := "image-registry.openshift-image-registry.svc:5000/p/terminal@" + digest.String()
	got, err := Set(t.Context(), client, tag, img)
	if err != nil || got != want {
		t.Fatalf("got %q, %v, want %q", got, err, want)
	}
	if _, err := client.Resource(streams).Namespace("p").Get(t.Context(), "terminal", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
	mapping, err := client.Resource(mappings).Namespace("p").Get(t.Context(), "terminal", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"tag": "1", "image.metadata.name": digest.String(), "image.dockerImageReference": want, "image.dockerImageManifest": string(manifest)} {
		if got, _, _ := unstructured.NestedString(mapping.Object, strings.Split(path, ".")...); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	if config, _, _ := unstructured.NestedString(mapping.Object, "image", "dockerImageConfig"); !strings.Contains(config, "rootfs") {
		t.Errorf("the configuration is %q", config)
	}

	// A stream that is there already is no failure; a mapping is made anew by
	// a real server, which keeps none.
	client.ReactionChain = nil
	client.AddReactor("create", "imagestreams", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewAlreadyExists(streams.GroupResource(), "terminal")
	})
	client.AddReactor("create", "imagestreammappings", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, nil })
	if _, err := Set(t.Context(), client, tag, img); err != nil {
		t.Error(err)
	}
}

func TestSetWithoutProject(t *testing.T) {
	img, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	client := newClient(t)
	client.PrependReactor("create", "imagestreams", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "p")
	})
	if _, err := Set(t.Context(), client, Tag{"p", "terminal", "1"}, img); err == nil || !strings.Contains(err.Error(), "oc new-project p") {
		t.Errorf("got %v", err)
	}
}
