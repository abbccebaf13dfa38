// SPDX-License-Identifier: Apache-2.0

// Command gen writes the reference of the command line, docs/reference, from
// the commands themselves, and docs/json.md from the types that they print:
// `make docs`.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/root"
)

func main() {
	dir := filepath.Join("docs", "reference")
	err := write(dir)
	if err == nil {
		err = writeJSON(".")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "docs/gen:", err)
		os.Exit(1)
	}
}

// writeJSON replaces the page about fields, unless one of them has vanished.
func writeJSON(root string) error {
	file := filepath.Join(root, "docs", "json.md")
	page, err := jsonPage(root)
	if err != nil {
		return err
	}
	before, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	if gone := vanished(string(before), page); len(gone) > 0 {
		return fmt.Errorf("scripts rely on fields that are gone or have another name: %s; if that is meant, take their lines out of %s first", strings.Join(gone, ", "), file)
	}
	return os.WriteFile(file, []byte(page), 0o644)
}

// write replaces the pages in a directory.
func write(dir string) error {
	old, err := filepath.Glob(filepath.Join(dir, "*.md"))
	if err != nil {
		return err
	}
	for _, page := range old {
		if err := os.Remove(page); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, content := range pages() {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// pages are the reference's pages by file name.
func pages() map[string]string {
	f := factory.New([]string{factory.Program}, genericiooptions.NewTestIOStreamsDiscard(), factory.Build{})
	// Defaults that depend on who runs this don't belong into the pages.
	*f.ConfigFlags.CacheDir = "$HOME/.kube/cache"
	out := map[string]string{}
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		if !c.IsAvailableCommand() && c.HasParent() || c.Name() == "help" {
			return
		}
		out[file(c)] = page(c)
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(root.NewCommand(f))
	return out
}

func file(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "_") + ".md" }

func page(c *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "<!-- Written by `make docs` from the commands; don't edit. -->\n# %s\n\n%s\n", c.CommandPath(), c.Short)
	if c.Long != "" && c.Long != c.Short {
		fmt.Fprintf(&b, "\n```text\n%s\n```\n", c.Long)
	}
	if c.Runnable() && !c.HasSubCommands() {
		fmt.Fprintf(&b, "\n    %s\n", c.UseLine())
	}
	if c.Example != "" {
		fmt.Fprintf(&b, "\n## Examples\n\n```sh\n%s\n```\n", unindent(c.Example))
	}
	if c.HasSubCommands() {
		b.WriteString("\n## Commands\n\n| Command | What it does |\n|---|---|\n")
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() && sub.Name() != "help" {
				fmt.Fprintf(&b, "| [%s](%s) | %s |\n", sub.CommandPath(), file(sub), cell(sub.Short))
			}
		}
	}
	flags(&b, "Flags", c.NonInheritedFlags())
	if c.HasParent() {
		fmt.Fprintf(&b, "\nAll commands have [kubectl's flags](%s#flags) for the cluster, the user and the namespace as well.\n", file(c.Root()))
	}
	return b.String()
}

func flags(b *strings.Builder, title string, set *pflag.FlagSet) {
	rows := ""
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		name, usage := pflag.UnquoteUsage(f)
		flag := "--" + f.Name
		if f.Shorthand != "" {
			flag = "-" + f.Shorthand + ", " + flag
		}
		if name != "" {
			flag += " " + name
		}
		switch f.DefValue {
		case "", "false", "0", "[]", "-1":
		default:
			usage += fmt.Sprintf(" (default %s)", f.DefValue)
		}
		rows += fmt.Sprintf("| `%s` | %s |\n", cell(flag), cell(usage))
	})
	if rows != "" {
		fmt.Fprintf(b, "\n## %s\n\n| Flag | Meaning |\n|---|---|\n%s", title, rows)
	}
}

// cell makes text fit for a cell of a table.
func cell(s string) string { return strings.ReplaceAll(strings.ReplaceAll(s, "|", `\|`), "\n", " ") }

func unindent(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], "  ")
	}
	return strings.Join(lines, "\n")
}
