// SPDX-License-Identifier: Apache-2.0

package ingress

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	routev1 "github.com/openshift/api/route/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
)

// tlsServer is one behind the proxy that speaks https, and its certificate.
func tlsServer(t *testing.T, name string) (addr string, certificate []byte) {
	t.Helper()
	certificate, key := keyPair(t, name+".test")
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) }))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that don't trust it
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), certificate
}

func TestRenderRoutesGolden(t *testing.T) {
	files := Render(Model{
		Rules: []Rule{
			{Host: "edge.test", Path: "/", Redirect: http.StatusFound, HTTPS: true, Backend: "route_a_edge"},
			{Host: "edge.test", Path: "/api/", HTTP: true, HTTPS: true, Backend: "route_a_api"},
			{Host: "old.test", Path: "/", Redirect: http.StatusPermanentRedirect, HTTPS: true, Backend: "a_x_web_http"},
			{Host: "login.test", Path: "/", Redirect: http.StatusFound, Backend: "route_a_login"},
		},
		Passthrough: []Passthrough{{Host: "login.test", Backend: "route_a_login"}},
		Backends: []Backend{
			{Name: "route_a_edge", Servers: []string{"10.0.0.1:8000"}, Timeout: 30 * time.Second, TunnelTimeout: time.Hour},
			{Name: "route_a_api", Servers: []string{"10.0.0.2:8443"}, Encrypted: true, Authority: []byte("PEM of an authority\n")},
			{Name: "route_a_login", Servers: []string{"10.0.0.3:6443"}, Passthrough: true},
			{Name: "a_x_web_http", Servers: []string{"10.0.0.4:8443"}, Encrypted: true},
		},
	}, Settings{HTTPPort: 80, HTTPSPort: 443, DefaultCertificate: []byte("PEM of default\n"), Socket: "/run/https.sock", Routes: true})
	var got strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&got, "=== %s\n%s", name, files[name])
	}
	golden(t, "routes.golden", got.String())
}

