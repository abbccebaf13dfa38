// SPDX-License-Identifier: Apache-2.0

package imagecopy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/workshopctl/workshopctl/pkg/image"
)

// Kind of an Error.
type Kind string

// The kinds that a person can do something about.
const (
	// NotThere is an image that doesn't exist.
	NotThere Kind = "there is no such image"
	// NoPlatform is an image without the platform that was asked for.
	NoPlatform Kind = "the image is made for other platforms"
	// Denied is a registry that wants to know who asks, or knows and refuses.
	Denied Kind = "the registry refuses it"
	// Untrusted is a registry whose certificate nobody vouches for.
	Untrusted Kind = "the registry's certificate can't be verified"
	// Plain is a registry without TLS.
	Plain Kind = "the registry does not speak TLS"
	// Unreachable is a registry that can't be spoken to.
	Unreachable Kind = "the registry does not answer"
	// Limited is a registry that has been asked too often.
	Limited Kind = "the registry answers that it was asked too often"
)

// Error says why an image can't be read or written.
type Error struct {
	Image image.Name
	Kind  Kind
	// Err is what the registry said, if it said anything.
	Err error
}

func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("%s: %s", e.Image, e.Kind)
	}
	return fmt.Sprintf("%s: %s: %v", e.Image, e.Kind, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// explain puts what the library reports into words.
func explain(n image.Name, err error) error {
	var (
		known   *Error
		refused *transport.Error
		cert    *tls.CertificateVerificationError
		network *net.OpError
	)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", n, err)
	case errors.As(err, &known):
		return err
	case errors.As(err, &cert):
		return &Error{Image: n, Kind: Untrusted, Err: cert.Err}
	case errors.As(err, &refused) && kinds[refused.StatusCode] != "":
		return &Error{Image: n, Kind: kinds[refused.StatusCode], Err: said(refused)}
	case errors.Is(err, errPlain), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return &Error{Image: n, Kind: Plain}
	case errors.As(err, &network):
		// In words alone: as an error it would be taken for the cluster's.
		return &Error{Image: n, Kind: Unreachable, Err: errors.New(network.Error())}
	case strings.Contains(err.Error(), "no child with platform"):
		return &Error{Image: n, Kind: NoPlatform}
	}
	return fmt.Errorf("%s: %w", n, err)
}

var kinds = map[int]Kind{
	http.StatusNotFound:        NotThere,
	http.StatusUnauthorized:    Denied,
	http.StatusForbidden:       Denied,
	http.StatusTooManyRequests: Limited,
}

// said is what a registry said of a request that it refused, if anything.
func said(e *transport.Error) error {
	var words []string
	for _, d := range e.Errors {
		words = append(words, d.Message)
	}
	if len(words) == 0 {
		return nil
	}
	return errors.New(strings.Join(words, "; "))
}
