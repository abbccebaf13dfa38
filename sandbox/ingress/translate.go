// SPDX-License-Identifier: Apache-2.0

package ingress

import (
	"bytes"
	"cmp"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	routev1 "github.com/openshift/api/route/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Objects are those of the cluster that decide what is served.
type Objects struct {
	Ingresses      []*networkingv1.Ingress
	Services       []*corev1.Service
	EndpointSlices []*discoveryv1.EndpointSlice
	Secrets        []*corev1.Secret
	Routes         []*routev1.Route
}

// Verdict says what became of one Ingress of our class.
type Verdict struct {
	Ingress *networkingv1.Ingress
	// Served is true if at least one of its rules is in the Model.
	Served   bool
	Problems []Problem
}

// Problem is a part of an Ingress that isn't served as written.
type Problem struct {
	Reason  string // of the Event, CamelCase
	Message string
}

// Reasons of problems.
const (
	ReasonHostClaimed       = "HostAlreadyClaimed"
	ReasonInvalid           = "Invalid"
	ReasonInvalidAnnotation = "InvalidAnnotation"
	ReasonNoCertificate     = "CertificateNotUsable"
)

// Annotations that set how long a connection may be silent.
const (
	annotationClass         = "kubernetes.io/ingress.class"
	annotationReadTimeout   = "nginx.ingress.kubernetes.io/proxy-read-timeout" // seconds
	annotationTunnelTimeout = "haproxy-ingress.github.io/timeout-tunnel"       // HAProxy's notation
)

// maxTimeout is the longest that HAProxy can count (2^31 ms), in whole days.
const maxTimeout = 24 * 24 * time.Hour

// Translate makes a Model of the Ingresses of className and of those that name
// no class, and of the Routes. A host belongs to the namespace of the oldest
// Ingress that names it; a host and path belong to the oldest Ingress that
// names both. Routes get what no Ingress has, by rules of their own.
//
// routeDomain is what the host of a Route ends in if it has a subdomain alone.
func Translate(o Objects, className, routeDomain string) (Model, []Verdict, []RouteVerdict) {
	ours := slices.DeleteFunc(slices.Clone(o.Ingresses), func(i *networkingv1.Ingress) bool {
		return !hasClass(i, className) || i.DeletionTimestamp != nil
	})
	slices.SortFunc(ours, func(a, b *networkingv1.Ingress) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
			strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	t := &translator{objects: o, hosts: map[string]*networkingv1.Ingress{}, paths: map[Rule]*networkingv1.Ingress{}}
	var verdicts []Verdict
	for _, i := range ours {
		before := len(t.model.Rules)
		t.problems = nil
		t.ingress(i)
		verdicts = append(verdicts, Verdict{Ingress: i, Served: len(t.model.Rules) > before, Problems: t.problems})
	}
	t.spreadTLS()
	return t.model, verdicts, t.routes(routeDomain)
}

// spreadTLS gives https to all rules of a host if one of them has it: pages
// and parts of a site can't be told apart by how they are reached.
func (t *translator) spreadTLS() {
	secure := map[string]bool{}
	for _, r := range t.model.Rules {
		secure[r.Host] = secure[r.Host] || r.HTTPS
	}
	for i := range t.model.Rules {
		if r := &t.model.Rules[i]; secure[r.Host] {
			r.HTTP, r.HTTPS, r.Redirect = false, true, http.StatusPermanentRedirect
		}
	}
}

// hasClass is true for our class, by field or by the older annotation, and for
// none at all: ours is the default, but an Ingress made before it existed
// doesn't name it.
func hasClass(i *networkingv1.Ingress, className string) bool {
	if i.Spec.IngressClassName != nil {
		return *i.Spec.IngressClassName == className
	}
	class, ok := i.Annotations[annotationClass]
	return !ok || class == className
}

type translator struct {
	objects  Objects
	model    Model
	hosts    map[string]*networkingv1.Ingress
	paths    map[Rule]*networkingv1.Ingress // by host, path and exactness
	problems []Problem                      // of the Ingress at hand
}

func (t *translator) problem(reason, format string, args ...any) {
	t.problems = append(t.problems, Problem{Reason: reason, Message: fmt.Sprintf(format, args...)})
}

// ingress adds what one Ingress asks for.
func (t *translator) ingress(i *networkingv1.Ingress) {
	timeout, tunnel := t.timeouts(i)
	add := func(host, path string, exact bool, b *networkingv1.IngressBackend) {
		if b == nil || b.Service == nil {
			t.problem(ReasonInvalid, "host %q, path %q: only a Service can be a backend here", host, path)
			return
		}
		if !t.claim(i, host, path, exact) {
			return
		}
		backend := t.backend(i, b.Service, timeout, tunnel)
		t.model.Rules = append(t.model.Rules, Rule{Host: host, Path: path, Exact: exact, HTTP: true, HTTPS: hasTLS(i, host), Backend: backend})
	}
	for _, r := range i.Spec.Rules {
		host := strings.ToLower(r.Host)
		if !validHost(host) {
			t.problem(ReasonInvalid, "%q is not a host name", r.Host)
			continue
		}
		if r.HTTP == nil {
			if i.Spec.DefaultBackend != nil {
				add(host, "/", false, i.Spec.DefaultBackend)
			}
			continue
		}
		for _, p := range r.HTTP.Paths {
			path, exact := p.Path, p.PathType != nil && *p.PathType == networkingv1.PathTypeExact
			if path == "" {
				path = "/"
			}
			if !validPath(path) {
				t.problem(ReasonInvalid, "host %q: the path %q has characters that this controller doesn't take", r.Host, p.Path)
				continue
			}
			// "/a/" means the same as "/a", unless it must match exactly.
			if trimmed := strings.TrimRight(path, "/"); !exact && trimmed != "" {
				path = trimmed
			} else if !exact {
				path = "/"
			}
			add(host, path, exact, &p.Backend)
		}
	}
	if i.Spec.DefaultBackend != nil {
		add("", "/", false, i.Spec.DefaultBackend)
	}
	t.certificates(i)
}

// claim gives host and path to an Ingress unless an older one has them.
func (t *translator) claim(i *networkingv1.Ingress, host, path string, exact bool) bool {
	if owner := t.hosts[host]; owner != nil && owner.Namespace != i.Namespace {
		t.problem(ReasonHostClaimed, "host %q belongs to ingress %s of namespace %s, which is older", host, owner.Name, owner.Namespace)
		return false
	}
	key := Rule{Host: host, Path: path, Exact: exact}
	if owner := t.paths[key]; owner == i {
		t.problem(ReasonInvalid, "host %q, path %q stands here twice", host, path)
		return false
	} else if owner != nil {
		t.problem(ReasonHostClaimed, "host %q, path %q belongs to ingress %s, which is older", host, path, owner.Name)
		return false
	}
	if t.hosts[host] == nil {
		t.hosts[host] = i
	}
	t.paths[key] = i
	return true
}

// backend adds a backend for a Service's port with the timeouts of the
// Ingress, and returns its name.
func (t *translator) backend(i *networkingv1.Ingress, s *networkingv1.IngressServiceBackend, timeout, tunnel time.Duration) string {
	port := s.Port.Name
	if port == "" {
		port = strconv.Itoa(int(s.Port.Number))
	}
	// Names of objects have no underscore, so this can't be two things.
	name := strings.Join([]string{i.Namespace, i.Name, s.Name, port}, "_")
	if !slices.ContainsFunc(t.model.Backends, func(b Backend) bool { return b.Name == name }) {
		t.model.Backends = append(t.model.Backends, Backend{Name: name, Servers: t.servers(i.Namespace, s), Timeout: timeout, TunnelTimeout: tunnel})
	}
	return name
}

// servers lists the ready endpoints of a Service's port.
func (t *translator) servers(namespace string, backend *networkingv1.IngressServiceBackend) []string {
	k := slices.IndexFunc(t.objects.Services, func(s *corev1.Service) bool { return s.Namespace == namespace && s.Name == backend.Name })
	if k < 0 {
		return nil
	}
	ports := t.objects.Services[k].Spec.Ports
	k = slices.IndexFunc(ports, func(p corev1.ServicePort) bool {
		if backend.Port.Name != "" {
			return p.Name == backend.Port.Name
		}
		return p.Port == backend.Port.Number
	})
	if k < 0 {
		return nil
	}
	return t.endpoints(namespace, backend.Name, func(p discoveryv1.EndpointPort) bool { return p.Name == nil || *p.Name == ports[k].Name })
}

// endpoints lists those of a Service that are ready, at the ports that match.
func (t *translator) endpoints(namespace, service string, match func(discoveryv1.EndpointPort) bool) []string {
	var servers []string
	for _, slice := range t.objects.EndpointSlices {
		if slice.Namespace != namespace || slice.Labels[discoveryv1.LabelServiceName] != service || slice.AddressType == discoveryv1.AddressTypeFQDN {
			continue
		}
		for _, p := range slice.Ports {
			if p.Port == nil || !match(p) {
				continue
			}
			for _, e := range slice.Endpoints {
				if e.Conditions.Ready != nil && !*e.Conditions.Ready {
					continue
				}
				for _, a := range e.Addresses {
					if net.ParseIP(a) != nil {
						servers = append(servers, net.JoinHostPort(a, strconv.Itoa(int(*p.Port))))
					}
				}
			}
		}
	}
	slices.Sort(servers)
	return slices.Compact(servers)
}

// certificates adds those of the Secrets that tls entries name.
func (t *translator) certificates(i *networkingv1.Ingress) {
	for _, entry := range i.Spec.TLS {
		if entry.SecretName == "" {
			continue
		}
		// Only for hosts that this Ingress has: a certificate may not be put
		// in front of somebody else's.
		var hosts []string
		for _, r := range t.model.Rules {
			if r.Host != "" && t.paths[Rule{Host: r.Host, Path: r.Path, Exact: r.Exact}] == i && covers(entry, r.Host) && !slices.Contains(hosts, r.Host) {
				hosts = append(hosts, r.Host)
			}
		}
		if len(hosts) == 0 {
			continue
		}
		pem, err := t.keyPair(i.Namespace, entry.SecretName)
		if err != nil {
			t.problem(ReasonNoCertificate, "%v; the default certificate is shown instead", err)
			continue
		}
		name := i.Namespace + "_" + entry.SecretName
		if k := slices.IndexFunc(t.model.Certificates, func(c Certificate) bool { return c.Name == name }); k >= 0 {
			have := &t.model.Certificates[k]
			for _, h := range hosts {
				if !slices.Contains(have.Hosts, h) {
					have.Hosts = append(have.Hosts, h)
				}
			}
			continue
		}
		t.model.Certificates = append(t.model.Certificates, Certificate{Name: name, Hosts: hosts, PEM: pem})
	}
}

// keyPair returns certificate and key of a Secret in one PEM text.
func (t *translator) keyPair(namespace, name string) ([]byte, error) {
	k := slices.IndexFunc(t.objects.Secrets, func(s *corev1.Secret) bool { return s.Namespace == namespace && s.Name == name })
	if k < 0 {
		return nil, fmt.Errorf("there is no Secret %q of type %s", name, corev1.SecretTypeTLS)
	}
	cert, key := t.objects.Secrets[k].Data[corev1.TLSCertKey], t.objects.Secrets[k].Data[corev1.TLSPrivateKeyKey]
	text, err := certificateText(cert, key)
	if err != nil {
		return nil, fmt.Errorf("the Secret %q: %w", name, err)
	}
	return text, nil
}

// certificateText checks a certificate with its chain and its key, and returns
// them in one PEM text with nothing else in it. One that HAProxy refuses would
// take all others down with it.
func certificateText(certificate, key []byte) ([]byte, error) {
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	for _, der := range pair.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		if k, ok := c.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() < 2048 {
			return nil, fmt.Errorf("the key of %q has %d bits, fewer than 2048", c.Subject, k.N.BitLen())
		}
		switch c.SignatureAlgorithm {
		case x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1:
			return nil, fmt.Errorf("the signature of %q is %s, which is no longer safe", c.Subject, c.SignatureAlgorithm)
		}
		if err := pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
			return nil, err
		}
	}
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return nil, err
	}
	if err := pem.Encode(&text, &pem.Block{Type: "PRIVATE KEY", Bytes: der}); err != nil {
		return nil, err
	}
	return text.Bytes(), nil
}

