// SPDX-License-Identifier: Apache-2.0

// Package preflight checks before a deploy what would go wrong in it: rights,
// namespace, quota, storage, and whether the cluster can pull the terminal
// image.
package preflight

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"

	"github.com/workshopctl/workshopctl/pkg/capability"
	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Input is what is to be deployed.
type Input struct {
	Namespace    string
	Spec         workshop.Spec
	Capabilities capability.Set
	// Objects as rendered.
	Objects []*unstructured.Unstructured
	// Existing says that the workshop runs already: its own use of the quota
	// is then not counted a second time.
	Existing bool
}

// Finding is what a check found wrong.
type Finding struct {
	// Warning is true where the deploy may go well nonetheless.
	Warning bool `json:"warning"`
	explain.Failure
}

// Check runs all checks but TerminalImage's, at once, and returns what they
// found. It writes nothing. Checks that need rights the caller doesn't have
// find nothing.
func Check(ctx context.Context, client kubernetes.Interface, in Input) ([]Finding, error) {
	return nil, errors.New("preflight: not written yet")
}

// TerminalImage has the cluster pull in.Spec.TerminalImage for a short-lived
// pod and returns the digest that it got ("sha256:…", or the runtime's own
// name of the image where it has no digest). report is told in plain words
// what goes on, and may be nil. The pod is deleted in all cases. Errors:
// *explain.Failure for a known cause, rollout's errors else.
func TerminalImage(ctx context.Context, client kubernetes.Interface, in Input, report func(message string)) (digest string, err error) {
	return "", errors.New("preflight: not written yet")
}
