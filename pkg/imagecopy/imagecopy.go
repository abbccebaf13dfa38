// SPDX-License-Identifier: Apache-2.0

// Package imagecopy copies images between registries, and to and from
// directories that can be carried into a room without a network. What is there
// already, by its digest, is not sent again: neither an image nor a layer of
// one whose copy was interrupted.
package imagecopy

import (
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/workshopctl/workshopctl/pkg/image"
)

// Place holds images: Registries or a Directory.
type Place interface {
	// digest of an image; empty where the place doesn't have it.
	digest(ctx context.Context, name image.Name) (string, error)
	// open an image for copying, for one platform or, with an empty one, all.
	open(ctx context.Context, name image.Name, platform Platform) (content, error)
	// put an image there. report is told how many bytes of those to be sent
	// have been.
	put(ctx context.Context, name image.Name, c content, report func(sent, total int64)) error
}

// content is a v1.Image or a v1.ImageIndex.
type content interface {
	remote.Taggable
	Digest() (v1.Hash, error)
	MediaType() (types.MediaType, error)
	Size() (int64, error)
}

// Platform is that of an image: "linux/amd64", or empty for all that it has.
type Platform string

// Validate checks how it is written.
func (p Platform) Validate() error {
	if p == "" {
		return nil
	}
	v, err := v1.ParsePlatform(string(p))
	if err != nil || v.OS == "" || v.Architecture == "" {
		return fmt.Errorf("%q is no platform; write it like linux/amd64", string(p))
	}
	return nil
}

// Result of a Copy.
type Result struct {
	// Image is the copy's name.
	Image image.Name
	// Digest of the copy: that of the original, but for a copy of one platform
	// of several.
	Digest string
	// Present is true if nothing had to be sent.
	Present bool
}

// Copy copies one image and may be told how it goes on. The copy has the
// target's tag, or without one the digest alone. Errors are *Error for what a
// person can do something about.
func Copy(ctx context.Context, from Place, source image.Name, to Place, target image.Name, platform Platform, report func(sent, total int64)) (Result, error) {
	c, err := from.open(ctx, source, platform)
	if err != nil {
		return Result{}, explain(source, err)
	}
	hash, err := c.Digest()
	if err != nil {
		return Result{}, explain(source, err)
	}
	r := Result{Image: target, Digest: hash.String()}
	if target.Digest != "" || target.Tag == "" {
		r.Image.Digest = r.Digest // another one if it is one platform of several
	}
	there, err := to.digest(ctx, r.Image)
	if err != nil {
		return r, explain(target, err)
	}
	if there == r.Digest {
		r.Present = true
		return r, nil
	}
	if report == nil {
		report = func(int64, int64) {}
	}
	if err := to.put(ctx, r.Image, c, report); err != nil {
		return r, explain(target, err)
	}
	return r, nil
}

// Digest returns an image's digest, by one request.
func Digest(ctx context.Context, place Place, name image.Name) (string, error) {
	d, err := place.digest(ctx, name)
	if err == nil && d == "" {
		err = &Error{Image: name, Kind: NotThere}
	}
	return d, explain(name, err)
}
