// SPDX-License-Identifier: Apache-2.0

package ingress

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	routev1 "github.com/openshift/api/route/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// route makes a Route, seconds old counted from a fixed time, that leads host
// to port http of Service web.
func route(namespace, name string, seconds int, host string, change ...func(*routev1.Route)) *routev1.Route {
	r := &routev1.Route{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(namespace + "/" + name),
			CreationTimestamp: metav1.NewTime(time.Date(2026, 1, 1, 0, 0, seconds, 0, time.UTC)), Annotations: map[string]string{}},
		Spec: routev1.RouteSpec{Host: host, To: routev1.RouteTargetReference{Kind: "Service", Name: "web"}, WildcardPolicy: routev1.WildcardPolicyNone,
			Port: &routev1.RoutePort{TargetPort: intstr.FromString("http")}},
	}
	for _, f := range change {
		f(r)
	}
	return r
}

func withPath(path string) func(*routev1.Route) {
	return func(r *routev1.Route) { r.Spec.Path = path }
}

func secured(termination routev1.TLSTerminationType, policy routev1.InsecureEdgeTerminationPolicyType) func(*routev1.Route) {
	return func(r *routev1.Route) {
		r.Spec.TLS = &routev1.TLSConfig{Termination: termination, InsecureEdgeTerminationPolicy: policy}
	}
}

var edge = secured(routev1.TLSTerminationEdge, "")

func passthrough(r *routev1.Route) { secured(routev1.TLSTerminationPassthrough, "")(r) }

// ways says how a rule is served: "host path[ http][ redirect][ https] -> backend".
func ways(r Rule) string {
	s := r.Host + " " + r.Path
	if r.HTTP {
		s += " http"
	}
	if r.Redirect != 0 {
		s += fmt.Sprint(" ", r.Redirect)
	}
	if r.HTTPS {
		s += " https"
	}
	return s + " -> " + r.Backend
}

