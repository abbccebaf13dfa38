// SPDX-License-Identifier: Apache-2.0

// Package storage gives each claim of its class a volume of type local, which
// is a directory of the node. The kubelet applies fsGroup to such volumes,
// as it does not to hostPath ones.
package storage

import (
	"context"
	"errors"

	"k8s.io/client-go/rest"
)

// Config of the provisioner.
type Config struct {
	// Root is the directory that holds a directory for each volume.
	Root string
	// NodeName is the one node that the volumes are on.
	NodeName string
	// ClassName is the name of the StorageClass, which is made the default.
	ClassName string
	// Log receives a line for each volume made or removed. Nil discards them.
	Log func(format string, args ...any)
}

// Run serves until ctx ends.
func Run(ctx context.Context, rc *rest.Config, cfg Config) error {
	return errors.New("storage: not implemented yet")
}
