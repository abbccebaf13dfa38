// SPDX-License-Identifier: Apache-2.0

// Command workshopctl puts a multi-user workshop on a Kubernetes cluster. As
// oc-workshop or kubectl-workshop on the PATH it is a plugin of those.
package main

import (
	"os"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/root"
)

// Set by the linker; see LDFLAGS in the Makefile.
var version, commit, date, gatewayImage string

func main() {
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	build := factory.Build{Version: version, Commit: commit, Date: date, GatewayImage: gatewayImage}
	os.Exit(root.Main(os.Args, streams, build))
}
