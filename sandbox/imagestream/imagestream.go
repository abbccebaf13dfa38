// SPDX-License-Identifier: Apache-2.0

// Package imagestream makes images of the sandbox's registry known to
// OpenShift's API, as OpenShift's own registry does for what is pushed to it.
package imagestream

import (
	"context"
	"errors"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// Registry is what a cluster of OpenShift calls its own registry. In a sandbox
// the name stands for the sandbox's: only the node resolves it.
const Registry = "image-registry.openshift-image-registry.svc:5000"

var (
	streams  = schema.GroupVersionResource{Group: "image.openshift.io", Version: "v1", Resource: "imagestreams"}
	mappings = schema.GroupVersionResource{Group: "image.openshift.io", Version: "v1", Resource: "imagestreammappings"}
)

// Tag is a tag of an image stream.
type Tag struct{ Project, Name, Tag string }

// ParseTag reads PROJECT/NAME:TAG. Without a tag it is latest.
func ParseTag(s string) (Tag, error) {
	project, rest, _ := strings.Cut(s, "/")
	name, tag, found := strings.Cut(rest, ":")
	if !found {
		tag = "latest"
	}
	if project == "" || name == "" || tag == "" || strings.ContainsAny(name, "/@") || strings.ContainsAny(tag, ":/") {
		return Tag{}, fmt.Errorf("%q is not PROJECT/NAME:TAG", s)
	}
	return Tag{project, name, tag}, nil
}

// Repository is where the registry keeps a stream's images, with the tag.
func (t Tag) Repository() string { return t.Project + "/" + t.Name + ":" + t.Tag }

// Set points a tag at an image that the registry has in the stream's
// repository, and returns the image's name there. The stream is made if it
// doesn't exist.
func Set(ctx context.Context, client dynamic.Interface, t Tag, img v1.Image) (string, error) {
	digest, err := img.Digest()
	if err != nil {
		return "", err
	}
	reference := fmt.Sprintf("%s/%s/%s@%s", Registry, t.Project, t.Name, digest)
	image, err := imageObject(img, digest.String(), reference)
	if err != nil {
		return "", err
	}
	_, err = client.Resource(streams).Namespace(t.Project).Create(ctx, object("ImageStream", t, nil), metav1.CreateOptions{})
	if isNoProject(err) {
		return "", fmt.Errorf("there is no project %s: make it with: oc new-project %s", t.Project, t.Project)
	}
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return "", fmt.Errorf("make the image stream %s/%s: %w", t.Project, t.Name, err)
	}
	mapping := object("ImageStreamMapping", t, map[string]any{"tag": t.Tag, "image": image})
	if _, err := client.Resource(mappings).Namespace(t.Project).Create(ctx, mapping, metav1.CreateOptions{}); err != nil {
		return "", fmt.Errorf("set the image stream tag %s/%s:%s: %w", t.Project, t.Name, t.Tag, err)
	}
	return reference, nil
}

func isNoProject(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && apierrors.IsNotFound(err) && status.Status().Details != nil && status.Status().Details.Kind == "namespaces"
}

// imageObject describes an image with its manifest and configuration, from
// which the server reads layers, size, environment and user.
func imageObject(img v1.Image, name, reference string) (map[string]any, error) {
	manifest, err := img.RawManifest()
	if err != nil {
		return nil, err
	}
	mediaType, err := img.MediaType()
	if err != nil {
		return nil, err
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return nil, err
	}
	return map[string]any{
		// Managed images get a reference into each stream that they are pushed to.
		"metadata":                     map[string]any{"name": name, "annotations": map[string]any{"openshift.io/image.managed": "true"}},
		"dockerImageReference":         reference,
		"dockerImageManifest":          string(manifest),
		"dockerImageManifestMediaType": string(mediaType),
		"dockerImageConfig":            string(config),
	}, nil
}

func object(kind string, t Tag, fields map[string]any) *unstructured.Unstructured {
	o := map[string]any{"apiVersion": "image.openshift.io/v1", "kind": kind, "metadata": map[string]any{"namespace": t.Project, "name": t.Name}}
	for k, v := range fields {
		o[k] = v
	}
	return &unstructured.Unstructured{Object: o}
}
