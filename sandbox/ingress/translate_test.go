// SPDX-License-Identifier: Apache-2.0

package ingress

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// ing makes an Ingress of class "sandbox", seconds old counted from a fixed
// time, that leads host and path to port http of Service web.
func ing(namespace, name string, seconds int, host, path string, change ...func(*networkingv1.Ingress)) *networkingv1.Ingress {
	class, prefix := "sandbox", networkingv1.PathTypePrefix
	i := &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(namespace + "/" + name),
			CreationTimestamp: metav1.NewTime(time.Date(2026, 1, 1, 0, 0, seconds, 0, time.UTC)), Annotations: map[string]string{}},
		Spec: networkingv1.IngressSpec{
			IngressClassName: &class,
			Rules: []networkingv1.IngressRule{{Host: host, IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
				Paths: []networkingv1.HTTPIngressPath{{Path: path, PathType: &prefix, Backend: web("http", 0)}},
			}}}},
		},
	}
	for _, f := range change {
		f(i)
	}
	return i
}

func web(port string, number int32) networkingv1.IngressBackend {
	return networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "web", Port: networkingv1.ServiceBackendPort{Name: port, Number: number}}}
}

func withTLS(secret string, hosts ...string) func(*networkingv1.Ingress) {
	return func(i *networkingv1.Ingress) {
		i.Spec.TLS = append(i.Spec.TLS, networkingv1.IngressTLS{SecretName: secret, Hosts: hosts})
	}
}

func annotated(key, value string) func(*networkingv1.Ingress) {
	return func(i *networkingv1.Ingress) { i.Annotations[key] = value }
}

func withoutClass(i *networkingv1.Ingress) { i.Spec.IngressClassName = nil }

func exact(i *networkingv1.Ingress) {
	t := networkingv1.PathTypeExact
	i.Spec.Rules[0].HTTP.Paths[0].PathType = &t
}

// service web has port 8000 called http, which is 8000 of the pods, and 9000
// called metrics.
func service(namespace string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web"},
		Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "metrics", Port: 9000}, {Name: "http", Port: 8000}}}}
}

func slice(namespace, portName string, port int32, endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web-" + portName, Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: &portName, Port: &port}}, Endpoints: endpoints}
}

func endpoint(ready bool, addresses ...string) discoveryv1.Endpoint {
	return discoveryv1.Endpoint{Addresses: addresses, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}
}

// keyPair makes a certificate for hosts, signed by itself.
func keyPair(t testing.TB, hosts ...string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: hosts[0]}, DNSNames: hosts,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

func secret(namespace, name string, cert, key []byte) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{corev1.TLSCertKey: cert, corev1.TLSPrivateKeyKey: key}}
}

// summary of a rule, for short tables: "host path[ exact][ tls] -> backend".
func summary(r Rule) string {
	s := r.Host + " " + r.Path
	if r.Exact {
		s += " exact"
	}
	if r.HTTPS && r.Redirect == http.StatusPermanentRedirect {
		s += " tls"
	}
	return s + " -> " + r.Backend
}

