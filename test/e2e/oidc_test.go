// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/workshopctl/workshopctl/test/testhub"
)

const oidcSecret = "s3cret+/%: of the client"

// TestOIDC is the walk of those who have an account at an OpenID Connect
// provider, a real one: one who may come in, one who may not, and the trainer.
func TestOIDC(t *testing.T) {
	s := newSandbox(t)
	chromium := newChromium(t, s)
	var back []string
	for name := range s.hubs() {
		back = append(back, "https://"+s.oidcHost(name)+"/hub/oauth_callback")
	}
	issuer := s.oidcProvider(t, back)
	for name, hub := range s.hubs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			oidcWalk(chromium, t, newTrainer(t, s, "oidc-"+name), issuer, hub, s.oidcHost(name))
		})
	}
}

func (s *sandbox) oidcHost(name string) string {
	return "oidc-" + name + "." + s.env["WORKSHOPCTL_DOMAIN"]
}

// oidcProvider runs the provider in the cluster, where hub and browsers reach it
// at one address, and returns that. back are the workshops' addresses for it.
func (s *sandbox) oidcProvider(t *testing.T, back []string) (issuer string) {
	t.Helper()
	const name = "oidc-provider"
	dir, _ := testhub.OIDCServer(t)
	address := "idp." + s.env["WORKSHOPCTL_DOMAIN"]
	host, _, _ := strings.Cut(address, ":")
	issuer = "https://" + address
	config, err := json.Marshal(map[string]any{
		"issuer": issuer, "port": 8080,
		"clients": []map[string]any{{"client_id": "workshop", "client_secret": oidcSecret, "redirect_uris": back, "response_types": []string{"code"}, "grant_types": []string{"authorization_code"}}},
		"users":   map[string]any{"1": map[string]any{"preferred_username": "Jane"}, "2": map[string]any{"preferred_username": "mallory"}, "3": map[string]any{"preferred_username": "trainer"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if _, err := s.admin.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.deleteAfter(t, name)
	meta := metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}}
	root := int64(0) // whose files these are
	_, podErr := s.admin.CoreV1().Pods(name).Create(ctx, &corev1.Pod{ObjectMeta: meta, Spec: corev1.PodSpec{
		Volumes: []corev1.Volume{{Name: "program", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: dir}}}},
		Containers: []corev1.Container{{
			Name: "provider", Image: s.env["WORKSHOPCTL_PROXY_IMAGE"], Command: []string{"node", "/program/server.js"}, // it has a Node.js
			Env:             []corev1.EnvVar{{Name: "OIDC", Value: strings.ReplaceAll(string(config), "$", "$$")}},
			VolumeMounts:    []corev1.VolumeMount{{Name: "program", MountPath: "/program", ReadOnly: true}},
			SecurityContext: &corev1.SecurityContext{RunAsUser: &root},
			ReadinessProbe:  &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(8080)}}},
		}},
	}}, metav1.CreateOptions{})
	_, serviceErr := s.admin.CoreV1().Services(name).Create(ctx, &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{
		Selector: meta.Labels, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}}}}, metav1.CreateOptions{})
	prefix := networkingv1.PathTypePrefix
	_, ingressErr := s.admin.NetworkingV1().Ingresses(name).Create(ctx, &networkingv1.Ingress{ObjectMeta: meta, Spec: networkingv1.IngressSpec{
		TLS: []networkingv1.IngressTLS{{Hosts: []string{host}}},
		Rules: []networkingv1.IngressRule{{Host: host, IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
			Paths: []networkingv1.HTTPIngressPath{{Path: "/", PathType: &prefix, Backend: networkingv1.IngressBackend{
				Service: &networkingv1.IngressServiceBackend{Name: name, Port: networkingv1.ServiceBackendPort{Number: 80}}}}}}}}},
	}}, metav1.CreateOptions{})
	if err := errors.Join(podErr, serviceErr, ingressErr); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "the provider", func(ctx context.Context) error {
		pod, err := s.admin.CoreV1().Pods(name).Get(ctx, name, metav1.GetOptions{})
		if err != nil || !ready(*pod) {
			return fmt.Errorf("not ready: %w", err)
		}
		return nil
	})
	return issuer
}

