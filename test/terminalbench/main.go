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
	"sync"
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
	size := flags.Int("mib", 100, "how much is printed, in MiB; at least 50, for Ctrl-C comes in the middle of it")
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

	targets := []target{{"workshop-terminal", *shells, func() (*server, error) { return startGateway(ctx, program, hub.URL, home) }}}
	if *python != "" {
		targets = append(targets, target{"terminado", 1, func() (*server, error) {
			return startTerminado(ctx, *python, filepath.Join(home, "terminado_server.py"), home)
		}})
	}
	var r report
	for round := range *rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, *rounds)
		f, err := b.bare(ctx)
		if err != nil {
			return fmt.Errorf("bare: %w", err)
		}
		r.add("bare", f)
		for i := range targets { // another one first in each round
			t := targets[(i+round)%len(targets)]
			if err := t.measure(&r, 1, func(s []*server) (figures, error) { return b.server(ctx, s[0]) }); err != nil {
				return err
			}
			if *shells == 0 {
				continue
			}
			if err := t.measure(&r, t.crowd, func(s []*server) (figures, error) { return b.crowd(ctx, s, *shells) }); err != nil {
				return fmt.Errorf("%d shells: %w", *shells, err)
			}
		}
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

// target is what is measured.
type target struct {
	name  string
	crowd int // how many of it serve many shells
	start func() (*server, error)
}

// measure starts n servers and adds what f measures.
func (t target) measure(r *report, n int, f func([]*server) (figures, error)) error {
	var servers []*server
	defer func() {
		var all sync.WaitGroup
		for _, s := range servers {
			all.Go(s.stop)
		}
		all.Wait()
	}()
	for range n {
		s, err := t.start()
		if s != nil && s.cmd.Process != nil {
			servers = append(servers, s)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	got, err := f(servers)
	if err != nil {
		return fmt.Errorf("%s: %w", t.name, err)
	}
	r.add(t.name, got)
	return nil
}
