// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Live is what exists in the cluster of the objects that were asked for.
type Live map[record.Ref]*unstructured.Unstructured

// SecretRef names the Secret whose values are kept.
func SecretRef(n workshop.Names) record.Ref {
	return record.Ref{APIVersion: "v1", Kind: "Secret", Name: n.HubPart()}
}

// HubRef names the object that runs the hub.
func HubRef(n workshop.Names, w workshop.Workload) record.Ref {
	apiVersion, kind := w.GroupVersionKind().ToAPIVersionAndKind()
	return record.Ref{APIVersion: apiVersion, Kind: kind, Name: n.Hub()}
}

// Read gets the named objects, several at a time. Those that don't exist are
// not in the answer.
func (c *Client) Read(ctx context.Context, refs []record.Ref) (Live, error) {
	live := Live{}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, ref := range refs {
		group.Go(func() error {
			object, err := c.resource(ref).Get(ctx, ref.Name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return nil
			}
			if err != nil {
				return c.refusal(ref, "read", err)
			}
			mu.Lock()
			defer mu.Unlock()
			live[ref] = object
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return live, nil
}

// ours returns what exists of refs and carries the workshop's labels, in
// reverse order.
func (l Live) ours(n workshop.Names, refs []record.Ref) []*unstructured.Unstructured {
	var objects []*unstructured.Unstructured
	for _, ref := range slices.Backward(refs) {
		if object := l[ref]; object != nil && isOurs(n, object) {
			objects = append(objects, object)
		}
	}
	return objects
}

func isOurs(n workshop.Names, object *unstructured.Unstructured) bool {
	labels := object.GetLabels()
	return labels[workshop.LabelManagedBy] == workshop.ManagedBy && labels[workshop.LabelInstance] == string(n)
}

// Secret returns the values of the workshop's Secret, nil where it has none.
// For render.Input.Secret.
func (l Live) Secret(n workshop.Names) map[string][]byte {
	object := l[SecretRef(n)]
	if object == nil {
		return nil
	}
	data, _, _ := unstructured.NestedStringMap(object.Object, "data")
	values := map[string][]byte{}
	for key, encoded := range data {
		if value, err := base64.StdEncoding.DecodeString(encoded); err == nil {
			values[key] = value
		}
	}
	return values
}

// Image returns the image that new sessions get now, and the field manager
// that set it if that isn't workshopctl. Both are empty where there is no hub.
func (l Live) Image(n workshop.Names) (image workshop.Image, manager string) {
	var object *unstructured.Unstructured
	for _, w := range workshop.Workloads() {
		if hub := l[HubRef(n, w)]; hub != nil {
			object = hub
		}
	}
	if object == nil {
		return image, ""
	}
	values := map[string]string{}
	containers, _, _ := unstructured.NestedSlice(object.Object, "spec", "template", "spec", "containers")
	for _, c := range containers {
		container, _ := c.(map[string]any)
		if container["name"] != hubContainer {
			continue
		}
		env, _, _ := unstructured.NestedSlice(container, "env")
		for _, e := range env {
			variable, _ := e.(map[string]any)
			if name, ok := variable["name"].(string); ok {
				values[name], _ = variable["value"].(string)
			}
		}
	}
	image = workshop.ImageOf(values[workshop.EnvTerminalImage], values[workshop.EnvImageStream])
	if image == (workshop.Image{}) {
		return image, ""
	}
	for _, entry := range object.GetManagedFields() {
		if !setsTerminalImage(entry.FieldsV1) {
			continue
		}
		if entry.Manager == workshop.ManagedBy && entry.Operation == metav1.ManagedFieldsOperationApply {
			return image, ""
		}
		manager = entry.Manager
	}
	return image, manager
}

const hubContainer = "hub"

func setsTerminalImage(fields *metav1.FieldsV1) bool {
	if fields == nil {
		return false
	}
	var tree map[string]any
	if json.Unmarshal(fields.GetRawBytes(), &tree) != nil {
		return false
	}
	_, found, err := unstructured.NestedFieldNoCopy(tree, "f:spec", "f:template", "f:spec", "f:containers",
		fmt.Sprintf(`k:{"name":%q}`, hubContainer), "f:env", fmt.Sprintf(`k:{"name":%q}`, workshop.EnvTerminalImage), "f:value")
	return found && err == nil
}

// CheckOwnership says whether all that exists carries the workshop's labels.
// The error is a *ForeignError. Ask before the first write.
func (l Live) CheckOwnership(n workshop.Names) error {
	e := &ForeignError{Workshop: string(n)}
	for ref, object := range l {
		if !isOurs(n, object) {
			e.Namespace = object.GetNamespace()
			e.Objects = append(e.Objects, Foreign{Ref: ref, Owner: owner(object)})
		}
	}
	if len(e.Objects) == 0 {
		return nil
	}
	slices.SortFunc(e.Objects, func(a, b Foreign) int { return compareRefs(a.Ref, b.Ref) })
	return e
}

// owner says whom an object belongs to, by the best sign that it bears.
func owner(object *unstructured.Unstructured) string {
	labels, annotations := object.GetLabels(), object.GetAnnotations()
	switch {
	case annotations["meta.helm.sh/release-name"] != "":
		return fmt.Sprintf("Helm release %q", annotations["meta.helm.sh/release-name"])
	case annotations["argocd.argoproj.io/tracking-id"] != "":
		return fmt.Sprintf("Argo CD (%s)", annotations["argocd.argoproj.io/tracking-id"])
	case labels[workshop.LabelManagedBy] == workshop.ManagedBy:
		return fmt.Sprintf("workshop %q", labels[workshop.LabelInstance])
	case labels[workshop.LabelManagedBy] != "":
		return labels[workshop.LabelManagedBy]
	}
	for _, reference := range object.GetOwnerReferences() {
		return fmt.Sprintf("%s %q", reference.Kind, reference.Name)
	}
	for _, entry := range object.GetManagedFields() {
		if entry.Manager != "" && entry.Subresource == "" {
			return entry.Manager
		}
	}
	return ""
}
