// SPDX-License-Identifier: Apache-2.0

// Package apply brings the objects of a workshop into the cluster, shows what
// that would change, and takes them away again. It writes only to objects that
// carry the workshop's labels, and to names that are free.
package apply

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// parallel is how many requests are under way at once. More than the number
// of a workshop's objects would gain nothing; the API server counts them
// against the caller's fair share.
const parallel = 8

// Client writes into one namespace.
type Client struct {
	client    dynamic.Interface
	namespace string
}

// New returns a Client. The limits of the rest configuration behind client
// (QPS, Burst) should allow some 50 requests in a burst: the defaults of
// client-go make a deploy take ten seconds longer.
func New(client dynamic.Interface, namespace string) *Client {
	return &Client{client: client, namespace: namespace}
}

// resource says where objects of a kind are served. All kinds of a workshop
// follow the rule for plurals, so that no discovery is needed.
func (c *Client) resource(ref record.Ref) dynamic.ResourceInterface {
	plural, _ := meta.UnsafeGuessKindToResource(schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind))
	return c.client.Resource(plural).Namespace(c.namespace)
}

// Options of an Apply.
type Options struct {
	// DryRun has the API server check and answer everything without keeping
	// it.
	DryRun bool
	// TakeTerminalImage overwrites the hub's TERMINAL_IMAGE and IMAGE_STREAM
	// even where another manager set them. No other field is ever taken.
	TakeTerminalImage bool
	// TakeOwnership overwrites every field, whoever set it: the objects, which
	// carry the workshop's labels, were applied by other means.
	TakeOwnership bool

	// showConflicts goes over them in a dry run, to show both values.
	showConflicts bool
}

func (o Options) dryRun() []string {
	if o.DryRun {
		return []string{metav1.DryRunAll}
	}
	return nil
}

// Action is what happened to an object.
type Action string

// The actions, in the words of kubectl.
const (
	Created    Action = "created"
	Configured Action = "configured"
	Unchanged  Action = "unchanged"
	Pruned     Action = "pruned"
	Kept       Action = "kept"
)

// Result is what happened to one object.
type Result struct {
	Ref    record.Ref
	Action Action
	// Note says why, where that isn't plain: how to delete what was kept, whose
	// value was overwritten.
	Note string
	// Generation of the object after an Apply, for rollout.Target.
	Generation int64
}

// stages are the order in which kinds are applied; what has none comes first.
// Objects of a stage are applied at once. A binding to a Role that doesn't
// exist yet is refused to namespace admins, and a hub must not start before
// what it mounts.
var stages = map[string]int{"RoleBinding": 1, "Deployment": 2, "Ingress": 2, "DeploymentConfig": 2, "Route": 2}

const lastStage = 2

// Apply writes the objects by server-side apply under the field manager
// workshopctl. live is what Read found of them. The results come in the order
// of the objects; with an error, those that were written so far. Errors:
// *ConflictError, *RightsError, *explain.Failure where the cluster refuses an
// object for a known reason, or the API's with the object's name.
func (c *Client) Apply(ctx context.Context, objects []*unstructured.Unstructured, live Live, o Options) ([]Result, error) {
	results := make([]Result, len(objects))
	err := c.each(ctx, objects, live, o, func(i int, before, after *unstructured.Unstructured, note string) {
		results[i] = Result{Ref: record.RefOf(objects[i]), Action: action(before, after), Note: note, Generation: after.GetGeneration()}
	})
	return slices.DeleteFunc(results, func(r Result) bool { return r.Action == "" }), err
}