func TestTranslateRoutes(t *testing.T) {
	tests := []struct {
		name    string
		routes  []*routev1.Route
		rules   []string
		refused []string // "namespace/name: reason: message"
	}{
		{"plain", []*routev1.Route{route("a", "x", 1, "a.test")}, []string{"a.test / http -> route_a_x"}, nil},
		{"edge", []*routev1.Route{route("a", "x", 1, "a.test", edge)}, []string{"a.test / https -> route_a_x"}, nil},
		{"edge, None", []*routev1.Route{route("a", "x", 1, "a.test", secured("edge", "None"))}, []string{"a.test / https -> route_a_x"}, nil},
		{"edge, Allow", []*routev1.Route{route("a", "x", 1, "a.test", secured("edge", "Allow"))}, []string{"a.test / http https -> route_a_x"}, nil},
		{"edge, Redirect", []*routev1.Route{route("a", "x", 1, "a.test", secured("edge", "Redirect"))}, []string{"a.test / 302 https -> route_a_x"}, nil},
		{"reencrypt", []*routev1.Route{route("a", "x", 1, "a.test", secured("reencrypt", "Redirect"))}, []string{"a.test / 302 https -> route_a_x"}, nil},
		{"passthrough", []*routev1.Route{route("a", "x", 1, "a.test", secured("passthrough", "Redirect"))}, []string{"a.test / 302 -> route_a_x"}, nil},
		{"subdomain", []*routev1.Route{route("a", "x", 1, "", func(r *routev1.Route) { r.Spec.Subdomain = "x" })}, []string{"x.apps.test / http -> route_a_x"}, nil},

		{"the older has the host", []*routev1.Route{route("a", "y", 2, "a.test"), route("a", "x", 1, "a.test")},
			[]string{"a.test / http -> route_a_x"}, []string{"a/y: HostAlreadyClaimed: route x already exposes a.test and is older"}},
		{"of the same age, the UID decides", []*routev1.Route{route("a", "y", 1, "a.test"), route("a", "x", 1, "a.test")},
			[]string{"a.test / http -> route_a_x"}, []string{"a/y: HostAlreadyClaimed: route x already exposes a.test and is older"}},
		{"paths of a host are shared in a namespace", []*routev1.Route{route("a", "x", 1, "a.test"), route("a", "y", 2, "a.test", withPath("/y"))},
			[]string{"a.test / http -> route_a_x", "a.test /y http -> route_a_y"}, nil},
		{"but not between namespaces", []*routev1.Route{route("a", "x", 1, "a.test", withPath("/x")), route("b", "y", 2, "a.test", withPath("/y"))},
			[]string{"a.test /x http -> route_a_x"}, []string{"b/y: HostAlreadyClaimed: a route in another namespace holds a.test and is older than y"}},
		{"the owner is the one with the same path", []*routev1.Route{route("a", "x", 1, "a.test"), route("a", "y", 2, "a.test", withPath("/y")), route("a", "z", 3, "a.test")},
			[]string{"a.test / http -> route_a_x", "a.test /y http -> route_a_y"}, []string{"a/z: HostAlreadyClaimed: route x already exposes a.test and is older"}},
		{"no paths beside passthrough", []*routev1.Route{route("a", "x", 1, "a.test", passthrough), route("a", "y", 2, "a.test", withPath("/y"), edge)},
			[]string{"a.test / -> route_a_x"}, []string{"a/y: HostAlreadyClaimed: route x already exposes a.test and is older"}},
		{"but http beside passthrough", []*routev1.Route{route("a", "x", 1, "a.test", passthrough), route("a", "y", 2, "a.test", withPath("/y"))},
			[]string{"a.test / -> route_a_x", "a.test /y http -> route_a_y"}, nil},

		{"no host", []*routev1.Route{route("a", "x", 1, "")}, nil, []string{"a/x: NoHostValue: no host value was defined for the route"}},
		{"hosts that are none", []*routev1.Route{route("a", "line", 1, "a\n.test"), route("a", "upper", 2, "A.test"), route("a", "star", 3, "*.test")}, nil, []string{
			`a/line: InvalidHost: host name validation errors: spec.host: Invalid value: "a\n.test": host must conform to DNS 952 subdomain conventions`,
			`a/upper: InvalidHost: host name validation errors: spec.host: Invalid value: "A.test": host must conform to DNS 952 subdomain conventions`,
			`a/star: InvalidHost: host name validation errors: spec.host: Invalid value: "*.test": host must conform to DNS 952 subdomain conventions`,
		}},
		{"wildcard", []*routev1.Route{route("a", "x", 1, "a.test", func(r *routev1.Route) { r.Spec.WildcardPolicy = routev1.WildcardPolicySubdomain })},
			nil, []string{"a/x: RouteNotAdmitted: wildcard routes are not allowed"}},
		{"a path that is not safe", []*routev1.Route{route("a", "x", 1, "a.test", withPath("/a b"))},
			nil, []string{`a/x: ExtendedValidationFailed: spec.path: Invalid value: "/a b": it has characters that this router doesn't take`}},
		{"an invalid one has its host all the same", []*routev1.Route{route("a", "x", 1, "a.test", withPath("/a b")), route("b", "y", 2, "a.test")}, nil, []string{
			`a/x: ExtendedValidationFailed: spec.path: Invalid value: "/a b": it has characters that this router doesn't take`,
			"b/y: HostAlreadyClaimed: a route in another namespace holds a.test and is older than y",
		}},
		{"unknown termination", []*routev1.Route{route("a", "x", 1, "a.test", secured("magic", ""))},
			nil, []string{`a/x: ExtendedValidationFailed: spec.tls.termination: Unsupported value: "magic": supported values: "edge", "passthrough", "reencrypt"`}},
		{"passthrough, Allow", []*routev1.Route{route("a", "x", 1, "a.test", secured("passthrough", "Allow"))},
			nil, []string{`a/x: ExtendedValidationFailed: spec.tls.insecureEdgeTerminationPolicy: Unsupported value: "Allow": supported values: "None", "Redirect"`}},
		{"passthrough with a certificate", []*routev1.Route{route("a", "x", 1, "a.test", passthrough, func(r *routev1.Route) { r.Spec.TLS.Certificate = "c" })},
			nil, []string{`a/x: ExtendedValidationFailed: spec.tls.certificate: Invalid value: "redacted certificate data": passthrough termination does not support certificates`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, _, verdicts := Translate(Objects{Routes: tt.routes}, "sandbox", "apps.test")
			var rules, refused []string
			for _, r := range m.Rules {
				rules = append(rules, ways(r))
			}
			for _, v := range verdicts {
				if v.Reason != "" {
					refused = append(refused, fmt.Sprintf("%s/%s: %s: %s", v.Route.Namespace, v.Route.Name, v.Reason, v.Message))
				}
			}
			if !slices.Equal(rules, tt.rules) {
				t.Errorf("rules\n%q\nwant\n%q", rules, tt.rules)
			}
			if !slices.Equal(refused, tt.refused) {
				t.Errorf("refused\n%q\nwant\n%q", refused, tt.refused)
			}
		})
	}
}

