// SPDX-License-Identifier: Apache-2.0

// Package render turns a workshop's Spec into the objects that make it, by
// processing the documents in templates/ and then putting on them what a
// template can't express (maps, lists, what depends on the cluster). It does
// no input or output.
package render

import (
	"errors"
	"io"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/workshopctl/workshopctl/pkg/capability"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Input is what the objects of a workshop depend on, and all of it: the same
// Input gives the same objects, byte for byte.
type Input struct {
	// Spec with its defaults filled in, valid (Spec.Validate), Expose chosen.
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
	// has the keys of workshop.Secret*. No Secret is rendered then.
	ExistingSecret string
	// Random is where secrets come from; nil means crypto/rand.Reader.
	Random io.Reader
}

// Objects renders a workshop: its objects in the order in which they are to be
// applied, each with its namespace, labels and annotations. The record
// (workshop.Names.Record) isn't one of them.
func Objects(in Input) ([]*unstructured.Unstructured, error) {
	return nil, errors.New("render: not written yet")
}