func TestTranslateRules(t *testing.T) {
	tests := []struct {
		name      string
		ingresses []*networkingv1.Ingress
		rules     []string
		problems  []string // "namespace/name reason"
		unserved  []string
	}{
		{"one", []*networkingv1.Ingress{ing("a", "x", 1, "a.test", "/")}, []string{"a.test / -> a_x_web_http"}, nil, nil},
		{"no class", []*networkingv1.Ingress{ing("a", "x", 1, "a.test", "/", withoutClass)}, []string{"a.test / -> a_x_web_http"}, nil, nil},
		{"older annotation", []*networkingv1.Ingress{
			ing("a", "ours", 1, "a.test", "/", withoutClass, annotated(annotationClass, "sandbox")),
			ing("a", "theirs", 1, "b.test", "/", withoutClass, annotated(annotationClass, "nginx")),
		}, []string{"a.test / -> a_ours_web_http"}, nil, nil},
		{"other class", []*networkingv1.Ingress{ing("a", "x", 1, "a.test", "/", func(i *networkingv1.Ingress) { *i.Spec.IngressClassName = "nginx" })}, nil, nil, nil},
		{"being deleted", []*networkingv1.Ingress{ing("a", "x", 1, "a.test", "/", func(i *networkingv1.Ingress) { i.DeletionTimestamp = &i.CreationTimestamp })}, nil, nil, nil},
		{"upper case and slashes", []*networkingv1.Ingress{ing("a", "x", 1, "A.test", "/p//")}, []string{"a.test /p -> a_x_web_http"}, nil, nil},
		{"exact keeps its slash", []*networkingv1.Ingress{ing("a", "x", 1, "a.test", "/p/", exact)}, []string{"a.test /p/ exact -> a_x_web_http"}, nil, nil},
		{"same host and path: the oldest wins", []*networkingv1.Ingress{ing("a", "new", 2, "a.test", "/"), ing("a", "old", 1, "a.test", "/")},
			[]string{"a.test / -> a_old_web_http"}, []string{"a/new HostAlreadyClaimed"}, []string{"a/new"}},
		{"same age: the first name wins", []*networkingv1.Ingress{ing("a", "y", 1, "a.test", "/"), ing("a", "x", 1, "a.test", "/")},
			[]string{"a.test / -> a_x_web_http"}, []string{"a/y HostAlreadyClaimed"}, []string{"a/y"}},
		{"paths of a host are shared in a namespace", []*networkingv1.Ingress{ing("a", "x", 1, "a.test", "/"), ing("a", "y", 2, "a.test", "/y")},
			[]string{"a.test / -> a_x_web_http", "a.test /y -> a_y_web_http"}, nil, nil},
		{"but not between namespaces", []*networkingv1.Ingress{ing("a", "x", 1, "a.test", "/x"), ing("b", "y", 2, "a.test", "/y")},
			[]string{"a.test /x -> a_x_web_http"}, []string{"b/y HostAlreadyClaimed"}, []string{"b/y"}},
		{"wildcard beside a host", []*networkingv1.Ingress{ing("a", "x", 1, "*.test", "/"), ing("b", "y", 2, "a.test", "/")},
			[]string{"*.test / -> a_x_web_http", "a.test / -> b_y_web_http"}, nil, nil},
		{"default backend", []*networkingv1.Ingress{ing("a", "x", 1, "a.test", "/", func(i *networkingv1.Ingress) {
			b := web("", 8000)
			i.Spec.DefaultBackend, i.Spec.Rules[0].HTTP = &b, nil
		})}, []string{"a.test / -> a_x_web_8000", " / -> a_x_web_8000"}, nil, nil},
		{"hosts that are none", []*networkingv1.Ingress{
			ing("a", "space", 1, "a.test b.test", "/"), ing("a", "line", 1, "a.test\n", "/"), ing("a", "star", 1, "*", "/"),
			ing("a", "stars", 1, "*.*.test", "/"), ing("a", "brace", 1, "a.test}", "/"),
		}, nil, []string{"a/brace Invalid", "a/line Invalid", "a/space Invalid", "a/star Invalid", "a/stars Invalid"}, []string{"a/brace", "a/line", "a/space", "a/star", "a/stars"}},
		{"paths that are not safe", []*networkingv1.Ingress{
			ing("a", "space", 1, "a.test", "/a b"), ing("a", "line", 1, "a.test", "/a\nb"), ing("a", "quote", 1, "a.test", "/a'b"), ing("a", "variable", 1, "a.test", "/$HOME"),
		}, nil, []string{"a/line Invalid", "a/quote Invalid", "a/space Invalid", "a/variable Invalid"}, []string{"a/line", "a/quote", "a/space", "a/variable"}},
		{"twice in itself", []*networkingv1.Ingress{ing("a", "x", 1, "a.test", "/", func(i *networkingv1.Ingress) {
			i.Spec.Rules = append(i.Spec.Rules, i.Spec.Rules[0])
		})}, []string{"a.test / -> a_x_web_http"}, []string{"a/x Invalid"}, nil},
		{"not a Service", []*networkingv1.Ingress{ing("a", "x", 1, "a.test", "/", func(i *networkingv1.Ingress) {
			i.Spec.Rules[0].HTTP.Paths[0].Backend = networkingv1.IngressBackend{Resource: &corev1.TypedLocalObjectReference{Kind: "Bucket", Name: "b"}}
		})}, nil, []string{"a/x Invalid"}, []string{"a/x"}},
		{"tls", []*networkingv1.Ingress{ing("a", "x", 1, "a.test", "/", withTLS("", "a.test"))}, []string{"a.test / tls -> a_x_web_http"}, nil, nil},
		{"tls by wildcard", []*networkingv1.Ingress{ing("a", "x", 1, "a.test", "/", withTLS("", "*.test"))}, []string{"a.test / tls -> a_x_web_http"}, nil, nil},
		{"tls of all hosts", []*networkingv1.Ingress{ing("a", "x", 1, "a.test", "/", withTLS(""))}, []string{"a.test / tls -> a_x_web_http"}, nil, nil},
		{"tls of one path is tls of the host", []*networkingv1.Ingress{ing("a", "x", 1, "a.test", "/"), ing("a", "y", 2, "a.test", "/y", withTLS(""))},
			[]string{"a.test / tls -> a_x_web_http", "a.test /y tls -> a_y_web_http"}, nil, nil},
		{"tls of another host", []*networkingv1.Ingress{ing("a", "x", 1, "a.test", "/", withTLS("", "b.test", "*.a.test"))}, []string{"a.test / -> a_x_web_http"}, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, verdicts, _ := Translate(Objects{Ingresses: tt.ingresses}, "sandbox", "")
			var rules, problems, unserved []string
			for _, r := range m.Rules {
				rules = append(rules, summary(r))
			}
			for _, v := range verdicts {
				name := v.Ingress.Namespace + "/" + v.Ingress.Name
				for _, p := range v.Problems {
					problems = append(problems, name+" "+p.Reason)
				}
				if !v.Served {
					unserved = append(unserved, name)
				}
			}
			if !slices.Equal(rules, tt.rules) {
				t.Errorf("rules\n%q\nwant\n%q", rules, tt.rules)
			}
			if !slices.Equal(problems, tt.problems) {
				t.Errorf("problems %q, want %q", problems, tt.problems)
			}
			if !slices.Equal(unserved, tt.unserved) {
				t.Errorf("not served: %q, want %q", unserved, tt.unserved)
			}
		})
	}
}

