// SPDX-License-Identifier: Apache-2.0

package main

import (
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// verbs checks of each command of a program that its help, and its error about
// a flag that it doesn't have, speak of the program as it was typed:
// verbs PROGRAM NAME.
func verbs(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: verbs PROGRAM NAME")
	}
	program, name := args[0], args[1]
	all := commands(ts, program)
	if len(all) < 10 {
		ts.Fatalf("%s has these commands only: %v", program, all)
	}
	var other []string // the program's own name in front of a command
	for _, c := range all {
		other = append(other, regexp.QuoteMeta("workshopctl "+strings.Join(c, " ")))
	}
	wrong := regexp.MustCompile(`\b(` + strings.Join(other, "|") + `)\b`)
	for _, c := range all {
		path := name + " " + strings.Join(c, " ")
		ts.Check(ts.Exec(program, append(c, "--help")...))
		help := ts.ReadFile("stdout")
		if usage := "Usage:\n  " + path; !strings.Contains(help, usage) {
			ts.Fatalf("the help of %s doesn't say %q:\n%s", path, usage, help)
		}
		exits(ts, false, append([]string{"2", program}, append(c, "--no-such-flag")...))
		said := ts.ReadFile("stderr")
		if start := "Error: " + path + ": unknown flag: --no-such-flag"; !strings.HasPrefix(said, start) {
			ts.Fatalf("%s says %q", path, said)
		}
		if found := wrong.FindString(help + said); found != "" {
			ts.Fatalf("%s speaks of %q:\n%s%s", path, found, help, said)
		}
	}
}

// commands are a program's commands and those below them, as completion has
// them.
func commands(ts *testscript.TestScript, program string, above ...string) [][]string {
	ts.Check(ts.Exec(program, append(append([]string{"__complete"}, above...), "")...))
	var all [][]string
	for line := range strings.Lines(ts.ReadFile("stdout")) {
		word, _, described := strings.Cut(strings.TrimSpace(line), "\t")
		if !described || word == "help" {
			continue // the directive at the end, or a word that is no command
		}
		path := append(append([]string{}, above...), word)
		all = append(all, path)
		if len(above) == 0 {
			all = append(all, commands(ts, program, word)...)
		}
	}
	return all
}
