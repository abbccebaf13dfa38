// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/progress"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

const (
	// connectTime is how long one request to the workshop's URL may take.
	connectTime = 5 * time.Second
	// routeTime is how long the way from the URL to a hub that is ready may
	// take to come about: a node's service rules and a router's configuration
	// follow the readiness of pods, and nobody tells when they have.
	routeTime = 20 * time.Second
	// askAgain is the time between two requests meanwhile.
	askAgain = 250 * time.Millisecond
)

// Dial opens a connection, as [net.Dialer.DialContext] does.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// checkURL waits until the workshop's URL answers from here. The workshop is
// ready in the cluster whatever comes of it, so what doesn't answer is only
// worth a warning: the cluster may be private, behind a VPN, or have an
// authority of its own.
func checkURL(ctx context.Context, url string, say *progress.Progress) {
	if url == "" {
		return
	}
	say.Step("Asking %s", url)
	err := Answers(ctx, url, factory.DialLocalhost)
	say.Stop(nil)
	var unknown x509.UnknownAuthorityError
	var certificate *tls.CertificateVerificationError
	switch {
	case err == nil:
	case errors.As(err, &unknown), errors.As(err, &certificate):
		say.Warn("%s answers with a certificate that this machine does not trust: %v. Browsers will say so, too, unless they know its authority.", url, errors.Unwrap(err))
	default:
		say.Warn("%s does not answer here: %v. The workshop is ready in the cluster; check from where its attendees are.", url, err)
	}
}

// checkLogin begins a login as attendees do, where they use the cluster's. One
// that the cluster refuses is as bad as a hub that isn't ready; a login server
// that can't be reached from here says nothing.
func checkLogin(ctx context.Context, c *factory.Cluster, spec workshop.Spec, say *progress.Progress) error {
	if spec.Auth != workshop.AuthOpenShift {
		return nil
	}
	say.Step("Checking that attendees can log in")
	failure, err := c.Login(ctx, spec, true)
	if failure != nil {
		say.Stop(failure)
		return failure
	}
	say.Stop(nil)
	if err != nil {
		say.Warn("Whether attendees can log in is not known: %v.", err)
	}
	return ctx.Err()
}

// Answers waits until the hub answers under a workshop's URL, which ends in a
// slash. While something on the way says that it can't reach the hub yet (502,
// 503, 504) it asks again for up to 20 s; any other failure is returned at
// once. A certificate that this machine doesn't trust is returned in the end,
// when the hub has answered in spite of it.
func Answers(ctx context.Context, url string, dial Dial) error {
	newClient := func(config *tls.Config) *http.Client {
		return &http.Client{Timeout: connectTime, Transport: &http.Transport{
			DialContext: dial, Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, DisableKeepAlives: true}}
	}
	client := newClient(nil)
	ctx, cancel := context.WithTimeout(ctx, routeTime)
	defer cancel()
	var untrusted error
	for {
		status, err := health(ctx, client, url+"hub/health")
		var certificate *tls.CertificateVerificationError
		if untrusted == nil && errors.As(err, &certificate) {
			// Attendees' browsers may know the authority that this machine
			// doesn't, and are to find the hub. Nothing secret is sent.
			untrusted = err
			client = newClient(&tls.Config{InsecureSkipVerify: true}) //nolint:gosec // see above
			continue
		}
		if err != nil {
			return err
		}
		switch status {
		case http.StatusOK:
			return untrusted
		case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		default:
			return fmt.Errorf("answer %d %s", status, http.StatusText(status))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("answer %d %s", status, http.StatusText(status))
		case <-time.After(askAgain):
		}
	}
}

func health(ctx context.Context, client *http.Client, url string) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, errors.Unwrap(err) // without the URL, which the message names
	}
	return response.StatusCode, response.Body.Close()
}