func TestTranslateServers(t *testing.T) {
	tests := []struct {
		name    string
		port    networkingv1.IngressBackend
		objects Objects
		want    []string
	}{
		{"by name", web("http", 0), Objects{Services: []*corev1.Service{service("a")}, EndpointSlices: []*discoveryv1.EndpointSlice{
			slice("a", "metrics", 9090, endpoint(true, "10.0.0.1")), slice("a", "http", 8080, endpoint(true, "10.0.0.2"), endpoint(true, "10.0.0.1"))}},
			[]string{"10.0.0.1:8080", "10.0.0.2:8080"}},
		{"by number", web("", 8000), Objects{Services: []*corev1.Service{service("a")}, EndpointSlices: []*discoveryv1.EndpointSlice{
			slice("a", "metrics", 9090, endpoint(true, "10.0.0.1")), slice("a", "http", 8080, endpoint(true, "10.0.0.1"))}}, []string{"10.0.0.1:8080"}},
		{"IPv6", web("http", 0), Objects{Services: []*corev1.Service{service("a")}, EndpointSlices: []*discoveryv1.EndpointSlice{
			slice("a", "http", 8080, endpoint(true, "fd00::1"))}}, []string{"[fd00::1]:8080"}},
		{"not ready", web("http", 0), Objects{Services: []*corev1.Service{service("a")}, EndpointSlices: []*discoveryv1.EndpointSlice{
			slice("a", "http", 8080, endpoint(false, "10.0.0.1"))}}, nil},
		{"not an address", web("http", 0), Objects{Services: []*corev1.Service{service("a")}, EndpointSlices: []*discoveryv1.EndpointSlice{
			slice("a", "http", 8080, endpoint(true, "10.0.0.1 check\n"))}}, nil},
		{"another namespace", web("http", 0), Objects{Services: []*corev1.Service{service("a")}, EndpointSlices: []*discoveryv1.EndpointSlice{
			slice("b", "http", 8080, endpoint(true, "10.0.0.1"))}}, nil},
		{"no such port", web("ftp", 0), Objects{Services: []*corev1.Service{service("a")}, EndpointSlices: []*discoveryv1.EndpointSlice{
			slice("a", "http", 8080, endpoint(true, "10.0.0.1"))}}, nil},
		{"no service", web("http", 0), Objects{EndpointSlices: []*discoveryv1.EndpointSlice{slice("a", "http", 8080, endpoint(true, "10.0.0.1"))}}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.objects.Ingresses = []*networkingv1.Ingress{ing("a", "x", 1, "a.test", "/", func(i *networkingv1.Ingress) { i.Spec.Rules[0].HTTP.Paths[0].Backend = tt.port })}
			m, _, _ := Translate(tt.objects, "sandbox", "")
			if len(m.Backends) != 1 || !slices.Equal(m.Backends[0].Servers, tt.want) {
				t.Errorf("got %+v, want the servers %q", m.Backends, tt.want)
			}
		})
	}
}

