// SPDX-License-Identifier: Apache-2.0

package node

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/workshopctl/workshopctl/sandbox/host"
)

// Sandboxes are thrown away long before that, and nobody renews anything.
const validity = 2 * 365 * 24 * time.Hour

// authority signs certificates. Its key stays on disk, so that what was
// signed before a restart stays good.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// leaf says what to put in a certificate.
type leaf struct {
	commonName    string
	organizations []string
	names         []string
	addresses     []string
	client        bool // for clients; else for servers
}

// loadAuthority reads NAME.crt and NAME.key in dir, or makes them.
func loadAuthority(dir, name, commonName string) (*authority, error) {
	certFile, keyFile := filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	if certPEM, err := os.ReadFile(certFile); err == nil {
		keyPEM, err := os.ReadFile(keyFile)
		if err != nil {
			return nil, err
		}
		cert, key := decode(certPEM), decode(keyPEM)
		if cert == nil || key == nil {
			return nil, fmt.Errorf("read %s: no certificate with a key in it", certFile)
		}
		c, err := x509.ParseCertificate(cert)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", certFile, err)
		}
		k, err := parseKey(key)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", keyFile, err)
		}
		return &authority{c, k}, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template, err := newTemplate(commonName)
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	// The certificate comes last: with it, the key is there.
	if err := writeKey(keyFile, key); err != nil {
		return nil, err
	}
	return &authority{cert, key}, host.WriteFile(certFile, encodeCert(der), 0o644)
}

// issue writes NAME.crt (with the authority's own behind it) and NAME.key into
// dir, unless they are there and for these names.
func (a *authority) issue(dir, name string, l leaf) error {
	certFile, keyFile := filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	if l.namedIn(certFile) {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template, err := newTemplate(l.commonName)
	if err != nil {
		return err
	}
	template.Subject.Organization = l.organizations
	template.DNSNames = l.names
	for _, address := range l.addresses {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(address))
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	if l.client {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return err
	}
	if err := writeKey(keyFile, key); err != nil {
		return err
	}
	return host.WriteFile(certFile, append(encodeCert(der), encodeCert(a.cert.Raw)...), 0o644)
}

// namedIn says whether the file is a certificate for all the names.
func (l leaf) namedIn(certFile string) bool {
	data, err := os.ReadFile(certFile)
	if err != nil {
		return false
	}
	cert, err := x509.ParseCertificate(decode(data))
	if err != nil {
		return false
	}
	for _, name := range slices.Concat(l.names, l.addresses) {
		if !slices.Contains(cert.DNSNames, name) && !slices.ContainsFunc(cert.IPAddresses, func(ip net.IP) bool { return ip.String() == name }) {
			return false
		}
	}
	return true
}

func newTemplate(commonName string) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: commonName},
		NotBefore:    time.Now().Add(-time.Hour), // clocks may differ a little
		NotAfter:     time.Now().Add(validity),
	}, nil
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return host.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

func parseKey(der []byte) (*ecdsa.PrivateKey, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	k, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a key of type %T", key)
	}
	return k, nil
}

func decode(data []byte) []byte {
	if block, _ := pem.Decode(data); block != nil {
		return block.Bytes
	}
	return nil
}
