// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// tokenPrefix marks tokens whose objects are named by their hash, so that who
// may list the objects doesn't learn the tokens.
const tokenPrefix = "sha256~"

// NewToken makes up an OAuth access token.
func NewToken() string {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(secret)
}

// hash is what a token's object is called after the prefix.
func hash(token string) string {
	sum := sha256.Sum256([]byte(strings.TrimPrefix(token, tokenPrefix)))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// token makes the trainer's token valid, as a login by oc would, and for as
// long as the sandbox is.
func (c cluster) token(ctx context.Context, token string) error {
	user, err := c.client.Resource(schema.GroupVersionResource{Group: "user.openshift.io", Version: "v1", Resource: "users"}).Get(ctx, Trainer, metav1.GetOptions{})
	if err != nil {
		return err
	}
	// One can't be changed, and its address has a port that may have.
	name := tokenPrefix + hash(token)
	tokens := c.client.Resource(schema.GroupVersionResource{Group: "oauth.openshift.io", Version: "v1", Resource: "oauthaccesstokens"})
	if err := tokens.Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "oauth.openshift.io/v1", "kind": "OAuthAccessToken",
		"metadata":    map[string]any{"name": name},
		"clientName":  "openshift-challenging-client",
		"redirectURI": c.values["OAUTH_URL"] + "/oauth/token/implicit",
		"scopes":      []any{"user:full"},
		"userName":    Trainer,
		"userUID":     string(user.GetUID()),
	}}
	_, err = tokens.Create(ctx, object, metav1.CreateOptions{})
	return err
}

// rights asks what the trainer may do, as the trainer.
type rights struct{ client kubernetes.Interface }

func newRights(rc *rest.Config, token string) (rights, error) {
	rc = rest.AnonymousClientConfig(rc)
	rc.BearerToken = token
	client, err := kubernetes.NewForConfig(rc)
	return rights{client}, err
}

// granted waits for what comes last: roles that OpenShift's server makes, what
// the controllers add to them, and the API server knowing of it.
func (r rights) granted(ctx context.Context) error {
	for _, may := range []authorizationv1.ResourceAttributes{
		{Namespace: Project, Verb: "create", Resource: "pods"},
		{Namespace: Project, Verb: "create", Group: "apps.openshift.io", Resource: "deploymentconfigs"},
		{Namespace: Project, Verb: "create", Group: "route.openshift.io", Resource: "routes"},
		{Namespace: "openshift", Verb: "get", Group: "image.openshift.io", Resource: "imagestreams", Subresource: "layers"},
		{Verb: "create", Group: "project.openshift.io", Resource: "projectrequests"},
		{Verb: "get", Group: "user.openshift.io", Resource: "users", Name: "~"},
		{Verb: "list", Group: "project.openshift.io", Resource: "projects"},
	} {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &may}}
		answer, err := r.client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		if err != nil {
			return fmt.Errorf("ask for the trainer's rights: %w", err)
		}
		if !answer.Status.Allowed {
			return fmt.Errorf("%s can't %s %s.%s yet", Trainer, may.Verb, may.Resource, may.Group)
		}
	}
	return nil
}
