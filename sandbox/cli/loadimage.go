// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/spf13/cobra"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/workshopctl/workshopctl/sandbox/imagestream"
	"github.com/workshopctl/workshopctl/sandbox/node"
)

func newLoadImage(streams Streams) *cobra.Command {
	var sandbox, to string
	cmd := &cobra.Command{
		Use:   "load-image SRC REF | load-image SRC --to PROJECT/NAME:TAG",
		Short: "Put an image into a sandbox's registry",
		Long: `Put an image into the registry of a sandbox, which then has it as
registry.localhost/REF. SRC is an OCI image layout (a directory), a file as
docker save and podman save write it, or the name of an image that the registry
has already.

With --to it becomes a tag of an image stream, as a push to the registry of a
real cluster of OpenShift does. That needs a sandbox with OpenShift, and a
project that exists.`,
		Example: `  docker save my-terminal > /tmp/my-terminal.tar
  workshop-sandbox load-image /tmp/my-terminal.tar my-terminal:1
  workshopctl deploy --terminal-image registry.localhost/my-terminal:1

  workshop-sandbox load-image /tmp/my-terminal.tar --to workshop/my-terminal:latest
  workshopctl deploy --image-stream my-terminal:latest`,
		Args: func(cmd *cobra.Command, args []string) error {
			if to != "" {
				return exactly(1, "SRC with --to")(cmd, args)
			}
			return exactly(2, "SRC and REF")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var tag imagestream.Tag
			if to != "" {
				var err error
				if tag, err = imagestream.ParseTag(to); err != nil {
					return usageError{fmt.Errorf("--to: %w", err)}
				}
				args = append(args, tag.Repository())
			}
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
			img, err := loadImage(cmd.Context(), args[0], fmt.Sprintf("127.0.0.1:%d", status.Ports.Registry), ref)
			if err != nil {
				return fmt.Errorf("load %s as %s: %w", args[0], args[1], err)
			}
			digest, err := img.Digest()
			if err != nil {
				return err
			}
			host := node.RegistryHost
			if to != "" {
				if _, err := setTag(cmd.Context(), dirs.Kubeconfig(), tag, img); err != nil {
					return fmt.Errorf("load %s to %s: %w", args[0], to, err)
				}
				host = imagestream.Registry
			}
			fmt.Fprintf(streams.Out, "%s/%s\n", host, ref)
			fmt.Fprintf(streams.Err, "Its digest is %s.\n", digest)
			return nil
		},
	}
	nameFlag(cmd, &sandbox)
	cmd.Flags().StringVar(&to, "to", "", "PROJECT/NAME:TAG, the image stream tag to set, with OpenShift")
	return cmd
}

// setTag is for the administrator of the cluster, as pushing is for who may.
func setTag(ctx context.Context, kubeconfig string, tag imagestream.Tag, img v1.Image) (string, error) {
	rc, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return "", err
	}
	client, err := dynamic.NewForConfig(rc)
	if err != nil {
		return "", err
	}
	return imagestream.Set(ctx, client, tag, img)
}

// loadImage pushes the image at src.
func loadImage(ctx context.Context, src, registry, ref string) (v1.Image, error) {
	tag, err := name.NewTag(registry+"/"+ref, name.StrictValidation)
	if err != nil {
		return nil, usageError{fmt.Errorf("%q is no image name with a tag: %w", ref, err)}
	}
	img, err := openImage(ctx, src, registry)
	if err != nil {
		return nil, err
	}
	return img, remote.Write(tag, img, remote.WithContext(ctx))
}

// openImage finds the image in a file, a directory or the registry.
func openImage(ctx context.Context, src, registry string) (v1.Image, error) {
	info, err := os.Stat(src)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return registryImage(ctx, src, registry)
	case err != nil:
		return nil, err
	case info.IsDir():
		return layoutImage(src)
	}
	img, err := tarball.ImageFromPath(src, nil)
	if err != nil {
		return nil, fmt.Errorf("it is no image as docker save writes it: %w", err)
	}
	return img, nil
}

func registryImage(ctx context.Context, src, registry string) (v1.Image, error) {
	path := src
	for _, host := range []string{node.RegistryHost, imagestream.Registry} {
		path = strings.TrimPrefix(path, host+"/")
	}
	ref, err := name.ParseReference(registry + "/" + path)
	if err != nil {
		return nil, fmt.Errorf("there is no file of this name, and it can't be an image's: %w", err)
	}
	img, err := remote.Image(ref, remote.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("there is no file of this name, and the registry has no such image: %w", err)
	}
	return img, nil
}

func layoutImage(dir string) (v1.Image, error) {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, fmt.Errorf("it is no OCI image layout: %w", err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	if len(manifest.Manifests) != 1 {
		return nil, errors.New("it has several images; load-image takes one with a single image")
	}
	return index.Image(manifest.Manifests[0].Digest)
}
