// SPDX-License-Identifier: Apache-2.0

package ingress

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	routev1 "github.com/openshift/api/route/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// RouteVerdict says what became of a Route.
type RouteVerdict struct {
	Route *routev1.Route
	// Host is where it is served, or would be.
	Host string
	// Reason and Message say why it isn't. They are empty if it is.
	Reason, Message string
}

// Reasons beside ReasonHostClaimed, as OpenShift's router gives them.
const (
	reasonNoHost      = "NoHostValue"
	reasonInvalidHost = "InvalidHost"
	reasonNotAdmitted = "RouteNotAdmitted"
	reasonInvalid     = "ExtendedValidationFailed"
)

// Annotations of Routes, in HAProxy's notation. What OpenShift's router can't
// read in them, it passes over in silence.
const (
	annotationRouteTimeout       = "haproxy.router.openshift.io/timeout"
	annotationRouteTunnelTimeout = "haproxy.router.openshift.io/timeout-tunnel"
)

// What OpenShift's router does without these annotations.
const (
	defaultRouteTimeout       = 30 * time.Second
	defaultRouteTunnelTimeout = time.Hour
)

// routes adds the Routes, the oldest first: what one has, a later one can't
// take.
func (t *translator) routes(domain string) []RouteVerdict {
	routes := slices.SortedFunc(slices.Values(t.objects.Routes), func(a, b *routev1.Route) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.UID, b.UID))
	})
	claims := map[string][]*routev1.Route{}
	var verdicts []RouteVerdict
	for _, r := range routes {
		v := RouteVerdict{Route: r, Host: r.Spec.Host}
		if v.Host == "" && r.Spec.Subdomain != "" {
			v.Host = r.Spec.Subdomain + "." + domain
		}
		if v.Reason, v.Message = t.claimRoute(r, v.Host, claims); v.Reason == "" {
			if errs := t.route(r, v.Host); len(errs) > 0 {
				v.Reason, v.Message = reasonInvalid, errs.ToAggregate().Error()
			}
		}
		verdicts = append(verdicts, v)
	}
	return verdicts
}

// claimRoute gives host and path to a Route, or says why not. A host belongs
// to the namespace of the oldest Route with it. The words are those of
// OpenShift's router, by which people search.
func (t *translator) claimRoute(r *routev1.Route, host string, claims map[string][]*routev1.Route) (reason, message string) {
	if r.Spec.WildcardPolicy != "" && r.Spec.WildcardPolicy != routev1.WildcardPolicyNone {
		return reasonNotAdmitted, "wildcard routes are not allowed"
	}
	if host == "" {
		return reasonNoHost, "no host value was defined for the route"
	}
	if len(validation.IsDNS1123Subdomain(host)) > 0 {
		err := field.Invalid(field.NewPath("spec", "host"), host, "host must conform to DNS 952 subdomain conventions")
		return reasonInvalidHost, "host name validation errors: " + err.Error()
	}
	switch owner := t.hosts[host]; {
	case owner != nil && owner.Namespace == r.Namespace:
		return ReasonHostClaimed, fmt.Sprintf("ingress %s already exposes %s", owner.Name, host)
	case owner != nil:
		return ReasonHostClaimed, fmt.Sprintf("an ingress in another namespace holds %s", host)
	}
	if older := claims[host]; len(older) > 0 {
		if older[0].Namespace != r.Namespace {
			return ReasonHostClaimed, fmt.Sprintf("a route in another namespace holds %s and is older than %s", host, r.Name)
		}
		// The owner is the one with the same path, whoever else is in the way.
		if i := slices.IndexFunc(older, func(o *routev1.Route) bool { return o.Spec.Path == r.Spec.Path }); i >= 0 {
			return ReasonHostClaimed, fmt.Sprintf("route %s already exposes %s and is older", older[i].Name, host)
		}
		// Passthrough is decided before a path is known.
		if slices.ContainsFunc(older, func(o *routev1.Route) bool {
			return o.Spec.TLS != nil && r.Spec.TLS != nil && (isPassthrough(o) || isPassthrough(r))
		}) {
			return ReasonHostClaimed, fmt.Sprintf("route %s already exposes %s and is older", older[len(older)-1].Name, host)
		}
	}
	claims[host] = append(claims[host], r)
	return "", ""
}

func isPassthrough(r *routev1.Route) bool {
	return r.Spec.TLS != nil && r.Spec.TLS.Termination == routev1.TLSTerminationPassthrough
}

// route adds what a Route asks for, or says what is wrong with it.
func (t *translator) route(r *routev1.Route, host string) field.ErrorList {
	path := cmp.Or(r.Spec.Path, "/")
	if !validPath(path) {
		return field.ErrorList{field.Invalid(field.NewPath("spec", "path"), r.Spec.Path, "it has characters that this router doesn't take")}
	}
	certificate, authority, errs := checkTLS(r.Spec.TLS)
	if len(errs) > 0 {
		return errs
	}
	// Names of objects have no underscore, so no Ingress has such a name.
	backend := Backend{Name: strings.Join([]string{"route", r.Namespace, r.Name}, "_"), Servers: t.routeServers(r), Passthrough: isPassthrough(r)}
	backend.Timeout, backend.TunnelTimeout = routeTimeouts(r)
	rule := Rule{Host: host, Path: path, Backend: backend.Name}
	if r.Spec.TLS == nil {
		rule.HTTP = true
	} else {
		rule.HTTPS = !backend.Passthrough
		switch r.Spec.TLS.InsecureEdgeTerminationPolicy {
		case routev1.InsecureEdgeTerminationPolicyAllow:
			rule.HTTP = true
		case routev1.InsecureEdgeTerminationPolicyRedirect:
			rule.Redirect = http.StatusFound
		}
		backend.Encrypted, backend.Authority = r.Spec.TLS.Termination == routev1.TLSTerminationReencrypt, authority
	}
	t.model.Rules = append(t.model.Rules, rule)
	t.model.Backends = append(t.model.Backends, backend)
	if backend.Passthrough {
		t.model.Passthrough = append(t.model.Passthrough, Passthrough{Host: host, Backend: backend.Name})
	}
	// A host has one certificate: that of its oldest Route with one.
	if certificate != nil && !slices.ContainsFunc(t.model.Certificates, func(c Certificate) bool { return slices.Contains(c.Hosts, host) }) {
		t.model.Certificates = append(t.model.Certificates, Certificate{Name: backend.Name, Hosts: []string{host}, PEM: certificate})
	}
	return nil
}

