// SPDX-License-Identifier: Apache-2.0

package preflight

import (
	"errors"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/workshopctl/workshopctl/pkg/image"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// project is another one, as far as its rights are concerned.
type project struct {
	// closed keeps the trainer from asking for others.
	closed bool
	// accounts of the workshop's namespace that exist.
	accounts []string
	// rights of accounts: "terminals-hub get imagestreamtags".
	rights []string
}

func (p project) may(account string, a *authorizationv1.ResourceAttributes) bool {
	resource := strings.TrimSuffix(a.Resource+"/"+a.Subresource, "/")
	for _, r := range p.rights {
		if r == account+" "+a.Verb+" "+resource && a.Group == "image.openshift.io" && a.Namespace == "images" {
			return true
		}
	}
	return false
}

// client of the trainer, or of a service account.
func (p project) client(account string) kubernetes.Interface {
	c := fake.NewClientset()
	c.PrependReactor("create", "localsubjectaccessreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		if p.closed {
			return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "localsubjectaccessreviews"}, "", errors.New("no"))
		}
		review := a.(clienttesting.CreateAction).GetObject().(*authorizationv1.LocalSubjectAccessReview).DeepCopy()
		review.Status.Allowed = p.may(strings.TrimPrefix(review.Spec.User, "system:serviceaccount:training:"), review.Spec.ResourceAttributes)
		return true, review, nil
	})
	c.PrependReactor("create", "serviceaccounts", func(a clienttesting.Action) (bool, runtime.Object, error) {
		name := a.(clienttesting.CreateActionImpl).Name
		for _, known := range p.accounts {
			if name == known {
				return true, &authenticationv1.TokenRequest{Status: authenticationv1.TokenRequestStatus{Token: name}}, nil
			}
		}
		return true, nil, apierrors.NewNotFound(schema.GroupResource{Resource: "serviceaccounts"}, name)
	})
	c.PrependReactor("create", "selfsubjectaccessreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		review := a.(clienttesting.CreateAction).GetObject().(*authorizationv1.SelfSubjectAccessReview).DeepCopy()
		review.Status.Allowed = p.may(account, review.Spec.ResourceAttributes)
		return true, review, nil
	})
	return c
}

func TestStreamRights(t *testing.T) {
	const (
		read = "`oc policy add-role-to-user registry-viewer system:serviceaccount:training:terminals-hub -n images`"
		pull = "`oc policy add-role-to-user system:image-puller system:serviceaccount:training:default -n images`"

		hubReads, allRead, allPull = "terminals-hub get imagestreamtags", "default get imagestreamtags", "default get imagestreams/layers"
	)
	both := []string{"default", "terminals-hub"}
	for name, test := range map[string]struct {
		project project
		cause   string // "" for nothing found
		warning bool
		lines   []string
	}{
		"an admin of the project asks, all is well":    {project{rights: []string{hubReads, allPull}}, "", false, nil},
		"an admin of the project asks, nothing is":     {project{}, "the hub may not read its tags, and sessions may not pull its images", false, []string{read, pull}},
		"an admin asks, sessions lack it":              {project{rights: []string{hubReads}}, "sessions may not pull its images", false, []string{pull}},
		"an admin asks, the hub lacks it":              {project{rights: []string{allPull}}, "the hub may not read its tags", false, []string{read}},
		"a stranger, the hub is there and may":         {project{closed: true, accounts: both, rights: []string{hubReads, allPull}}, "", false, nil},
		"a stranger, the hub is there and may not":     {project{closed: true, accounts: both, rights: []string{allRead, allPull}}, "the hub may not read its tags", false, []string{read}},
		"a stranger, no hub yet, everybody may":        {project{closed: true, accounts: both[:1], rights: []string{allRead, allPull}}, "", false, nil},
		"a stranger, no hub yet, not everybody may":    {project{closed: true, accounts: both[:1], rights: []string{allPull}}, "the hub perhaps may not read its tags", true, []string{read}},
		"a stranger, no hub yet, sessions may not":     {project{closed: true, accounts: both[:1]}, "the hub perhaps may not read its tags, and sessions may not pull its images", false, []string{read, pull}},
		"a stranger in a namespace without an account": {project{closed: true, rights: []string{allPull}}, "the hub perhaps may not read its tags", true, []string{read}},
	} {
		t.Run(name, func(t *testing.T) {
			in := Input{Namespace: "training", Spec: workshop.Spec{Name: "terminals"},
				Session: image.Session{Tag: &workshop.StreamTag{Project: "images", Name: "my-terminal", Tag: "v2"}},
				As:      func(token string) (kubernetes.Interface, error) { return test.project.client(token), nil }}
			found, err := streamRights(t.Context(), test.project.client(""), in)
			if err != nil {
				t.Fatal(err)
			}
			if test.cause == "" {
				if len(found) > 0 {
					t.Errorf("%+v", found)
				}
				return
			}
			if len(found) != 1 || found[0].Cause != test.cause || found[0].Warning != test.warning || found[0].Object != "image stream images/my-terminal" {
				t.Fatalf("%+v", found)
			}
			for _, line := range []string{read, pull} {
				wanted := false
				for _, l := range test.lines {
					wanted = wanted || l == line
				}
				if strings.Contains(found[0].Remedy, line) != wanted {
					t.Errorf("%s", found[0].Remedy)
				}
			}
		})
	}
	// In its own project the workshop has what it needs.
	in := Input{Namespace: "training", Session: image.Session{Tag: &workshop.StreamTag{Project: "training", Name: "x", Tag: "y"}}}
	if found, err := streamRights(t.Context(), nil, in); err != nil || found != nil {
		t.Errorf("%v, %v", found, err)
	}
}