func TestProxyServesRoutes(t *testing.T) {
	p := newTestProxy(t)
	p.settings.Routes, p.settings.Socket = true, p.dir+"/https.sock"
	login, _ := tlsServer(t, "login")
	known, authority := tlsServer(t, "known")
	_, another := tlsServer(t, "another")
	p.serve(t, Model{
		Rules: []Rule{
			{Host: "plain.test", Path: "/", HTTP: true, Backend: "n_a"},
			{Host: "edge.test", Path: "/", Redirect: http.StatusFound, HTTPS: true, Backend: "n_a"},
			{Host: "edge.test", Path: "/api", HTTP: true, HTTPS: true, Backend: "n_api"},
			{Host: "edge.test", Path: "/dir/", HTTPS: true, Backend: "n_api"},
			{Host: "none.test", Path: "/", HTTPS: true, Backend: "n_a"},
			{Host: "login.test", Path: "/", Redirect: http.StatusFound, Backend: "n_login"},
			{Host: "re.test", Path: "/", HTTPS: true, Backend: "n_re"},
			{Host: "checked.test", Path: "/", HTTPS: true, Backend: "n_checked"},
			{Host: "wrong.test", Path: "/", HTTPS: true, Backend: "n_wrong"},
			{Host: "empty.test", Path: "/", HTTP: true, Backend: "n_empty"},
		},
		Passthrough: []Passthrough{{Host: "login.test", Backend: "n_login"}},
		Backends: []Backend{
			{Name: "n_a", Servers: []string{server(t, "a")}}, {Name: "n_api", Servers: []string{server(t, "api")}}, {Name: "n_empty"},
			{Name: "n_login", Servers: []string{login}, Passthrough: true},
			{Name: "n_re", Servers: []string{known}, Encrypted: true},
			{Name: "n_checked", Servers: []string{known}, Encrypted: true, Authority: authority},
			{Name: "n_wrong", Servers: []string{known}, Encrypted: true, Authority: another},
		},
	})
	elsewhere := fmt.Sprintf("302 https://%%s:%d%%s", p.settings.HTTPSPort)
	const unavailable = "503 <html><body><h1>Application is not available</h1>"
	tests := []struct{ scheme, url, want string }{
		{"http", "plain.test/", "200 a "},
		{"https", "plain.test/", unavailable},
		{"http", "edge.test/x?y=%20z", fmt.Sprintf(elsewhere, "edge.test", "/x?y=%20z")},
		{"https", "edge.test/x", "200 a "},
		{"http", "edge.test/api/x", "200 api "},
		{"https", "edge.test/api", "200 api "},
		{"https", "edge.test/dir", "200 a "},
		{"https", "edge.test/dir/", "200 api "},
		{"https", "edge.test/dir/x", "200 api "},
		{"http", "none.test/", unavailable},
		{"https", "none.test/", "200 a "},
		{"http", "login.test/", fmt.Sprintf(elsewhere, "login.test", "/")},
		{"https", "login.test/", "200 login"},
		{"https", "LOGIN.TEST/", "200 login"},
		{"https", "re.test/", "200 known"},
		{"https", "checked.test/", "200 known"},
		{"https", "wrong.test/", unavailable},
		{"http", "empty.test/", unavailable},
		{"http", "unknown.test/", unavailable},
		{"https", "unknown.test/", unavailable},
	}
	for _, tt := range tests {
		if got, _ := p.get(t, p.url(tt.scheme, tt.url), nil); !strings.HasPrefix(got+" ", tt.want) {
			t.Errorf("%s://%s: got %q, want %q", tt.scheme, tt.url, got, tt.want)
		}
	}
	if _, res := p.get(t, p.url("https", "login.test/"), nil); res.TLS.PeerCertificates[0].Subject.CommonName != "login.test" {
		t.Error("login.test shows the router's certificate, not its own")
	}
	// Servers learn the client's address and the port it came to, though two
	// HAProxies sit between.
	got, _ := p.get(t, p.url("https", "edge.test/"), http.Header{"X-Forwarded-For": {"lie"}})
	if want := fmt.Sprintf("X-Forwarded-For=127.0.0.1 X-Forwarded-Proto=https X-Forwarded-Host=edge.test:%[1]d X-Forwarded-Port=%[1]d", p.settings.HTTPSPort); !strings.Contains(got, want) {
		t.Errorf("got %q, want it to have %q", got, want)
	}
}

// TestProxyReloadWithPassthrough: Routes that keep their TLS come and go without
// the cost of a websocket or a request of others.
func TestProxyReloadWithPassthrough(t *testing.T) {
	p := newTestProxy(t)
	p.settings.Routes, p.settings.Socket = true, p.dir+"/https.sock"
	login, _ := tlsServer(t, "login")
	m := Model{Rules: []Rule{{Host: "a.test", Path: "/", HTTPS: true, Backend: "n_a"}}, Backends: []Backend{{Name: "n_a", Servers: []string{server(t, "a")}, TunnelTimeout: time.Hour}}}
	shared := m
	shared.Passthrough = []Passthrough{{Host: "login.test", Backend: "n_login"}}
	shared.Backends = append(slices.Clone(m.Backends), Backend{Name: "n_login", Servers: []string{login}, Passthrough: true})
	again := shared
	again.Rules = append(slices.Clone(m.Rules), Rule{Host: "b.test", Path: "/", HTTPS: true, Backend: "n_a"})

	p.serve(t, m)
	ended := p.requests(t, "a.test/")
	for i, next := range []Model{shared, again, shared, m, shared} {
		ws := p.dial(t, "a.test")
		p.serve(t, next)
		if err := echo(t.Context(), ws, fmt.Sprint("after reload ", i)); err != nil {
			t.Error(err)
		}
		if err := echo(t.Context(), p.dial(t, "a.test"), "a new one"); err != nil {
			t.Error(err)
		}
	}
	if err := ended(); err != nil {
		t.Error(err)
	}
}

