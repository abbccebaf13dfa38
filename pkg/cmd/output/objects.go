// SPDX-License-Identifier: Apache-2.0

package output

import (
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// List makes one object of many, as `kubectl get -o json` prints them.
func List(objects []*unstructured.Unstructured) map[string]any {
	items := make([]any, len(objects))
	for i, o := range objects {
		items[i] = o.Object
	}
	return map[string]any{"apiVersion": "v1", "kind": "List", "items": items}
}

// WriteObjects writes objects as a file of YAML documents.
func WriteObjects(w io.Writer, objects []*unstructured.Unstructured) error {
	for i, o := range objects {
		data, err := yaml.Marshal(o.Object)
		if err != nil {
			return err
		}
		if i > 0 {
			data = append([]byte("---\n"), data...)
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
	return nil
}

// Masked stands for a value that is nobody's business.
const Masked = "***"

// Mask returns an object without the values of a Secret.
func Mask(o *unstructured.Unstructured) *unstructured.Unstructured {
	if o.GetKind() != "Secret" {
		return o
	}
	o = o.DeepCopy()
	for _, field := range []string{"data", "stringData"} {
		values, ok := o.Object[field].(map[string]any)
		if !ok {
			continue
		}
		for key := range values {
			values[key] = Masked
		}
	}
	return o
}

// ObjectName is an object's name under -o name: "deployment.apps/terminals".
func ObjectName(o *unstructured.Unstructured) string {
	kind := strings.ToLower(o.GetKind())
	if group := o.GroupVersionKind().Group; group != "" {
		kind += "." + group
	}
	return kind + "/" + o.GetName()
}

// WorkshopName is a workshop's name under -o name.
func WorkshopName(name string) string { return strings.ToLower(workshop.FileKind) + "/" + name }
