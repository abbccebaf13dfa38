// SPDX-License-Identifier: Apache-2.0

package fault_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/workshopctl/workshopctl/pkg/apply"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/rollout"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

func TestCode(t *testing.T) {
	field := &workshop.FieldError{Field: "auth"}
	for name, test := range map[string]struct {
		err  error
		want int
	}{
		"none":                      {nil, 0},
		"any":                       {errors.New("x"), 1},
		"field":                     {field, 2},
		"fields":                    {errors.Join(field, field), 2},
		"usage":                     {fault.Usage("x"), 2},
		"known cause":               {&explain.Failure{}, 3},
		"timeout of a rollout":      {&rollout.TimeoutError{}, 4},
		"timeout of a request":      {context.DeadlineExceeded, 4},
		"timeout of a delete":       {&apply.StuckError{Err: context.DeadlineExceeded}, 4},
		"foreign object":            {&apply.ForeignError{}, 5},
		"foreign record":            {&record.ForeignError{}, 5},
		"another manager":           {&apply.ConflictError{}, 5},
		"another trainer":           {&record.ConflictError{}, 5},
		"no yes":                    {fault.Refuse("", "x"), 5},
		"Ctrl-C":                    {context.Canceled, 130},
		"Ctrl-C during a delete":    {&apply.StuckError{Err: context.Canceled}, 130},
		"silent":                    {fault.SilentError(1), 1},
		"a code that is given":      {&fault.Error{Code: 2, Err: errors.New("x")}, 2},
		"a code within a hint":      {fault.Hint(fault.Usage("x"), "y"), 2},
		"a known cause in a hint":   {fault.Hint(&explain.Failure{}, "y"), 3},
		"a code over a known cause": {&fault.Error{Code: 2, Err: &explain.Failure{}}, 2},
	} {
		for _, err := range []error{test.err, fmt.Errorf("deploy x: %w", test.err)} {
			if test.err == nil && err != nil {
				continue
			}
			if got := fault.Code(err); got != test.want {
				t.Errorf("%s: %d, want %d", name, got, test.want)
			}
		}
	}
}

func TestWrite(t *testing.T) {
	refused := &url.Error{Op: "Get", URL: "https://10.0.0.1:6443/api?x", Err: &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}}
	for name, test := range map[string]struct {
		err  error
		want []string
	}{
		"nothing": {},
		"silent":  {err: fault.SilentError(1)},
		"hint":    {fault.Hint(errors.New("x"), "Do y."), []string{"Error: x", "Do y."}},
		"hint within a hint that says nothing": {
			fault.Hint(fault.Hint(errors.New("x"), "Do y."), ""), []string{"Error: x", "Do y."},
		},
		"several": {fmt.Errorf("deploy x: %w", errors.Join(errors.New("a"), errors.New("b"))), []string{"Error: deploy x: a", "  b"}},
		"known cause": {
			fmt.Errorf("deploy x: %w", &explain.Failure{Object: "pod p", Cause: "no such image", Evidence: []string{"not found", "two\nlines"}, Remedy: "name another with --terminal-image"}),
			[]string{"Error: deploy x: pod p: no such image", "  not found", "  two", "  lines", "Name another with --terminal-image."},
		},
		"no answer": {
			fmt.Errorf("list: %w", refused),
			[]string{"Error: list: the cluster at https://10.0.0.1:6443 does not answer: dial tcp: connection refused", "Check that this machine reaches the cluster (VPN, proxy), and that --context names the right one."},
		},
		"timeout": {
			fmt.Errorf("deploy x: %w", &rollout.TimeoutError{Missing: []string{"hub: starting", "proxy: starting"}}),
			[]string{"Error: deploy x: the time is up; not ready yet:", "  hub: starting", "  proxy: starting"},
		},
		"Ctrl-C": {fmt.Errorf("deploy x: interrupted: %w", context.Canceled), []string{"Error: deploy x: interrupted"}},
		"forbidden": {
			apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "p", errors.New("no")),
			[]string{`Error: pods "p" is forbidden: no`, "Your user lacks that right here. Choose the namespace with -n, or ask its owner for the role admin in it."},
		},
		"control sequences": {errors.New("a\x1b[31mb\x07"), []string{"Error: ab"}},
		"the name typed":    {fault.Hint(errors.New("x"), "Try: workshopctl deploy"), []string{"Error: x", "Try: oc workshop deploy"}},
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			fault.Write(&b, test.err, strings.NewReplacer("workshopctl ", "oc workshop ").Replace)
			want := ""
			if len(test.want) > 0 {
				want = strings.Join(test.want, "\n") + "\n"
			}
			if diff := cmp.Diff(want, b.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
