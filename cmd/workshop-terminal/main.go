// SPDX-License-Identifier: Apache-2.0

// Command workshop-terminal is the gateway that runs in every session's pod.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/workshopctl/workshopctl/pkg/terminal"
)

var version = "dev" // set by the build

func main() {
	err := terminal.Run(context.Background(), os.Args[1:], version, os.Stdin, os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, terminal.ErrUsage) && !errors.Is(err, terminal.ErrTold) {
		fmt.Fprintln(os.Stderr, "workshop-terminal:", err)
	}
	if code := terminal.ExitCode(err); code != 0 {
		os.Exit(code)
	}
}
