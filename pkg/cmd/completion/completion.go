// SPDX-License-Identifier: Apache-2.0

// Package completion is the command `completion`.
package completion

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
)

// shells that scripts can be written for. kubectl and oc complete their
// plugins by a program of their own, which is written here as well.
var shells = []string{"bash", "zsh", "fish", "powershell", "kubectl", "oc"}

// NewCommand returns the command. A test may put its own run in place.
func NewCommand(f *factory.Factory, run func(root *cobra.Command, w io.Writer, shell string) error) *cobra.Command {
	if run == nil {
		run = Write
	}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell|kubectl|oc",
		Short: "Print a script that completes commands in your shell",
		Long: `Prints a script for your shell that completes commands, flags, and the names of
workshops, attendees and namespaces.

kubectl and oc complete their plugins by a program called kubectl_complete-workshop
or oc_complete-workshop, somewhere on your PATH; "completion kubectl" and
"completion oc" print it.`,
		Example: `  # bash, for this shell, and for every one to come
  source <(workshopctl completion bash)
  echo 'source <(workshopctl completion bash)' >> ~/.bashrc

  # zsh
  workshopctl completion zsh > "${fpath[1]}/_workshopctl"

  # fish
  workshopctl completion fish > ~/.config/fish/completions/workshopctl.fish

  # PowerShell
  workshopctl completion powershell | Out-String | Invoke-Expression

  # "kubectl workshop": beside kubectl's own completion
  workshopctl completion kubectl > ~/.local/bin/kubectl_complete-workshop
  chmod +x ~/.local/bin/kubectl_complete-workshop`,
		Args:                  factory.Args("SHELL"),
		ValidArgs:             shells,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(shells, args[0]) {
				return fault.Usage("completion: there is no script for %q; choose one of %s", args[0], strings.Join(shells, ", "))
			}
			return run(cmd.Root(), f.Out, args[0])
		},
	}
}

// Write writes the script for a shell.
func Write(root *cobra.Command, w io.Writer, shell string) error {
	switch shell {
	case "bash":
		return root.GenBashCompletionV2(w, true)
	case "zsh":
		return root.GenZshCompletion(w)
	case "fish":
		return root.GenFishCompletion(w, true)
	case "powershell":
		return root.GenPowerShellCompletionWithDesc(w)
	}
	_, err := fmt.Fprintf(w, "#!/bin/sh\n# %[1]s calls this to complete `%[1]s workshop`.\nexec %[1]s-workshop __complete \"$@\"\n", shell)
	return err
}
