// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/root"
)

// pages that people write, by file name.
func pages(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, file := range append(files, "../README.md", "../CONTRIBUTING.md", "../images/README.md") {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		out[file] = string(content)
	}
	return out
}

// program is the command of the real tree, which keeps what it has parsed:
// each use takes a new one.
func program() *cobra.Command {
	return root.NewCommand(factory.New([]string{factory.Program}, genericiooptions.NewTestIOStreamsDiscard(), factory.Build{}))
}

var span = regexp.MustCompile("(?s)`([^`]+)`")

// code is the code of a page: the lines of its blocks, fenced or indented,
// and what stands between backticks in its text.
func code(page string) []string {
	var out []string
	var text strings.Builder
	fenced, above := false, ""
	for line := range strings.Lines(page) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "```"):
			fenced = !fenced
		case fenced, strings.HasPrefix(line, "    ") && (above == "" || strings.HasPrefix(above, "    ")):
			out = append(out, strings.TrimSpace(line))
		case line == "":
			text.WriteString("\n")
		default:
			text.WriteString(line + "\n")
		}
		above = line
	}
	for _, s := range span.FindAllStringSubmatch(text.String(), -1) {
		// A table's cells have their bars escaped.
		out = append(out, strings.NewReplacer("\n", " ", `\|`, "|").Replace(s[1]))
	}
	return out
}

// arguments are the words that follow a program's name, up to the end of the
// command as a shell sees it. Nothing is expanded.
func arguments(s string) []string {
	var words []string
	word, in, quote := "", false, rune(0)
	end := func() {
		if in {
			words = append(words, word)
		}
		word, in = "", false
	}
	for _, r := range s {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word += string(r)
		case r == '\'' || r == '"':
			quote, in = r, true
		case r == ' ':
			end()
		case strings.ContainsRune("|&;<>)", r), r == '#' && !in:
			end()
			return words
		default:
			word, in = word+string(r), true
		}
	}
	end()
	return words
}

// check says what is wrong with a command line, without running it.
func check(args []string) error {
	cmd, rest, err := program().Find(args)
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if help, _ := cmd.Flags().GetBool("help"); help {
		return nil
	}
	rest = cmd.Flags().Args()
	switch {
	case cmd.HasSubCommands() && len(rest) > 0:
		return fmt.Errorf("%s has no command %q", cmd.CommandPath(), rest[0])
	case len(cmd.ValidArgs) > 0 && len(rest) > 0 && !slices.Contains(cmd.ValidArgs, rest[0]):
		return fmt.Errorf("%s doesn't take %q", cmd.CommandPath(), rest[0])
	}
	return cmd.ValidateArgs(rest)
}

var ours = regexp.MustCompile(`\b(?:workshopctl|kubectl workshop|oc workshop) +([^ ].*)`)

