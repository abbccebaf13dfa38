// SPDX-License-Identifier: Apache-2.0

// Command terminalbench measures workshop-terminal against terminado, the
// terminal of JupyterLab, and against a bare reader of a pseudo-terminal, all
// on this machine in one run. `make bench-terminal` runs it.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "terminalbench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("terminalbench", flag.ExitOnError)
	gateway := flags.String("gateway", "bin/workshop-terminal", "the gateway's program")
	python := flags.String("python", "", "a Python that has terminado; none: it isn't measured")
	rounds := flags.Int("rounds", 5, "how often everything is measured")
	size := flags.Int("mib", 100, "how much is printed, in MiB")
	shells := flags.Int("shells", 100, "how many shells at once; 0: that isn't measured")
	file := flags.String("json", "", "write the results there, too")
	_ = flags.Parse(args) // it exits
	program, err := filepath.Abs(*gateway)
	if err != nil {
		return err
	}
	home, err := os.MkdirTemp("", "terminalbench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(home)
	b := &bench{home: home, size: *size * mib, keystrokes: 1000, whole: map[string]int{}}
	if err := material(home, b.size); err != nil {
		return err
	}
	for _, name := range []string{"text", "escapes"} {
		content, err := os.ReadFile(filepath.Join(home, name))
		if err != nil {
			return err
		}
		b.whole[name] = expected(content)
	}
	hub := standInHub()
	defer hub.Close()

	type target struct {
		name  string
		start func() (*server, error)
	}
	targets := []target{
		{"workshop-terminal", func() (*server, error) { return startGateway(ctx, program, hub.URL, home) }},
	}
	if *python != "" {
		targets = append(targets, target{"terminado", func() (*server, error) {
			return startTerminado(ctx, *python, filepath.Join(home, "terminado_server.py"), home)
		}})
	}
	var r report
	for round := range *rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d: bare, ", round+1, *rounds)
		f, err := b.bare(ctx)
		if err != nil {
			return fmt.Errorf("bare: %w", err)
		}
		r.add("bare", f)
		names := make([]string, 0, len(targets))
		for i := range targets { // another one first in each round
			t := targets[(i+round)%len(targets)]
			names = append(names, t.name)
			s, err := t.start()
			if err == nil {
				f, err = b.server(ctx, s)
			}
			if s != nil {
				s.stop()
			}
			if err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			r.add(t.name, f)
		}
		fmt.Fprintln(os.Stderr, strings.Join(names, ", "))
		_ = shells
	}
	r.Machine = fmt.Sprintf("%s/%s, %d CPUs, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	r.print(os.Stdout)
	if *file == "" {
		return nil
	}
	out, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(*file, append(out, '\n'), 0o644)
}
