// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/pmezard/go-difflib/difflib"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Difference is what an Apply and a Prune would change on one object.
type Difference struct {
	Ref record.Ref
	// Action is Created, Configured or Pruned.
	Action Action
	// Unified diff of the object as YAML, without what the API server keeps
	// for itself, secret values masked. It ends with a line break.
	Unified string
	// Note says what stands against the change: fields that others have set.
	Note string
}

// Diff says what Apply and Prune would change, in the order of the objects,
// by asking the API server for a dry run. Unchanged objects are left out, so
// an empty answer means no change. Fields that others have set are shown, not
// refused; else errors are those of Apply.
func (c *Client) Diff(ctx context.Context, n workshop.Names, objects []*unstructured.Unstructured, live Live, inventory []record.Ref, o Options) ([]Difference, error) {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("diff of workshop %q: %w", n, err)
	}
	o.DryRun, o.showConflicts = true, true
	differences := make([]Difference, len(objects))
	errs := make([]error, len(objects))
	err := c.each(ctx, objects, live, o, func(i int, before, after *unstructured.Unstructured, note string) {
		differences[i], errs[i] = difference(record.RefOf(objects[i]), before, after, key)
		differences[i].Note = note
	})
	if err != nil {
		return nil, err
	}
	surplus, err := c.surplus(ctx, n, inventory, objects)
	if err != nil {
		return nil, err
	}
	for _, object := range surplus {
		if object.GetKind() == "PersistentVolumeClaim" {
			continue
		}
		d, err := difference(record.RefOf(object), object, nil, key)
		differences, errs = append(differences, d), append(errs, err)
	}
	for _, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("diff of workshop %q: %w", n, err)
		}
	}
	return slices.DeleteFunc(differences, func(d Difference) bool { return d.Unified == "" }), nil
}

func difference(ref record.Ref, before, after *unstructured.Unstructured, key []byte) (Difference, error) {
	old, err := text(before, key)
	if err != nil {
		return Difference{}, err
	}
	new, err := text(after, key)
	if err != nil {
		return Difference{}, err
	}
	unified, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: lines(old), B: lines(new),
		FromFile: "live/" + ref.String(), ToFile: "deploy/" + ref.String(), Context: 3,
	})
	if err != nil {
		return Difference{}, err
	}
	d := Difference{Ref: ref, Action: Pruned, Unified: unified}
	if after != nil {
		d.Action = action(before, after)
	}
	return d, nil
}

// lines keeps the line breaks, and makes no line of an absent object.
func lines(s string) []string {
	if s == "" {
		return nil
	}
	split := difflib.SplitLines(s)
	return split[:len(split)-1] // SplitLines adds one after the last line break
}

func text(object *unstructured.Unstructured, key []byte) (string, error) {
	if object == nil {
		return "", nil
	}
	content := essence(object)
	if object.GetKind() == "Secret" {
		for _, field := range []string{"data", "stringData"} {
			if values, ok := content[field].(map[string]any); ok {
				for k, v := range values {
					values[k] = masked(v, key)
				}
			}
		}
	}
	b, err := yaml.Marshal(content)
	return string(b), err
}

// masked hides a value behind asterisks and some digits that are the same for
// the same value within one diff, so that one sees whether it changes. Their
// key is random: nobody can try out values on them later.
func masked(value any, key []byte) string {
	mac := hmac.New(sha256.New, key)
	fmt.Fprint(mac, value)
	return "*** (" + hex.EncodeToString(mac.Sum(nil)[:4]) + ")"
}
