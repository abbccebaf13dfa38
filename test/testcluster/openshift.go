// SPDX-License-Identifier: Apache-2.0

//go:build integration && openshift

package testcluster

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
)

var imageAPI = schema.GroupVersion{Group: "image.openshift.io", Version: "v1"}

// Digest of the test image of that number.
func Digest(number int) string {
	return fmt.Sprintf("sha256:%x", sha256.Sum256(fmt.Append(nil, number)))
}

func imageObject(kind, name string, fields map[string]any) *unstructured.Unstructured {
	o := map[string]any{"apiVersion": imageAPI.String(), "kind": kind, "metadata": map[string]any{"name": name}}
	for k, v := range fields {
		o[k] = v
	}
	return &unstructured.Unstructured{Object: o}
}

// Stream makes an image stream without tags but those of spec.
func (c *Cluster) Stream(t *testing.T, name string, tags ...any) {
	t.Helper()
	o := imageObject("ImageStream", name, map[string]any{"spec": map[string]any{"tags": tags}})
	if _, err := c.Admin.Dynamic.Resource(imageAPI.WithResource("imagestreams")).Namespace(c.Namespace).Create(t.Context(), o, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}

// Tag gives NAME:TAG of an image stream the test image of that number, as the
// cluster's registry does after a push.
func (c *Cluster) Tag(t *testing.T, tag string, number int) {
	t.Helper()
	name, tag, _ := strings.Cut(tag, ":")
	c.Stream(t, name)
	digest := Digest(number)
	o := imageObject("ImageStreamMapping", name, map[string]any{"tag": tag, "image": map[string]any{
		"metadata":             map[string]any{"name": digest},
		"dockerImageReference": fmt.Sprintf("image-registry.openshift-image-registry.svc:5000/%s/%s@%s", c.Namespace, name, digest),
		"dockerImageManifest":  "",
	}})
	if _, err := c.Admin.Dynamic.Resource(imageAPI.WithResource("imagestreammappings")).Namespace(c.Namespace).Create(t.Context(), o, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// Untag takes a tag away.
func (c *Cluster) Untag(t *testing.T, tag string) {
	t.Helper()
	if err := c.Admin.Dynamic.Resource(imageAPI.WithResource("imagestreamtags")).Namespace(c.Namespace).Delete(t.Context(), tag, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

// Grant binds a user, who may be a service account, to a ClusterRole in the
// namespace, as `oc policy add-role-to-user` does, and waits until the right
// on image stream tags that comes with it holds.
func (c *Cluster) Grant(t *testing.T, clusterRole, user string) {
	t.Helper()
	binding := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{GenerateName: "granted-"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: clusterRole},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}}}
	if _, err := c.Admin.Kubernetes.RbacV1().RoleBindings(c.Namespace).Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	// Both roles that are granted in tests have it.
	right := &authorizationv1.ResourceAttributes{Namespace: c.Namespace, Verb: "get", Group: imageAPI.Group, Resource: "imagestreams", Subresource: "layers"}
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		r, err := c.Admin.Kubernetes.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
			Spec: authorizationv1.SubjectAccessReviewSpec{User: user, ResourceAttributes: right}}, metav1.CreateOptions{})
		return err == nil && r.Status.Allowed, err
	})
	if err != nil {
		t.Fatalf("wait for the rights of %s: %v", user, err)
	}
}
