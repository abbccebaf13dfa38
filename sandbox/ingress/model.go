// SPDX-License-Identifier: Apache-2.0

package ingress

import "time"

// Model is what HAProxy serves, whatever kind of object it came from. All
// strings in it are safe to write into a configuration.
type Model struct {
	Rules        []Rule
	Backends     []Backend
	Certificates []Certificate
}

// Rule leads requests for a host and path to a backend. Of the rules of the
// most specific matching host, the longest matching path decides.
type Rule struct {
	// Host is a name, "*.example.com" for names with one label more, or empty
	// for requests that no other host matches.
	Host string
	// Path begins with a slash. It matches itself and what is below it, or
	// itself alone if Exact.
	Path  string
	Exact bool
	// TLS serves the rule over https and makes http lead there. Without it
	// the rule is served over http alone.
	TLS bool
	// Backend is the name of one of Model.Backends.
	Backend string
}

// Backend is where requests go.
type Backend struct {
	Name string
	// Servers are HOST:PORT of the endpoints. Without any, HAProxy answers 503.
	Servers []string
	// Timeout is how long a server may stay silent, TunnelTimeout how long an
	// open websocket may. Zero means DefaultTimeout.
	Timeout, TunnelTimeout time.Duration
}

// DefaultTimeout cuts silent connections, websockets too, as the most common
// controllers do.
const DefaultTimeout = 60 * time.Second

// Certificate is shown to clients that ask for one of its hosts.
type Certificate struct {
	// Name is unique and fit for a file name.
	Name  string
	Hosts []string
	// PEM is the certificate, its chain and its key.
	PEM []byte
}
