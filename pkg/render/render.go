// SPDX-License-Identifier: Apache-2.0

// Package render turns a workshop's Spec into the objects that make it: it
// processes the Template documents in templates/ and then puts on the objects
// what a template can't express (maps, lists, what depends on the cluster). It
// does no input or output, save for reading random numbers.
package render

import (
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/workshopctl/workshopctl/pkg/capability"
	"github.com/workshopctl/workshopctl/pkg/workshop"
	"github.com/workshopctl/workshopctl/templates"
)

// Input is what the objects of a workshop depend on, and all of it: the same
// Input with the same Secret gives the same objects, byte for byte.
type Input struct {
	// Spec with its defaults filled in, valid (Spec.Validate), Expose chosen.
	// The Host is the one that browsers will use, where it is known, whoever
	// has chosen it.
	Spec workshop.Spec
	// Namespace of all objects.
	Namespace string
	// Version of workshopctl, for the label app.kubernetes.io/version.
	Version string
	// Capabilities of the cluster.
	Capabilities capability.Set
	// Secret holds the values of the workshop's Secret as it is in the
	// cluster; they are kept, and only missing keys are generated.
	Secret map[string][]byte
	// ExistingSecret names a Secret that is made by other means (GitOps) and
	// has the keys workshop.Secret*. No Secret is rendered then.
	ExistingSecret string
	// Random is where secrets come from; nil means crypto/rand.Reader.
	Random io.Reader
}

// Objects renders a workshop: its objects in the order in which they are to be
// applied, each with its namespace, labels and annotations. The record
// (workshop.Names.Record) isn't one of them.
func Objects(in Input) ([]*unstructured.Unstructured, error) {
	fail := func(err error) ([]*unstructured.Unstructured, error) {
		return nil, fmt.Errorf("render workshop %s: %w", in.Spec.Name, err)
	}
	values, err := parameters(in)
	if err != nil {
		return fail(err)
	}
	objects, err := build(in, values, false)
	if err != nil {
		return fail(err)
	}
	return objects, nil
}

// build fills the values into the documents and takes all the steps. For an
// export the values are references, some of which are in the Spec as well.
func build(in Input, values map[string]string, export bool) ([]*unstructured.Unstructured, error) {
	w := &rendering{Input: in, names: workshop.Names(in.Spec.Name), export: export}
	for _, d := range documents(in) {
		objects, err := process(d.content, in.Spec.Workload, values)
		if err != nil {
			return nil, fmt.Errorf("templates/%s: %w", d.file, err)
		}
		w.objects = append(w.objects, objects...)
	}
	for _, step := range steps {
		if err := step(w); err != nil {
			return nil, err
		}
	}
	return w.objects, nil
}

// document is a Template of this release.
type document struct{ file, content string }

// documents returns those that a workshop needs, in the order in which their
// objects are to be applied: what others refer to comes first.
func documents(in Input) []document {
	var all []document
	if in.Spec.ServiceAccount == "" {
		all = append(all, document{"spawner.yaml", templates.Spawner})
	}
	if in.ExistingSecret == "" {
		all = append(all, document{"secret.yaml", templates.Secret})
	}
	all = append(all,
		document{"network.yaml", templates.Network},
		document{"proxy.yaml", templates.Proxy},
		document{"hub.yaml", templates.Hub},
	)
	switch in.Spec.Expose {
	case workshop.ExposeRoute:
		all = append(all, document{"route.yaml", templates.Route})
	case workshop.ExposeIngress:
		all = append(all, document{"ingress.yaml", templates.Ingress})
	}
	return all
}
