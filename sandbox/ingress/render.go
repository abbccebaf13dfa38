// SPDX-License-Identifier: Apache-2.0

package ingress

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Settings are what the Model doesn't decide.
type Settings struct {
	HTTPPort, HTTPSPort int
	// DefaultCertificate is the PEM text of certificate, chain and key that
	// is shown for hosts without one of their own.
	DefaultCertificate []byte
	// Socket is a file for HAProxy's own use, outside of its configuration.
	// It is needed with Routes.
	Socket string
	// Routes is set in a cluster that has them. What isn't there is answered
	// as OpenShift's router does.
	Routes bool
}

// Names of the files that Render makes; certificates are beside them.
const (
	fileConfig       = "haproxy.cfg"
	fileHosts        = "hosts.map"
	fileCertificates = "certificates.list"
	filePassthrough  = "passthrough.map"
	fileDefaultCert  = "default.pem"
)

// redirect, with a status, stands in for a backend's name where http leads to
// https. No backend is called so: their names have underscores.
const redirect = "to-https-"

// anyHost is the site of rules without a host.
const anyHost = "*"

// Render makes the files of an HAProxy configuration, by name. They refer to
// each other by relative names.
func Render(m Model, s Settings) map[string][]byte {
	files := map[string][]byte{fileDefaultCert: s.DefaultCertificate}
	rules := slices.Clone(m.Rules)
	slices.SortStableFunc(rules, precedence)

	var hosts, certificates, http, https, backends strings.Builder
	redirects := map[int]bool{}
	last := ""
	for _, r := range rules {
		if r.Host != "" && r.Host != last {
			fmt.Fprintf(&hosts, "%[1]s %[1]s\n", r.Host)
			last = r.Host
		}
		condition := condition(r)
		switch {
		case r.HTTP:
			fmt.Fprintf(&http, setBackend, r.Backend, condition)
		case r.Redirect != 0:
			redirects[r.Redirect] = true
			fmt.Fprintf(&http, setBackend, redirect+strconv.Itoa(r.Redirect), condition)
		}
		if r.HTTPS {
			fmt.Fprintf(&https, setBackend, r.Backend, condition)
		}
	}
	for _, status := range slices.Sorted(maps.Keys(redirects)) {
		fmt.Fprintf(&http, "  http-request redirect location https://%%[var(txn.host)]%s%%[capture.req.uri] code %d if { var(txn.backend) -m str %s%[2]d }\n",
			portSuffix(s.HTTPSPort), status, redirect)
	}
	files[fileHosts] = []byte(hosts.String())

	// The first is the default. It is bound to a name that nobody asks for,
	// or HAProxy would prefer it, for the kind of its key, to a certificate
	// that is there for a host of the same domain.
	fmt.Fprintln(&certificates, fileDefaultCert, "default.invalid")
	for _, c := range sortedBy(m.Certificates, func(c Certificate) string { return c.Name }) {
		file := c.Name + ".pem"
		files[file] = c.PEM
		for _, host := range slices.Sorted(slices.Values(c.Hosts)) {
			fmt.Fprintln(&certificates, file, host)
		}
	}
	files[fileCertificates] = []byte(certificates.String())

	for _, b := range sortedBy(m.Backends, func(b Backend) string { return b.Name }) {
		fmt.Fprintf(&backends, "\nbackend %s\n  balance leastconn\n", b.Name)
		if b.Passthrough {
			fmt.Fprintln(&backends, "  mode tcp")
		}
		fmt.Fprintf(&backends, "  timeout server %s\n  timeout tunnel %s\n", milliseconds(b.Timeout), milliseconds(b.TunnelTimeout))
		options := ""
		switch {
		case b.Encrypted && len(b.Authority) > 0:
			file := b.Name + ".ca"
			files[file] = b.Authority
			options = " ssl verify required ca-file " + file
		case b.Encrypted:
			options = " ssl verify none"
		}
		for i, server := range b.Servers {
			fmt.Fprintf(&backends, "  server s%d %s%s\n", i+1, server, options)
		}
	}

	// Where a Route may come that keeps its TLS, the port is shared from the
	// beginning, as in OpenShift's router: to begin with it during a reload
	// loses connections, whose way on is closed before they took it.
	frontend := fmt.Sprintf(ownPort, s.HTTPSPort)
	if s.Routes {
		var passthrough strings.Builder
		for _, p := range sortedBy(m.Passthrough, func(p Passthrough) string { return p.Host }) {
			fmt.Fprintln(&passthrough, p.Host, p.Backend)
		}
		files[filePassthrough] = []byte(passthrough.String())
		frontend = fmt.Sprintf(sharedPort, s.HTTPSPort, s.Socket)
	}
	missing, nowhere := "", noIngress
	if s.Routes {
		missing, nowhere = notAvailable, noRoute
	}
	files[fileConfig] = fmt.Appendf(nil, configuration, missing, s.HTTPPort, http.String(), frontend, https.String(), nowhere, backends.String())
	return files
}

