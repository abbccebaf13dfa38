// SPDX-License-Identifier: Apache-2.0

// Command workshop-sandbox runs a real one-node Kubernetes cluster on one
// Linux machine.
package main

import (
	"os"

	"github.com/workshopctl/workshopctl/sandbox/cli"
)

func main() {
	os.Exit(cli.Main(os.Args, cli.Streams{Out: os.Stdout, Err: os.Stderr}))
}
