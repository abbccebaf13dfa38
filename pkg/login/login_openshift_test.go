// SPDX-License-Identifier: Apache-2.0

//go:build integration && openshift

package login_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/login"
	"github.com/workshopctl/workshopctl/pkg/workshop"
	"github.com/workshopctl/workshopctl/test/testcluster"
)

// The real OAuth server's answers are understood, as each piece that a login
// needs is put in place, and taken away.
func TestOpenShiftCheck(t *testing.T) {
	c := testcluster.New(t)
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM([]byte(c.Authorities(t)))
	web := &http.Client{
		Transport:     &http.Transport{DialContext: factory.DialLocalhost, TLSClientConfig: &tls.Config{RootCAs: authorities}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	address := c.Route(t, "terminals")
	target := login.Target{Namespace: c.Namespace, Account: "terminals-hub", Spec: workshop.Spec{
		Name: "terminals", Auth: workshop.AuthOpenShift, Expose: workshop.ExposeRoute, Host: address.Host}}
	check := func(after, want string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		// The server learns of a change a moment later.
		for {
			failure, err := login.Check(ctx, c.Trainer.Kubernetes, web, target)
			if err != nil {
				t.Fatalf("%s: %v", after, err)
			}
			if failure == nil && want == "" || failure != nil && want != "" && strings.Contains(failure.Cause, want) {
				return
			}
			select {
			case <-ctx.Done():
				t.Fatalf("%s: %v, want %q", after, failure, want)
			case <-time.After(100 * time.Millisecond):
			}
		}
	}

	check("without an account", "does not exist")
	accounts := c.Trainer.Kubernetes.CoreV1().ServiceAccounts(c.Namespace)
	account, err := accounts.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: target.Account}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	check("without annotations", "doesn't say where")
	account.Annotations = workshop.Names("terminals").OAuthRedirects(target.Spec)
	if _, err := accounts.Update(t.Context(), account, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	check("when all is in place", "")

	right := target.Spec.Host
	target.Spec.Host = "elsewhere." + right
	check("with another host", "won't send attendees back to https://elsewhere.")
	target.Spec.Host = right
	routes := c.Trainer.Dynamic.Resource(schema.GroupVersionResource{Group: "route.openshift.io", Version: "v1", Resource: "routes"}).Namespace(c.Namespace)
	if err := routes.Delete(t.Context(), "terminals", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	check("without the route", "won't send attendees back")
}
