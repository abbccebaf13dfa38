// SPDX-License-Identifier: Apache-2.0

// Package version is the command `version`.
package version

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/output"
)

// Info is what `version -o json` prints.
type Info struct {
	Version      string `json:"version"`
	Commit       string `json:"commit,omitempty"`
	Date         string `json:"date,omitempty"`
	GoVersion    string `json:"goVersion"`
	Platform     string `json:"platform"`
	GatewayImage string `json:"gatewayImage,omitempty"`
}

// Options of the command.
type Options struct {
	Format output.Format
}

// NewCommand returns the command. A test may put its own run in place.
func NewCommand(f *factory.Factory, run func(*factory.Factory, *Options) error) *cobra.Command {
	if run == nil {
		run = Run
	}
	o := &Options{}
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of workshopctl",
		Long:  "Prints the version of this program. It reads no kubeconfig and talks to no cluster.",
		Example: `  workshopctl version
  workshopctl version -o json`,
		Args:              factory.Args(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			if err := o.Format.Validate(); err != nil {
				return err
			}
			return run(f, o)
		},
	}
	o.Format.AddFlag(cmd, output.JSON, output.YAML)
	return cmd
}

// Run prints the version.
func Run(f *factory.Factory, o *Options) error {
	info := Of(f.Build)
	return o.Format.Print(f.Out, info, nil, func(bool) error {
		line := "workshopctl " + info.Version
		var more []string
		for _, m := range []string{info.Commit, info.Date} {
			if m != "" {
				more = append(more, m)
			}
		}
		if len(more) > 0 {
			line += " (" + strings.Join(more, ", ") + ")"
		}
		_, err := fmt.Fprintf(f.Out, "%s %s %s\n", line, info.GoVersion, info.Platform)
		return err
	})
}

// Of says which build this is.
func Of(b factory.Build) Info {
	return Info{
		Version: b.Version, Commit: b.Commit, Date: b.Date, GatewayImage: b.GatewayImage,
		GoVersion: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
}

// Unlinked fills in what a build without the Makefile's linker flags
// (`go install`, `go run`) knows of itself.
func Unlinked(b factory.Build) factory.Build {
	if b.Version != "" {
		return b
	}
	b.Version = "v0.1.0-dev"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value[:min(len(s.Value), 12)]
		case "vcs.time":
			b.Date = s.Value
		}
	}
	return b
}
