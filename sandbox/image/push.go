// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// PushOption changes how Push speaks to a registry.
type PushOption func() remote.Option

// BasicAuth logs in to the registry.
func BasicAuth(user, password string) PushOption {
	return func() remote.Option {
		return remote.WithAuth(&authn.Basic{Username: user, Password: password})
	}
}

// Push uploads an image to the registry at registryAddr (HOST:PORT, plain
// http). What the registry has already isn't sent again.
func Push(ctx context.Context, b Built, registryAddr string, opts ...PushOption) error {
	ref, err := name.NewTag(registryAddr+"/"+b.Ref, name.Insecure, name.StrictValidation)
	if err != nil {
		return fmt.Errorf("push image %s: %w", b.Ref, err)
	}
	remoteOpts := []remote.Option{remote.WithContext(ctx)}
	for _, o := range opts {
		remoteOpts = append(remoteOpts, o())
	}
	m, err := manifest(b.Layout)
	if err != nil {
		return fmt.Errorf("push image %s: %w", b.Ref, err)
	}
	img, err := layout.Path(b.Layout).Image(m.Digest)
	if err != nil {
		return fmt.Errorf("push image %s: read it from %s: %w", b.Ref, b.Layout, err)
	}
	if err := remote.Write(ref, img, remoteOpts...); err != nil {
		return fmt.Errorf("push image %s to %s: %w", b.Ref, registryAddr, err)
	}
	return nil
}