// timeouts reads the annotations; zero is the default.
func (t *translator) timeouts(i *networkingv1.Ingress) (timeout, tunnel time.Duration) {
	if v, ok := i.Annotations[annotationReadTimeout]; ok {
		d, err := parseTimeout(v + "s")
		if err != nil {
			t.problem(ReasonInvalidAnnotation, "annotation %s: %q is not a number of seconds: the default of %v holds", annotationReadTimeout, v, DefaultTimeout)
		}
		timeout, tunnel = d, d
	}
	if v, ok := i.Annotations[annotationTunnelTimeout]; ok {
		if d, err := parseTimeout(v); err == nil {
			tunnel = d
		} else {
			t.problem(ReasonInvalidAnnotation, "annotation %s: %q is not a time like 30s, 10m or 1h", annotationTunnelTimeout, v)
		}
	}
	return timeout, tunnel
}

var timeoutPattern = regexp.MustCompile(`^([1-9][0-9]*)(us|ms|s|m|h|d)?$`)

// parseTimeout reads HAProxy's notation: a number and a unit, milliseconds if
// there is none. What is longer than HAProxy can count becomes maxTimeout.
func parseTimeout(s string) (time.Duration, error) {
	m := timeoutPattern.FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("%q is not a time", s)
	}
	unit := map[string]time.Duration{"us": time.Microsecond, "": time.Millisecond, "ms": time.Millisecond,
		"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[m[2]]
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || n > int64(maxTimeout/unit) {
		return maxTimeout, nil //nolint:nilerr // the pattern leaves no other error than too large
	}
	d := time.Duration(n) * unit
	if d < time.Millisecond {
		return 0, fmt.Errorf("%q is no time at all", s)
	}
	return d, nil
}