func TestRoutesBesideIngresses(t *testing.T) {
	m, _, verdicts := Translate(Objects{
		Ingresses: []*networkingv1.Ingress{ing("a", "x", 9, "a.test", "/"), ing("b", "x", 9, "b.test", "/", withTLS(""))},
		Routes:    []*routev1.Route{route("a", "r", 1, "a.test", withPath("/r")), route("a", "s", 1, "b.test"), route("a", "t", 1, "c.test")},
	}, "sandbox", "apps.test")
	var got []string
	for _, v := range verdicts {
		got = append(got, v.Route.Name+": "+v.Message)
	}
	for _, r := range m.Rules {
		got = append(got, ways(r))
	}
	want := []string{"r: ingress x already exposes a.test", "s: an ingress in another namespace holds b.test", "t: ",
		"a.test / http -> a_x_web_http", "b.test / 308 https -> b_x_web_http", "c.test / http -> route_a_t"}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

func TestRouteServers(t *testing.T) {
	udp := corev1.ProtocolUDP
	dns := slice("a", "dns", 5353, endpoint(true, "10.0.0.9"))
	dns.Ports[0].Protocol = &udp
	slices := []*discoveryv1.EndpointSlice{
		slice("a", "http", 8080, endpoint(true, "10.0.0.2"), endpoint(true, "10.0.0.1"), endpoint(false, "10.0.0.3")),
		slice("a", "metrics", 9090, endpoint(true, "10.0.0.1")),
		slice("b", "http", 8080, endpoint(true, "10.0.0.7")),
		dns,
	}
	for name, tt := range map[string]struct {
		port *routev1.RoutePort
		want string
	}{
		"by name":                  {&routev1.RoutePort{TargetPort: intstr.FromString("http")}, "10.0.0.1:8080 10.0.0.2:8080"},
		"by number of the pods'":   {&routev1.RoutePort{TargetPort: intstr.FromInt32(9090)}, "10.0.0.1:9090"},
		"not the service's number": {&routev1.RoutePort{TargetPort: intstr.FromInt32(9000)}, ""},
		"no such name":             {&routev1.RoutePort{TargetPort: intstr.FromString("ftp")}, ""},
		"all but UDP":              {nil, "10.0.0.1:8080 10.0.0.1:9090 10.0.0.2:8080"},
	} {
		t.Run(name, func(t *testing.T) {
			r := route("a", "x", 1, "a.test", func(r *routev1.Route) { r.Spec.Port = tt.port })
			m, _, _ := Translate(Objects{Routes: []*routev1.Route{r}, EndpointSlices: slices}, "sandbox", "apps.test")
			if got := strings.Join(m.Backends[0].Servers, " "); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestRouteTimeouts(t *testing.T) {
	for name, tt := range map[string]struct {
		timeout, tunnel         string
		change                  func(*routev1.Route)
		wantTimeout, wantTunnel time.Duration
	}{
		"none":                               {"", "", edge, 30 * time.Second, time.Hour},
		"websockets have their own":          {"10s", "", edge, 10 * time.Second, time.Hour},
		"that can be set":                    {"", "2h", edge, 30 * time.Second, 2 * time.Hour},
		"both":                               {"500", "1d", edge, 500 * time.Millisecond, 24 * time.Hour},
		"passthrough knows no websockets":    {"10s", "", passthrough, 10 * time.Second, 10 * time.Second},
		"passthrough, both":                  {"10s", "42s", passthrough, 10 * time.Second, 42 * time.Second},
		"longest":                            {"25d", "99999999999999999999999h", edge, maxTimeout, maxTimeout},
		"passed over in silence":             {"1 h", "-1s", edge, 30 * time.Second, time.Hour},
		"Go's notation isn't HAProxy's":      {"1h30m", "1.5h", edge, 30 * time.Second, time.Hour},
		"zero isn't a time, nor is a newton": {"0s", "10N", edge, 30 * time.Second, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			r := route("a", "x", 1, "a.test", tt.change)
			r.Annotations[annotationRouteTimeout], r.Annotations[annotationRouteTunnelTimeout] = tt.timeout, tt.tunnel
			m, _, _ := Translate(Objects{Routes: []*routev1.Route{r}}, "sandbox", "apps.test")
			if b := m.Backends[0]; b.Timeout != tt.wantTimeout || b.TunnelTimeout != tt.wantTunnel {
				t.Errorf("got %v and %v, want %v and %v", b.Timeout, b.TunnelTimeout, tt.wantTimeout, tt.wantTunnel)
			}
		})
	}
}

func TestRouteCertificates(t *testing.T) {
	cert, key := keyPair(t, "a.test")
	other, otherKey := keyPair(t, "ca.test")
	weak, weakKey := rsaKeyPair(t, 1024, "weak.test")
	text := string(cert) + string(key)
	tests := []struct {
		name  string
		tls   routev1.TLSConfig
		want  int    // certificates in the text shown to clients; 0 for none
		error string // part of the refusal
	}{
		{"none", routev1.TLSConfig{Termination: "edge"}, 0, ""},
		{"its own", routev1.TLSConfig{Termination: "edge", Certificate: string(cert), Key: string(key)}, 1, ""},
		{"with a chain", routev1.TLSConfig{Termination: "edge", Certificate: string(cert), Key: string(key), CACertificate: string(other)}, 2, ""},
		{"key in the same text", routev1.TLSConfig{Termination: "edge", Certificate: text}, 1, ""},
		{"noise around it", routev1.TLSConfig{Termination: "edge", Certificate: "bind *:22\n" + string(cert) + "\n", Key: "\n" + string(key) + "more"}, 1, ""},
		{"no key", routev1.TLSConfig{Termination: "edge", Certificate: string(cert)}, 0, "spec.tls.certificate"},
		{"key of another", routev1.TLSConfig{Termination: "edge", Certificate: string(cert), Key: string(otherKey)}, 0, "private key does not match"},
		{"no certificate at all", routev1.TLSConfig{Termination: "edge", Certificate: "x", Key: "y"}, 0, "spec.tls.certificate"},
		{"one that HAProxy refuses", routev1.TLSConfig{Termination: "edge", Certificate: string(weak), Key: string(weakKey)}, 0, "1024 bits"},
		{"authority of servers", routev1.TLSConfig{Termination: "reencrypt", DestinationCACertificate: string(other)}, 0, ""},
		{"authority that is none", routev1.TLSConfig{Termination: "reencrypt", DestinationCACertificate: "x"}, 0, "it has no certificate"},
		{"authority of servers without TLS", routev1.TLSConfig{Termination: "edge", DestinationCACertificate: string(other)}, 0, "edge termination does not support destination certificates"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := route("a", "x", 1, "a.test", func(r *routev1.Route) { r.Spec.TLS = &tt.tls })
			m, _, verdicts := Translate(Objects{Routes: []*routev1.Route{r}}, "sandbox", "apps.test")
			if tt.error != "" {
				if v := verdicts[0]; v.Reason != "ExtendedValidationFailed" || !strings.Contains(v.Message, tt.error) || len(m.Rules) > 0 {
					t.Errorf("got %s: %s, want that it is refused because %s", v.Reason, v.Message, tt.error)
				}
				return
			}
			if verdicts[0].Reason != "" {
				t.Fatal(verdicts[0].Message)
			}
			got := 0
			for _, c := range m.Certificates {
				got = strings.Count(string(c.PEM), "BEGIN CERTIFICATE")
				if strings.Count(string(c.PEM), "\n-----BEGIN PRIVATE KEY") != 1 || strings.Contains(string(c.PEM), "bind") {
					t.Errorf("the text is\n%s", c.PEM)
				}
			}
			if got != tt.want {
				t.Errorf("%d certificates are shown, want %d", got, tt.want)
			}
			if b := m.Backends[0]; b.Encrypted != (tt.tls.Termination == "reencrypt") || string(b.Authority) != tt.tls.DestinationCACertificate {
				t.Errorf("got the backend %+v", b)
			}
		})
	}
}

// TestRouteCertificateOfAHost: two Routes of a host can't show two.
func TestRouteCertificateOfAHost(t *testing.T) {
	cert, key := keyPair(t, "a.test")
	withCert := func(r *routev1.Route) {
		edge(r)
		r.Spec.TLS.Certificate, r.Spec.TLS.Key = string(cert), string(key)
	}
	m, _, _ := Translate(Objects{Routes: []*routev1.Route{
		route("a", "z", 3, "a.test", withPath("/z"), withCert), route("a", "x", 1, "a.test", edge), route("a", "y", 2, "a.test", withPath("/y"), withCert),
	}}, "sandbox", "apps.test")
	if len(m.Certificates) != 1 || m.Certificates[0].Name != "route_a_y" {
		t.Errorf("got %+v, want that of the oldest route with one", m.Certificates)
	}
}

// rsaKeyPair makes a certificate with an older kind of key. One of 1024 bits
// is no longer taken by OpenSSL.
func rsaKeyPair(t *testing.T, bits int, host string) (cert, key []byte) {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0")
	private, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)})
}

