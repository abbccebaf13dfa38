// SPDX-License-Identifier: Apache-2.0

//go:build scale

package scale

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/workshopctl/workshopctl/pkg/session"
	"github.com/workshopctl/workshopctl/test/testhub"
)

var (
	size   = flag.Int("sessions", 2000, "how many sessions the list has")
	rounds = flag.Int("rounds", 9, "how often everything is measured")
)

// figures of one run of a program, or the median of several.
type figures struct{ Wall, CPU, PeakMiB float64 }

// peer is what is measured.
type peer struct {
	name string
	args []string
	runs []figures
}

// median of each figure by itself.
func (p *peer) median() figures {
	of := func(pick func(figures) float64) float64 {
		var all []float64
		for _, r := range p.runs {
			all = append(all, pick(r))
		}
		slices.Sort(all)
		return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
	}
	return figures{of(func(f figures) float64 { return f.Wall }), of(func(f figures) float64 { return f.CPU }), of(func(f figures) float64 { return f.PeakMiB })}
}

// TestBenchSessions compares `workshopctl sessions list` of a large class with
// `kubectl get pods` of the same run. It says whether the aims are met and
// fails only if a list is wrong: figures are this machine's.
func TestBenchSessions(t *testing.T) {
	kubectl := os.Getenv("WORKSHOPCTL_TEST_KUBECTL")
	if kubectl == "" {
		t.Fatal("WORKSHOPCTL_TEST_KUBECTL names no kubectl to compare with: use `make bench-sessions`")
	}
	measure := filepath.Join(t.TempDir(), "measure")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", measure, "./measure").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c := newClass(t, testhub.Versions[0])
	c.fill(*size)
	c.settle(*size)
	list := []string{filepath.Join(c.bin, "workshopctl"), "sessions", "list"}
	whole := &peer{name: "sessions list, with the hub", args: list}
	cluster := &peer{name: "sessions list, hub is down", args: list}
	pods := &peer{name: "kubectl get pods", args: []string{kubectl, "get", "pods", "--selector=" + session.Selector(c.names)}}

	// The hub's part by itself: its pages, as the list reads them.
	var pages []float64
	client := c.hub()
	for range *rounds {
		begun := time.Now()
		active, err := client.Active(t.Context())
		if err != nil || len(active) != *size {
			t.Fatalf("%d users, %v", len(active), err)
		}
		pages = append(pages, time.Since(begun).Seconds())
	}
	slices.Sort(pages)

	c.interleave(measure, []*peer{pods, whole})
	pods.runs = nil // those beside a list of the same state count
	c.stopHub()
	c.interleave(measure, []*peer{pods, cluster})

	p, k := cluster.median(), pods.median()
	var report bytes.Buffer
	fmt.Fprintf(&report, "%d sessions, %d rounds, %s/%s, %d CPUs, %s; medians (lowest to highest)\n", *size, *rounds, runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	w := tabwriter.NewWriter(&report, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\twall s\tCPU s\tpeak MiB")
	for _, x := range []*peer{pods, cluster, whole} {
		m := x.median()
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", x.name, x.spread(m.Wall, func(f figures) float64 { return f.Wall }), x.spread(m.CPU, func(f figures) float64 { return f.CPU }), x.spread(m.PeakMiB, func(f figures) float64 { return f.PeakMiB }))
	}
	_ = w.Flush()
	fmt.Fprintf(&report, "the hub's %d pages by themselves: %.2f s (%.2f-%.2f)\n", (*size+199)/200, pages[len(pages)/2], pages[0], pages[len(pages)-1])
	fmt.Fprintf(&report, "the list's cluster part to kubectl get pods: wall %.2f (aim: at most 1, %s), peak memory %.2f (aim: at most 0.5, %s)\n",
		p.Wall/k.Wall, met(p.Wall <= k.Wall), p.PeakMiB/k.PeakMiB, met(p.PeakMiB <= k.PeakMiB/2))
	t.Log("\n" + report.String())
}

func met(yes bool) string {
	if yes {
		return "met"
	}
	return "not met"
}

func (p *peer) spread(median float64, pick func(figures) float64) string {
	low, high := pick(p.runs[0]), pick(p.runs[0])
	for _, r := range p.runs {
		low, high = min(low, pick(r)), max(high, pick(r))
	}
	return fmt.Sprintf("%.3g (%.3g-%.3g)", median, low, high)
}

// interleave measures all in rounds, another one first in each, after one
// round that doesn't count.
func (c *class) interleave(measure string, peers []*peer) {
	c.t.Helper()
	for round := range *rounds + 1 {
		for i := range peers {
			p := peers[(i+round)%len(peers)]
			f := c.once(measure, p)
			if round > 0 {
				p.runs = append(p.runs, f)
			}
		}
	}
}

// once runs one, and looks whether its list is whole.
func (c *class) once(measure string, p *peer) figures {
	c.t.Helper()
	result := filepath.Join(c.dir, "measured")
	cmd := c.command()
	cmd.Path, cmd.Args = measure, append([]string{measure, result}, p.args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		c.t.Fatalf("%s: %v\n%s", p.name, err, errOut.String())
	}
	if got := bytes.Count(out.Bytes(), []byte("\n")); got != *size+1 {
		c.t.Fatalf("%s prints %d lines, not %d and a header\n%s", p.name, got, *size, errOut.String())
	}
	content, err := os.ReadFile(result)
	if err != nil {
		c.t.Fatal(err)
	}
	var f figures
	if err := json.Unmarshal(content, &f); err != nil {
		c.t.Fatal(err)
	}
	return f
}
