// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/sandbox/host"
	"github.com/workshopctl/workshopctl/sandbox/node"
)

func newDown(streams Streams) *cobra.Command {
	var name string
	var all, keep bool
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Stop a sandbox and delete it",
		Long: `Stop a sandbox and delete all that it left on this machine, but for what was
compiled and built, in ~/.cache/workshop-sandbox. With --keep-state a later up
goes on with the same objects, volumes, certificates and ports.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			names := []string{name}
			if all {
				if cmd.Flags().Changed("name") {
					return usageError{errors.New("--all and --name exclude each other")}
				}
				var err error
				if names, err = host.Names(); err != nil {
					return err
				}
			}
			if err := host.Preflight(host.ThisMachine(), host.Need{}); err != nil {
				return err
			}
			var errs []error
			for _, name := range names {
				dirs, err := dirsOf(name)
				if err == nil {
					err = down(cmd.Context(), streams, dirs, keep)
				}
				if err != nil {
					errs = append(errs, fmt.Errorf("stop sandbox %s: %w", name, err))
				}
			}
			return errors.Join(errs...)
		},
	}
	nameFlag(cmd, &name)
	cmd.Flags().BoolVar(&all, "all", false, "all sandboxes of this machine")
	cmd.Flags().BoolVar(&keep, "keep-state", false, "stop its processes and keep what they stored")
	return cmd
}

func down(ctx context.Context, streams Streams, dirs host.Dirs, keep bool) error {
	lock, err := host.Acquire(dirs.Lock, strings.Join(append([]string{filepath.Base(os.Args[0])}, os.Args[1:]...), " "))
	if err != nil {
		return err
	}
	defer lock.Release()
	start := time.Now()
	process, err := host.LoadProcess(dirs.ProcessFile())
	if err != nil {
		return err
	}
	_, stateErr := os.Stat(dirs.State)
	existed := process.Alive() || stateErr == nil
	if err := stop(ctx, dirs, keep); err != nil {
		return err
	}
	if err := dirs.Remove(keep); err != nil {
		return err
	}
	if !existed {
		fmt.Fprintf(streams.Err, "There is no sandbox %s.\n", dirs.Name)
		return nil
	}
	done := "is gone"
	if keep {
		done = "has stopped, and its state is kept"
	}
	fmt.Fprintf(streams.Err, "Sandbox %s %s (%.1fs).\n", dirs.Name, done, time.Since(start).Seconds())
	return nil
}

// stop ends the sandbox's processes and removes their cgroups. Asked to do it
// gently, it gives them time to end by themselves; without that, as when
// nothing of theirs is kept, it's as good to kill them.
func stop(ctx context.Context, dirs host.Dirs, gently bool) error {
	process, err := host.LoadProcess(dirs.ProcessFile())
	if err != nil {
		return err
	}
	if gently && process.Alive() {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		if err := node.NewClient(dirs).Stop(ctx); err == nil {
			_ = process.Wait(ctx) // or it's killed now
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := process.Kill(ctx); err != nil {
		return err
	}
	cgroups, err := host.FindCgroups()
	if err != nil {
		return err
	}
	return cgroups.Remove(ctx, dirs.Cgroup())
}
