// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// certificate is one of the sandbox's authority for the names, as a Secret.
func (s *sandbox) certificate(t *testing.T, names ...string) *corev1.Secret {
	t.Helper()
	ca := s.env["WORKSHOP_SANDBOX_CA"]
	authority, err := tls.LoadX509KeyPair(ca, strings.TrimSuffix(ca, ".crt")+".key")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	issuer, err := x509.ParseCertificate(authority.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), authority.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "wildcard"}, Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{
			corev1.TLSCertKey:       append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issuer.Raw})...),
			corev1.TLSPrivateKeyKey: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		},
	}
}

// TestSubdomains: each attendee's session is an origin of its own, to which
// neither the hub's cookies go nor those of the others.
func TestSubdomains(t *testing.T) {
	s := newSandbox(t)
	chromium := newChromium(t, s)
	for name, hub := range s.hubs() {
		t.Run(name, func(t *testing.T) { subdomains(chromium, t, newTrainer(t, s, "subdomains-"+name), hub) })
	}
}

func subdomains(chromium context.Context, t *testing.T, tr *trainer, hub string) {
	domain, port, _ := strings.Cut(tr.env["WORKSHOPCTL_DOMAIN"], ":")
	host := tr.namespace + "." + domain
	if _, err := tr.admin.CoreV1().Secrets(tr.namespace).Create(t.Context(), tr.certificate(t, host, "*."+host), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	deployed := tr.run(t, "deploy", "--hub-image", hub, "--cpu-request", "10m", "--memory-request", "32Mi",
		"--host", strings.TrimSuffix(host+":"+port, ":"), "--subdomains", "*."+host, "--tls-secret", "wildcard", "--port", "app=8080")
	address := strings.TrimSpace(deployed.stdout)
	password := tr.password(t)
	jane, mallory := newAttendee(chromium, t, "jane", address), newAttendee(chromium, t, "mallory", address)
	for _, a := range []*attendee{jane, mallory} {
		a.login(password)
		a.prompt()
		if got := eval[string](a, "location.hostname"); got != a.user+"."+host {
			t.Errorf("%s's terminal is at %s", a.user, got)
		}
		a.types("echo $((6*7)) of $USER")
		a.sees("42 of "+a.user, 20*time.Second)
	}
	jane.screenshot("subdomains-" + tr.namespace)
	hubOrigin := strings.TrimSuffix(address, "/")
	own := eval[string](jane, "location.origin")
	others := eval[string](mallory, "location.origin")

	// What a request to mallory's host brings along of jane's browser: nothing
	// that logs in at the hub, or in jane's session.
	for _, c := range jane.cookies(others + "/user/mallory/") {
		if c.Name != "jupyterhub-session-id" {
			t.Errorf("mallory's host is sent cookie %s", c.Name)
		}
	}
	for _, from := range []string{hubOrigin + "/hub/home", own + "/user/jane/"} {
		if names := fmt.Sprint(jane.cookies(from)); !strings.Contains(names, "__Host-") {
			t.Errorf("the cookies of %s are not bound to it: %s", from, names)
		}
	}
	// A page of mallory's origin reads neither of them.
	for _, other := range []string{own + "/user/jane/", own + "/user/jane/session", own + appPath, hubOrigin + "/hub/home", hubOrigin + "/hub/api/user"} {
		got := promised[string](mallory, fmt.Sprintf(`fetch(%q, {credentials: "include"}).then(r => r.text()).catch(() => "refused")`, other))
		if got != "refused" {
			t.Errorf("mallory's page reads %s: %.100s", other, got)
		}
	}
	// With all of jane's cookies, a websocket from another origin stays outside.
	for origin, want := range map[string]int{own: http.StatusSwitchingProtocols, others: http.StatusForbidden, hubOrigin: http.StatusForbidden} {
		r := &http.Request{Header: http.Header{"Origin": {origin}}, URL: &url.URL{}}
		for _, c := range jane.cookies(own + "/user/jane/") {
			r.AddCookie(c)
		}
		conn, resp, err := websocket.Dial(t.Context(), own+"/user/jane/ws", &websocket.DialOptions{HTTPClient: tr.httpClient(t), HTTPHeader: r.Header})
		if resp == nil {
			t.Fatal(err)
		}
		if conn != nil {
			_ = conn.CloseNow()
		}
		if resp.StatusCode != want {
			t.Errorf("websocket from %s: %d, want %d", origin, resp.StatusCode, want)
		}
	}
}
