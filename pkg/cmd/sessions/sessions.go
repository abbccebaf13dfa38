// SPDX-License-Identifier: Apache-2.0

// Package sessions is the command `sessions` with the verbs below it, one file each.
package sessions

import (
	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
)

// Runs are what the commands run; nil fields stand for the real ones.
type Runs struct {
	List    factory.Run[*ListOptions]
	Logs    factory.Run[*LogsOptions]
	Attach  factory.Run[*AttachOptions]
	Shell   factory.Run[*ShellOptions]
	Exec    factory.Run[*ExecOptions]
	Cp      factory.Run[*CpOptions]
	Message factory.Run[*MessageOptions]
}

// NewCommand returns the command. A test may put its own runs in place.
func NewCommand(f *factory.Factory, runs Runs) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "sessions",
		Aliases: []string{"session"},
		Short:   "Who has a session, in which state and why",
		Long:    "Shows who has a session, what a session says, and what its attendee sees.",
		Example: `  workshopctl sessions list
  workshopctl sessions logs jane
  workshopctl sessions attach jane
  workshopctl sessions shell jane`,
	}
	factory.Group(cmd)
	cmd.AddCommand(newList(f, runs.List), newLogs(f, runs.Logs), newAttach(f, runs.Attach), newShell(f, runs.Shell), newExec(f, runs.Exec), newCp(f, runs.Cp), newMessage(f, runs.Message))
	return cmd
}
