// SPDX-License-Identifier: Apache-2.0

// Package apply brings the objects of a workshop into the cluster, shows what
// that would change, and takes them away again. It touches only objects that
// carry the workshop's labels.
package apply

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Client writes into one namespace.
type Client struct{}

// New returns a Client. The limits of the rest configuration behind client
// (QPS, Burst) should allow some 20 requests at once.
func New(client dynamic.Interface, namespace string) *Client { return &Client{} }

// Live is what exists in the cluster of the objects that were asked for.
type Live map[record.Ref]*unstructured.Unstructured

// Read gets the named objects, several at a time. Those that don't exist are
// not in the answer.
func (c *Client) Read(ctx context.Context, refs []record.Ref) (Live, error) {
	return nil, errors.New("apply: not written yet")
}

// Secret returns the values of the workshop's Secret, nil where it has none.
// For render.Input.Secret.
func (l Live) Secret(n workshop.Names) map[string][]byte { return nil }

// TerminalImage returns the image that new sessions get now, and the field
// manager that set it if that isn't workshopctl. Both are empty where there is
// no hub.
func (l Live) TerminalImage(n workshop.Names) (image, manager string) { return "", "" }

// CheckOwnership says whether all that exists carries the workshop's labels.
// The error is a *ForeignError. Ask before the first write.
func (l Live) CheckOwnership(n workshop.Names) error { return errors.New("apply: not written yet") }

// Foreign is an object that the workshop would need the name of.
type Foreign struct {
	Ref record.Ref
	// Owner in words: `Helm release "x"`, `workshop y`, `kubectl-create`.
	Owner string
}

// ForeignError lists the objects that exist and aren't the workshop's.
type ForeignError struct {
	Workshop, Namespace string
	Objects             []Foreign
}

func (e *ForeignError) Error() string { return "" }

// Conflict is a field of an object that another manager has set.
type Conflict struct {
	Manager string
	Field   string
}

// ConflictError says that an object's fields were changed by another manager
// to other values than the workshop's. Nothing of the object was written.
type ConflictError struct {
	Ref       record.Ref
	Namespace string
	Conflicts []Conflict
}

func (e *ConflictError) Error() string { return "" }

// RightsError says that the caller may not write an object.
type RightsError struct {
	Ref       record.Ref
	Namespace string
	// Missing rights in words, where the API server said which.
	Missing []string
	Err     error
}

func (e *RightsError) Error() string { return "" }
func (e *RightsError) Unwrap() error { return e.Err }

// Options of an Apply.
type Options struct {
	// DryRun has the API server check and answer everything without keeping
	// it.
	DryRun bool
	// TakeTerminalImage overwrites the hub's TERMINAL_IMAGE even where another
	// manager set it. No other field is ever taken.
	TakeTerminalImage bool
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
	Deleted    Action = "deleted"
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

// Apply writes the objects by server-side apply under the field manager
// workshopctl. live is what Read found of them. The results come in the order
// of the objects; with an error, those that were written so far. Errors:
// *ConflictError, *RightsError, or the API's with the object's name.
func (c *Client) Apply(ctx context.Context, objects []*unstructured.Unstructured, live Live, o Options) ([]Result, error) {
	return nil, errors.New("apply: not written yet")
}

// Prune deletes what the inventory lists and objects doesn't have, if it still
// carries the workshop's labels. Claims of volumes are kept, and a Note says
// how to delete them.
func (c *Client) Prune(ctx context.Context, n workshop.Names, inventory []record.Ref, objects []*unstructured.Unstructured, o Options) ([]Result, error) {
	return nil, errors.New("apply: not written yet")
}

// Difference is what an Apply and a Prune would change on one object.
type Difference struct {
	Ref    record.Ref
	Action Action
	// Unified diff of the object as YAML, without what the API server keeps
	// for itself, secret values masked.
	Unified string
}

// Diff says what Apply and Prune would change, in the order of the objects.
// Unchanged objects are left out, so an empty answer means no change.
func (c *Client) Diff(ctx context.Context, n workshop.Names, objects []*unstructured.Unstructured, live Live, inventory []record.Ref, o Options) ([]Difference, error) {
	return nil, errors.New("apply: not written yet")
}

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

// Delete takes a workshop away: the hub first, so that it starts no session
// again, then the sessions, then the rest by inventory, the hub's database
// among it, and waits until all is gone. The record stays; delete it after
// this. The context's end gives a *StuckError that says what is left and why.
func (c *Client) Delete(ctx context.Context, n workshop.Names, inventory []record.Ref, o DeleteOptions) (Deletion, error) {
	return Deletion{}, errors.New("apply: not written yet")
}

// StuckError says what was not gone when the time ran out.
type StuckError struct {
	// Objects in words, each with the reason: "pod terminals--jane: its node n1
	// does not answer".
	Objects []string
	// Err of the context.
	Err error
}

func (e *StuckError) Error() string { return "" }
func (e *StuckError) Unwrap() error { return e.Err }
