// SPDX-License-Identifier: Apache-2.0

// Package output writes the results of commands to stdout, in the formats of
// kubectl's -o.
package output

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"k8s.io/client-go/util/jsonpath"
	"sigs.k8s.io/yaml"

	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/explain"
)

// The formats that a command may offer.
const (
	JSON     = "json"
	YAML     = "yaml"
	Name     = "name"
	Wide     = "wide"
	JSONPath = "jsonpath="
)

// Format is what -o asks for; the empty one is for people.
type Format struct {
	value   string
	offered []string
}

// AddFlag gives a command the flag -o with the formats that it offers.
func (f *Format) AddFlag(cmd *cobra.Command, offered ...string) {
	f.offered = offered
	shown := strings.Join(offered, "|")
	shown = strings.Replace(shown, JSONPath, JSONPath+"TEMPLATE", 1)
	cmd.Flags().StringVarP(&f.value, "output", "o", "", "Output `FORMAT`: "+shown)
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(offered, cobra.ShellCompDirectiveNoFileComp))
}

// Validate refuses formats that the command doesn't offer.
func (f *Format) Validate() error {
	switch {
	case f.value == "", slices.Contains(f.offered, f.value):
	case strings.HasPrefix(f.value, JSONPath) && slices.Contains(f.offered, JSONPath):
		if err := jsonpath.New("output").Parse(template(f.value)); err != nil {
			return fault.Usage("--output: not a JSONPath template: %w", err)
		}
	default:
		return fault.Usage("--output: there is no format %q here; choose one of %s", f.value, strings.Join(f.offered, ", "))
	}
	return nil
}

// Is says whether the format is the one given; Is("") that it is for people.
func (f *Format) Is(format string) bool { return f.value == format }

// Machine says whether the result goes to a program rather than to a person.
func (f *Format) Machine() bool { return f.value != "" && f.value != Wide }

// Print writes a value. names are its lines under -o name; table writes it for
// people, with more columns if wide.
func (f *Format) Print(w io.Writer, value any, names []string, table func(wide bool) error) error {
	switch {
	case f.value == JSON:
		return WriteJSON(w, value)
	case f.value == YAML:
		return WriteYAML(w, value)
	case f.value == Name:
		for _, n := range names {
			if _, err := fmt.Fprintln(w, n); err != nil {
				return err
			}
		}
		return nil
	case strings.HasPrefix(f.value, JSONPath):
		data, err := json.Marshal(value)
		if err != nil {
			return err
		}
		var tree any
		if err := json.Unmarshal(data, &tree); err != nil {
			return err
		}
		path := jsonpath.New("output").AllowMissingKeys(true)
		if err := path.Parse(template(f.value)); err != nil {
			return err
		}
		if err := path.Execute(w, tree); err != nil {
			return fault.Usage("--output: %w", err)
		}
		return nil
	}
	return table(f.value == Wide)
}

// template is the JSONPath of -o jsonpath=…, in braces as kubectl wants them.
func template(value string) string {
	t := strings.TrimPrefix(value, JSONPath)
	if !strings.Contains(t, "{") {
		t = "{" + t + "}"
	}
	return t
}

// WriteJSON writes a value as indented JSON.
func WriteJSON(w io.Writer, value any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(value)
}

// WriteYAML writes a value as YAML.
func WriteYAML(w io.Writer, value any) error {
	data, err := yaml.Marshal(value)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

// Table is text in columns.
type Table struct {
	Header []string
	Rows   [][]string
}

// Add appends a row.
func (t *Table) Add(cells ...string) { t.Rows = append(t.Rows, cells) }

// Write writes the table, its columns three spaces apart as kubectl has them.
func (t *Table) Write(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
	rows := t.Rows
	if len(t.Header) > 0 {
		rows = append([][]string{t.Header}, rows...)
	}
	for _, row := range rows {
		for i, cell := range row {
			if row[i] = oneLine(cell); row[i] == "" {
				row[i] = "-"
			}
		}
		if _, err := fmt.Fprintln(tw, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return tw.Flush()
}

// oneLine makes text from the cluster fit for a cell.
func oneLine(s string) string { return strings.Join(strings.Fields(explain.Clean(s)), " ") }
