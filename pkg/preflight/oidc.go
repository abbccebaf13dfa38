// SPDX-License-Identifier: Apache-2.0

package preflight

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// issuerTime is how long the provider may take to answer.
const issuerTime = 10 * time.Second

// oidcIssuer asks the provider that attendees are to log in at for its
// discovery document, as the hub will. What can't be reached from here may be
// reached from the cluster; what answers wrong here does so there.
func oidcIssuer(ctx context.Context, _ kubernetes.Interface, in Input) ([]Finding, error) {
	if in.Spec.Auth != workshop.AuthOIDC {
		return nil, nil
	}
	issuer := in.Spec.OIDC.IssuerURL
	address := strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
	f := explain.Failure{Code: explain.Login, Object: "login service " + issuer, Evidence: []string{"asked: " + address}}
	wrong := func(format string, args ...any) ([]Finding, error) {
		f.Cause = explain.Clean(fmt.Sprintf(format, args...))
		f.Remedy = "check --oidc-issuer: it is what stands before /.well-known/openid-configuration, as the provider writes it"
		return []Finding{{Failure: f}}, nil
	}
	status, body, err := get(ctx, address, in.Spec.CABundle)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var unknown *tls.CertificateVerificationError
	if err != nil {
		f.Cause = "it does not answer here: " + err.Error()
		f.Remedy = "nobody can log in unless the cluster reaches it; check the address"
		if errors.As(err, &unknown) {
			f.Cause = "its certificate is not trusted here: " + err.Error()
			f.Remedy = "put the certificate of the authority that signed it into caBundle of the workshop file"
		}
		return []Finding{{Warning: true, Failure: f}}, nil
	}
	if status != http.StatusOK {
		return wrong("it has no discovery document: it answers %d %s", status, http.StatusText(status))
	}
	var found struct {
		Issuer        string `json:"issuer"`
		Authorization string `json:"authorization_endpoint"`
		Token         string `json:"token_endpoint"`
	}
	switch err := json.Unmarshal(body, &found); {
	case err != nil:
		return wrong("its discovery document is no JSON")
	case found.Issuer != issuer:
		return wrong("its discovery document is that of the issuer %q", found.Issuer)
	case found.Authorization == "" || found.Token == "":
		return wrong("its discovery document names no authorization_endpoint and token_endpoint")
	}
	return nil, nil
}

// get returns what is at an address.
func get(ctx context.Context, address, authorities string) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, issuerTime)
	defer cancel()
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	pool.AppendCertsFromPEM([]byte(authorities))
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, nil, err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return 0, nil, errors.Unwrap(err) // without the address, which the message names
	}
	defer func() { _ = response.Body.Close() }()
	body, err = io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return response.StatusCode, body, err
}

// oidcSecret looks for the Secret that the Spec names.
func oidcSecret(ctx context.Context, client kubernetes.Interface, in Input) ([]Finding, error) {
	name := in.Spec.OIDC.ClientSecretName
	if in.Spec.Auth != workshop.AuthOIDC || name == "" {
		return nil, nil
	}
	f := explain.Failure{Code: explain.ContainerConfig, Object: "secret " + name,
		Remedy: fmt.Sprintf("make it: kubectl -n %s create secret generic %s --from-file=%s=FILE", in.Namespace, name, workshop.OIDCSecretKey)}
	secret, err := client.CoreV1().Secrets(in.Namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		f.Cause = "--oidc-secret names a secret that does not exist"
	case err != nil:
		return nil, err
	case len(secret.Data[workshop.OIDCSecretKey]) == 0:
		f.Cause = "it has no key " + workshop.OIDCSecretKey + " with the client's secret"
	default:
		return nil, nil
	}
	return []Finding{{Failure: f}}, nil
}
