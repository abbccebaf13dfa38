// SPDX-License-Identifier: Apache-2.0

package mirror

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/output"
	"github.com/workshopctl/workshopctl/pkg/cmd/progress"
	"github.com/workshopctl/workshopctl/pkg/image"
	"github.com/workshopctl/workshopctl/pkg/imagecopy"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// LoadOptions of `mirror load`.
type LoadOptions struct {
	ImageOptions
	// Registry to copy to; empty with ToDir.
	Registry string
	// FromDir and ToDir are directories in place of a registry.
	FromDir, ToDir string
	Platform       string
	Format         output.Format
}

func newLoad(f *factory.Factory, run factory.Run[*LoadOptions]) *cobra.Command {
	o := &LoadOptions{}
	do := factory.RunE(f, o, run, Load)
	cmd := &cobra.Command{
		Use:   "load [REGISTRY]",
		Short: "Copy the images of a workshop to a registry",
		Long: `Copies the images of a workshop to a registry, under their own last names:
quay.io/jupyterhub/k8s-hub:4.4.0 becomes REGISTRY/k8s-hub:4.4.0, which is where
"deploy --registry REGISTRY" looks for it. What is there already, by its digest, is
not sent again; the same command goes on after an interruption.

Credentials are those of "docker login" and "podman login". For a room without a
network, --to-dir copies to a directory (an OCI image layout), and --from-dir from it.`,
		Example: `  workshopctl mirror load registry.example.com/team
  workshopctl deploy --registry registry.example.com/team

  # With the image of the sessions
  workshopctl mirror load registry.example.com/team --terminal-image quay.io/team/my-terminal:v1

  # By a disk
  workshopctl mirror load --to-dir /media/disk/images
  workshopctl mirror load registry.example.com/team --from-dir /media/disk/images`,
		Args: factory.Args("[REGISTRY]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.Registry = strings.TrimRight(args[0], "/")
			}
			if err := o.complete(f, cmd); err != nil {
				return err
			}
			return do(cmd, args)
		},
	}
	o.addFlags(f, cmd)
	cmd.Flags().StringVar(&o.Platform, "platform", "", "Copy only what is made for this `OS/ARCHITECTURE`, as linux/amd64 (default all)")
	_ = cmd.RegisterFlagCompletionFunc("platform", cobra.FixedCompletions([]string{"linux/amd64", "linux/arm64"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().StringVar(&o.ToDir, "to-dir", "", "Copy to this `DIRECTORY` instead of a registry")
	_ = cmd.MarkFlagDirname("to-dir")
	cmd.Flags().StringVar(&o.FromDir, "from-dir", "", "Copy all that this `DIRECTORY` holds")
	_ = cmd.MarkFlagDirname("from-dir")
	o.Format.AddFlag(cmd, output.JSON, output.YAML, output.Name)
	return cmd
}

// Validate checks what can be checked without the cluster.
func (o *LoadOptions) Validate() error {
	switch {
	case o.Registry == "" && o.ToDir == "":
		return fault.Usage("mirror load needs a REGISTRY to copy to, or --to-dir")
	case o.Registry != "" && o.ToDir != "":
		return fault.Usage("a REGISTRY and --to-dir exclude each other")
	case o.FromDir != "" && o.ToDir != "":
		return fault.Usage("--from-dir and --to-dir exclude each other")
	case o.FromDir != "" && o.Workshop != "":
		return fault.Usage("--from-dir and --workshop exclude each other")
	}
	if err := imagecopy.Platform(o.Platform).Validate(); err != nil {
		return fault.Usage("--platform: %w", err)
	}
	if err := workshop.ValidateRegistry(o.Registry); err != nil {
		return err
	}
	return errors.Join(o.WorkshopOptions.Validate(), o.Format.Validate())
}

// Loaded is one image in `mirror load -o json`.
type Loaded struct {
	Part string `json:"part,omitempty"`
	// Source it was copied from.
	Source string `json:"source"`
	// Image is the copy's name.
	Image  string `json:"image"`
	Digest string `json:"digest"`
	// Copied is false for what was there already.
	Copied bool `json:"copied"`
}

// Load copies the images.
func Load(ctx context.Context, f *factory.Factory, o *LoadOptions) error {
	registries := o.registries(f)
	var from, to imagecopy.Place = registries, registries
	var parts []part
	var err error
	if o.FromDir != "" {
		dir := imagecopy.Directory(o.FromDir)
		from = dir
		parts, err = held(dir)
	} else {
		parts, err = o.parts(ctx, f)
	}
	if err != nil {
		return err
	}
	target := func(n image.Name) image.Name { return n.In(o.Registry) }
	if o.ToDir != "" {
		to, target = imagecopy.Directory(o.ToDir), func(n image.Name) image.Name { return n }
	}
	if err := distinct(parts, target); err != nil {
		return err
	}

	say := f.Progress()
	loaded := []Loaded{}
	var errs []error
	for _, p := range parts {
		l, err := load(ctx, say, from, p, to, target(p.image), imagecopy.Platform(o.Platform))
		if ctx.Err() != nil {
			say.Stop(ctx.Err())
			return fault.Hint(fmt.Errorf("mirror load: interrupted: %w", ctx.Err()), "The same command again goes on with it.")
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		loaded = append(loaded, l)
	}
	names := make([]string, len(loaded))
	for i, l := range loaded {
		names[i] = l.Image
	}
	err = o.Format.Print(f.Out, map[string]any{"items": loaded}, names, func(bool) error {
		t := output.Table{Header: []string{"PART", "IMAGE", "DIGEST"}}
		for _, l := range loaded {
			t.Add(l.Part, l.Image, l.Digest)
		}
		if len(loaded) == 0 {
			return nil
		}
		return t.Write(f.Out)
	})
	if err := errors.Join(append(errs, err)...); err != nil {
		return advise(fmt.Errorf("mirror load: %w", err))
	}
	next := "workshopctl deploy --registry " + o.Registry
	if o.ToDir != "" {
		next = "workshopctl mirror load REGISTRY --from-dir " + o.ToDir
	}
	f.Say("Use them: %s", next)
	return nil
}

// held are the images of a directory.
func held(dir imagecopy.Directory) ([]part, error) {
	names, err := dir.Images()
	if err != nil {
		return nil, fault.Usage("--from-dir: %w", err)
	}
	parts := make([]part, len(names))
	for i, n := range names {
		parts[i] = part{image: n}
	}
	return parts, nil
}

// distinct refuses images that would overwrite each other.
func distinct(parts []part, target func(image.Name) image.Name) error {
	seen := map[image.Name]image.Name{}
	for _, p := range parts {
		t := target(p.image)
		if other, there := seen[t]; there && other != p.image {
			return fault.Usage("%s and %s would both become %s; copy one of them by other means", other, p.image, t)
		}
		seen[t] = p.image
	}
	return nil
}

func load(ctx context.Context, say *progress.Progress, from imagecopy.Place, p part, to imagecopy.Place, target image.Name, platform imagecopy.Platform) (Loaded, error) {
	say.Step("Copying %s", p.image)
	r, err := imagecopy.Copy(ctx, from, p.image, to, target, platform, throttled(say))
	say.Stop(err)
	if err != nil {
		return Loaded{}, err
	}
	if r.Present {
		say.Done("%s is there already", r.Image)
	} else {
		say.Done("%s is copied", r.Image)
	}
	return Loaded{Part: p.name, Source: p.image.String(), Image: r.Image.String(), Digest: r.Digest, Copied: !r.Present}, nil
}

// throttled reports how much has been sent, now and then.
func throttled(say *progress.Progress) func(sent, total int64) {
	every := time.Second
	if !say.Draws() {
		every = 15 * time.Second // each is a line of its own
	}
	next := time.Now().Add(every)
	return func(sent, total int64) {
		if now := time.Now(); now.After(next) && total > 0 {
			next = now.Add(every)
			say.Detail("%s of %s", size(sent), size(total))
		}
	}
}

func size(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }
