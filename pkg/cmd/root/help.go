// SPDX-License-Identifier: Apache-2.0

package root

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
)

// often are the global flags that each command's help shows; `options` shows
// the others, of which there are some twenty.
var often = []string{"context", "kubeconfig", "namespace"}

const usageTemplate = `Usage:{{if .HasAvailableSubCommands}}
  {{.CommandPath}} COMMAND{{else}}
  {{.UseLine}}{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{if .HasAvailableSubCommands}}{{$commands := .Commands}}{{if .Groups}}{{range $group := .Groups}}

{{.Title}}{{range $commands}}{{if (and (eq .GroupID $group.ID) .IsAvailableCommand)}}
  {{rpad .Name .NamePadding }} {{.Short}}{{end}}{{end}}{{end}}{{else}}

Commands:{{range $commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding }} {{.Short}}{{end}}{{end}}{{end}}{{end}}{{with localFlags .}}

Flags:
{{.}}{{end}}{{with globalFlags .}}

Global flags:
{{.}}{{end}}{{if .HasAvailableSubCommands}}

"{{.CommandPath}} COMMAND --help" says more about a command, "{{.Root.DisplayName}} options" lists the global flags.{{else}}

"{{.Root.DisplayName}} options" lists all global flags.{{end}}
`

// help gives all commands the program's own help.
func help(f *factory.Factory, root *cobra.Command) {
	cobra.AddTemplateFuncs(map[string]any{"localFlags": localFlags, "globalFlags": globalFlags})
	root.SetUsageTemplate(usageTemplate)
	root.InitDefaultHelpCmd()
	root.InitDefaultHelpFlag()
	each(root, func(c *cobra.Command) {
		c.Short, c.Long, c.Example = f.Reword(c.Short), f.Reword(c.Long), f.Reword(c.Example)
		c.InitDefaultHelpFlag()
		if h := c.Flags().Lookup("help"); h != nil {
			h.Usage = "Help for this command"
		}
		c.Flags().SortFlags = false
		if c.ValidArgsFunction == nil && len(c.ValidArgs) == 0 {
			c.ValidArgsFunction = cobra.NoFileCompletions
		}
		c.DisableFlagsInUseLine = true
		if c.HasAvailableLocalFlags() && !c.HasSubCommands() {
			c.Use += " [flags]"
		}
	})
}

func each(c *cobra.Command, do func(*cobra.Command)) {
	do(c)
	for _, sub := range c.Commands() {
		each(sub, do)
	}
}

func localFlags(c *cobra.Command) string {
	if !c.HasParent() {
		return ""
	}
	return strings.TrimRight(c.LocalFlags().FlagUsagesWrapped(120), "\n")
}

func globalFlags(c *cobra.Command) string {
	shown := pflag.NewFlagSet("", pflag.ContinueOnError)
	for _, name := range often {
		if flag := c.Root().PersistentFlags().Lookup(name); flag != nil {
			shown.AddFlag(flag)
		}
	}
	return strings.TrimRight(shown.FlagUsagesWrapped(120), "\n")
}

// newOptions returns the command `options`.
func newOptions() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "options",
		Short: "List the flags that all commands have",
		Long:  "Lists the flags that all commands have. They are kubectl's own and mean the same.",
		Args:  factory.Args(),
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := c.OutOrStdout().Write([]byte(c.Root().PersistentFlags().FlagUsagesWrapped(120)))
			return err
		},
	}
	return cmd
}

// completeGlobals completes the global flags whose values are known.
func completeGlobals(f *factory.Factory, root *cobra.Command) {
	for name, complete := range map[string]factory.Complete{
		"context":   f.CompleteContexts,
		"namespace": f.CompleteNamespaces,
	} {
		_ = root.RegisterFlagCompletionFunc(name, complete)
	}
}
