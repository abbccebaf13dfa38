// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"golang.org/x/sync/errgroup"

	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/livecopy"
	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// DeleteOptions of a Delete.
type DeleteOptions struct {
	// Volumes deletes the attendees' volumes as well.
	Volumes bool
	// Report is told in plain words what goes on. May be nil.
	Report func(message string)
}

// Deletion is what a Delete did.
type Deletion struct {
	// Deleted objects, in order; sessions' pods and claims among them.
	Deleted []record.Ref
	// Kept claims of attendees.
	Kept []record.Ref
}

// StuckError says what was not gone when the time ran out.
type StuckError struct {
	// Objects in words, each with the reason.
	Objects []string
	// Err of the context.
	Err error
}

func (e *StuckError) Error() string {
	return "still there: " + strings.Join(e.Objects, "; ")
}

// Unwrap returns the context's error: the deadline's or the interruption's.
func (e *StuckError) Unwrap() error { return e.Err }

var (
	podRef        = record.Ref{APIVersion: "v1", Kind: "Pod"}
	claimRef      = record.Ref{APIVersion: "v1", Kind: "PersistentVolumeClaim"}
	replicaSetRef = record.Ref{APIVersion: "apps/v1", Kind: "ReplicaSet"}
	controllerRef = record.Ref{APIVersion: "v1", Kind: "ReplicationController"}
)

// ComponentImageCheck marks the pods of preflight.TerminalImage, of which a
// workshopctl that was killed may have left one.
const ComponentImageCheck workshop.Component = "image-check"

// Delete takes a workshop away: the hub first, so that it starts no session
// again, then the sessions, then the rest by inventory, and waits until all is
// gone. The hub's volume goes with it: it holds who was logged in, and nothing
// that the attendees' volumes, which are found by the users' names, depend on.
// The record stays; delete it after this. The context's end gives a
// *StuckError that says what is left and why.
//
// It needs no hub that works, and no complete workshop; a Delete that was
// interrupted is finished by the next.
func (c *Client) Delete(ctx context.Context, n workshop.Names, inventory []record.Ref, o DeleteOptions) (Deletion, error) {
	d := deletion{Client: c, names: n, owner: replicaSetRef, report: o.Report}
	if slices.ContainsFunc(inventory, func(r record.Ref) bool { return r.Kind == "DeploymentConfig" }) {
		d.owner = controllerRef
	}
	if d.report == nil {
		d.report = func(string) {}
	}
	// Attendees' passwords come from no deploy, so no inventory has them.
	refs := append([]record.Ref{{APIVersion: "v1", Kind: "Secret", Name: n.Users()}}, inventory...)
	live, err := c.Read(ctx, refs)
	if err != nil {
		return d.done, err
	}
	ours := live.ours(n, refs)

	d.report("stopping the hub")
	if err := d.stop(ctx, ours, n.Hub(), workshop.ComponentHub); err != nil {
		return d.done, err
	}
	pods, err := d.list(ctx, podRef, workshop.ComponentSession)
	if err != nil {
		return d.done, err
	}
	if len(pods) > 0 {
		d.report(fmt.Sprintf("stopping %s", count(len(pods), "session")))
	}
	for _, component := range []workshop.Component{workshop.ComponentSession, ComponentImageCheck} {
		if err := d.deleteAll(ctx, podRef, component); err != nil {
			return d.done, err
		}
	}
	d.add(pods)
	d.report("deleting the rest")
	if err := d.stop(ctx, ours, n.Proxy(), workshop.ComponentProxy); err != nil {
		return d.done, err
	}
	for _, component := range []workshop.Component{workshop.ComponentSession, ComponentImageCheck} {
		if err := c.waitGone(ctx, podRef, metav1.ListOptions{LabelSelector: d.selector(component)}); err != nil {
			return d.done, err
		}
	}
	if err := d.deleteRest(ctx, ours); err != nil {
		return d.done, err
	}
	return d.done, d.volumes(ctx, o.Volumes)
}

// deletion is one Delete on its way.
type deletion struct {
	*Client
	names workshop.Names
	// owner is the kind that stands between the workload and its pods.
	owner  record.Ref
	report func(string)
	done   Deletion
}

func (d *deletion) selector(component workshop.Component) string {
	return labels.SelectorFromSet(d.names.Selector(component)).String()
}

func (d *deletion) add(objects []*unstructured.Unstructured) {
	d.done.Deleted = append(d.done.Deleted, record.RefsOf(objects)...)
}

// stop deletes a Deployment or DeploymentConfig and waits until no pod of it
// runs. What stands between it and the pods, and the pods, are deleted by name
// of the component as well: those that somebody has orphaned would run on, and
// the hub among them would start sessions. Without its ReplicationController a
// rollout that is under way can't start a pod either.
func (d *deletion) stop(ctx context.Context, ours []*unstructured.Unstructured, name string, component workshop.Component) error {
	for _, object := range ours {
		if object.GetName() != name || (object.GetKind() != "Deployment" && object.GetKind() != "DeploymentConfig") {
			continue
		}
		if err := d.deleteOne(ctx, object, nil); err != nil {
			return err
		}
		d.add([]*unstructured.Unstructured{object})
	}
	for _, ref := range []record.Ref{d.owner, podRef} {
		if err := d.deleteAll(ctx, ref, component); err != nil {
			return err
		}
	}
	return d.waitGone(ctx, podRef, metav1.ListOptions{LabelSelector: d.selector(component)})
}

