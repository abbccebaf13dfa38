// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// report collects the rounds.
type report struct {
	Machine string   `json:"machine"`
	Results []result `json:"results"`
}

// result is one measure of one target.
type result struct {
	Measure string    `json:"measure"`
	Target  string    `json:"target"`
	Rounds  []float64 `json:"rounds"`
	Median  float64   `json:"median"`
	Min     float64   `json:"min"`
	Max     float64   `json:"max"`
}

// measures are the rows of the table, in its order.
var measures = []string{
	"text MiB/s", "escapes MiB/s", "text CPU-s/100 MiB", "escapes CPU-s/100 MiB", "text KiB/message", "escapes KiB/message",
	"echo p50 ms", "echo p99 ms", "echo under load p50 ms", "echo under load p99 ms", "Ctrl-C in yes ms", "Ctrl-C in yes KiB", "Ctrl-C in cat ms", "Ctrl-C in cat KiB",
	"start ms", "idle RSS MiB", "peak RSS MiB", "peak RSS, slow screen MiB",
	"crowd: MiB/s", "crowd: CPU-s/100 MiB", "crowd: echo p50 ms", "crowd: echo p99 ms",
	"crowd: idle RSS MiB", "crowd: idle RSS without files MiB", "crowd: peak RSS MiB",
}

func (r *report) find(measure, target string) *result {
	for i := range r.Results {
		if x := &r.Results[i]; x.Measure == measure && x.Target == target {
			return x
		}
	}
	return nil
}

func (r *report) add(target string, f figures) {
	for _, measure := range measures {
		value, ok := f[measure]
		if !ok {
			continue
		}
		x := r.find(measure, target)
		if x == nil {
			r.Results = append(r.Results, result{Measure: measure, Target: target})
			x = &r.Results[len(r.Results)-1]
		}
		x.Rounds = append(x.Rounds, value)
		sorted := slices.Sorted(slices.Values(x.Rounds))
		x.Median = sorted[len(sorted)/2]
		if len(sorted)%2 == 0 {
			x.Median = (x.Median + sorted[len(sorted)/2-1]) / 2
		}
		x.Min, x.Max = sorted[0], sorted[len(sorted)-1]
	}
}

// ratio is how two targets' medians of a measure compare.
func (r *report) ratio(measure, target, to string) string {
	a, b := r.find(measure, target), r.find(measure, to)
	if a == nil || b == nil || b.Median == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", a.Median/b.Median)
}

func (r *report) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s; medians (min-max)\n\tbare\tworkshop-terminal\tterminado\tto bare\tto terminado\n", r.Machine)
	for _, measure := range measures {
		fmt.Fprint(t, measure)
		for _, target := range []string{"bare", "workshop-terminal", "terminado"} {
			cell := ""
			if x := r.find(measure, target); x != nil {
				cell = fmt.Sprintf("%.3g (%.3g-%.3g)", x.Median, x.Min, x.Max)
			}
			fmt.Fprint(t, "\t", cell)
		}
		fmt.Fprintf(t, "\t%s\t%s\n", r.ratio(measure, "workshop-terminal", "bare"), r.ratio(measure, "workshop-terminal", "terminado"))
	}
	_ = t.Flush() // to the same place as all else
}
