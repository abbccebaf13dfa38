// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/record"
)

// Workshop returns the record of the workshop of that name, or of the only one
// of the namespace if the name is empty. It is one request.
func (f *Factory) Workshop(ctx context.Context, c *Cluster, name string) (*record.Record, error) {
	store := f.Records(c)
	if name != "" {
		r, err := store.Load(ctx, name)
		return r, f.notFound(ctx, c, err)
	}
	records, err := store.List(ctx)
	if len(records) == 0 && err != nil {
		return nil, err
	}
	names := make([]string, len(records))
	for i, r := range records {
		names[i] = r.Spec.Name
	}
	switch {
	case len(records) == 1 && err == nil:
		return records[0], nil
	case len(records) == 0:
		return nil, f.notFound(ctx, c, &record.NotFoundError{Namespace: c.Namespace})
	case err != nil:
		return nil, fault.Hint(err, "Choose another workshop with --workshop: "+strings.Join(names, ", "))
	}
	return nil, &fault.Error{
		Code: fault.BadUsage,
		Err:  fmt.Errorf("namespace %s has %d workshops: %s", c.Namespace, len(names), strings.Join(names, ", ")),
		Hint: "Choose one with --workshop NAME.",
	}
}

// missing is record.NotFoundError in this command line's words.
type missing struct{ *record.NotFoundError }

func (m missing) Error() string {
	return strings.TrimSpace(fmt.Sprintf("namespace %s has no workshop %s", m.Namespace, m.Name))
}
func (m missing) Unwrap() error { return m.NotFoundError }

// notFound says how to get a workshop where there is none, or none of ours.
func (f *Factory) notFound(ctx context.Context, c *Cluster, err error) error {
	var e *record.NotFoundError
	if !errors.As(err, &e) {
		return err
	}
	for _, name := range f.Unrecorded(ctx, c, nil) {
		if e.Name == "" || e.Name == name {
			return fault.Hint(unrecorded{&record.NotFoundError{Namespace: e.Namespace, Name: name}}, f.UnrecordedHint(name))
		}
	}
	hint := "`workshopctl list` shows those that there are; -n chooses another namespace."
	if e.Name == "" {
		hint = "Deploy one: workshopctl deploy --terminal-image IMAGE\nOr choose another namespace with -n."
	}
	return fault.Hint(missing{e}, hint)
}

// IsNotFound says whether the error is that of a workshop which isn't there.
func IsNotFound(err error) bool {
	var e *record.NotFoundError
	return errors.As(err, &e)
}
