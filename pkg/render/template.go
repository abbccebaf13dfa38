// SPDX-License-Identifier: Apache-2.0

package render

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	templatev1 "github.com/openshift/api/template/v1"
	"github.com/openshift/library-go/pkg/template/templateprocessing"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// process fills the values into a Template document and returns its objects,
// whose pods are run by the kind of workload that is given.
//
// It is stricter than OpenShift: each of the document's parameters must have a
// value, so that nothing comes from a default that the Spec doesn't know or
// from a generator that isn't made for secrets; and a reference to what is no
// parameter is an error, where OpenShift leaves it standing.
func process(content string, workload workshop.Workload, values map[string]string) ([]*unstructured.Unstructured, error) {
	var t templatev1.Template
	if err := yaml.UnmarshalStrict([]byte(content), &t); err != nil {
		return nil, fmt.Errorf("not a Template: %w", err)
	}
	if err := UseWorkload(&t, workload); err != nil {
		return nil, err
	}
	declared := map[string]bool{}
	for i, p := range t.Parameters {
		value, ok := values[p.Name]
		if !ok {
			return nil, fmt.Errorf("parameter %s has no value", p.Name)
		}
		t.Parameters[i].Value, t.Parameters[i].Generate = value, ""
		declared[p.Name] = true
	}
	for i, o := range t.Objects {
		var tree any
		if err := yaml.Unmarshal(o.Raw, &tree); err != nil {
			return nil, fmt.Errorf("object %d: %w", i, err)
		}
		if err := references(tree, declared); err != nil {
			return nil, fmt.Errorf("object %d: %w", i, err)
		}
	}
	for k, v := range t.ObjectLabels {
		if err := references(v, declared); err != nil {
			return nil, fmt.Errorf("label %s: %w", k, err)
		}
	}
	if errs := templateprocessing.NewProcessor(nil).Process(&t); len(errs) > 0 {
		return nil, errs.ToAggregate()
	}
	objects := make([]*unstructured.Unstructured, len(t.Objects))
	for i, o := range t.Objects {
		u, ok := o.Object.(*unstructured.Unstructured)
		if !ok {
			return nil, fmt.Errorf("object %d is a %T", i, o.Object)
		}
		objects[i] = u
	}
	return objects, nil
}

// The two spellings of a reference: as part of a string, and as all of it with
// a value that is no string.
var (
	partReference  = regexp.MustCompile(`\$\{([a-zA-Z0-9_]+)\}`)
	wholeReference = regexp.MustCompile(`^\$\{\{([a-zA-Z0-9_]+)\}\}$`)
)

// references checks every string in a decoded document, keys included, for
// references to anything but the declared parameters.
func references(tree any, declared map[string]bool) error {
	switch node := tree.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(node)) {
			if err := references(key, declared); err != nil {
				return err
			}
			if err := references(node[key], declared); err != nil {
				return err
			}
		}
	case []any:
		for _, element := range node {
			if err := references(element, declared); err != nil {
				return err
			}
		}
	case string:
		rest := node
		for _, pattern := range []*regexp.Regexp{wholeReference, partReference} {
			rest = pattern.ReplaceAllStringFunc(rest, func(match string) string {
				if declared[strings.Trim(match, "${}")] {
					return ""
				}
				return match
			})
		}
		if i := strings.Index(rest, "${"); i >= 0 {
			return fmt.Errorf("%q refers to something that is no parameter of the Template: %s", node, rest[i:])
		}
	}
	return nil
}
