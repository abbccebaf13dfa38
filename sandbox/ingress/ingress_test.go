// SPDX-License-Identifier: Apache-2.0

package ingress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
)

// start runs the controller on clients until the test ends, the second of
// which is nil if there are no Routes.
func start(t *testing.T, client kubernetes.Interface, routes dynamic.Interface) Config {
	t.Helper()
	needHAProxy(t)
	cert, key := keyPair(t, "default.test")
	cfg := Config{Dir: t.TempDir(), ClassName: "sandbox", Address: "192.0.2.7", CertPEM: filepath.Join(t.TempDir(), "default.pem")}
	cfg.HTTPPort, cfg.HTTPSPort = freePorts(t)
	if routes != nil {
		cfg.RouteDomain = "apps.test"
	}
	if err := os.WriteFile(cfg.CertPEM, append(cert, key...), 0o600); err != nil {
		t.Fatal(err)
	}
	log := &logBuffer{}
	cfg.Log = log.logf
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, client, routes, cfg) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("run ended with %v", err)
		}
		if t.Failed() {
			t.Log(log)
		}
	})
	return cfg
}

// awaitIngress returns when a change of an Ingress satisfies done.
func awaitIngress(t *testing.T, w watch.Interface, name string, done func(*networkingv1.Ingress) bool) {
	t.Helper()
	giveUp := time.After(time.Minute)
	for {
		select {
		case e := <-w.ResultChan():
			if i, ok := e.Object.(*networkingv1.Ingress); ok && i.Name == name && done(i) {
				return
			}
		case <-giveUp:
			t.Fatalf("ingress %s did not get there", name)
		}
	}
}

func served(i *networkingv1.Ingress) bool {
	return len(i.Status.LoadBalancer.Ingress) == 1 && i.Status.LoadBalancer.Ingress[0].IP == "192.0.2.7"
}

func endpointOf(t *testing.T, namespace, addr string) *discoveryv1.EndpointSlice {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return slice(namespace, "http", int32(n), endpoint(true, host))
}

// TestRun walks through the life of two Ingresses on a fake API server.
func TestRun(t *testing.T) {
	client := fake.NewClientset(service("a"), endpointOf(t, "a", server(t, "web")))
	ingresses := client.NetworkingV1().Ingresses("a")
	w, err := client.NetworkingV1().Ingresses("").Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	events, err := client.CoreV1().Events("").Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []*networkingv1.Ingress{ing("a", "old", 1, "a.test", "/"), ing("a", "new", 2, "a.test", "/", withTLS(""))} {
		if _, err := ingresses.Create(t.Context(), i, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	cfg := start(t, client, nil)
	get := func() (string, error) {
		res, err := clientTo().Get(fmt.Sprintf("http://a.test:%d/", cfg.HTTPPort))
		if err != nil {
			return "", err
		}
		return res.Status, res.Body.Close()
	}

	// The status is written when HAProxy serves, not before.
	awaitIngress(t, w, "old", served)
	if got, err := get(); got != "200 OK" {
		t.Errorf("got %q, %v", got, err)
	}
	select {
	case e := <-events.ResultChan():
		event, ok := e.Object.(*corev1.Event)
		if !ok || event.InvolvedObject.Name != "new" || event.Reason != ReasonHostClaimed || !strings.Contains(event.Message, "ingress old") {
			t.Errorf("got the event %+v", e.Object)
		}
	case <-time.After(time.Minute):
		t.Fatal("no event for the ingress that came second")
	}
	class, err := client.NetworkingV1().IngressClasses().Get(t.Context(), "sandbox", metav1.GetOptions{})
	if err != nil || class.Annotations[networkingv1.AnnotationIsDefaultIngressClass] != "true" {
		t.Errorf("%+v %v", class, err)
	}

	// The second takes over when the first is gone.
	if err := ingresses.Delete(t.Context(), "old", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitIngress(t, w, "new", served)
	if got, err := get(); got != "308 Permanent Redirect" {
		t.Errorf("got %q, %v", got, err)
	}

	// HAProxy is started again when it dies. The status of a third Ingress
	// tells when it is back: it is written only then.
	kill(t, cfg.Dir)
	if _, err := ingresses.Create(t.Context(), ing("a", "third", 3, "third.test", "/"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitIngress(t, w, "third", served)
	if got, err := get(); got != "308 Permanent Redirect" {
		t.Errorf("got %q, %v", got, err)
	}

	// Losing a rule takes the address away.
	changed, err := ingresses.Get(t.Context(), "third", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	changed.Spec.Rules[0].Host = "a.test"
	if _, err := ingresses.Update(t.Context(), changed, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitIngress(t, w, "third", func(i *networkingv1.Ingress) bool { return len(i.Status.LoadBalancer.Ingress) == 0 })
}

// kill ends the HAProxy master that was started for a directory, and returns
// when it is gone.
func kill(t *testing.T, dir string) {
	t.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		cmdline, err := os.ReadFile(p)
		stat, err2 := os.ReadFile(filepath.Join(filepath.Dir(p), "stat"))
		if err != nil || err2 != nil || !strings.Contains(string(cmdline), "haproxy\x00-Ws\x00-C\x00"+dir+"/") {
			continue
		}
		fields := strings.Fields(string(stat))
		if fields[3] != strconv.Itoa(os.Getpid()) {
			continue // a worker: its parent is the master
		}
		pid, err := strconv.Atoi(fields[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatal("no haproxy runs")
}

func TestClassOfAnother(t *testing.T) {
	client := fake.NewClientset(&networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: "sandbox"}, Spec: networkingv1.IngressClassSpec{Controller: "k8s.io/ingress-nginx"}})
	if err := run(t.Context(), client, nil, Config{ClassName: "sandbox", Dir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "k8s.io/ingress-nginx") {
		t.Errorf("got %v", err)
	}
}

func TestClassIsMadeDefault(t *testing.T) {
	client := fake.NewClientset(&networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: "sandbox"}, Spec: networkingv1.IngressClassSpec{Controller: controllerName}})
	if err := ensureClass(t.Context(), client, "sandbox"); err != nil {
		t.Fatal(err)
	}
	class, err := client.NetworkingV1().IngressClasses().Get(t.Context(), "sandbox", metav1.GetOptions{})
	if err != nil || class.Annotations[networkingv1.AnnotationIsDefaultIngressClass] != "true" {
		t.Errorf("%+v %v", class, err)
	}
}
