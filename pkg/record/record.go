// SPDX-License-Identifier: Apache-2.0

// Package record keeps what is known of a workshop in the cluster: the Spec as
// last deployed, the Specs before it, and the list of the objects that may
// exist. It is one ConfigMap (workshop.Names.Record), because namespace admins
// may write those everywhere.
//
// The record is written before the objects it speaks of, so that whatever
// interrupts a deploy, the next command knows what may be there.
package record

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"

	"github.com/workshopctl/workshopctl/pkg/workshop"
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
func RefsOf(objects []*unstructured.Unstructured) []Ref { return nil }

// String writes a Ref as kubectl does: deployment.apps/terminals.
func (r Ref) String() string { return "" }

// Revision is one Spec that was deployed.
type Revision struct {
	Number int `json:"revision"`
	// Time of the deploy, in UTC and whole seconds.
	Time time.Time `json:"time"`
	// Author is the user name that the cluster knows the deployer by; empty
	// where the cluster didn't say. Save fills it in.
	Author string `json:"author,omitempty"`
	// Cause is the command that deployed, without secrets (CommandLine).
	Cause string        `json:"cause,omitempty"`
	Spec  workshop.Spec `json:"spec"`
}

// Record is what the cluster remembers of one workshop.
type Record struct {
	// Spec as last deployed (or about to be), defaults filled in.
	Spec workshop.Spec
	// History of the Specs, oldest first; the last one is Spec's.
	History []Revision
	// Inventory lists the objects that may exist, in the order of application.
	Inventory []Ref
}

// New starts the record of a workshop that has none.
func New() *Record { return &Record{} }

// Revision returns the number of the current Spec, 0 before the first.
func (r *Record) Revision() int { return 0 }

// Begin puts down the intent to deploy a Spec whose objects are those given:
// a new revision if the Spec differs from the last one, and an inventory with
// the old objects and the new. Save it before the first object is written.
func (r *Record) Begin(spec workshop.Spec, objects []Ref, cause string, now time.Time) {}

// Finish puts down that nothing but the objects given can exist any more; save
// it after the prune. kept are objects that the Spec no longer wants and that
// were left alone nonetheless (volumes).
func (r *Record) Finish(objects, kept []Ref) {}

// CommandLine writes a command with what may be secret in it masked: values
// of --env, and passwords in URLs.
func CommandLine(args []string) string { return "" }

// Store reads and writes the records of a namespace.
type Store struct{}

// NewStore returns the store of a namespace. version is workshopctl's own.
func NewStore(client kubernetes.Interface, namespace, version string) *Store { return &Store{} }

// Load reads the record of a workshop. Errors: *NotFoundError, *ForeignError,
// *NewerError, or the API's.
func (s *Store) Load(ctx context.Context, name string) (*Record, error) {
	return nil, errors.New("record: not written yet")
}

// List reads all records of the namespace in one request, by name. Records
// that this version can't read come as an error joined of one per workshop,
// beside those that it can.
func (s *Store) List(ctx context.Context) ([]*Record, error) {
	return nil, errors.New("record: not written yet")
}

// Save writes a record that Load or New returned. It writes nothing if nothing
// has changed. If somebody else wrote it since it was loaded, the error is a
// *ConflictError and nothing was written.
func (s *Store) Save(ctx context.Context, r *Record) error {
	return errors.New("record: not written yet")
}

// Delete removes a record, last of all; one that is gone is no error.
func (s *Store) Delete(ctx context.Context, r *Record) error {
	return errors.New("record: not written yet")
}

// NotFoundError says that there is no such workshop.
type NotFoundError struct{ Namespace, Name string }

func (e *NotFoundError) Error() string { return "" }

// ForeignError says that the record's ConfigMap exists and isn't a record.
type ForeignError struct{ Namespace, Name string }

func (e *ForeignError) Error() string { return "" }

// NewerError says that a later version of workshopctl wrote the record.
type NewerError struct {
	Name string
	// Version of workshopctl that wrote it, as far as it is known.
	Version string
	// Problem that this version has with it.
	Problem string
}

func (e *NewerError) Error() string { return "" }

// ConflictError says that somebody else changed the workshop meanwhile.
type ConflictError struct {
	Name string
	// Theirs is the revision that was written meanwhile; nil where the
	// workshop was deleted, or changed without a new revision.
	Theirs *Revision
}

func (e *ConflictError) Error() string { return "" }
