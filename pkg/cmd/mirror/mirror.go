// SPDX-License-Identifier: Apache-2.0

// Package mirror is the command `mirror` with list and load.
package mirror

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/pkg/cmd/choice"
	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/image"
	"github.com/workshopctl/workshopctl/pkg/imagecopy"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Runs are what the commands run; nil fields stand for the real ones.
type Runs struct {
	List factory.Run[*ListOptions]
	Load factory.Run[*LoadOptions]
}

// NewCommand returns the command. A test may put its own runs in place.
func NewCommand(f *factory.Factory, runs Runs) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mirror",
		Short: "Copy the images of a workshop to a registry of yours",
		Long: `Lists the images of a workshop, and copies them to a registry of yours: for clusters
that can't reach the internet, or shouldn't each time.`,
		Example: `  workshopctl mirror list
  workshopctl mirror load registry.example.com/team
  workshopctl deploy --registry registry.example.com/team`,
	}
	factory.Group(cmd)
	cmd.AddCommand(newList(f, runs.List), newLoad(f, runs.Load))
	return cmd
}

// ImageOptions say which images a command is about: those of this release with
// what flags, a file and the person's defaults name in their place, or those
// of a deployed workshop.
type ImageOptions struct {
	factory.WorkshopOptions
	Change choice.Change
	// Insecure are hosts that may go without TLS or a verified certificate.
	Insecure []string

	flags choice.Flags
}

func (o *ImageOptions) addFlags(f *factory.Factory, cmd *cobra.Command) {
	o.flags.AddImagesTo(cmd)
	cmd.Flags().StringVar(&o.Workshop, "workshop", "", "The images of this deployed workshop, asked of your cluster (default those of this release)")
	_ = cmd.RegisterFlagCompletionFunc("workshop", f.CompleteWorkshops)
	cmd.Flags().StringSliceVar(&o.Insecure, "insecure", nil, "`HOST` of a registry, with its port, that may answer in plain HTTP or with a certificate that nobody vouches for; may be repeated")
	_ = cmd.RegisterFlagCompletionFunc("insecure", cobra.NoFileCompletions)
}

func (o *ImageOptions) complete(f *factory.Factory, cmd *cobra.Command) (err error) {
	o.Change, err = o.flags.ToChange(cmd.Flags(), f.In)
	return err
}

// part of a workshop that has an image.
type part struct {
	name  string
	image image.Name
}

// parts are the images, without those that nobody has named.
func (o *ImageOptions) parts(ctx context.Context, f *factory.Factory) ([]part, error) {
	spec, err := o.spec(ctx, f)
	if err != nil {
		return nil, err
	}
	var parts []part
	for _, p := range []struct{ name, image, flag string }{
		{"hub", spec.HubImage, "--hub-image"},
		{"proxy", spec.ProxyImage, "--proxy-image"},
		{"gateway", spec.GatewayImage, "--gateway-image"},
		{"terminal", spec.TerminalImage, "--terminal-image"},
	} {
		if p.name == "terminal" && spec.ImageStream != "" {
			f.Say("Sessions run what the image stream %s has, which is the cluster's.", spec.ImageStream)
			continue
		}
		if p.image == "" {
			f.Say("No %s image is known here; %s names one.", p.name, p.flag)
			continue
		}
		n, err := image.Parse(p.image)
		if err != nil {
			return nil, fault.Usage("%s: %w", p.flag, err)
		}
		parts = append(parts, part{p.name, n})
	}
	return parts, nil
}

func (o *ImageOptions) spec(ctx context.Context, f *factory.Factory) (workshop.Spec, error) {
	images, err := image.Defaults(f.Build.GatewayImage)
	if err != nil {
		return workshop.Spec{}, err
	}
	var base workshop.Spec
	if o.Workshop != "" {
		_, r, err := o.Load(ctx, f)
		if err != nil {
			return workshop.Spec{}, err
		}
		base = r.Spec
	} else {
		defaults, err := choice.LoadDefaults()
		if err != nil {
			return workshop.Spec{}, err
		}
		base = defaults.Spec
	}
	spec, err := o.Change.Apply(base, o.Workshop != "")
	return spec.WithDefaults(images), err
}

func (o *ImageOptions) registries(f *factory.Factory) *imagecopy.Registries {
	return &imagecopy.Registries{Insecure: o.Insecure, UserAgent: "workshopctl/" + f.Build.Version}
}

// advise says what a person can do about an image that can't be read or written.
func advise(err error) error {
	var e *imagecopy.Error
	if !errors.As(err, &e) {
		return err
	}
	host := e.Image.Registry
	switch e.Kind {
	case imagecopy.Denied:
		return fault.Hint(err, fmt.Sprintf("Log in with `podman login %s` or `docker login %s` as somebody who may, and check the name: some registries refuse what doesn't exist.", host, host))
	case imagecopy.Untrusted:
		return fault.Hint(err, fmt.Sprintf("Put the authority's certificate into /etc/containers/certs.d/%s/ca.crt, as for podman, or name it with SSL_CERT_FILE; `--insecure %s` goes without.", host, host))
	case imagecopy.Plain:
		return fault.Hint(err, fmt.Sprintf("If everybody between you and it may read along, passwords included: --insecure %s", host))
	case imagecopy.Unreachable:
		return fault.Hint(err, fmt.Sprintf("Check the name %s, and that this machine reaches it (VPN, proxy).", host))
	case imagecopy.NotThere:
		return fault.Hint(err, "Check the name and the tag.")
	case imagecopy.NoPlatform:
		return fault.Hint(err, "Without --platform all are copied.")
	case imagecopy.Limited:
		return fault.Hint(err, "Log in there, or try again later; what is copied already stays.")
	}
	return err
}