func TestRouteStatus(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	const canonical = "router-default.apps.test"
	r := route("a", "x", 1, "a.test")
	other := routev1.RouteIngress{Host: "a.test", RouterName: "other"}
	r.Status.Ingress = []routev1.RouteIngress{other}

	status, changed := routeStatus(RouteVerdict{Route: r, Host: "a.test"}, canonical, now)
	if !changed || len(status) != 2 || status[0].RouterName != "other" {
		t.Fatalf("got %v, %+v", changed, status)
	}
	got := status[1]
	if got.Host != "a.test" || got.RouterName != "default" || got.RouterCanonicalHostname != canonical || got.WildcardPolicy != routev1.WildcardPolicyNone || len(got.Conditions) != 1 {
		t.Errorf("got %+v", got)
	}
	if c := got.Conditions[0]; c.Type != routev1.RouteAdmitted || c.Status != corev1.ConditionTrue || c.Reason != "" || c.Message != "" || !c.LastTransitionTime.Equal(&metav1.Time{Time: now.Truncate(time.Second)}) {
		t.Errorf("got %+v", c)
	}

	// The same again is no news.
	r.Status.Ingress = status
	if _, changed := routeStatus(RouteVerdict{Route: r, Host: "a.test"}, canonical, now.Add(time.Hour)); changed {
		t.Error("a status was written anew that says the same")
	}
	// A refusal is, and another reason is, and another host is. Conditions of
	// other kinds stay.
	r.Status.Ingress[1].Conditions = append(r.Status.Ingress[1].Conditions, routev1.RouteIngressCondition{Type: routev1.RouteUnservableInFutureVersions})
	for i, v := range []RouteVerdict{
		{Route: r, Host: "a.test", Reason: ReasonHostClaimed, Message: "route y already exposes a.test and is older"},
		{Route: r, Host: "a.test", Reason: ReasonHostClaimed, Message: "route z already exposes a.test and is older"},
		{Route: r, Host: "b.test", Reason: ReasonHostClaimed, Message: "route z already exposes a.test and is older"},
	} {
		at := now.Add(time.Duration(i+1) * time.Minute)
		before := r.DeepCopy()
		status, changed := routeStatus(v, canonical, at)
		if !changed || len(status) != 2 || len(status[1].Conditions) != 2 || status[1].Host != v.Host {
			t.Fatalf("%d: got %v, %+v", i, changed, status)
		}
		if c := status[1].Conditions[0]; c.Status != corev1.ConditionFalse || c.Reason != v.Reason || c.Message != v.Message || !c.LastTransitionTime.Equal(&metav1.Time{Time: at.Truncate(time.Second)}) {
			t.Errorf("%d: got %+v", i, c)
		}
		if !reflect.DeepEqual(before, r) {
			t.Errorf("%d: the object in the cache was changed", i)
		}
		r.Status.Ingress = status
	}
}

