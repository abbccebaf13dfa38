// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/sandbox/supervise"
)

func newLogs(streams Streams) *cobra.Command {
	var name string
	var follow bool
	var tail int
	cmd := &cobra.Command{
		Use:   "logs [PROGRAM]",
		Short: "Print the log of a sandbox's programs",
		Long:  "Print the last lines of each program's log, or the whole log of one.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return exactly(1, "one program or none")(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			dirs, err := dirsOf(name)
			if err != nil {
				return err
			}
			programs, err := logged(dirs.Logs())
			if err != nil {
				return err
			}
			if len(programs) == 0 {
				return fmt.Errorf("sandbox %s has no logs: it was never started, or is gone", name)
			}
			if len(args) == 0 {
				if follow {
					return usageError{fmt.Errorf("-f follows one program: %s", strings.Join(programs, ", "))}
				}
				for _, p := range programs {
					fmt.Fprintf(streams.Out, "==> %s <==\n%s\n", p, supervise.Tail(supervise.LogFile(dirs.Logs(), p), tail))
				}
				return nil
			}
			if !slices.Contains(programs, args[0]) {
				return usageError{fmt.Errorf("there is no log of %q; there is: %s", args[0], strings.Join(programs, ", "))}
			}
			return printLog(cmd.Context(), streams.Out, supervise.LogFile(dirs.Logs(), args[0]), follow)
		},
	}
	nameFlag(cmd, &name)
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on printing what is added")
	cmd.Flags().IntVar(&tail, "tail", 20, "lines of each program, when none is named")
	return cmd
}

func logged(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var programs []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), filepath.Ext(supervise.LogFile("", ""))); ok {
			programs = append(programs, name)
		}
	}
	return programs, nil
}

func printLog(ctx context.Context, out io.Writer, path string, follow bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := io.Copy(out, f); err != nil || !follow {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
