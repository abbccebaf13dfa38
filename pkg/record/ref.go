// SPDX-License-Identifier: Apache-2.0

package record

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Ref names an object in the record's own namespace.
type Ref struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
}

// RefOf returns the name of an object.
func RefOf(object *unstructured.Unstructured) Ref {
	return Ref{APIVersion: object.GetAPIVersion(), Kind: object.GetKind(), Name: object.GetName()}
}

// RefsOf returns the names of objects, in their order.
func RefsOf(objects []*unstructured.Unstructured) []Ref {
	refs := make([]Ref, len(objects))
	for i, o := range objects {
		refs[i] = RefOf(o)
	}
	return refs
}

// String writes a Ref as kubectl does: deployment.apps/terminals.
func (r Ref) String() string {
	kind := strings.ToLower(r.Kind)
	if group := r.Group(); group != "" {
		kind += "." + group
	}
	return kind + "/" + r.Name
}

// Group is the API group, empty for the core one.
func (r Ref) Group() string {
	gv, err := schema.ParseGroupVersion(r.APIVersion)
	if err != nil {
		return ""
	}
	return gv.Group
}

// Same says whether both name the same object, perhaps in different versions
// of its API.
func (r Ref) Same(other Ref) bool {
	return r.Name == other.Name && r.Kind == other.Kind && r.Group() == other.Group()
}

// Without returns those of refs that others doesn't name.
func Without(refs, others []Ref) []Ref {
	var rest []Ref
	for _, r := range refs {
		if !slices.ContainsFunc(others, r.Same) {
			rest = append(rest, r)
		}
	}
	return rest
}
