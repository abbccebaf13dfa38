// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/sandbox/node"
)

// errUnhealthy makes the exit status of a command whose output has said why.
var errUnhealthy = errors.New("the sandbox is not healthy")

func newStatus(streams Streams) *cobra.Command {
	var name, output string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how a sandbox is; exit status 0 only if it is healthy",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "" && output != "json" {
				return usageError{fmt.Errorf("there is no output format %q: use -o json or none", output)}
			}
			dirs, err := dirsOf(name)
			if err != nil {
				return err
			}
			status, err := node.NewClient(dirs).Status(cmd.Context())
			if err != nil {
				return err
			}
			if output == "json" {
				enc := json.NewEncoder(streams.Out)
				enc.SetIndent("", "  ")
				err = enc.Encode(status)
			} else {
				err = printStatus(streams, status)
			}
			if err == nil && !status.Healthy {
				err = errUnhealthy
			}
			return err
		},
	}
	nameFlag(cmd, &name)
	cmd.Flags().StringVarP(&output, "output", "o", "", "json, or empty for people")
	return cmd
}

func printStatus(streams Streams, s node.Status) error {
	if !s.Running {
		fmt.Fprintf(streams.Out, "Sandbox %s is not running. Start it with: workshop-sandbox up --name %s\n", s.Name, s.Name)
		return nil
	}
	health := "healthy"
	if !s.Healthy {
		health = "not healthy"
	}
	fmt.Fprintf(streams.Out, "Sandbox %s is running and %s (process %d, API server on 127.0.0.1:%d", s.Name, health, s.PID, s.Ports.API)
	if s.HasIngress() {
		fmt.Fprintf(streams.Out, ", ingress on %d and %d", s.Ports.HTTP, s.Ports.HTTPS)
	}
	if s.SimulatedNodes > 0 {
		fmt.Fprintf(streams.Out, ", control plane with %d simulated nodes)\n", s.SimulatedNodes)
	} else if s.ControlPlane {
		fmt.Fprintf(streams.Out, ", control plane only)\n")
	} else {
		fmt.Fprintf(streams.Out, ", registry on %d)\nNode: %s\n", s.Ports.Registry, s.Node)
	}
	if len(s.Units) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(streams.Out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "PROGRAM\tSTATE\tSINCE\tRESTARTS\tERROR")
	for _, u := range s.Units {
		first, _, _ := strings.Cut(u.Error, "\n")
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\n", u.Name, u.State, time.Since(u.Since).Round(time.Second), u.Restarts, first)
	}
	return w.Flush()
}