// FuzzParseTimeout compares with a reading of the notation that knows nothing
// of ours: a number of one unit.
func FuzzParseTimeout(f *testing.F) {
	for _, s := range []string{"", "0", "1", "30s", "10m", "1h", "24d", "25d", "1us", "1000us", "007", "1.5h", "-1s", "1s\n", "9999999999999999999999s", "1h30m", "１s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := parseTimeout(s)
		digits := strings.TrimRight(s, "usmhd")
		unit, known := map[string]float64{"": 1, "ms": 1, "us": 1e-3, "s": 1e3, "m": 60e3, "h": 3600e3, "d": 86400e3}[s[len(digits):]]
		number, isNumber := new(big.Int).SetString(digits, 10)
		if !known || !isNumber || number.String() != digits || number.Sign() <= 0 {
			if err == nil {
				t.Fatalf("%q became %v", s, d)
			}
			return
		}
		n, _ := new(big.Float).SetInt(number).Float64()
		switch ms := n * unit; {
		case ms < 1:
			if err == nil {
				t.Errorf("%q became %v, which HAProxy counts as nothing", s, d)
			}
		case err != nil:
			t.Errorf("%q: %v", s, err)
		case d < time.Millisecond || d > maxTimeout:
			t.Errorf("%q became %v, which HAProxy can't count", s, d)
		case ms <= float64(maxTimeout.Milliseconds()) && d.Milliseconds() != int64(ms) && d.Microseconds() != int64(n):
			t.Errorf("%q became %v", s, d)
		}
	})
}

