// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"strings"
	"time"

	"k8s.io/client-go/rest"

	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/login"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

const (
	// loginTime is how long the cluster's login server gets to answer.
	loginTime = 5 * time.Second
	// loginPatience is how long it may take to learn of a new workshop.
	loginPatience = 15 * time.Second
	loginAgain    = 500 * time.Millisecond
)

// Login tells why attendees can't log in to a workshop with their accounts of
// the cluster, nil if they can. With patience, it waits a while for them to be
// able to. An error that is a login.ErrUnreachable says nothing about them.
func (c *Cluster) Login(ctx context.Context, spec workshop.Spec, patience bool) (*explain.Failure, error) {
	if spec.Auth != workshop.AuthOpenShift {
		return nil, nil
	}
	config := rest.CopyConfig(c.Config)
	if err := rest.LoadTLSFiles(config); err != nil {
		return nil, err
	}
	// A kubeconfig's authorities are often those of the router, too.
	trusted, err := x509.SystemCertPool()
	if err != nil {
		trusted = x509.NewCertPool()
	}
	trusted.AppendCertsFromPEM(config.CAData)
	trusted.AppendCertsFromPEM([]byte(spec.CABundle))
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DialContext: DialLocalhost, TLSClientConfig: &tls.Config{RootCAs: trusted}}
	defer transport.CloseIdleConnections()
	web := &http.Client{Transport: transport, Timeout: loginTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	target := login.Target{Namespace: c.Namespace, Spec: spec, Account: spec.Account()}
	if !patience {
		return login.Check(ctx, c.Kubernetes, web, target)
	}
	return login.Await(ctx, c.Kubernetes, web, target, loginPatience, loginAgain)
}

// DialLocalhost takes names under .localhost for this machine, as browsers do
// (RFC 6761); not every resolver knows.
func DialLocalhost(ctx context.Context, network, address string) (net.Conn, error) {
	if host, port, err := net.SplitHostPort(address); err == nil && strings.HasSuffix(host, ".localhost") {
		address = net.JoinHostPort("127.0.0.1", port)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}
