// SPDX-License-Identifier: Apache-2.0

package imagecopy

import (
	"context"
	"net"
)

// At returns registries that are all to be found at one address.
func At(address string, insecure ...string) *Registries {
	return &Registries{Insecure: insecure, dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}}
}
