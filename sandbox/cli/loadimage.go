// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/sandbox/node"
)

func newLoadImage(streams Streams) *cobra.Command {
	var sandbox string
	cmd := &cobra.Command{
		Use:   "load-image SRC REF",
		Short: "Put an image into a sandbox's registry",
		Long: `Put an image into the registry of a sandbox, which then has it as
registry.localhost/REF. SRC is an OCI image layout (a directory) or a file as
docker save and podman save write it.`,
		Example: `  docker save my-terminal > /tmp/my-terminal.tar
  workshop-sandbox load-image /tmp/my-terminal.tar my-terminal:1
  workshopctl deploy --terminal-image registry.localhost/my-terminal:1`,
		Args: exactly(2, "SRC and REF"),
		RunE: func(cmd *cobra.Command, args []string) error {
			dirs, err := dirsOf(sandbox)
			if err != nil {
				return err
			}
			status, err := node.NewClient(dirs).Status(cmd.Context())
			if err != nil {
				return err
			}
			if !status.Running || status.Ports.Registry == 0 {
				return fmt.Errorf("load %s: sandbox %s has no registry running; start it with: workshop-sandbox up --name %s", args[0], sandbox, sandbox)
			}
			ref := strings.TrimPrefix(args[1], node.RegistryHost+"/")
			digest, err := loadImage(cmd.Context(), args[0], fmt.Sprintf("127.0.0.1:%d", status.Ports.Registry), ref)
			if err != nil {
				return fmt.Errorf("load %s as %s: %w", args[0], args[1], err)
			}
			fmt.Fprintf(streams.Out, "%s/%s\n", node.RegistryHost, ref)
			fmt.Fprintf(streams.Err, "Its digest is %s.\n", digest)
			return nil
		},
	}
	nameFlag(cmd, &sandbox)
	return cmd
}

// loadImage pushes the image at src and returns its digest.
func loadImage(ctx context.Context, src, registry, ref string) (string, error) {
	tag, err := name.NewTag(registry+"/"+ref, name.StrictValidation)
	if err != nil {
		return "", usageError{fmt.Errorf("%q is no image name with a tag: %w", ref, err)}
	}
	info, err := os.Stat(src)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		img, err := tarball.ImageFromPath(src, nil)
		if err != nil {
			return "", fmt.Errorf("it is no image as docker save writes it: %w", err)
		}
		if err := remote.Write(tag, img, remote.WithContext(ctx)); err != nil {
			return "", err
		}
		digest, err := img.Digest()
		return digest.String(), err
	}
	index, err := layout.ImageIndexFromPath(src)
	if err != nil {
		return "", fmt.Errorf("it is no OCI image layout: %w", err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return "", err
	}
	if len(manifest.Manifests) != 1 {
		return "", errors.New("it has several images; load-image takes one with a single image")
	}
	img, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		return "", err
	}
	return manifest.Manifests[0].Digest.String(), remote.Write(tag, img, remote.WithContext(ctx))
}
