// SPDX-License-Identifier: Apache-2.0

// Command measure runs a program and writes what it took as JSON:
//
//	measure RESULT PROGRAM [ARGUMENT…]
//
// Linux counts to a program's peak memory what its parent had when it was
// started. So a test, which is large, can't look for itself.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "measure:", err)
		os.Exit(1)
	}
}

func run(result string, args []string) error {
	cmd := exec.Command(args[0], args[1:]...) //nolint:noctx // who measures is ended with it
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	start := time.Now()
	err := cmd.Run()
	wall := time.Since(start)
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if err != nil || !ok {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	took, err := json.Marshal(map[string]float64{
		"wall": wall.Seconds(), "cpu": (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), "peakMiB": float64(usage.Maxrss) / 1024,
	})
	if err != nil {
		return err
	}
	return os.WriteFile(result, took, 0o600)
}
