// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/workshopctl/workshopctl/pkg/cmd/progress"
)

// urlTime is how long the workshop's URL gets to answer.
const urlTime = 5 * time.Second

// checkURL asks the workshop's URL once from here. The workshop is ready in
// the cluster whatever comes of it, so what doesn't answer is only worth a
// warning: the cluster may be private, behind a VPN, or have an authority of
// its own.
func checkURL(ctx context.Context, url string, say *progress.Progress) {
	if url == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, urlTime)
	defer cancel()
	say.Step("Asking %s", url)
	err := ask(ctx, url+"hub/health")
	say.Stop(nil)
	var unknown x509.UnknownAuthorityError
	var certificate *tls.CertificateVerificationError
	switch {
	case err == nil:
	case errors.As(err, &unknown), errors.As(err, &certificate):
		say.Warn("%s answers with a certificate that this machine does not trust: %v. Browsers will say so, too, unless they know its authority.", url, errors.Unwrap(err))
	default:
		say.Warn("%s does not answer here: %v. The workshop is ready in the cluster; check from where its attendees are.", url, err)
	}
}

func ask(ctx context.Context, url string) error {
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil
	}
	transport = transport.Clone()
	defer transport.CloseIdleConnections()
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		// Names under .localhost are this machine, as browsers have it
		// (RFC 6761); not every resolver knows.
		if host, port, err := net.SplitHostPort(address); err == nil && strings.HasSuffix(host, ".localhost") {
			address = net.JoinHostPort("127.0.0.1", port)
		}
		return dial(ctx, network, address)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return errors.Unwrap(err) // without the URL, which the message names
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("answer %s", response.Status)
	}
	return nil
}
