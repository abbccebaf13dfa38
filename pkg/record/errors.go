// SPDX-License-Identifier: Apache-2.0

package record

import (
	"fmt"
	"strings"
	"time"
)

// NotFoundError says that there is no such workshop.
type NotFoundError struct{ Namespace, Name string }

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("there is no workshop %q in namespace %q", e.Name, e.Namespace)
}

// ForeignError says that the ConfigMap of the record's name exists and isn't
// a record.
type ForeignError struct{ Namespace, Name, ConfigMap string }

func (e *ForeignError) Error() string {
	return fmt.Sprintf("configmap %q in namespace %q exists and is no record of workshop %q (its labels say so); choose another name for the workshop, or delete the configmap if nobody needs it", e.ConfigMap, e.Namespace, e.Name)
}

// UnreadableError says that this version of workshopctl can't read a record,
// nearly always because a later one wrote it.
type UnreadableError struct {
	Namespace, Name string
	// Version of workshopctl that wrote it, as far as it is known.
	Version string
	// Problem that this version has with it.
	Problem string
}

func (e *UnreadableError) Error() string {
	by := ""
	if e.Version != "" {
		by = fmt.Sprintf(", written by workshopctl %s", e.Version)
	}
	return fmt.Sprintf("the record of workshop %q in namespace %q%s, can't be read by this version of workshopctl: %s; use the version that wrote it, or a later one",
		e.Name, e.Namespace, by, e.Problem)
}

// ConflictError says that somebody else changed the workshop meanwhile.
type ConflictError struct {
	Namespace, Name string
	// Theirs is the revision that was written meanwhile; nil where the
	// workshop was deleted, or changed without a new revision.
	Theirs *Revision
	// Deleted is true where the workshop was deleted meanwhile.
	Deleted bool
}

func (e *ConflictError) Error() string {
	var b strings.Builder
	switch t := e.Theirs; {
	case e.Deleted:
		fmt.Fprintf(&b, "workshop %q in namespace %q was deleted", e.Name, e.Namespace)
	case t == nil:
		fmt.Fprintf(&b, "workshop %q in namespace %q is being changed by somebody else", e.Name, e.Namespace)
	default:
		fmt.Fprintf(&b, "workshop %q in namespace %q was changed", e.Name, e.Namespace)
		if t.Author != "" {
			fmt.Fprintf(&b, " by %s", t.Author)
		}
		fmt.Fprintf(&b, " at %s", t.Time.Format(time.RFC3339))
		if t.Cause != "" {
			fmt.Fprintf(&b, " (revision %d: %s)", t.Number, t.Cause)
		} else {
			fmt.Fprintf(&b, " (revision %d)", t.Number)
		}
	}
	b.WriteString(" while this command ran; look at the workshop and run the command again if it is still wanted")
	return b.String()
}
