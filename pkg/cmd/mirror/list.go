// SPDX-License-Identifier: Apache-2.0

package mirror

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/output"
	"github.com/workshopctl/workshopctl/pkg/imagecopy"
)

// ListOptions of `mirror list`.
type ListOptions struct {
	ImageOptions
	Format output.Format
}

func newList(f *factory.Factory, run factory.Run[*ListOptions]) *cobra.Command {
	o := &ListOptions{}
	do := factory.RunE(f, o, run, List)
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the images of a workshop",
		Long: `Lists the images that a workshop of this release consists of, with the digests that
their registries have now. It asks no cluster, unless --workshop names a deployed
workshop. With -o name it asks no registry either.`,
		Example: `  workshopctl mirror list
  workshopctl mirror list --terminal-image registry.example.com/team/my-terminal:v1

  # By other means than "mirror load"
  workshopctl mirror list -o name | xargs -n1 podman pull`,
		Args: factory.Args(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.complete(f, cmd); err != nil {
				return err
			}
			return do(cmd, args)
		},
	}
	o.addFlags(f, cmd)
	o.Format.AddFlag(cmd, output.JSON, output.YAML, output.Name)
	return cmd
}

// Validate checks what can be checked without the cluster.
func (o *ListOptions) Validate() error {
	return errors.Join(o.WorkshopOptions.Validate(), o.Format.Validate())
}

// Item is one image in `mirror list -o json`.
type Item struct {
	// Part of the workshop: hub, proxy, gateway or terminal.
	Part  string `json:"part"`
	Image string `json:"image"`
	// Digest that the registry has now.
	Digest string `json:"digest,omitempty"`
	// Error is why the digest is missing.
	Error string `json:"error,omitempty"`
}

// digestTime is how long a list waits for registries.
const digestTime = 15 * time.Second

// List prints the images.
func List(ctx context.Context, f *factory.Factory, o *ListOptions) error {
	parts, err := o.parts(ctx, f)
	if err != nil {
		return err
	}
	items := make([]Item, len(parts))
	names := make([]string, len(parts))
	for i, p := range parts {
		items[i] = Item{Part: p.name, Image: p.image.String()}
		names[i] = p.image.String()
	}
	if !o.Format.Is(output.Name) {
		digests(ctx, o.registries(f), parts, items)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return o.Format.Print(f.Out, map[string]any{"items": items}, names, func(bool) error {
		t := output.Table{Header: []string{"PART", "IMAGE", "DIGEST"}}
		for _, i := range items {
			t.Add(i.Part, i.Image, i.Digest)
			if i.Error != "" {
				f.Say("No digest: %s", i.Error)
			}
		}
		return t.Write(f.Out)
	})
}

// digests asks the registries, all at once.
func digests(ctx context.Context, registries *imagecopy.Registries, parts []part, items []Item) {
	ctx, cancel := context.WithTimeout(ctx, digestTime)
	defer cancel()
	var group errgroup.Group
	for i, p := range parts {
		group.Go(func() error {
			d, err := imagecopy.Digest(ctx, registries, p.image)
			items[i].Digest = d
			if err != nil {
				items[i].Error = err.Error()
			}
			return nil
		})
	}
	_ = group.Wait() // errors are in the items
}