// fakeRoutes is a client of an API server that has Routes.
func fakeRoutes(t *testing.T, list ...*routev1.Route) dynamic.Interface {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := routev1.Install(scheme); err != nil {
		t.Fatal(err)
	}
	objects := make([]runtime.Object, len(list))
	for i, r := range list {
		objects[i] = r
	}
	return dynamicfake.NewSimpleDynamicClient(scheme, objects...)
}

// awaitRoute returns when the condition of a Route is so.
func awaitRoute(t *testing.T, w watch.Interface, name string, status corev1.ConditionStatus, message string) {
	t.Helper()
	giveUp := time.After(time.Minute)
	var last string
	for {
		select {
		case e := <-w.ResultChan():
			u, ok := e.Object.(*unstructured.Unstructured)
			if !ok || u.GetName() != name {
				continue
			}
			r := &routev1.Route{}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, r); err != nil {
				t.Fatal(err)
			}
			if i := r.Status.Ingress; len(i) == 1 && len(i[0].Conditions) == 1 {
				c := i[0].Conditions[0]
				if c.Status == status && c.Message == message && i[0].RouterCanonicalHostname == "router-default.apps.test" {
					return
				}
				last = fmt.Sprintf("%s %s", c.Status, c.Message)
			}
		case <-giveUp:
			t.Fatalf("route %s did not get there, last seen: %s", name, last)
		}
	}
}

// TestRunRoutes walks through the life of two Routes on a fake API server.
func TestRunRoutes(t *testing.T) {
	client := fake.NewClientset(endpointOf(t, "a", server(t, "web")))
	routes := fakeRoutes(t, route("a", "old", 1, "a.test"), route("b", "new", 2, "a.test", secured("edge", "Redirect")))
	all := routes.Resource(routeResource)
	w, err := all.Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := start(t, client, routes)
	get := func(host string) string {
		res, err := clientTo().Get(fmt.Sprintf("http://%s:%d/", host, cfg.HTTPPort))
		if err != nil {
			return err.Error()
		}
		defer res.Body.Close()
		return res.Status
	}
	awaitRoute(t, w, "old", corev1.ConditionTrue, "")
	if got := get("a.test"); got != "200 OK" {
		t.Errorf("got %q", got)
	}
	if got := get("unknown.test"); got != "503 Service Unavailable" {
		t.Errorf("got %q", got)
	}
	awaitRoute(t, w, "new", corev1.ConditionFalse, "a route in another namespace holds a.test and is older than new")

	// The second takes over when the first is gone.
	if err := all.Namespace("a").Delete(t.Context(), "old", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitRoute(t, w, "new", corev1.ConditionTrue, "")
	if got := get("a.test"); got != "302 Found" {
		t.Errorf("got %q", got)
	}
}

// TestProxyWaitsForNoHello: a connection that says nothing blocks nobody.
func TestProxyWaitsForNoHello(t *testing.T) {
	p := newTestProxy(t)
	p.settings.Routes, p.settings.Socket = true, p.dir+"/https.sock"
	login, _ := tlsServer(t, "login")
	p.serve(t, Model{Passthrough: []Passthrough{{Host: "login.test", Backend: "n_login"}}, Backends: []Backend{{Name: "n_login", Servers: []string{login}, Passthrough: true}}})
	addr := fmt.Sprintf("127.0.0.1:%d", p.settings.HTTPSPort)
	silent, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if got, _ := p.get(t, p.url("https", "login.test/"), nil); got != "200 login" {
		t.Errorf("got %q", got)
	}
	// A client without SNI gets the router's certificate.
	conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(context.WithoutCancel(t.Context()), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: login.test\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 12)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 503" {
		t.Errorf("got %q, %v", answer, err)
	}
}
