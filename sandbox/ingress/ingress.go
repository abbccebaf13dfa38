// SPDX-License-Identifier: Apache-2.0

// Package ingress turns Ingress objects into the configuration of an HAProxy
// that it runs, and writes back to their status where they are reached.
package ingress

import (
	"context"
	"errors"

	"k8s.io/client-go/rest"
)

// Config of the controller and of its HAProxy.
type Config struct {
	// Dir holds HAProxy's configuration, certificates and sockets. It is made
	// with mode 0700.
	Dir string
	// HTTPPort and HTTPSPort are where HAProxy listens, on all addresses.
	HTTPPort, HTTPSPort int
	// CertPEM is a file with the default certificate, its chain and its key.
	CertPEM string
	// ClassName is the name of the IngressClass, which is made the default.
	ClassName string
	// Address is the IP written to status.loadBalancer.ingress.
	Address string
	// Log receives a line for each event of interest. Nil discards them.
	Log func(format string, args ...any)
}

// Run serves until ctx ends and takes HAProxy down with it.
func Run(ctx context.Context, rc *rest.Config, cfg Config) error {
	return errors.New("ingress: not implemented yet")
}
