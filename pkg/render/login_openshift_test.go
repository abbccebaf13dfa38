// SPDX-License-Identifier: Apache-2.0

//go:build integration && openshift

package render_test

import (
	"crypto/tls"
	"crypto/x509"
	"html"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/workshop"
	"github.com/workshopctl/workshopctl/test/testcluster"
)

// classroom is a workshop whose hub logs attendees in at OpenShift's own OAuth
// server, on a namespace of the trainer's.
type classroom struct {
	*runningHub
	cluster *testcluster.Cluster
	address *url.URL
	// account is the directory in place of the one that the kubelet mounts.
	account string
	trust   *x509.CertPool
}

func newClassroom(t *testing.T, version string, change func(*workshop.Spec)) *classroom {
	t.Helper()
	c := &classroom{cluster: testcluster.New(t), account: t.TempDir(), trust: x509.NewCertPool()}
	c.address = c.cluster.Route(t, "terminals")
	in := openshiftLogin(func(s *workshop.Spec) {
		s.Expose, s.Host, s.TLSSecret = workshop.ExposeRoute, c.address.Host, ""
		change(s)
	})
	in.Namespace = c.cluster.Namespace
	in = as(t, in)
	for _, o := range objects(t, in) {
		if o.GetKind() != "ServiceAccount" {
			continue
		}
		resource, _ := meta.UnsafeGuessKindToResource(o.GroupVersionKind())
		if _, err := c.cluster.Trainer.Dynamic.Resource(resource).Namespace(in.Namespace).Apply(t.Context(), o.GetName(), o, metav1.ApplyOptions{FieldManager: workshop.ManagedBy}); err != nil {
			t.Fatal(err)
		}
	}
	authorities := c.cluster.Authorities(t)
	c.trust.AppendCertsFromPEM([]byte(authorities))
	c.write(t, "ca.crt", authorities)
	c.write(t, "token", c.token(t))
	login := c.cluster.LoginServer(t).Hostname()
	c.runningHub = startOn(t, filepath.Join(t.TempDir(), "hub.sqlite"), version, in,
		"https://kubernetes.default.svc", c.cluster.Admin.Config.Host,
		"/var/run/secrets/kubernetes.io/serviceaccount", c.account,
		// Pods find the name by the cluster's DNS.
		"max_clients=100", "max_clients=100, hostname_mapping={'"+login+"': '127.0.0.1'}")
	return c
}

