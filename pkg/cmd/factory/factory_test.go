// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"slices"
	"testing"
)

func TestDisplayName(t *testing.T) {
	for args, want := range map[string]string{
		"workshopctl":                        "workshopctl",
		"/usr/local/bin/workshopctl":         "workshopctl",
		"/usr/local/bin/kubectl-workshop":    "kubectl workshop",
		"oc-workshop.exe":                    "oc workshop",
		"/home/oc-workshop/renamed-somehow":  "workshopctl",
		"/home/x/kubectl-workshop/workshopc": "workshopctl",
	} {
		if got := displayName([]string{args}); got != want {
			t.Errorf("%s: %q, want %q", args, got, want)
		}
	}
	if got := displayName(nil); got != Program {
		t.Errorf("without arguments: %q", got)
	}
}

func TestReword(t *testing.T) {
	f := &Factory{Name: "oc workshop", Commands: []string{"deploy"}}
	for text, want := range map[string]string{
		"Try: workshopctl deploy --host x":    "Try: oc workshop deploy --host x",
		"`workshopctl --help`":                "`oc workshop --help`",
		"~/.config/workshopctl/config.yaml":   "~/.config/workshopctl/config.yaml",
		"This build of workshopctl has none.": "This build of workshopctl has none.",
		"later version of workshopctl: x":     "later version of workshopctl: x",
	} {
		if got := f.Reword(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	candidates := []string{"terminal-image", "hub-image", "host", "auth"}
	for word, want := range map[string][]string{
		"terminal-imgae": {"terminal-image"},
		"hst":            {"host"},
		"zzzzzzzzzzzz":   nil,
		"":               nil,
	} {
		if got := nearest(word, candidates); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", word, got, want)
		}
	}
}