func TestTranslateTimeouts(t *testing.T) {
	tests := []struct {
		name            string
		read, tunnel    string
		timeout, wantTo time.Duration
		problems        int
	}{
		{"none", "", "", 0, 0, 0},
		{"nginx's holds for websockets too", "3600", "", time.Hour, time.Hour, 0},
		{"tunnel alone", "", "2h", 0, 2 * time.Hour, 0},
		{"both", "90", "500", 90 * time.Second, 500 * time.Millisecond, 0},
		{"longest", "999999999", "", maxTimeout, maxTimeout, 0},
		{"no number", "1h", "", 0, 0, 1},
		{"injection", "1s\n  server evil 10.0.0.9:80", "1h\n", 0, 0, 2},
		{"nothing", "0", "0s", 0, 0, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			i := ing("a", "x", 1, "a.test", "/")
			if tt.read != "" {
				annotated(annotationReadTimeout, tt.read)(i)
			}
			if tt.tunnel != "" {
				annotated(annotationTunnelTimeout, tt.tunnel)(i)
			}
			m, verdicts, _ := Translate(Objects{Ingresses: []*networkingv1.Ingress{i}}, "sandbox", "")
			if b := m.Backends[0]; b.Timeout != tt.timeout || b.TunnelTimeout != tt.wantTo {
				t.Errorf("got %v and %v, want %v and %v", b.Timeout, b.TunnelTimeout, tt.timeout, tt.wantTo)
			}
			if len(verdicts[0].Problems) != tt.problems {
				t.Errorf("problems %v, want %d", verdicts[0].Problems, tt.problems)
			}
		})
	}
}

