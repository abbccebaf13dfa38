// SPDX-License-Identifier: Apache-2.0

// Package image builds the images of the sandbox from the Containerfiles under
// images/ and pushes them to its registry.
package image

import (
	"context"
	"errors"
)

// Options say where an image's sources are and where results are kept.
type Options struct {
	// Source is the checkout: the directory that holds images/ and sandbox/.
	Source string
	// CacheDir keeps finished images, the base system and buildah's storage.
	CacheDir string
	// Log receives a line for each image. Nil discards them.
	Log func(format string, args ...any)
}

// Built is an image that lies ready in the cache.
type Built struct {
	// Ref is repository and tag without a registry: "workshop/hub:5.5.0".
	Ref string
	// Layout is an OCI image layout directory with this image alone.
	Layout string
	// Digest is the manifest's digest, "sha256:…".
	Digest string
}

// Names of the images that Build knows. A built image's Ref is "workshop/"
// and the name; Gateway's gets the hash of the program in it as its tag.
const (
	Hub5      = "hub:5.5.0"
	Hub6      = "hub:6.1.1"
	Proxy     = "proxy:5.3.0"
	Gateway   = "gateway"
	Terminal1 = "terminal:1"
	Terminal2 = "terminal:2"
	Pause     = "pause:1"
	Ash       = "ash:1"
)

// Build returns the images of these names, built or from the cache, in the
// order asked for.
func Build(ctx context.Context, opts Options, names []string) ([]Built, error) {
	return nil, errors.New("build images: not implemented yet")
}

// Push uploads an image to the registry at registryAddr (HOST:PORT, plain
// http). What the registry has already isn't sent again.
func Push(ctx context.Context, b Built, registryAddr string) error {
	return errors.New("push image: not implemented yet")
}
