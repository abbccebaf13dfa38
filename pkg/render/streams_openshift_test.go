// SPDX-License-Identifier: Apache-2.0

//go:build integration && openshift

package render_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/workshopctl/workshopctl/pkg/hub"
	"github.com/workshopctl/workshopctl/pkg/render"
	"github.com/workshopctl/workshopctl/pkg/workshop"
	"github.com/workshopctl/workshopctl/test/testcluster"
)

// hubOf applies the rights of a workshop's hub as the trainer, and starts the
// hub with them.
func hubOf(t *testing.T, c *testcluster.Cluster, version string, in render.Input) *runningHub {
	t.Helper()
	for _, o := range objects(t, in) {
		switch o.GetKind() {
		case "ServiceAccount", "Role", "RoleBinding":
		default:
			continue
		}
		resource, _ := meta.UnsafeGuessKindToResource(o.GroupVersionKind())
		if _, err := c.Trainer.Dynamic.Resource(resource).Namespace(c.Namespace).Apply(t.Context(), o.GetName(), o, metav1.ApplyOptions{FieldManager: workshop.ManagedBy}); err != nil {
			t.Fatalf("%s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
	token, err := c.Trainer.Kubernetes.CoreV1().ServiceAccounts(c.Namespace).CreateToken(t.Context(), workshop.Names(in.Spec.Name).HubPart(), &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	config := rest.AnonymousClientConfig(c.Admin.Config)
	if err := rest.LoadTLSFiles(config); err != nil {
		t.Fatal(err)
	}
	config.BearerToken = token.Status.Token
	return startAt(t, config, filepath.Join(t.TempDir(), "hub.sqlite"), version, in)
}

// The hub, with no rights but those that a trainer can give it, starts each
// session with what the tag has then; where it has nothing, the attendee reads
// why.
func TestOpenShiftStreamTagOfEachSession(t *testing.T) {
	for _, jupyterhub := range hubs {
		t.Run(jupyterhub.jupyterhub, func(t *testing.T) {
			c := testcluster.New(t)
			c.ServiceAccount(t)
			c.Tag(t, "my-terminal:latest", 1)
			in := withStreams(func(s *workshop.Spec) {
				s.TerminalImage, s.Auth, s.Expose, s.Storage.Size = "my-terminal", workshop.AuthPassword, workshop.ExposeNone, "0"
			})
			in.Namespace = c.Namespace
			in.Capabilities.SecurityContext = true
			in = as(t, in)
			h := hubOf(t, c, jupyterhub.jupyterhub, in)
			client := hub.New(h.url, string(h.secret[workshop.SecretAPIToken]), http.DefaultClient)
			password := string(h.secret[workshop.SecretUserPassword])
			session := func(user string) *corev1.Pod {
				t.Helper()
				if status := h.login(t, user, password); status != http.StatusFound {
					t.Fatalf("login of %s: %d", user, status)
				}
				if err := client.Start(t.Context(), user); err != nil {
					t.Fatal(err)
				}
				name := workshop.Names(in.Spec.Name).SessionPrefix() + user
				var found *corev1.Pod
				testcluster.Await(t, c.Admin.Kubernetes.CoreV1().Pods(c.Namespace), name, func(p *corev1.Pod) bool { found = p; return true })
				return found
			}
			check := func(user string, p *corev1.Pod, number int) {
				t.Helper()
				image := p.Spec.Containers[0].Image
				if !strings.HasSuffix(image, "@"+testcluster.Digest(number)) || p.Spec.InitContainers[1].Image != image {
					t.Errorf("%s works in %s, its volume is filled from %s", user, image, p.Spec.InitContainers[1].Image)
				}
				if got, want := p.Annotations[workshop.ImageStreamTagAnnotation], c.Namespace+"/my-terminal:latest"; got != want {
					t.Errorf("%s: annotation %q, want %q", user, got, want)
				}
			}
			check("ann", session("ann"), 1)
			c.Tag(t, "my-terminal:latest", 2)
			check("bob", session("bob"), 2)

			c.Untag(t, "my-terminal:latest")
			if status := h.login(t, "cleo", password); status != http.StatusFound {
				t.Fatalf("login of cleo: %d", status)
			}
			if err := client.Start(t.Context(), "cleo"); err != nil {
				t.Fatal(err)
			}
			const said = "Your session's image can't be found: image stream my-terminal has no image with the tag latest. Please tell your trainer."
			err := client.Ready(t.Context(), "cleo")
			if err == nil || !strings.HasSuffix(err.Error(), said) {
				t.Errorf("cleo is told: %v", err)
			}
			// The page that she sees.
			b := browser(t)
			_, _, page := do(t, b, request(t, http.MethodGet, h.url+"/hub/login", nil))
			form := map[string][]string{"username": {"cleo"}, "password": {password}, "_xsrf": {xsrf.FindStringSubmatch(page)[1]}}
			if status, _, _ := do(t, b, request(t, http.MethodPost, h.url+"/hub/login", form)); status != http.StatusFound {
				t.Fatalf("login: %d", status)
			}
			_, _, page = do(t, b, request(t, http.MethodGet, h.url+"/hub/spawn-pending/cleo", nil))
			if !strings.Contains(page, "image stream my-terminal has no image with the tag latest") {
				t.Errorf("the page of a session that didn't start:\n%s", page)
			}
		})
	}
}

// Another project's image stream takes a right that its admin gives, and the
// attendee's page says which.
func TestOpenShiftStreamTagOfAnotherProject(t *testing.T) {
	c, images := testcluster.New(t), testcluster.New(t)
	c.ServiceAccount(t)
	images.Tag(t, "my-terminal:v2", 1)
	in := withStreams(func(s *workshop.Spec) {
		s.SetImage(workshop.Image{Stream: images.Namespace + "/my-terminal:v2"})
		s.Expose, s.Storage.Size = workshop.ExposeNone, "0"
	})
	in.Namespace = c.Namespace
	in.Capabilities.SecurityContext = true
	in = as(t, in)
	h := hubOf(t, c, hubs[0].jupyterhub, in)
	client := hub.New(h.url, string(h.secret[workshop.SecretAPIToken]), http.DefaultClient)
	password := string(h.secret[workshop.SecretUserPassword])
	start := func(user string) {
		t.Helper()
		if status := h.login(t, user, password); status != http.StatusFound {
			t.Fatalf("login of %s: %d", user, status)
		}
		if err := client.Start(t.Context(), user); err != nil {
			t.Fatal(err)
		}
	}
	account := fmt.Sprintf("system:serviceaccount:%s:terminals-hub", c.Namespace)
	start("ann")
	err := client.Ready(t.Context(), "ann")
	if want := fmt.Sprintf("oc policy add-role-to-user registry-viewer %s -n %s.", account, images.Namespace); err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Fatalf("without the right: %v", err)
	}
	images.Grant(t, "registry-viewer", account)
	start("ann")
	testcluster.Await(t, c.Admin.Kubernetes.CoreV1().Pods(c.Namespace), "terminals--ann", func(p *corev1.Pod) bool {
		return strings.HasSuffix(p.Spec.Containers[0].Image, "@"+testcluster.Digest(1))
	})
}
