// SPDX-License-Identifier: Apache-2.0

package preflight

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/workshopctl/workshopctl/pkg/workshop"
)

func TestOIDCIssuer(t *testing.T) {
	var answer string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/realms/class/.well-known/openid-configuration" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(answer))
	}))
	defer server.Close()
	issuer := server.URL + "/realms/class"
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	good := `{"issuer": "` + issuer + `", "authorization_endpoint": "x", "token_endpoint": "y"}`
	for name, c := range map[string]struct {
		answer, issuer, ca string
		warning            bool
		want               string
	}{
		"right":              {good, issuer, ca, false, ""},
		"not found":          {good, server.URL, ca, false, "answers 404 Not Found"},
		"a page":             {"<html>", issuer, ca, false, "is no JSON"},
		"another issuer":     {strings.Replace(good, "class", "other", 1), issuer, ca, false, `that of the issuer "` + server.URL + `/realms/other"`},
		"a slash too many":   {good, issuer + "/", ca, false, "that of the issuer"},
		"no endpoints":       {`{"issuer": "` + issuer + `"}`, issuer, ca, false, "authorization_endpoint"},
		"control characters": {`{"issuer": "\u001b[31m"}`, issuer, ca, false, "that of the issuer"},
		"not trusted":        {good, issuer, "", true, "certificate is not trusted here"},
		"nobody there":       {good, "https://127.0.0.1:1", ca, true, "does not answer here"},
	} {
		t.Run(name, func(t *testing.T) {
			answer = c.answer
			found, err := oidcIssuer(t.Context(), nil, Input{Spec: workshop.Spec{Auth: workshop.AuthOIDC, CABundle: c.ca, OIDC: workshop.OIDC{IssuerURL: c.issuer}}})
			switch {
			case err != nil:
				t.Fatal(err)
			case c.want == "" && len(found) > 0:
				t.Fatalf("found %v", found)
			case c.want == "":
				return
			case len(found) != 1 || !strings.Contains(found[0].Cause, c.want) || found[0].Warning != c.warning || found[0].Remedy == "" || strings.Contains(found[0].Cause, "\x1b"):
				t.Errorf("found %+v, want %q", found, c.want)
			}
		})
	}
}

func TestOIDCSecret(t *testing.T) {
	client := fake.NewClientset(
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "empty"}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "good"}, Data: map[string][]byte{workshop.OIDCSecretKey: []byte("x")}},
	)
	for name, want := range map[string]string{"": "", "good": "", "empty": "no key clientSecret", "none": "does not exist"} {
		found, err := oidcSecret(t.Context(), client, Input{Namespace: "ns", Spec: workshop.Spec{Auth: workshop.AuthOIDC, OIDC: workshop.OIDC{ClientSecretName: name}}})
		if err != nil {
			t.Fatal(err)
		}
		if want == "" && len(found) > 0 || want != "" && (len(found) != 1 || !strings.Contains(found[0].Cause, want)) {
			t.Errorf("%q: %+v", name, found)
		}
	}
}