func (c *classroom) write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(c.account, file), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// token is one that the kubelet would put into the hub's pod.
func (c *classroom) token(t *testing.T) string {
	t.Helper()
	token, err := c.cluster.Trainer.Kubernetes.CoreV1().ServiceAccounts(c.cluster.Namespace).CreateToken(t.Context(), "terminals-hub", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return token.Status.Token
}

// visitor is somebody's browser, at the hub and at the cluster's login page.
type visitor struct {
	*classroom
	hub, page *http.Client
}

func (c *classroom) visitor(t *testing.T) visitor {
	t.Helper()
	page := browser(t)
	page.Transport = &http.Transport{DialContext: factory.DialLocalhost, TLSClientConfig: &tls.Config{RootCAs: c.trust}}
	return visitor{c, secureBrowser(t), page}
}

// login opens the workshop, fills in the login page, allows or denies what the
// grant page asks, and comes back.
func (v visitor) login(t *testing.T, user string, allow bool) (status int, page string) {
	t.Helper()
	at := v.begin(t, v.hub)
	r := request(t, http.MethodGet, at.String(), nil)
	for range 12 {
		status, header, page := do(t, v.page, r)
		switch {
		case status == http.StatusFound:
			to, err := r.URL.Parse(header.Get("Location"))
			if err != nil {
				t.Fatal(err)
			}
			if to.Host == v.address.Host {
				status, _, page := do(t, v.hub, v.request(t, to.RequestURI()))
				return status, page
			}
			r = request(t, http.MethodGet, to.String(), nil)
		case status == http.StatusOK:
			action, form := formOf(t, page)
			if form.Has("username") {
				form.Set("username", user)
				form.Set("password", "openshift")
			} else if allow {
				form.Del("deny")
			} else {
				form.Del("approve")
			}
			to, err := r.URL.Parse(action)
			if err != nil {
				t.Fatal(err)
			}
			r = request(t, http.MethodPost, to.String(), form)
		default:
			t.Fatalf("%s: %d\n%s", r.URL, status, page)
		}
	}
	t.Fatal("the login page comes again and again")
	return 0, ""
}

var (
	formTag   = regexp.MustCompile(`<form[^>]*>`)
	inputTag  = regexp.MustCompile(`<(?:input|button)[^>]*>`)
	attribute = regexp.MustCompile(`\b(action|name|value)="([^"]*)"`)
)

// formOf is the form of a page with what is filled in beforehand.
func formOf(t *testing.T, page string) (action string, form url.Values) {
	t.Helper()
	attributes := func(tag string) map[string]string {
		found := map[string]string{}
		for _, a := range attribute.FindAllStringSubmatch(tag, -1) {
			found[a[1]] = html.UnescapeString(a[2])
		}
		return found
	}
	tag := formTag.FindString(page)
	if tag == "" {
		t.Fatalf("no form:\n%s", page)
	}
	form = url.Values{}
	for _, input := range inputTag.FindAllString(page, -1) {
		if a := attributes(input); a["name"] != "" {
			form.Add(a["name"], a["value"])
		}
	}
	return attributes(tag)["action"], form
}

func TestOpenShiftLogin(t *testing.T) {
	for _, version := range hubs {
		t.Run(version.jupyterhub, func(t *testing.T) {
			t.Parallel()
			// Group and users are the cluster's; names are this test's alone.
			class := "class-" + strings.ReplaceAll(version.jupyterhub, ".", "-")
			c := newClassroom(t, version.jupyterhub, func(s *workshop.Spec) {
				s.AllowedUsers, s.AllowedGroups, s.AdminGroups = []string{"user1"}, []string{class}, []string{class + "-admins"}
			})
			groups := c.cluster.Admin.Dynamic.Resource(schema.GroupVersionResource{Group: "user.openshift.io", Version: "v1", Resource: "groups"})
			for name, user := range map[string]string{class: "user2", class + "-admins": "user3"} {
				group := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "user.openshift.io/v1", "kind": "Group", "metadata": map[string]any{"name": name}, "users": []any{user}}}
				_ = groups.Delete(t.Context(), name, metav1.DeleteOptions{}) // of an earlier run
				if _, err := groups.Create(t.Context(), group, metav1.CreateOptions{}); err != nil {
					t.Fatal(err)
				}
			}

			if status, page := c.visitor(t).login(t, "user1", false); status != 400 || !strings.Contains(page, "choose to allow it") {
				t.Errorf("user1, who denies: %d\n%s", status, page)
			}
			first := c.visitor(t)
			if status, page := first.login(t, "user1", true); status != http.StatusFound {
				t.Fatalf("user1: %d\n%s", status, page)
			}
			// The cluster's token is gone, as after 24 hours; who is in stays in.
			tokens := c.cluster.Admin.Dynamic.Resource(schema.GroupVersionResource{Group: "oauth.openshift.io", Version: "v1", Resource: "oauthaccesstokens"})
			all, err := tokens.List(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			client := workshop.OAuthClient(c.cluster.Namespace, "terminals-hub")
			ours := slices.DeleteFunc(all.Items, func(o unstructured.Unstructured) bool { return o.Object["clientName"] != client })
			if len(ours) == 0 {
				t.Error("the login left no token")
			}
			for _, token := range ours {
				if scopes, _, _ := unstructured.NestedStringSlice(token.Object, "scopes"); !slices.Equal(scopes, []string{"user:info"}) {
					t.Errorf("the token may %v", scopes)
				}
				if err := tokens.Delete(t.Context(), token.GetName(), metav1.DeleteOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			if status, _, page := do(t, first.hub, c.request(t, "/hub/home")); status != 200 || !strings.Contains(page, "user1") {
				t.Errorf("the page of user1: %d\n%s", status, page)
			}

			for user, want := range map[string]int{"user2": 302, "user3": 302, "user4": 403} {
				status, page := c.visitor(t).login(t, user, true)
				if status != want || want == 403 && !strings.Contains(page, "You are logged in to the cluster as user4, who is not on the list") {
					t.Errorf("%s: %d, want %d\n%s", user, status, want, page)
				}
			}
			for user, admin := range map[string]string{"user2": `"admin": false`, "user3": `"admin": true`} {
				if status, body := c.call(t, http.MethodGet, "/users/"+user); status != 200 || !strings.Contains(body, admin) {
					t.Errorf("%s: %d %s", user, status, body)
				}
			}

			// The kubelet renews the token; another account's is no secret of ours.
			c.write(t, "token", c.token(t))
			if status, page := c.visitor(t).login(t, "user1", true); status != http.StatusFound {
				t.Errorf("with a renewed token: %d\n%s", status, page)
			}
			c.write(t, "token", c.cluster.Trainer.Config.BearerToken)
			if status, page := c.visitor(t).login(t, "user1", true); status != 502 || !strings.Contains(page, "The client is "+client) {
				t.Errorf("with a foreign token: %d\n%s", status, page)
			}
		})
	}
}