// FuzzRoute looks for hosts, paths and annotations that write their own lines
// or words into the configuration.
func FuzzRoute(f *testing.F) {
	f.Add("a.test", "/", "60s", "1h", "edge")
	f.Add("*.a.test", "/a b", "60\n", "1h #", "passthrough")
	f.Add("a.test }", "/a/", "", "", "reencrypt")
	f.Add("a.test\n", "/a'\"$HOME\\", "-1", "1d ", "")
	f.Fuzz(func(t *testing.T, host, path, timeout, tunnel, termination string) {
		r := route("a", "x", 1, host, withPath(path))
		plain := route("a", "x", 1, "a.test")
		if path != "" && path != "/" {
			plain.Spec.Path = "/p"
		}
		if termination != "" {
			secured(routev1.TLSTerminationType(termination), "Redirect")(r)
			plain.Spec.TLS = r.Spec.TLS
		}
		r.Annotations[annotationRouteTimeout], r.Annotations[annotationRouteTunnelTimeout] = timeout, tunnel
		render := func(r *routev1.Route) map[string][]byte {
			m, _, _ := Translate(Objects{Routes: []*routev1.Route{r}}, "sandbox", "apps.test")
			if len(m.Rules) == 0 {
				return nil
			}
			return Render(m, Settings{HTTPPort: 80, HTTPSPort: 443, Routes: true})
		}
		files, want := render(r), render(plain)
		for name := range files {
			if got, want := len(strings.Fields(string(files[name]))), len(strings.Fields(string(want[name]))); got != want {
				t.Errorf("%q %q %q %q %q: %d words in %s, want %d:\n%s", host, path, timeout, tunnel, termination, got, name, want, files[name])
			}
		}
	})
}
