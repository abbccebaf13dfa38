// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
)

// Args checks the number of a command's arguments and says which are missing
// or too many. what names them, as in the command's usage line; those in
// brackets are optional: Args("NAME"), Args("[NAME]").
func Args(what ...string) cobra.PositionalArgs {
	required := 0
	for _, w := range what {
		if !strings.HasPrefix(w, "[") {
			required++
		}
	}
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < required:
			return usage(cmd, " needs %s", strings.Join(what[len(args):required], " and "))
		case len(args) > len(what):
			return usage(cmd, " takes no argument %q", args[len(what)])
		}
		return nil
	}
}

// Group makes a command that only holds others: alone it shows its help, and
// a word that is none of its commands is an error with the nearest one.
func Group(cmd *cobra.Command) {
	cmd.Args = cobra.ArbitraryArgs
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		return usage(cmd, " has no command %q%s", args[0], didYouMean(cmd.SuggestionsFor(args[0])))
	}
	cmd.SuggestionsMinimumDistance = 2
}

// FlagError says which flag was probably meant.
func FlagError(cmd *cobra.Command, err error) error {
	text := err.Error()
	var near []string
	if _, name, ok := strings.Cut(text, "unknown flag: --"); ok {
		name, _, _ = strings.Cut(name, " ")
		near = nearest(name, flagNames(cmd))
		for i := range near {
			near[i] = "--" + near[i]
		}
	}
	return usage(cmd, ": %s%s", text, didYouMean(near))
}

func usage(cmd *cobra.Command, format string, args ...any) error {
	return &fault.Error{
		Code: fault.BadUsage,
		Err:  fmt.Errorf("%s"+format, append([]any{cmd.CommandPath()}, args...)...),
		Hint: fmt.Sprintf("`%s --help` shows how it is used.", cmd.CommandPath()),
	}
}

// DidYouMean is the end of an error about a word that is none of the
// candidates: the nearest of them, if one is near.
func DidYouMean(word string, candidates []string) string {
	return didYouMean(nearest(word, candidates))
}

func didYouMean(candidates []string) string {
	if len(candidates) == 0 {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", strings.Join(candidates, " or "))
}

// nearest returns the candidates with the fewest letters to change, if those
// are few enough for a slip.
func nearest(word string, candidates []string) []string {
	best, found := len(word)/2+1, []string(nil)
	for _, c := range candidates {
		switch d := distance(word, c); {
		case d < best:
			best, found = d, []string{c}
		case d == best && d <= len(word)/2:
			found = append(found, c)
		}
	}
	slices.Sort(found)
	return found[:min(len(found), 2)]
}

// distance is the number of letters to insert, delete or replace to turn one
// word into the other (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// flagNames are the names of all flags of a command.
func flagNames(cmd *cobra.Command) []string {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	return names
}
