// SPDX-License-Identifier: Apache-2.0

package imagecopy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/workshopctl/workshopctl/pkg/image"
)

// Registries are those that image names speak of. Credentials are docker's and
// podman's.
type Registries struct {
	// Insecure are the hosts, with their ports, that may answer in plain HTTP,
	// or with a certificate that nobody vouches for.
	Insecure []string
	// UserAgent that requests carry.
	UserAgent string

	// dial in place of the usual way, in tests.
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu         sync.Mutex
	transports map[string]http.RoundTripper
}

// parallel is how many layers are sent at the same time.
const parallel = 4

func (r *Registries) reference(n image.Name) (name.Reference, error) {
	var options []name.Option
	if slices.Contains(r.Insecure, n.Registry) {
		options = append(options, name.Insecure)
	}
	if n.Digest != "" {
		return name.NewDigest(n.Registry+"/"+n.Repository+"@"+n.Digest, options...)
	}
	return name.NewTag(n.Registry+"/"+n.Repository+":"+n.Tag, options...)
}

// target of a copy is its tag where it has one: a registry forgets, sooner or
// later, what has none.
func (r *Registries) target(n image.Name) (name.Reference, error) {
	if n.Tag != "" {
		n.Digest = ""
	}
	return r.reference(n)
}

func (r *Registries) options(ctx context.Context, host string) ([]remote.Option, error) {
	t, err := r.transport(host)
	return []remote.Option{
		remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithTransport(t),
		remote.WithUserAgent(r.UserAgent), remote.WithJobs(parallel),
	}, err
}

func (r *Registries) digest(ctx context.Context, n image.Name) (string, error) {
	ref, err := r.target(n)
	if err != nil {
		return "", err
	}
	options, err := r.options(ctx, n.Registry)
	if err != nil {
		return "", err
	}
	d, err := remote.Head(ref, options...)
	var refused *transport.Error
	if errors.As(err, &refused) && refused.StatusCode == http.StatusNotFound {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return d.Digest.String(), nil
}

func (r *Registries) open(ctx context.Context, n image.Name, platform Platform) (content, error) {
	ref, err := r.reference(n)
	if err != nil {
		return nil, err
	}
	options, err := r.options(ctx, n.Registry)
	if err != nil {
		return nil, err
	}
	if platform != "" {
		p, err := v1.ParsePlatform(string(platform))
		if err != nil {
			return nil, err
		}
		options = append(options, remote.WithPlatform(*p))
	}
	d, err := remote.Get(ref, options...)
	if err != nil {
		return nil, err
	}
	if d.MediaType.IsIndex() && platform == "" {
		return d.ImageIndex()
	}
	return d.Image()
}

func (r *Registries) put(ctx context.Context, n image.Name, c content, report func(sent, total int64)) error {
	ref, err := r.target(n)
	if err != nil {
		return err
	}
	options, err := r.options(ctx, n.Registry)
	if err != nil {
		return err
	}
	updates := make(chan v1.Update)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for u := range updates {
			if u.Error == nil {
				report(u.Complete, u.Total)
			}
		}
	}()
	err = remote.MultiWrite(map[name.Reference]remote.Taggable{ref: c}, append(options, remote.WithProgress(updates))...)
	<-done
	return err
}

// transport is how a registry is spoken to: with TLS, but for those that may
// go without and those on this machine.
func (r *Registries) transport(host string) (http.RoundTripper, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.transports[host]; t != nil {
		return t, nil
	}
	base, ok := remote.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, errors.New("the library's transport is none of HTTP")
	}
	base = base.Clone()
	if r.dial != nil {
		base.DialContext, base.Proxy = r.dial, nil
	}
	base.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	var t http.RoundTripper = encrypted{base}
	if slices.Contains(r.Insecure, host) {
		base.TLSClientConfig.InsecureSkipVerify = true
		t = base
	} else if pool, err := authorities(host); err != nil {
		return nil, err
	} else {
		base.TLSClientConfig.RootCAs = pool
	}
	if r.transports == nil {
		r.transports = map[string]http.RoundTripper{}
	}
	r.transports[host] = t
	return t, nil
}

// encrypted sends nothing over a network in plain HTTP. The library itself
// falls back to that for private addresses.
type encrypted struct{ http.RoundTripper }

// errPlain is why a request wasn't sent.
var errPlain = errors.New("it answers in plain HTTP only, if at all")

func (e encrypted) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !local(r.URL.Hostname()) {
		return nil, errPlain
	}
	return e.RoundTripper.RoundTrip(r)
}

// local says whether a host is this machine.
func local(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

// authorities are the certificates that docker and podman trust for a
// registry, beside the system's; nil if there are none.
func authorities(host string) (*x509.CertPool, error) {
	dirs := []string{"/etc/containers/certs.d", "/etc/docker/certs.d"}
	if home, err := os.UserHomeDir(); err == nil {
		dirs = append(dirs, filepath.Join(home, ".config/containers/certs.d"), filepath.Join(home, ".docker/certs.d"))
	}
	var pool *x509.CertPool
	for _, dir := range dirs {
		files, err := os.ReadDir(filepath.Join(dir, host))
		if err != nil {
			continue // most registries have none
		}
		for _, file := range files {
			if filepath.Ext(file.Name()) != ".crt" {
				continue
			}
			pem, err := os.ReadFile(filepath.Join(dir, host, file.Name()))
			if err != nil {
				return nil, fmt.Errorf("certificates of %s: %w", host, err)
			}
			if pool == nil {
				if pool, err = x509.SystemCertPool(); err != nil {
					return nil, err
				}
			}
			pool.AppendCertsFromPEM(pem)
		}
	}
	return pool, nil
}