func oidcWalk(chromium context.Context, t *testing.T, tr *trainer, issuer, hub, host string) {
	ca, err := os.ReadFile(tr.env["WORKSHOP_SANDBOX_CA"])
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, secret := filepath.Join(dir, "workshop.yaml"), filepath.Join(dir, "secret")
	for name, content := range map[string]string{
		file:   "caBundle: |\n  " + strings.ReplaceAll(strings.TrimSpace(string(ca)), "\n", "\n  ") + "\n",
		secret: oidcSecret + "\n",
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	address := strings.TrimSpace(tr.run(t, "deploy", "-f", file, "--auth", "oidc", "--oidc-issuer", issuer, "--oidc-client-id", "workshop", "--oidc-client-secret-file", secret,
		"--allowed-users", "jane", "--admin-users", "trainer", "--hub-image", hub, "--host", host, "--cpu-request", "10m", "--memory-request", "32Mi").stdout)
	if address != "https://"+host+"/" {
		t.Fatalf("the workshop is at %s", address)
	}

	step(t, "who may come in is at a terminal", func() {
		jane := newAttendee(chromium, t, "jane", address)
		jane.oidcLogin("1")
		jane.prompt()
		jane.types("echo $((40+2)) $USER > mine.txt; cat mine.txt")
		jane.sees("42 jane", 10*time.Second)
		jane.do(chromedp.Navigate(address + "hub/logout"))
		jane.reads("logged out")
		jane.screenshot("oidc-logged-out-" + tr.namespace)
	})
	step(t, "who may not reads so", func() {
		mallory := newAttendee(chromium, t, "mallory", address)
		mallory.oidcLogin("2")
		mallory.reads("You are logged in as mallory, who is not on the list")
		mallory.screenshot("oidc-refused-" + tr.namespace)
	})
	step(t, "who doesn't allow it reads what to do", func() {
		joe := newAttendee(chromium, t, "joe", address)
		joe.do(chromedp.Navigate(address), chromedp.WaitVisible(chromedp.CSS("input[name=login]")), chromedp.Click(chromedp.CSS("a[href$=abort]")))
		joe.reads("choose to allow it")
		joe.screenshot("oidc-aborted-" + tr.namespace)
	})
	step(t, "the trainer sees the class", func() {
		trainer := newAttendee(chromium, t, "trainer", address+"hub/admin")
		trainer.oidcLogin("3")
		trainer.reads("jane")
		if s, _ := (&class{trainer: tr}).list(t); s["jane"].State != "running" {
			t.Errorf("%+v", s)
		}
	})
}

// reads waits until the page has the text.
func (a *attendee) reads(text string) {
	a.t.Helper()
	eventually(a.t, 30*time.Second, "what "+a.user+" reads", func(context.Context) error {
		return contains(eval[string](a, "document.body.innerText"), text)
	})
}

// oidcLogin goes through the provider's pages: who one is, and that the workshop
// may know it.
func (a *attendee) oidcLogin(id string) {
	a.t.Helper()
	a.do(chromedp.Navigate(a.url),
		chromedp.WaitVisible(chromedp.CSS("input[name=login]")),
		chromedp.SendKeys(chromedp.CSS("input[name=login]"), id),
		chromedp.SendKeys(chromedp.CSS("input[name=password]"), "any"),
		chromedp.Submit(chromedp.CSS("input[name=login]")),
		chromedp.WaitVisible(chromedp.CSS("input[name=prompt][value=consent] ~ button")))
	a.screenshot("oidc-consent-" + a.user)
	a.do(chromedp.Click(chromedp.CSS("button[type=submit]")))
}