// routeServers lists the ready endpoints of a Route's Service. targetPort is a
// port of the pods or the name of a port of the Service; without it, all ports
// are as good.
func (t *translator) routeServers(r *routev1.Route) []string {
	return t.endpoints(r.Namespace, r.Spec.To.Name, func(p discoveryv1.EndpointPort) bool {
		if p.Protocol != nil && *p.Protocol != corev1.ProtocolTCP {
			return false
		}
		if r.Spec.Port == nil {
			return true
		}
		want := r.Spec.Port.TargetPort.String()
		return want == strconv.Itoa(int(*p.Port)) || (p.Name != nil && *p.Name == want)
	})
}

// routeTimeouts reads the annotations as OpenShift's router does: websockets
// have a timeout of their own, unless the router can't see into the connection.
func routeTimeouts(r *routev1.Route) (timeout, tunnel time.Duration) {
	timeout, tunnel = defaultRouteTimeout, defaultRouteTunnelTimeout
	if d, err := parseTimeout(r.Annotations[annotationRouteTimeout]); err == nil {
		timeout = d
		if isPassthrough(r) {
			tunnel = d
		}
	}
	if d, err := parseTimeout(r.Annotations[annotationRouteTunnelTimeout]); err == nil {
		tunnel = d
	}
	return timeout, tunnel
}

// checkTLS returns the certificate that a Route brings and the authority of
// its servers, both of which may be missing.
func checkTLS(c *routev1.TLSConfig) (certificate, authority []byte, errs field.ErrorList) {
	if c == nil {
		return nil, nil, nil
	}
	path := field.NewPath("spec", "tls")
	refuse := func(name, value, hidden, why string) {
		if value != "" {
			errs = append(errs, field.Invalid(path.Child(name), hidden, why))
		}
	}
	policies := []routev1.InsecureEdgeTerminationPolicyType{"", routev1.InsecureEdgeTerminationPolicyNone, routev1.InsecureEdgeTerminationPolicyRedirect}
	switch c.Termination {
	case routev1.TLSTerminationPassthrough:
		const why = "passthrough termination does not support certificates"
		refuse("certificate", c.Certificate, "redacted certificate data", why)
		refuse("key", c.Key, "redacted key data", why)
		refuse("caCertificate", c.CACertificate, "redacted ca certificate data", why)
		refuse("destinationCACertificate", c.DestinationCACertificate, "redacted destination ca certificate data", why)
	case routev1.TLSTerminationEdge:
		policies = append(policies, routev1.InsecureEdgeTerminationPolicyAllow)
		refuse("destinationCACertificate", c.DestinationCACertificate, "redacted destination ca certificate data", "edge termination does not support destination certificates")
	case routev1.TLSTerminationReencrypt:
		policies = append(policies, routev1.InsecureEdgeTerminationPolicyAllow)
	default:
		errs = append(errs, field.NotSupported(path.Child("termination"), c.Termination,
			[]routev1.TLSTerminationType{routev1.TLSTerminationEdge, routev1.TLSTerminationPassthrough, routev1.TLSTerminationReencrypt}))
	}
	if !slices.Contains(policies, c.InsecureEdgeTerminationPolicy) {
		errs = append(errs, field.NotSupported(path.Child("insecureEdgeTerminationPolicy"), c.InsecureEdgeTerminationPolicy, policies[1:]))
	}
	if len(errs) > 0 {
		return nil, nil, errs
	}
	if c.Certificate != "" {
		var err error
		// The key may be in the same text.
		certificate, err = certificateText([]byte(c.Certificate+"\n"+c.CACertificate), []byte(c.Key+"\n"+c.Certificate))
		if err != nil {
			errs = append(errs, field.Invalid(path.Child("certificate"), "redacted certificate data", err.Error()))
		}
	}
	if c.DestinationCACertificate != "" {
		var err error
		if authority, err = authorityText([]byte(c.DestinationCACertificate)); err != nil {
			errs = append(errs, field.Invalid(path.Child("destinationCACertificate"), "redacted destination ca certificate data", err.Error()))
		}
	}
	return certificate, authority, errs
}

// authorityText returns the certificates in a text, and nothing else.
func authorityText(text []byte) ([]byte, error) {
	var out bytes.Buffer
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		text = rest
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return nil, err
		}
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes}); err != nil {
			return nil, err
		}
	}
	if out.Len() == 0 {
		return nil, fmt.Errorf("it has no certificate")
	}
	return out.Bytes(), nil
}
