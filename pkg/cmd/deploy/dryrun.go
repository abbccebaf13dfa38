// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/output"
	"github.com/workshopctl/workshopctl/pkg/cmd/plan"
)

// dryRun prints the objects that a deploy would apply. With a file there is
// nothing to ask the cluster.
func dryRun(ctx context.Context, f *factory.Factory, o *Options) error {
	p, err := Draft(ctx, f, plan.Request{Verb: "deploy", Name: o.Name, Change: o.Change})
	if err != nil {
		return err
	}
	for _, n := range p.Notes {
		f.Say("%s", n)
	}
	f.Say("%s: %d objects (dry run: nothing was written)", p.Spec.Name, len(p.Objects))
	return printObjects(f, o, p)
}

// Draft plans a workshop for printing: by what a file says alone, or else by
// what the cluster knows of the workshop.
func Draft(ctx context.Context, f *factory.Factory, r plan.Request) (*plan.Plan, error) {
	if r.Change.Replace != nil {
		namespace, err := f.Namespace()
		if err != nil {
			return nil, err
		}
		return plan.Offline(f, namespace, r)
	}
	c, err := f.Cluster()
	if err != nil {
		return nil, err
	}
	return plan.Make(ctx, f, c, r)
}

// printObjects prints objects for a person to look at: secrets are masked.
func printObjects(f *factory.Factory, o *Options, p *plan.Plan) error {
	var names []string
	masked := make([]*unstructured.Unstructured, len(p.Objects))
	for i, object := range p.Objects {
		names = append(names, output.ObjectName(object))
		masked[i] = output.Mask(object)
	}
	return o.Format.Print(f.Out, output.List(masked), names, func(bool) error { return output.WriteObjects(f.Out, masked) })
}
