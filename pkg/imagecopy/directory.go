// SPDX-License-Identifier: Apache-2.0

package imagecopy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/workshopctl/workshopctl/pkg/image"
)

// refName is the annotation with an image's full name in a Directory.
const refName = "org.opencontainers.image.ref.name"

// Directory holds images as files: an OCI image layout, which skopeo, podman
// and oc read as well.
type Directory string

// Images lists what the directory holds.
func (d Directory) Images() ([]image.Name, error) {
	entries, err := d.index()
	if err != nil {
		return nil, err
	}
	var names []image.Name
	for _, e := range entries {
		if e.Annotations[refName] == "" {
			continue
		}
		n, err := image.Parse(e.Annotations[refName])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d, err)
		}
		names = append(names, n)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s holds no image with a name", d)
	}
	return names, nil
}

// index is the list of images; none if there is no directory yet.
func (d Directory) index() ([]v1.Descriptor, error) {
	index, err := layout.ImageIndexFromPath(string(d))
	if err != nil {
		return nil, err
	}
	m, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	return m.Manifests, nil
}

// find returns an image's place in the list.
func (d Directory) find(n image.Name) (*v1.Descriptor, error) {
	entries, err := d.index()
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if e.Annotations[refName] == n.String() {
			return &e, nil
		}
	}
	return nil, err
}

func (d Directory) digest(_ context.Context, n image.Name) (string, error) {
	e, err := d.find(n)
	if e == nil {
		return "", err
	}
	return e.Digest.String(), nil
}

func (d Directory) open(_ context.Context, n image.Name, platform Platform) (content, error) {
	e, err := d.find(n)
	if err != nil {
		return nil, err
	}
	if e == nil {
		return nil, &Error{Image: n, Kind: NotThere}
	}
	path := layout.Path(d)
	if !e.MediaType.IsIndex() {
		return path.Image(e.Digest)
	}
	root, err := path.ImageIndex()
	if err != nil {
		return nil, err
	}
	index, err := root.ImageIndex(e.Digest)
	if err != nil || platform == "" {
		return index, err
	}
	want, err := v1.ParsePlatform(string(platform))
	if err != nil {
		return nil, err
	}
	m, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	for _, child := range m.Manifests {
		if child.Platform != nil && child.Platform.Satisfies(*want) {
			return index.Image(child.Digest)
		}
	}
	return nil, &Error{Image: n, Kind: NoPlatform, Err: fmt.Errorf("it has none for %s", platform)}
}

func (d Directory) put(ctx context.Context, n image.Name, c content, _ func(sent, total int64)) error {
	if err := d.begin(); err != nil {
		return err
	}
	path := layout.Path(d)
	var err error
	switch c := c.(type) {
	case v1.ImageIndex:
		err = path.WriteIndex(c)
	case v1.Image:
		err = path.WriteImage(c)
	default:
		err = fmt.Errorf("no image but a %T", c)
	}
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	// Only now is it in the list: what the list has is complete.
	return d.list(n, c)
}

// begin makes an empty directory into a layout.
func (d Directory) begin() error {
	if _, err := d.index(); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if entries, err := os.ReadDir(string(d)); err == nil && len(entries) > 0 &&
		!slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == "oci-layout" || e.Name() == "blobs" }) {
		return fmt.Errorf("%s has other files in it; name a new directory", d)
	}
	_, err := layout.Write(string(d), empty.Index)
	return err
}

// list puts an image into the directory's list, in one step.
func (d Directory) list(n image.Name, c content) error {
	index, err := layout.ImageIndexFromPath(string(d))
	if err != nil {
		return err
	}
	index = mutate.RemoveManifests(index, func(e v1.Descriptor) bool { return e.Annotations[refName] == n.String() })
	digest, err := c.Digest()
	if err != nil {
		return err
	}
	kind, err := c.MediaType()
	if err != nil {
		return err
	}
	size, err := c.Size()
	if err != nil {
		return err
	}
	add, ok := c.(mutate.Appendable)
	if !ok {
		return fmt.Errorf("no image but a %T", c)
	}
	index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: add, Descriptor: v1.Descriptor{
		MediaType: kind, Size: size, Digest: digest, Annotations: map[string]string{refName: n.String()}}})
	raw, err := index.RawManifest()
	if err != nil {
		return err
	}
	temporary, err := os.CreateTemp(string(d), ".index-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temporary.Name()) }()
	_, err = temporary.Write(raw)
	if err := errors.Join(err, temporary.Close()); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), filepath.Join(string(d), "index.json"))
}

// String names the directory as a person does.
func (d Directory) String() string { return strings.TrimSuffix(string(d), string(filepath.Separator)) }
