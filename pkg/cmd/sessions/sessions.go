// SPDX-License-Identifier: Apache-2.0

// Package sessions is the command `sessions` with list and logs.
package sessions

import (
	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
)

// Runs are what the commands run; nil fields stand for the real ones.
type Runs struct {
	List factory.Run[*ListOptions]
	Logs factory.Run[*LogsOptions]
}

// NewCommand returns the command. A test may put its own runs in place.
func NewCommand(f *factory.Factory, runs Runs) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "sessions",
		Aliases: []string{"session"},
		Short:   "Who has a session, in which state and why",
		Long:    "Shows who has a session, and what a session says.",
		Example: `  workshopctl sessions list
  workshopctl sessions logs jane`,
	}
	factory.Group(cmd)
	cmd.AddCommand(newList(f, runs.List), newLogs(f, runs.Logs))
	return cmd
}