// each applies the objects stage by stage and hands over what was there
// before and after.
func (c *Client) each(ctx context.Context, objects []*unstructured.Unstructured, live Live, o Options, done func(i int, before, after *unstructured.Unstructured, note string)) error {
	for stage := range lastStage + 1 {
		// Not errgroup.WithContext: a failure must not break off its
		// neighbours' requests, whose outcome nobody would know then.
		var group errgroup.Group
		group.SetLimit(parallel)
		for i, object := range objects {
			if stages[object.GetKind()] != stage {
				continue
			}
			group.Go(func() error {
				after, note, err := c.applyOne(ctx, object, live, o)
				if err != nil {
					return err
				}
				done(i, live[record.RefOf(object)], after, note)
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) applyOne(ctx context.Context, object *unstructured.Unstructured, live Live, o Options) (after *unstructured.Unstructured, note string, err error) {
	ref := record.RefOf(object)
	options := metav1.ApplyOptions{FieldManager: workshop.ManagedBy, DryRun: o.dryRun()}
	if before := live[ref]; replaced(before, object) {
		if o.DryRun {
			if err := c.mayHaveHost(ctx, object); err != nil {
				return nil, "", c.refusal(ref, "apply", err)
			}
			return withHost(before, object), replaceNote, nil
		}
		if err := c.deleteOne(ctx, before, nil); err != nil {
			return nil, "", err
		}
		note = replaceNote
	}
	after, err = c.resource(ref).Apply(ctx, ref.Name, object, options)
	if o.DryRun && apierrors.IsNotFound(err) && ref.Kind == "RoleBinding" && live[ref] == nil {
		// The API server looks for the Role, which a dry run hasn't kept.
		return object, "", nil
	}
	if apierrors.IsConflict(err) {
		conflict := c.conflict(ref, err)
		switch {
		case o.TakeOwnership:
		case o.TakeTerminalImage && conflict.onlyTerminalImage():
			note = fmt.Sprintf("the terminal image was set by %s", conflict.Conflicts[0].Manager)
		case o.DryRun && o.showConflicts:
			note = "an apply will be refused: changed by others are " + conflict.fields()
		default:
			return nil, "", conflict
		}
		options.Force = true
		after, err = c.resource(ref).Apply(ctx, ref.Name, object, options)
	}
	if err != nil {
		return nil, "", c.refusal(ref, "apply", err)
	}
	return after, note, nil
}

// action compares an object before and after, by content: a resourceVersion
// may be new because a controller has written a status meanwhile, and a dry
// run never makes one.
func action(before, after *unstructured.Unstructured) Action {
	switch {
	case before == nil:
		return Created
	case equality.Semantic.DeepEqual(essence(before), essence(after)):
		return Unchanged
	default:
		return Configured
	}
}

// essence is an object without what the API server and controllers keep in it
// for themselves.
func essence(object *unstructured.Unstructured) map[string]any {
	o := object.DeepCopy()
	delete(o.Object, "status")
	for _, field := range []string{"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"} {
		unstructured.RemoveNestedField(o.Object, "metadata", field)
	}
	for _, annotation := range []string{"deployment.kubernetes.io/revision", "kubectl.kubernetes.io/last-applied-configuration"} {
		unstructured.RemoveNestedField(o.Object, "metadata", "annotations", annotation)
	}
	if len(o.GetAnnotations()) == 0 {
		unstructured.RemoveNestedField(o.Object, "metadata", "annotations")
	}
	return o.Object
}

// Prune deletes what the inventory lists and objects doesn't have, if it still
// carries the workshop's labels. Claims of volumes are kept, and a Note says
// how to delete them. What is gone already, or isn't the workshop's any more,
// is in no Result.
func (c *Client) Prune(ctx context.Context, n workshop.Names, inventory []record.Ref, objects []*unstructured.Unstructured, o Options) ([]Result, error) {
	surplus, err := c.surplus(ctx, n, inventory, objects)
	if err != nil {
		return nil, err
	}
	var results []Result
	for _, object := range surplus {
		ref := record.RefOf(object)
		if ref.Kind == "PersistentVolumeClaim" {
			results = append(results, Result{Ref: ref, Action: Kept,
				Note: fmt.Sprintf("the workshop no longer uses it; delete it and its data with: kubectl -n %s delete %s", c.namespace, ref)})
			continue
		}
		if err := c.deleteOne(ctx, object, o.dryRun()); err != nil {
			return results, err
		}
		results = append(results, Result{Ref: ref, Action: Pruned})
	}
	return results, nil
}

// surplus reads what the inventory has and objects hasn't, last applied first.
func (c *Client) surplus(ctx context.Context, n workshop.Names, inventory []record.Ref, objects []*unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	refs := record.Without(inventory, record.RefsOf(objects))
	live, err := c.Read(ctx, refs)
	if err != nil {
		return nil, err
	}
	return live.ours(n, refs), nil
}

// deleteOne deletes this very object; one that is gone, or has been made anew
// by somebody else, is no error.
func (c *Client) deleteOne(ctx context.Context, object *unstructured.Unstructured, dryRun []string) error {
	ref := record.RefOf(object)
	uid, background := object.GetUID(), metav1.DeletePropagationBackground
	err := c.resource(ref).Delete(ctx, ref.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &uid}, PropagationPolicy: &background, DryRun: dryRun,
	})
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return c.refusal(ref, "delete", err)
}