func TestTranslateCertificates(t *testing.T) {
	cert, key := keyPair(t, "a.test")
	_, otherKey := keyPair(t, "a.test")
	good := secret("a", "cert", cert, key)
	tests := []struct {
		name      string
		ingresses []*networkingv1.Ingress
		secrets   []*corev1.Secret
		want      []string // "name hosts"
		problems  int
	}{
		{"default", []*networkingv1.Ingress{ing("a", "x", 1, "a.test", "/", withTLS("", "a.test"))}, []*corev1.Secret{good}, nil, 0},
		{"named", []*networkingv1.Ingress{ing("a", "x", 1, "a.test", "/", withTLS("cert", "a.test"))}, []*corev1.Secret{good}, []string{"a_cert a.test"}, 0},
		{"one for two", []*networkingv1.Ingress{ing("a", "x", 1, "a.test", "/", withTLS("cert", "a.test")), ing("a", "y", 1, "b.test", "/", withTLS("cert", "b.test"))},
			[]*corev1.Secret{good}, []string{"a_cert a.test,b.test"}, 0},
		{"another namespace's", []*networkingv1.Ingress{ing("b", "x", 1, "a.test", "/", withTLS("cert", "a.test"))}, []*corev1.Secret{good}, nil, 1},
		{"for a host that it doesn't have", []*networkingv1.Ingress{ing("b", "old", 1, "b.test", "/"), ing("a", "x", 2, "a.test", "/", withTLS("cert", "b.test"))}, []*corev1.Secret{good}, nil, 0},
		{"for a host that it lost", []*networkingv1.Ingress{ing("b", "old", 1, "a.test", "/"), ing("a", "x", 2, "a.test", "/", withTLS("cert", "a.test"))}, []*corev1.Secret{good}, nil, 1},
		{"key of another", []*networkingv1.Ingress{ing("a", "x", 1, "a.test", "/", withTLS("cert", "a.test"))}, []*corev1.Secret{secret("a", "cert", cert, otherKey)}, nil, 1},
		{"absent", []*networkingv1.Ingress{ing("a", "x", 1, "a.test", "/", withTLS("cert", "a.test"))}, nil, nil, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, verdicts, _ := Translate(Objects{Ingresses: tt.ingresses, Secrets: tt.secrets}, "sandbox", "")
			var got []string
			for _, c := range m.Certificates {
				got = append(got, c.Name+" "+strings.Join(c.Hosts, ","))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("certificates %q, want %q", got, tt.want)
			}
			problems := 0
			for _, v := range verdicts {
				problems += len(v.Problems)
			}
			if problems != tt.problems {
				t.Errorf("%d problems in %+v, want %d", problems, verdicts, tt.problems)
			}
		})
	}
}

// FuzzTranslate looks for hosts, paths and annotations that write their own
// lines or words into the configuration.
func FuzzTranslate(f *testing.F) {
	f.Add("a.test", "/", "60", "1h")
	f.Add("*.a.test", "/a b", "60\n", "1h #")
	f.Add("a.test }", "/", "", "")
	f.Add("a.test\n", "/a'\"$HOME\\", "-1", "1d ")
	f.Fuzz(func(t *testing.T, host, path, read, tunnel string) {
		i := ing("a", "x", 1, host, path, annotated(annotationReadTimeout, read), annotated(annotationTunnelTimeout, tunnel))
		m, _, _ := Translate(Objects{Ingresses: []*networkingv1.Ingress{i}}, "sandbox", "")
		plain, _, _ := Translate(Objects{Ingresses: []*networkingv1.Ingress{ing("a", "x", 1, "a.test", "/p")}}, "sandbox", "")
		if len(m.Rules) == 0 {
			return
		}
		files, want := Render(m, Settings{HTTPPort: 80, HTTPSPort: 443}), Render(plain, Settings{HTTPPort: 80, HTTPSPort: 443})
		if m.Rules[0].Path == "/" {
			want[fileConfig] = []byte(strings.Replace(string(want[fileConfig]), " { path,concat(/) -m beg /p/ }", "", 1))
		}
		for name := range want {
			if got, want := len(strings.Fields(string(files[name]))), len(strings.Fields(string(want[name]))); got != want && m.Rules[0].Host != "" {
				t.Errorf("%q %q %q %q: %d words in %s, want %d:\n%s", host, path, read, tunnel, got, name, want, files[name])
			}
		}
	})
}
