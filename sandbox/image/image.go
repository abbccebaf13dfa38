// SPDX-License-Identifier: Apache-2.0

// Package image builds the images of the sandbox from the Containerfiles under
// images/ and pushes them to its registry.
//
// An image is cached as an OCI layout under the hash of all that it is made
// of: Containerfile, build context, build arguments, and how the base system
// is made. What isn't cached is built by buildah, on a base system made by
// mmdebstrap, in namespaces of its own: nothing of a build outlives it but
// files under the cache directory, and a layout gets its name only when it is
// whole.
package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// Options say where an image's sources are and where results are kept.
type Options struct {
	// Source is the checkout: the directory that holds images/ and sandbox/.
	Source string
	// CacheDir keeps finished images and buildah's storage.
	CacheDir string
	// Programs are paths of programs that are compiled elsewhere, each alone in
	// a directory NAME-HASH.
	Programs map[string]string
	// Log receives a line for each image. Nil discards them.
	Log func(format string, args ...any)
}

// Built is an image that lies ready in the cache.
type Built struct {
	// Name is what Build was asked for.
	Name string
	// Ref is repository and tag without a registry: "workshop/hub:5.5.0".
	Ref string
	// Layout is an OCI image layout directory with this image alone.
	Layout string
	// Digest is the manifest's digest, "sha256:…".
	Digest string
}

// order is an image to be had, with all that decides whether the cache has it.
type order struct {
	recipe
	name    string
	context string // directory of the build context
	tag     string
	key     string // hash of the inputs
	base    *order // the image it starts from
}

// Build returns the images of these names (see Hub5 and its neighbours), in
// the order asked for. It needs root, buildah, mmdebstrap and unshare, though
// not if the cache has all of them, and Go for those made of a Go program.
// Builders with the same CacheDir wait for each other.
func Build(ctx context.Context, opts Options, names []string) ([]Built, error) {
	if opts.Log == nil {
		opts.Log = func(string, ...any) {}
	}
	orders, err := prepare(ctx, opts, names)
	if err != nil {
		return nil, fmt.Errorf("build images: %w", err)
	}
	built := make([]Built, len(orders))
	var missing []int
	for i, o := range orders {
		built[i], err = cached(opts.CacheDir, o)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missing = append(missing, i)
		case err != nil:
			return nil, err
		default:
			opts.Log("image %s is in the cache", o.name)
		}
	}
	if len(missing) == 0 {
		return built, nil
	}
	b, err := newBuilder(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("build images: %w", err)
	}
	defer b.close()
	for _, i := range missing {
		o := orders[i]
		// Another builder may have made it while this one waited.
		if built[i], err = cached(opts.CacheDir, o); err == nil {
			opts.Log("image %s is in the cache", o.name)
			continue
		}
		start := time.Now()
		if err := b.build(ctx, o); err != nil {
			return nil, fmt.Errorf("build image %s: %w", o.name, err)
		}
		if built[i], err = cached(opts.CacheDir, o); err != nil {
			return nil, err
		}
		opts.Log("image %s built in %.1f s", o.name, time.Since(start).Seconds())
	}
	return built, nil
}

// prepare turns names into orders. Programs are built here, because the hash
// of an image is that of its program.
func prepare(ctx context.Context, opts Options, names []string) ([]order, error) {
	found, err := find(names)
	if err != nil {
		return nil, err
	}
	orders := make([]order, len(names))
	for i, r := range found {
		o := order{recipe: r, name: names[i], context: filepath.Join(opts.Source, "images", r.dir)}
		switch {
		case r.program != nil:
			if o.context, err = compile(ctx, opts, r.program); err != nil {
				return nil, err
			}
		case r.compiled != "":
			if opts.Programs[r.compiled] == "" {
				return nil, fmt.Errorf("image %s is for OpenShift only", names[i])
			}
			o.context = filepath.Dir(opts.Programs[r.compiled])
		}
		if r.from != "" {
			base, err := prepare(ctx, opts, []string{r.from})
			if err != nil {
				return nil, err
			}
			o.base = &base[0]
		}
		if o.key, err = o.hash(opts.Source); err != nil {
			return nil, err
		}
		_, o.tag, _ = strings.Cut(o.name, ":")
		switch {
		case o.tag == "" && r.compiled != "":
			_, o.tag, _ = strings.Cut(filepath.Base(o.context), "-")
		case o.tag == "":
			o.tag = o.key[:12]
		}
		orders[i] = o
	}
	return orders, nil
}

// hash of everything that the image is made of. Debian's packages are named
// without versions: what they bring is decided on the day of the build.
func (o order) hash(source string) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "format 2\nbase %q\n", baseArgs())
	for _, a := range o.args {
		fmt.Fprintf(h, "arg %q\n", a)
	}
	if o.base != nil {
		fmt.Fprintf(h, "from %q\n", o.base.key)
	}
	if err := hashFile(h, "Containerfile", filepath.Join(source, "images", o.dir, "Containerfile")); err != nil {
		return "", err
	}
	if o.compiled != "" {
		fmt.Fprintf(h, "program %q\n", filepath.Base(o.context)) // its name says what is in it
	} else if err := hashTree(h, o.context); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// hashTree adds names, kinds, execute bits and contents of all files below dir.
func hashTree(h hash.Hash, dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			fmt.Fprintf(h, "dir %q\n", rel)
			return nil
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			fmt.Fprintf(h, "link %q %q\n", rel, target)
			return err
		case d.Type().IsRegular():
			return hashFile(h, rel, path)
		default:
			return fmt.Errorf("%s is neither a file, a directory nor a link", path)
		}
	})
}

func hashFile(h hash.Hash, name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	fmt.Fprintf(h, "file %q %t %d\n", name, info.Mode()&0o100 != 0, info.Size())
	_, err = io.Copy(h, f)
	return err
}

// layoutDir is where the image lies once it is whole.
func (o order) layoutDir(cacheDir string) string {
	return filepath.Join(cacheDir, "images", strings.ReplaceAll(o.name, ":", "-")+"-"+o.key[:16])
}

// cached finds the image in the cache; fs.ErrNotExist says that it isn't there.
func cached(cacheDir string, o order) (Built, error) {
	dir := o.layoutDir(cacheDir)
	if _, err := os.Stat(dir); err != nil {
		return Built{}, err
	}
	m, err := manifest(dir)
	if err != nil {
		return Built{}, fmt.Errorf("read the cached image %s: %w; delete %s to have it built again", o.name, err, dir)
	}
	repository := o.repository
	if repository == "" {
		name, _, _ := strings.Cut(o.name, ":")
		repository = "workshop/" + name
	}
	return Built{Name: o.name, Ref: repository + ":" + o.tag, Layout: dir, Digest: m.Digest.String()}, nil
}

// manifest describes the one image of a layout.
func manifest(dir string) (v1.Descriptor, error) {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return v1.Descriptor{}, err
	}
	m, err := index.IndexManifest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	i := slices.IndexFunc(m.Manifests, func(d v1.Descriptor) bool { return d.MediaType.IsImage() })
	if i < 0 {
		return v1.Descriptor{}, errors.New("the layout holds no image")
	}
	return m.Manifests[i], nil
}
