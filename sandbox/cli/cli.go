// SPDX-License-Identifier: Apache-2.0

// Package cli is the command line of workshop-sandbox.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/sandbox/host"
	"github.com/workshopctl/workshopctl/sandbox/node"
)

// Streams are where a command prints: results to Out, all else to Err.
type Streams struct{ Out, Err io.Writer }

// Exit statuses.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// DefaultName is the sandbox meant when none is named.
const DefaultName = "demo"

type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// Main runs the command line and returns the exit status.
func Main(args []string, streams Streams) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := New(streams)
	root.SetArgs(args[1:])
	err := root.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUnhealthy): // status has said it
		return exitFailed
	case ctx.Err() != nil:
		fmt.Fprintln(streams.Err, "Interrupted. The same command goes on where this one stopped.")
		return exitInterrupted
	}
	fmt.Fprintf(streams.Err, "Error: %v\n", err)
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

// New returns the root command.
func New(streams Streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "workshop-sandbox",
		Short: "A real one-node Kubernetes cluster on this machine, without Docker",
		Long: `workshop-sandbox runs a real Kubernetes cluster of one node on one Linux machine,
without Docker, for a first try of workshopctl, its demo and its tests.

It lives in namespaces of its own and changes neither routes nor firewall nor
containers of the host. Ports of 127.0.0.1 lead into it. It needs root.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("there is no command %q; see: workshop-sandbox --help", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see: %s --help", err, cmd.CommandPath())}
	})
	root.AddCommand(newUp(streams), newDown(streams), newStatus(streams), newEnv(streams), newLoadImage(streams), newLogs(streams), newInit(), newRun(streams))
	return root
}

func nameFlag(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVar(name, "name", DefaultName, "which sandbox; several can run side by side")
}

// atMost is cobra's, as a usage error.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError{fmt.Errorf("%s takes %s, not %d arguments; see: %s --help", cmd.Name(), what, len(args), cmd.CommandPath())}
		}
		return nil
	}
}

func dirsOf(name string) (host.Dirs, error) {
	dirs, err := host.NewDirs(name)
	if err != nil {
		return dirs, usageError{err}
	}
	return dirs, nil
}

// newInit and newRun are what `up` calls, not users.
func newInit() *cobra.Command {
	return &cobra.Command{
		Use: "internal-init NAME", Hidden: true, Args: exactly(1, "NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			dirs, err := dirsOf(args[0])
			if err != nil {
				return err
			}
			node.CloseOnExec()
			exe, err := os.Executable()
			if err != nil {
				return err
			}
			return node.Init(dirs, []string{exe, "internal-run", args[0]})
		},
	}
}

func newRun(streams Streams) *cobra.Command {
	return &cobra.Command{
		Use: "internal-run NAME", Hidden: true, Args: exactly(1, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			dirs, err := dirsOf(args[0])
			if err != nil {
				return err
			}
			node.CloseOnExec()
			return node.Run(cmd.Context(), dirs, streams.Err)
		},
	}
}

// source finds the checkout that programs and images are built from.
func source(flag string) (string, error) {
	if flag == "" {
		flag = os.Getenv("WORKSHOP_SANDBOX_SOURCE")
	}
	cwd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	exe, err := os.Executable()
	if err != nil {
		return "", err
	}
	if exe, err = filepath.EvalSymlinks(exe); err != nil {
		return "", err
	}
	return host.FindSource(flag, cwd, exe)
}
