// SPDX-License-Identifier: Apache-2.0

// Package sessions is the command `sessions` with the verbs below it, one file each.
package sessions

import (
	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
)

// Runs are what the commands run; nil fields stand for the real ones.
type Runs struct {
	List     factory.Run[*ListOptions]
	Describe factory.Run[*DescribeOptions]
	Logs     factory.Run[*LogsOptions]
	Attach   factory.Run[*AttachOptions]
	Shell    factory.Run[*ShellOptions]
	Exec     factory.Run[*ExecOptions]
	Cp       factory.Run[*CpOptions]
	Message  factory.Run[*MessageOptions]
	Start    factory.Run[*StartOptions]
	Stop     factory.Run[*StopOptions]
	Restart  factory.Run[*StopOptions]
	Extend   factory.Run[*ExtendOptions]
	Delete   factory.Run[*DeleteOptions]
	Prune    factory.Run[*PruneOptions]
}

// NewCommand returns the command. A test may put its own runs in place.
func NewCommand(f *factory.Factory, runs Runs) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "sessions",
		Aliases: []string{"session"},
		Short:   "Who has a session, in which state and why; start, stop and keep them",
		Long: `Shows who has a session, what a session says, and what its attendee sees; starts,
stops and keeps sessions, for one user, some, or all of a class.`,
		Example: `  workshopctl sessions list
  workshopctl sessions start --from class.csv
  workshopctl sessions logs jane
  workshopctl sessions attach jane
  workshopctl sessions shell jane`,
	}
	factory.Group(cmd)
	cmd.AddCommand(
		newList(f, runs.List),
		newDescribe(f, runs.Describe),
		newLogs(f, runs.Logs),
		newAttach(f, runs.Attach),
		newShell(f, runs.Shell),
		newExec(f, runs.Exec),
		newCp(f, runs.Cp),
		newMessage(f, runs.Message),
		newStart(f, runs.Start),
		newStop(f, runs.Stop),
		newRestart(f, runs.Restart),
		newExtend(f, runs.Extend),
		newDelete(f, runs.Delete),
		newPrune(f, runs.Prune),
	)
	return cmd
}