// TestCommands: each command in the pages is one that the program has, with
// flags and arguments that it takes.
func TestCommands(t *testing.T) {
	found := 0
	for file, page := range pages(t) {
		for _, c := range code(page) {
			m := ours.FindStringSubmatch(c)
			if m == nil || strings.HasPrefix(c, "#") {
				continue
			}
			found++
			if err := check(arguments(m[1])); err != nil {
				t.Errorf("%s: %s: %v", file, c, err)
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d commands were found: does the test still read the pages?", found)
	}
}

var (
	sandboxCommand = regexp.MustCompile(`\bworkshop-sandbox +([^ ].*)`)
	sandboxUse     = regexp.MustCompile(`\bUse: +"([a-z-]+)`)
	sandboxFlag    = regexp.MustCompile(`Var(?:P)?\([^"\n]*"([a-z-]+)"`)
)

// TestSandboxCommands: the commands and flags of workshop-sandbox are in its
// source. It is a module of its own, so its tree can't be asked.
func TestSandboxCommands(t *testing.T) {
	sources, err := filepath.Glob("../sandbox/cli/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var commands, flags []string
	for _, source := range sources {
		content, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range sandboxUse.FindAllStringSubmatch(string(content), -1) {
			commands = append(commands, m[1])
		}
		for _, m := range sandboxFlag.FindAllStringSubmatch(string(content), -1) {
			flags = append(flags, "--"+m[1])
		}
	}
	found := 0
	for file, page := range pages(t) {
		for _, c := range code(page) {
			m := sandboxCommand.FindStringSubmatch(c)
			if m == nil {
				continue
			}
			found++
			words := arguments(m[1])
			if !slices.Contains(commands, words[0]) {
				t.Errorf("%s: %s: there is no command %s", file, c, words[0])
			}
			for _, word := range words {
				if flag, _, _ := strings.Cut(word, "="); strings.HasPrefix(flag, "--") && !slices.Contains(flags, flag) {
					t.Errorf("%s: %s: there is no flag %s", file, c, flag)
				}
			}
		}
	}
	if found < 5 {
		t.Errorf("only %d commands were found: does the test still read the pages?", found)
	}
}

var (
	makeCommand = regexp.MustCompile(`\bmake +([a-z][a-z0-9-]*)`)
	makeTarget  = regexp.MustCompile(`(?m)^([a-z][a-z0-9-]*):`)
)

// TestMakeTargets: what the pages have people make is there to be made.
func TestMakeTargets(t *testing.T) {
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]bool{}
	for _, m := range makeTarget.FindAllStringSubmatch(string(makefile), -1) {
		targets[m[1]] = true
	}
	found := 0
	for file, page := range pages(t) {
		for _, c := range code(page) {
			for _, m := range makeCommand.FindAllStringSubmatch(c, -1) {
				found++
				if !targets[m[1]] {
					t.Errorf("%s: %s: the Makefile has no target %s", file, c, m[1])
				}
			}
		}
	}
	if found < 5 {
		t.Errorf("only %d targets were found: does the test still read the pages?", found)
	}
}

// TestTableOfCommands: the README's table has the commands that there are.
func TestTableOfCommands(t *testing.T) {
	listed := map[string]bool{}
	_, table, ok := strings.Cut(pages(t)["../README.md"], "| Command |")
	if !ok {
		t.Fatal("the README has no table of commands")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	for row := range strings.Lines(table) {
		cell, _, _ := strings.Cut(strings.TrimPrefix(row, "| "), " | ")
		for _, s := range span.FindAllStringSubmatch(cell, -1) {
			words := strings.Fields(s[1])
			if len(words) < 2 || words[0] != factory.Program {
				t.Errorf("%q is no command", s[1])
				continue
			}
			listed[words[1]] = true
		}
	}
	there := map[string]bool{}
	for _, c := range program().Commands() {
		if c.IsAvailableCommand() && c.Name() != "help" && c.Name() != "options" {
			there[c.Name()] = true
		}
	}
	if got, want := slices.Sorted(maps.Keys(listed)), slices.Sorted(maps.Keys(there)); !slices.Equal(got, want) {
		t.Errorf("the README lists\n%q, there are\n%q", got, want)
	}
}

var causeCode = regexp.MustCompile(`\bCode = "([a-z-]+)"`)

// TestCausesAreExplained: the page for trouble has each cause that the program
// can name, and no other.
func TestCausesAreExplained(t *testing.T) {
	source, err := os.ReadFile("../pkg/explain/explain.go")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, m := range causeCode.FindAllStringSubmatch(string(source), -1) {
		known[m[1]] = true
	}
	explained := map[string]bool{}
	for row := range strings.Lines(pages(t)["troubleshooting.md"]) {
		if code, ok := strings.CutPrefix(row, "| `"); ok && strings.Count(row, " | ") == 3 {
			code, _, _ = strings.Cut(code, "`")
			explained[code] = true
		}
	}
	if got, want := slices.Sorted(maps.Keys(explained)), slices.Sorted(maps.Keys(known)); !slices.Equal(got, want) {
		t.Errorf("explained are\n%q, known are\n%q", got, want)
	}
}