// precedence sorts rules by host, and those of a host so that the first that
// matches is the right one.
func precedence(a, b Rule) int {
	exact := func(r Rule) int {
		if r.Exact {
			return 0
		}
		return 1
	}
	return cmp.Or(strings.Compare(a.Host, b.Host), cmp.Compare(len(b.Path), len(a.Path)), cmp.Compare(exact(a), exact(b)), strings.Compare(a.Path, b.Path))
}

// condition is true for requests of a rule's host and path.
func condition(r Rule) string {
	c := fmt.Sprintf("{ var(txn.site) -m str %s }", cmp.Or(r.Host, anyHost))
	switch {
	case r.Exact:
		return c + fmt.Sprintf(" { path -m str %s }", r.Path)
	case r.Path == "/":
		return c
	case strings.HasSuffix(r.Path, "/"):
		return c + fmt.Sprintf(" { path -m beg %s }", r.Path)
	default:
		return c + fmt.Sprintf(" { path,concat(/) -m beg %s/ }", r.Path)
	}
}

func sortedBy[T any](s []T, key func(T) string) []T {
	return slices.SortedFunc(slices.Values(s), func(a, b T) int { return strings.Compare(key(a), key(b)) })
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%dms", cmp.Or(d, DefaultTimeout).Milliseconds())
}

// portSuffix is what a URL needs after the host.
func portSuffix(httpsPort int) string {
	if httpsPort == 443 {
		return ""
	}
	return fmt.Sprintf(":%d", httpsPort)
}

// setBackend is one rule: the first that matches is kept.
const setBackend = "  http-request set-var(txn.backend) str(%s) if !{ var(txn.backend) -m found } %s\n"

// site finds the host whose rules decide: the name itself, else the name with
// its first label replaced by an asterisk, else the rules without a host.
const site = `  http-request set-var(txn.host) req.hdr(host),host_only,lower
  http-request set-var(txn.site) var(txn.host),map_str(` + fileHosts + `)
  http-request set-var(txn.site) var(txn.host),regsub(^[^.]+,*),map_str(` + fileHosts + `) if !{ var(txn.site) -m found }
  http-request set-var(txn.site) str(` + anyHost + `) if !{ var(txn.site) -m found }
`

// forwarded replaces what the client may have claimed about itself.
const forwarded = `  http-request del-header Forwarded
  http-request del-header X-Forwarded- -m beg
  http-request set-header X-Forwarded-For %%[src]
  http-request set-header X-Real-IP %%[src]
  http-request set-header X-Forwarded-Host %%[req.hdr(host)]
  http-request set-header X-Forwarded-Port %%[dst_port]
`

const configuration = `# Written by the sandbox's ingress controller; changes are lost.
global
  log stderr format raw local0 notice
  maxconn 4000
  nbthread 1
  ssl-default-bind-options ssl-min-ver TLSv1.2

defaults
  mode http
  log global
  option redispatch
  retries 3
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  timeout tunnel 60s
  timeout client-fin 5s
  timeout server-fin 5s
  timeout http-request 10s
  timeout http-keep-alive 60s
  default_backend nowhere
%s
frontend http
  bind *:%d
` + site + forwarded + `  http-request set-header X-Forwarded-Proto http
%s  use_backend %%[var(txn.backend)] if { var(txn.backend) -m found }

%s` + site + forwarded + `  http-request set-header X-Forwarded-Proto https
%s  use_backend %%[var(txn.backend)] if { var(txn.backend) -m found }

backend nowhere
  http-request return %s
%s`

// tlsOptions are those of the frontend that shows certificates.
const tlsOptions = " ssl crt-list " + fileCertificates + " alpn http/1.1"

// ownPort is how https is reached by itself.
const ownPort = `frontend https
  bind *:%d` + tlsOptions + `
`

// sharedPort leads the connections for some hosts elsewhere as they are, and
// the others on to https, which still learns the client's address. The way
// there has no limit of its own.
const sharedPort = `frontend tls
  bind *:%d
  mode tcp
  tcp-request inspect-delay 5s
  tcp-request content accept if { req.ssl_hello_type 1 }
  use_backend %%[req.ssl_sni,lower,map_str(` + filePassthrough + `)] if { req.ssl_sni,lower,map_str(` + filePassthrough + `) -m found }
  default_backend https

backend https
  mode tcp
  timeout tunnel 24d
  server https unix@%[2]s send-proxy-v2

frontend https
  bind unix@%[2]s accept-proxy` + tlsOptions + `
`

// What is answered where nothing is served.
const (
	noIngress = `status 404 content-type text/plain string "no Ingress serves this host and path\n"`
	noRoute   = "status 503 default-errorfiles"
	// notAvailable has the words of OpenShift's page.
	notAvailable = `  http-error status 503 content-type text/html string "<html><body><h1>Application is not available</h1><p>The application is currently not serving requests at this endpoint. It may not have been started or is still starting.</p></body></html>"
`
)