func (d *deletion) list(ctx context.Context, kind record.Ref, component workshop.Component) ([]*unstructured.Unstructured, error) {
	list, err := d.resource(kind).List(ctx, metav1.ListOptions{LabelSelector: d.selector(component)})
	if err != nil {
		return nil, d.refusal(kind, "list", err)
	}
	objects := make([]*unstructured.Unstructured, len(list.Items))
	for i := range list.Items {
		objects[i] = &list.Items[i]
	}
	return objects, nil
}

func (d *deletion) deleteAll(ctx context.Context, kind record.Ref, component workshop.Component) error {
	background := metav1.DeletePropagationBackground
	err := d.resource(kind).DeleteCollection(ctx, metav1.DeleteOptions{PropagationPolicy: &background},
		metav1.ListOptions{LabelSelector: d.selector(component)})
	if err != nil && !apierrors.IsNotFound(err) {
		return d.refusal(kind, "delete", err)
	}
	return nil
}

// deleteRest deletes what hasn't been deleted yet, and waits for what doesn't
// go at once.
func (d *deletion) deleteRest(ctx context.Context, ours []*unstructured.Unstructured) error {
	var rest []*unstructured.Unstructured
	for _, object := range ours {
		if !slices.Contains(d.done.Deleted, record.RefOf(object)) {
			rest = append(rest, object)
		}
	}
	var group errgroup.Group
	group.SetLimit(parallel)
	for _, object := range rest {
		group.Go(func() error { return d.deleteOne(ctx, object, nil) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	d.add(rest)
	left, err := d.Read(ctx, record.RefsOf(ours))
	if err != nil {
		return err
	}
	for _, object := range ours {
		ref := record.RefOf(object)
		if now := left[ref]; now == nil || now.GetUID() != object.GetUID() {
			continue
		}
		if err := d.waitGone(ctx, ref, metav1.ListOptions{FieldSelector: "metadata.name=" + ref.Name}); err != nil {
			return err
		}
	}
	return nil
}

// volumes deletes or counts what the attendees have.
func (d *deletion) volumes(ctx context.Context, remove bool) error {
	claims, err := d.list(ctx, claimRef, workshop.ComponentSession)
	if err != nil || len(claims) == 0 {
		return err
	}
	if !remove {
		d.done.Kept = record.RefsOf(claims)
		return nil
	}
	d.report(fmt.Sprintf("deleting %s", count(len(claims), "volume")))
	if err := d.deleteAll(ctx, claimRef, workshop.ComponentSession); err != nil {
		return err
	}
	d.add(claims)
	return d.waitGone(ctx, claimRef, metav1.ListOptions{LabelSelector: d.selector(workshop.ComponentSession)})
}

// waitGone waits by watch until no object of the kind that the options select
// exists.
func (c *Client) waitGone(ctx context.Context, kind record.Ref, selection metav1.ListOptions) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m := livecopy.New()
	objects := livecopy.Add(m, c.resource(kind), &unstructured.Unstructured{}, selection, false)
	m.Run(ctx)
	for {
		select {
		case <-ctx.Done():
			e := &StuckError{Err: context.Cause(ctx)}
			for _, object := range objects.Items() {
				e.Objects = append(e.Objects, strings.ToLower(kind.Kind)+" "+object.GetName()+": "+stuck(object))
			}
			if len(e.Objects) == 0 {
				e.Objects = []string{fmt.Sprintf("perhaps some of kind %s: the API server did not answer in time", kind.Kind)}
			}
			return e
		case <-m.Changed():
			if err := m.Err(); err != nil {
				return c.refusal(kind, "watch", err)
			}
			if m.Synced() && len(objects.Items()) == 0 {
				return nil
			}
		}
	}
}

// stuck says why an object may not be gone.
func stuck(object *unstructured.Unstructured) string {
	if object.GetDeletionTimestamp() == nil {
		return "something has made it anew, or its deletion was refused"
	}
	finalizers := object.GetFinalizers()
	node, _, _ := unstructured.NestedString(object.Object, "spec", "nodeName")
	switch {
	case slices.Contains(finalizers, "kubernetes.io/pvc-protection"):
		return "a pod still uses the volume (finalizer kubernetes.io/pvc-protection)"
	case len(finalizers) > 0:
		return explain.Clean(fmt.Sprintf("waits for whoever set its finalizer %s; is that controller running?", strings.Join(finalizers, ", ")))
	case object.GetKind() == "Pod" && node != "":
		return explain.Clean(fmt.Sprintf("node %s has not said that it has stopped; if the node is gone for good: kubectl -n %s delete pod %s --force", node, object.GetNamespace(), object.GetName()))
	default:
		return "it is being deleted"
	}
}

func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
