// SPDX-License-Identifier: Apache-2.0

// Package image knows how images are named, which ones a release uses, and
// what a tag of an image stream stands for.
package image

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/distribution/reference"
	"sigs.k8s.io/yaml"

	"github.com/workshopctl/workshopctl/pkg/workshop"
	"github.com/workshopctl/workshopctl/templates"
)

// Name is an image name in its parts, as container runtimes understand it.
type Name struct {
	// Registry is a host with an optional port ("quay.io",
	// "registry.example.com:5000"); "docker.io" where the written name has
	// none.
	Registry string
	// Repository is the path on the registry ("jupyterhub/k8s-hub"), with
	// "library/" before a bare name on docker.io.
	Repository string
	// Tag is empty where the written name has only a digest, and "latest"
	// where it has neither.
	Tag string
	// Digest like "sha256:…", or empty.
	Digest string
}

// Parse reads an image name as container runtimes do. The error says what is
// wrong with it.
func Parse(s string) (Name, error) {
	fail := func(problem string) (Name, error) {
		return Name{}, fmt.Errorf("image name %q %s; write it like registry.example.com/team/image:tag", s, problem)
	}
	switch {
	case s == "":
		return Name{}, errors.New("image name is empty; write it like registry.example.com/team/image:tag")
	case strings.Contains(s, "://"):
		return fail("starts like a URL; leave " + s[:strings.Index(s, "://")+3] + " out")
	case strings.ContainsAny(s, " \t\n"):
		return fail("contains a blank")
	}
	named, err := reference.ParseNormalizedNamed(s)
	if errors.Is(err, reference.ErrNameTooLong) {
		return fail(fmt.Sprintf("is too long (at most %d characters before tag and digest)", reference.RepositoryNameTotalLengthMax))
	}
	if err != nil {
		if _, err := reference.ParseNormalizedNamed(strings.ToLower(s)); err == nil {
			return fail("has capital letters, which are allowed in the tag only")
		}
		return fail("is malformed")
	}
	name := Name{Registry: reference.Domain(named), Repository: reference.Path(named)}
	if tagged, ok := named.(reference.Tagged); ok {
		name.Tag = tagged.Tag()
	}
	if digested, ok := named.(reference.Digested); ok {
		name.Digest = digested.Digest().String()
	}
	if name.Tag == "" && name.Digest == "" {
		name.Tag = "latest"
	}
	return name, nil
}

// String writes the name in full, so that Parse reads it back.
func (n Name) String() string {
	s := n.Registry + "/" + n.Repository
	if n.Tag != "" {
		s += ":" + n.Tag
	}
	if n.Digest != "" {
		s += "@" + n.Digest
	}
	return s
}

// In is the name that an image's copy has in a registry, which may be one with
// a path ("registry.example.com/team"). Of its own path only the last part
// stays: some registries, OpenShift's among them, have room for two.
func (n Name) In(registry string) Name {
	host, prefix, _ := strings.Cut(registry, "/")
	n.Registry, n.Repository = host, path.Join(prefix, path.Base(n.Repository))
	return n
}

// CopiesIn returns the names of a release's images as copied to a registry;
// none means where they are published.
func CopiesIn(registry string, images workshop.Images) workshop.Images {
	for _, i := range []*string{&images.Terminal, &images.Gateway, &images.Hub, &images.Proxy} {
		if n, err := Parse(*i); err == nil && registry != "" {
			*i = n.In(registry).String()
		}
	}
	return images
}

// Moved returns where an image that is in use is to be had when the registry
// with the copies of a release's images changes from one to another. Images
// other than the release's stay what they are; of those any version moves, as
// it is.
func Moved(current, published, from, to string) string {
	have, err := Parse(current)
	if err != nil {
		return current
	}
	home, err := Parse(published)
	if err != nil {
		return current
	}
	was := home
	if from != "" {
		was = home.In(from)
	}
	if have.Registry != was.Registry || have.Repository != was.Repository {
		return current
	}
	home.Tag, home.Digest = have.Tag, have.Digest
	if to != "" {
		home = home.In(to)
	}
	return home.String()
}

// Defaults returns the images that this release uses where a Spec names none
// (templates/images.yaml). gateway is the gateway image that was published
// with a release, and empty in a build from a checkout.
func Defaults(gateway string) (workshop.Images, error) {
	var pinned struct {
		Hub   string `json:"hub"`
		Proxy string `json:"proxy"`
	}
	if err := yaml.UnmarshalStrict([]byte(templates.Images), &pinned); err != nil {
		return workshop.Images{}, fmt.Errorf("templates/images.yaml: %w", err)
	}
	return workshop.Images{Hub: pinned.Hub, Proxy: pinned.Proxy, Gateway: gateway}, nil
}
