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
	switch {
	case errors.Is(err, terminal.ErrUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "workshop-terminal:", err)
		os.Exit(1)
	}
}
