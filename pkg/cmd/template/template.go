// SPDX-License-Identifier: Apache-2.0

// Package template is the command `template` with those below it.
package template

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
)

// NewCommand returns the command. A test may put its own run in place.
func NewCommand(f *factory.Factory, export func(context.Context, *factory.Factory, *ExportOptions) error) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "template",
		Short: "OpenShift Templates of a workshop",
		Long: `OpenShift Templates of a workshop, for people and catalogs that work with oc process
and oc new-app instead of workshopctl.`,
	}
	factory.Group(cmd)
	cmd.AddCommand(newExport(f, export))
	return cmd
}
