// SPDX-License-Identifier: Apache-2.0

package image_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/yaml"

	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/image"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// The objects are as OpenShift's API server shows them.
const objects = `
- apiVersion: image.openshift.io/v1
  kind: ImageStreamTag
  metadata: {name: "my-terminal:v2", namespace: training}
  image:
    metadata: {name: "` + digest + `"}
    dockerImageReference: registry.svc:5000/training/my-terminal@` + digest + `
- apiVersion: image.openshift.io/v1
  kind: ImageStreamTag
  metadata: {name: "cli:latest", namespace: openshift}
  image:
    metadata: {name: "` + digest + `"}
    dockerImageReference: registry.svc:5000/openshift/cli@` + digest + `
- apiVersion: image.openshift.io/v1
  kind: ImageStream
  metadata: {name: my-terminal, namespace: training}
  spec:
    tags:
    - {name: failing, from: {kind: DockerImage, name: "quay.io/team/nothing:1"}}
    - {name: coming, from: {kind: ImageStreamTag, name: "base:1"}}
  status:
    tags:
    - tag: v2
      items: [{image: "` + digest + `"}]
    - tag: v1
      items: [{image: "` + digest + `"}]
    - tag: failing
      items: null
      conditions: [{type: ImportSuccess, status: "False", reason: NotFound, message: "dockerimage \"nothing:1\" not found"}]
- apiVersion: image.openshift.io/v1
  kind: ImageStream
  metadata: {name: bare, namespace: training}
`

func streams(t *testing.T) (*image.Streams, *fake.FakeDynamicClient) {
	t.Helper()
	var list []map[string]any
	if err := yaml.Unmarshal([]byte(objects), &list); err != nil {
		t.Fatal(err)
	}
	group := schema.GroupVersion{Group: "image.openshift.io", Version: "v1"}
	client := fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
		group.WithResource("imagestreams"): "ImageStreamList", group.WithResource("imagestreamtags"): "ImageStreamTagList"})
	for _, o := range list {
		u := &unstructured.Unstructured{Object: o}
		if err := client.Tracker().Add(u); err != nil {
			t.Fatal(err)
		}
	}
	return image.NewStreams(client, "training"), client
}

func TestSession(t *testing.T) {
	s, _ := streams(t)
	own := &workshop.StreamTag{Project: "training", Name: "my-terminal", Tag: "v2"}
	byDigest := "registry.svc:5000/training/my-terminal@" + digest
	for name, test := range map[string]struct {
		image workshop.Image
		want  image.Session
	}{
		"a tag by its bare name":      {workshop.Image{Name: "my-terminal:v2"}, image.Session{Tag: own, Reference: byDigest, Digest: digest}},
		"a tag outright":              {workshop.Image{Stream: "my-terminal:v2"}, image.Session{Tag: own, Reference: byDigest, Digest: digest}},
		"of its own project, by name": {workshop.Image{Stream: "training/my-terminal:v2"}, image.Session{Tag: own, Reference: byDigest, Digest: digest}},
		"of another project": {workshop.Image{Stream: "openshift/cli"}, image.Session{Tag: &workshop.StreamTag{Project: "openshift", Name: "cli", Tag: "latest"},
			Reference: "registry.svc:5000/openshift/cli@" + digest, Digest: digest}},
		"a name with a slash":    {workshop.Image{Name: "openshift/cli:latest"}, image.Session{Reference: "openshift/cli:latest"}},
		"no stream of that name": {workshop.Image{Name: "busybox:1"}, image.Session{Reference: "busybox:1"}},
		"no name of a stream":    {workshop.Image{Name: "busybox@" + digest}, image.Session{Reference: "busybox@" + digest, Digest: digest}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := s.Session(t.Context(), test.image)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if got, err := s.Session(t.Context(), workshop.Image{Stream: "a/b/c"}); err == nil {
		t.Errorf("no tag at all: %+v", got)
	}
}

func TestSessionFailures(t *testing.T) {
	for name, test := range map[string]struct {
		image workshop.Image
		code  explain.Code
		text  string // object and cause
		said  []string
		how   string // a part of the remedy
	}{
		"no such tag": {workshop.Image{Name: "my-terminal:v9"}, explain.ImageTagNotFound,
			"image stream my-terminal: it has no tag v9", []string{"its tags: v1, v2"}, "oc -n training tag IMAGE my-terminal:v9"},
		"no tags": {workshop.Image{Name: "bare"}, explain.ImageTagNotFound,
			"image stream bare: it has no tag latest", []string{"its tags: none"}, ""},
		"import failed": {workshop.Image{Stream: "my-terminal:failing"}, explain.ImageTagEmpty,
			"image stream tag my-terminal:failing: it has no image yet",
			[]string{`its import: dockerimage "nothing:1" not found`, "it is to follow quay.io/team/nothing:1", "tags with an image: v1, v2"}, "oc -n training describe imagestream my-terminal"},
		"not imported yet": {workshop.Image{Name: "my-terminal:coming"}, explain.ImageTagEmpty,
			"image stream tag my-terminal:coming: it has no image yet", []string{"it is to follow base:1", "tags with an image: v1, v2"}, ""},
		"no such stream": {workshop.Image{Stream: "nothing:1"}, explain.ImageStreamNotFound,
			"image stream nothing: project training has no image stream of that name", []string{"its image streams: bare, my-terminal"}, "--terminal-image"},
		"no such stream elsewhere": {workshop.Image{Stream: "openshift/nothing:1"}, explain.ImageStreamNotFound,
			"image stream nothing: project openshift has no image stream of that name", []string{"its image streams: none"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := streams(t)
			_, err := s.Session(t.Context(), test.image)
			failure, ok := errors.AsType[*explain.Failure](err)
			if !ok {
				t.Fatalf("%v", err)
			}
			if failure.Code != test.code || failure.Error() != test.text || !strings.Contains(failure.Remedy, test.how) {
				t.Errorf("%s: %s\n%s", failure.Code, failure, failure.Remedy)
			}
			if diff := cmp.Diff(test.said, failure.Evidence); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSessionForbidden(t *testing.T) {
	s, client := streams(t)
	client.PrependReactor("get", "imagestreamtags", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Group: "image.openshift.io", Resource: "imagestreamtags"}, "cli:latest", errors.New("no"))
	})
	_, err := s.Session(t.Context(), workshop.Image{Stream: "openshift/cli:latest"})
	failure, ok := errors.AsType[*explain.Failure](err)
	if !ok || failure.Code != explain.ImageStreamRights || !strings.Contains(failure.Remedy, "oc policy add-role-to-user registry-viewer YOUR-NAME -n openshift") {
		t.Errorf("%+v", err)
	}
}

func TestTags(t *testing.T) {
	s, _ := streams(t)
	got, err := s.Tags(t.Context())
	if want := []string{"my-terminal:v1", "my-terminal:v2"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

func TestShort(t *testing.T) {
	if got := (image.Session{Reference: "r/x@" + digest, Digest: digest}).Short(); got != "sha256:0123456789ab" {
		t.Errorf("by digest: %s", got)
	}
	if got := image.Named("busybox").Short(); got != "busybox" {
		t.Errorf("by name: %s", got)
	}
}
