// SPDX-License-Identifier: Apache-2.0

package ingress

import "time"

// Model is what HAProxy serves, whatever kind of object it came from. All
// strings in it are safe to write into a configuration.
type Model struct {
	Rules        []Rule
	Passthrough  []Passthrough
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
	// itself alone if Exact, or what is below it alone if it ends with a slash.
	Path  string
	Exact bool
	// HTTP and HTTPS say over which of them the rule is served.
	HTTP, HTTPS bool
	// Redirect is the status by which http leads to https. Zero is for rules
	// of which http knows nothing, or that it serves.
	Redirect int
	// Backend is the name of one of Model.Backends. A rule that isn't served
	// over either needs none.
	Backend string
}

// Passthrough leads TLS connections for a host to a backend as they are: the
// backend shows its own certificate.
type Passthrough struct {
	Host    string
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
	// Passthrough is set for those that a Passthrough leads to.
	Passthrough bool
	// Encrypted servers speak https. What they show is checked if there is an
	// authority to check it with, in PEM.
	Encrypted bool
	Authority []byte
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