// hasTLS tells whether an Ingress wants https for a host.
func hasTLS(i *networkingv1.Ingress, host string) bool {
	return slices.ContainsFunc(i.Spec.TLS, func(entry networkingv1.IngressTLS) bool { return covers(entry, host) })
}

// covers tells whether a tls entry is about a host; one without hosts is
// about all of its Ingress.
func covers(entry networkingv1.IngressTLS, host string) bool {
	if len(entry.Hosts) == 0 {
		return true
	}
	_, parent, _ := strings.Cut(host, ".")
	return slices.ContainsFunc(entry.Hosts, func(h string) bool {
		h = strings.ToLower(h)
		return h == host || (parent != "" && h == "*."+parent)
	})
}

// validHost checks again what the API server checks: what is written into the
// configuration must be safe whoever let it in.
func validHost(host string) bool {
	if host == "" {
		return true
	}
	if strings.HasPrefix(host, "*.") {
		return len(validation.IsWildcardDNS1123Subdomain(host)) == 0
	}
	return len(validation.IsDNS1123Subdomain(host)) == 0
}

// pathPattern has the characters of paths that mean nothing to HAProxy's
// configuration. The API server is more generous.
var pathPattern = regexp.MustCompile(`^/[A-Za-z0-9._~/:@!+,;=&%*-]*$`)

func validPath(path string) bool {
	return len(path) <= 1024 && pathPattern.MatchString(path)
}
