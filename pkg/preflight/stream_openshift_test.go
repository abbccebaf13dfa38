// SPDX-License-Identifier: Apache-2.0

//go:build integration && openshift

package preflight_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/workshopctl/workshopctl/pkg/capability"
	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/image"
	"github.com/workshopctl/workshopctl/pkg/preflight"
	"github.com/workshopctl/workshopctl/pkg/workshop"
	"github.com/workshopctl/workshopctl/test/testcluster"
)

// The commands that are printed give the rights that were missing, with
// OpenShift's own roles; and a trainer with the role admin can give the hub
// what it needs.
func TestOpenShiftStreamRights(t *testing.T) {
	c, images := testcluster.New(t), testcluster.New(t)
	c.ServiceAccount(t)
	in := input(t, c)
	in.Capabilities = capability.Set{Image: true, SecurityContext: true}
	in.Session = image.Session{Tag: &workshop.StreamTag{Project: images.Namespace, Name: "my-terminal", Tag: "v2"}, Reference: "x"}
	in.As = func(token string) (kubernetes.Interface, error) {
		config := rest.AnonymousClientConfig(c.Trainer.Config)
		config.BearerToken = token
		return kubernetes.NewForConfig(config)
	}
	check := func() (causes []string, warning bool) {
		t.Helper()
		found, err := preflight.Check(t.Context(), c.Trainer.Kubernetes, in)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			switch f.Code {
			case explain.ImageStreamRights:
				causes, warning = append(causes, f.Cause, f.Remedy), f.Warning
			case explain.Rights:
				t.Errorf("%+v", f)
			}
		}
		return causes, warning
	}
	if causes, warning := check(); warning || len(causes) != 2 || causes[0] != "the hub perhaps may not read its tags, and sessions may not pull its images" {
		t.Errorf("before the hub's account exists: %q", causes)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "terminals-hub"}}
	if _, err := c.Trainer.Kubernetes.CoreV1().ServiceAccounts(c.Namespace).Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	causes, warning := check()
	if warning || len(causes) != 2 || causes[0] != "the hub may not read its tags, and sessions may not pull its images" {
		t.Fatalf("with the hub's account: %q", causes)
	}
	for _, grant := range [][2]string{{"registry-viewer", "terminals-hub"}, {"system:image-puller", "default"}} {
		user := fmt.Sprintf("system:serviceaccount:%s:%s", c.Namespace, grant[1])
		if line := fmt.Sprintf("`oc policy add-role-to-user %s %s -n %s`", grant[0], user, images.Namespace); !strings.Contains(causes[1], line) {
			t.Errorf("%q isn't among the remedies %q", line, causes[1])
		}
		images.Grant(t, grant[0], user)
	}
	if causes, _ := check(); len(causes) > 0 {
		t.Errorf("with the rights: %q", causes)
	}
	// One who is admin of both projects may ask outright.
	in.As = nil
	if found, err := preflight.Check(t.Context(), images.Trainer.Kubernetes, in); err != nil {
		t.Error(err)
	} else {
		for _, f := range found {
			if f.Code == explain.ImageStreamRights {
				t.Errorf("asked by the other project's admin: %+v", f)
			}
		}
	}
}
