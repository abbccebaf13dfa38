// SPDX-License-Identifier: Apache-2.0

//go:build integration || e2e

package testhub

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"maps"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Provider is a real OpenID Connect provider, oidc-provider for Node.js, with
// users that anybody may log in as.
type Provider struct {
	// Issuer is its URL, and CA who signed its certificate.
	Issuer string
	CA     string
}

// OIDC runs a provider until the test ends. Users have claims by name; more
// goes to its configuration, and clients are in the form of OpenID Connect's
// registration.
func OIDC(t *testing.T, clients []map[string]any, users map[string]map[string]any, more map[string]any) Provider {
	t.Helper()
	dir, node := OIDCServer(t)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := Provider{Issuer: "https://" + listener.Addr().String()}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	certificate, key := selfSigned(t)
	p.CA = certificate
	config := map[string]any{"issuer": p.Issuer, "cert": certificate, "key": key, "clients": clients, "users": users}
	maps.Copy(config, more)
	value, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), filepath.Join(node, "bin", "node"), "server.js")
	command.Dir, command.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "OIDC=" + string(value)}
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = command.Wait()
	})
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("the provider has ended")
	}
	go func() {
		for lines.Scan() {
		}
	}()
	return p
}

// OIDCServer returns the directory of the provider's program, server.js with all
// that it needs, and that of a Node.js for it. Its environment variable OIDC is
// the configuration.
func OIDCServer(t *testing.T) (dir, node string) {
	t.Helper()
	source := filepath.Join(checkout(t), "test", "testhub", "oidc")
	server := filepath.Join(source, "server.js")
	node = filepath.Dir(filepath.Dir(Proxy(t)[0]))
	return once(t, "oidc", append(packageFiles(source), server), func(dir string) {
		packages(t, node, source, dir)
		content, err := os.ReadFile(server)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "server.js"), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}), node
}

// selfSigned returns a certificate for this machine that is its own authority.
func selfSigned(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "provider of a test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), BasicConstraintsValid: true, IsCA: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}
