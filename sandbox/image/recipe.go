// SPDX-License-Identifier: Apache-2.0

package image

import (
	"fmt"
	"sort"
	"strings"
)

// Names of the images that Build knows. A built image's Ref is "workshop/"
// and the name, but for CLI's, "openshift/cli:latest". Gateway's and Deployer's
// get the hash of the program in them as their tag.
const (
	Hub5      = "hub:5.5.0"
	Hub6      = "hub:6.1.1"
	Proxy     = "proxy:5.3.0"
	Gateway   = "gateway"
	Terminal1 = "terminal:1"
	Terminal2 = "terminal:2"
	Pause     = "pause:1"
	Ash       = "ash:1"
	CLI       = "cli:latest"
	Deployer  = "deployer"
)

// recipe says how one image is made.
type recipe struct {
	// dir under images/ has the Containerfile and, without a program, the
	// build context.
	dir string
	// args are build arguments, as "NAME=VALUE".
	args []string
	// program is the Go program that the image consists of.
	program *program
	// compiled is the name of one of Options.Programs, whose directory is the
	// build context.
	compiled string
	// from is the image that it starts from, as the build argument TERMINAL.
	from string
	// repository, unless it is "workshop/" and the name.
	repository string
}

// program is a static Go program that is built before its image.
type program struct {
	// name of the file in the build context.
	name string
	// module is the directory of the Go module in the checkout, pkg the package in it.
	module, pkg string
}

// recipes lists all images by name.
func recipes() map[string]recipe {
	return map[string]recipe{
		Hub5:      {dir: "hub", args: []string{"REQUIREMENTS=requirements-5.5.0.txt"}},
		Hub6:      {dir: "hub", args: []string{"REQUIREMENTS=requirements-6.1.1.txt"}},
		Proxy:     {dir: "proxy"},
		Gateway:   {dir: "gateway", program: &program{name: "workshop-terminal", module: ".", pkg: "./cmd/workshop-terminal"}},
		Terminal1: {dir: "terminal", args: []string{"VERSION=1"}},
		Terminal2: {dir: "terminal", args: []string{"VERSION=2"}},
		Pause:     {dir: "pause", program: &program{name: "pause", module: "sandbox", pkg: "./image/pause"}},
		Ash:       {dir: "ash"},
		CLI:       {dir: "cli", compiled: "oc", from: Terminal1, repository: "openshift/cli"},
		Deployer:  {dir: "deployer", compiled: "oc"},
	}
}

// OfPrograms returns those of the names whose images need Options.Programs, and
// the others.
func OfPrograms(names []string) (of, others []string) {
	all := recipes()
	for _, name := range names {
		if all[name].compiled != "" {
			of = append(of, name)
		} else {
			others = append(others, name)
		}
	}
	return of, others
}

// find returns the recipes of names, or an error that lists what there is.
func find(names []string) ([]recipe, error) {
	all := recipes()
	found := make([]recipe, 0, len(names))
	for _, n := range names {
		r, ok := all[n]
		if !ok {
			known := make([]string, 0, len(all))
			for k := range all {
				known = append(known, k)
			}
			sort.Strings(known)
			return nil, fmt.Errorf("no image is called %q; there are %s", n, strings.Join(known, ", "))
		}
		found = append(found, r)
	}
	return found, nil
}
