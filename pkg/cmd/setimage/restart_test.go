// SPDX-License-Identifier: Apache-2.0

package setimage

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/rollout"
	"github.com/workshopctl/workshopctl/pkg/session"
)

func TestOutcome(t *testing.T) {
	list := []session.Session{{User: "ann"}, {User: "bob"}, {User: "cleo"}}
	pull := &explain.Failure{Code: explain.ImageNotFound, Object: "pod terminals--ann", Cause: "the registry has no such image: x"}
	late := &rollout.TimeoutError{Missing: []string{"session: starting"}}
	for name, test := range map[string]struct {
		errs []error
		want string
		code int
	}{
		"all well": {[]error{nil, nil, nil}, "", fault.OK},
		"one":      {[]error{pull, nil, nil}, "1 of 3 running sessions did not get ready\nsession of ann: pod terminals--ann: the registry has no such image: x", fault.NotReady},
		"one and late ones": {[]error{errors.New("no room"), late, context.DeadlineExceeded},
			"1 of 3 running sessions did not get ready\nsession of ann: no room\nnot ready yet: bob, cleo: context deadline exceeded", fault.TimedOut},
		"Ctrl-C": {[]error{nil, context.Canceled, fmt.Errorf("x: %w", context.Canceled)}, "not ready yet: bob, cleo: interrupted: context canceled", fault.Interrupted},
	} {
		err := outcome(list, test.errs)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != test.want || fault.Code(err) != test.code {
			t.Errorf("%s: %q, exit code %d; want %q, %d", name, got, fault.Code(err), test.want, test.code)
		}
	}
}
