// SPDX-License-Identifier: Apache-2.0

package workshop

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sort"
	"strings"

	"sigs.k8s.io/yaml"
)

// FileAPIVersion and FileKind head a workshop file. Both may be left out;
// other values are refused, so that a later version of the format is never
// read as this one.
const (
	FileAPIVersion = "workshopctl.io/v1alpha1"
	FileKind       = "Workshop"
)

type file struct {
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind,omitempty"`
	Spec       `json:",inline"`
}

// ParseFile reads a workshop file: YAML or JSON with the fields of Spec at
// its top. Fields that Spec doesn't have are errors that name the nearest one;
// a field given twice is an error as well. The Spec is returned as written,
// without defaults and unvalidated.
func ParseFile(content []byte) (Spec, error) {
	data, err := yaml.YAMLToJSONStrict(content)
	if err != nil {
		return Spec{}, fmt.Errorf("not valid YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	var tree any
	if err := json.Unmarshal(data, &tree); err != nil {
		return Spec{}, fmt.Errorf("not valid YAML: %w", err)
	}
	if tree == nil {
		return Spec{}, nil
	}
	top, ok := tree.(map[string]any)
	if !ok {
		return Spec{}, errors.New("not a workshop: the file must hold fields like `terminalImage: …`")
	}
	if unknown := unknownFields(top, reflect.TypeFor[file](), ""); len(unknown) > 0 {
		return Spec{}, errors.Join(unknown...)
	}
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return Spec{}, &FieldError{Field: strings.TrimPrefix(wrong.Field, "Spec."), Problem: fmt.Sprintf("is a %s where a %s belongs%s", wrong.Value, plain(wrong.Type), quoteHint(wrong))}
		}
		return Spec{}, err
	}
	if f.APIVersion != "" && f.APIVersion != FileAPIVersion {
		return Spec{}, &FieldError{Field: "apiVersion", Value: f.APIVersion, Problem: "is not known to this version of workshopctl; it reads " + FileAPIVersion}
	}
	if f.Kind != "" && f.Kind != FileKind {
		return Spec{}, &FieldError{Field: "kind", Value: f.Kind, Problem: "is not a workshop; the file must say kind: " + FileKind}
	}
	return f.Spec, nil
}

// FormatFile writes a Spec as a workshop file that ParseFile reads back.
func FormatFile(s Spec) ([]byte, error) {
	return yaml.Marshal(file{APIVersion: FileAPIVersion, Kind: FileKind, Spec: s})
}

// Fields lists the fields of a workshop file by their full names
// ("storage.size"), in the order of the Spec. It serves completion,
// suggestions and the reference page.
func Fields() []string { return fieldsOf(reflect.TypeFor[Spec](), "") }

func fieldsOf(t reflect.Type, prefix string) []string {
	var names []string
	for _, f := range reflect.VisibleFields(t) {
		name := jsonName(f)
		if name == "" {
			continue
		}
		if f.Type.Kind() == reflect.Struct {
			names = append(names, fieldsOf(f.Type, prefix+name+".")...)
			continue
		}
		names = append(names, prefix+name)
	}
	return names
}

// unknownFields walks a decoded document beside the type that it is meant for.
func unknownFields(tree map[string]any, t reflect.Type, prefix string) []error {
	known := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(t) {
		if name := jsonName(f); name != "" {
			known[name] = f.Type
		}
	}
	keys := make([]string, 0, len(tree))
	for key := range tree {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	var errs []error
	for _, key := range keys {
		ft, ok := known[key]
		if !ok {
			errs = append(errs, &FieldError{Field: prefix + key, Problem: "is not a field of a workshop" + suggestion(prefix+key, prefix, known)})
			continue
		}
		switch value := tree[key].(type) {
		case map[string]any:
			if ft.Kind() == reflect.Struct {
				errs = append(errs, unknownFields(value, ft, prefix+key+".")...)
			}
		case []any:
			if ft.Kind() != reflect.Slice || ft.Elem().Kind() != reflect.Struct {
				continue
			}
			for i, element := range value {
				if m, ok := element.(map[string]any); ok {
					errs = append(errs, unknownFields(m, ft.Elem(), fmt.Sprintf("%s%s[%d].", prefix, key, i))...)
				}
			}
		}
	}
	return errs
}

// suggestion names the field that an unknown one was probably meant to be: by
// spelling among its siblings, or by its last part anywhere in the Spec.
func suggestion(name, prefix string, siblings map[string]reflect.Type) string {
	last := name[len(prefix):]
	best, bestDistance := "", len(last)/2+1
	for _, candidate := range sortedKeys(siblings) {
		if d := distance(strings.ToLower(last), strings.ToLower(candidate)); d < bestDistance {
			best, bestDistance = prefix+candidate, d
		}
	}
	for _, full := range Fields() {
		part := full[strings.LastIndexByte(full, '.')+1:]
		if d := distance(strings.ToLower(last), strings.ToLower(part)); d < bestDistance {
			best, bestDistance = full, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// distance is the number of letters to insert, delete or replace to turn one
// word into the other (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			diagonal, row[j] = row[j], min(row[j]+1, row[j-1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

func jsonName(f reflect.StructField) string {
	if f.Anonymous || !f.IsExported() {
		return ""
	}
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

func plain(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Slice:
		return "list"
	case reflect.Map, reflect.Struct:
		return "map"
	default:
		return t.Kind().String()
	}
}

func quoteHint(e *json.UnmarshalTypeError) string {
	if e.Type.Kind() == reflect.String && (e.Value == "number" || e.Value == "bool" || strings.HasPrefix(e.Value, "number ")) {
		return `; put it in quotes`
	}
	return ""
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
