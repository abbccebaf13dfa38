// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Foreign is an object that the workshop would need the name of.
type Foreign struct {
	Ref record.Ref
	// Owner in words: `Helm release "x"`, `workshop "y"`, `kubectl-create`.
	// Empty where the object doesn't say.
	Owner string
}

// ForeignError lists the objects that exist and aren't the workshop's.
type ForeignError struct {
	Workshop, Namespace string
	Objects             []Foreign
}

func (e *ForeignError) Error() string {
	names := make([]string, len(e.Objects))
	for i, o := range e.Objects {
		names[i] = o.Ref.String()
		if o.Owner != "" {
			names[i] += " (belongs to " + explain.Clean(o.Owner) + ")"
		}
	}
	return fmt.Sprintf("workshop %q needs names that others use in namespace %q: %s; nothing was changed: choose another name for the workshop, or delete these objects if nobody needs them",
		e.Workshop, e.Namespace, strings.Join(names, ", "))
}

func compareRefs(a, b record.Ref) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
}

// Conflict is a field of an object that another manager has set.
type Conflict struct {
	// Manager is the program, as it calls itself: "kubectl-edit", "argocd".
	Manager string
	// Field as a path: `.spec.replicas`.
	Field string
}

// ConflictError says that an object's fields were changed by another manager
// to other values than the workshop's. Nothing of the object was written.
type ConflictError struct {
	Ref       record.Ref
	Namespace string
	Conflicts []Conflict
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s in namespace %q was changed by others to other values than the workshop's: %s; nothing of it was written: set these fields back to the workshop's values (the command diff shows them), and stop %s from changing them",
		e.Ref, e.Namespace, e.fields(), strings.Join(e.managers(), " and "))
}

func (e *ConflictError) fields() string {
	fields := make([]string, len(e.Conflicts))
	for i, c := range e.Conflicts {
		fields[i] = c.Field + " by " + c.Manager
	}
	return strings.Join(fields, ", ")
}

func (e *ConflictError) managers() []string {
	var names []string
	for _, c := range e.Conflicts {
		if !slices.Contains(names, c.Manager) {
			names = append(names, c.Manager)
		}
	}
	return names
}

// onlyTerminalImage says whether the terminal image is all that there is
// conflict about.
func (e *ConflictError) onlyTerminalImage() bool {
	field := func(variable string) string {
		return `.spec.template.spec.containers[name="` + hubContainer + `"].env[name="` + variable + `"].value`
	}
	return len(e.Conflicts) > 0 && !slices.ContainsFunc(e.Conflicts, func(c Conflict) bool {
		return c.Field != field(workshop.EnvTerminalImage) && c.Field != field(workshop.EnvImageStream)
	})
}

var conflictManager = regexp.MustCompile(`conflict with "([^"]*)"`)

func (c *Client) conflict(ref record.Ref, err error) *ConflictError {
	e := &ConflictError{Ref: ref, Namespace: c.namespace}
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return e
	}
	for _, cause := range status.Status().Details.Causes {
		if cause.Type != metav1.CauseTypeFieldManagerConflict {
			continue
		}
		manager := cause.Message
		if m := conflictManager.FindStringSubmatch(cause.Message); m != nil {
			manager = m[1]
		}
		e.Conflicts = append(e.Conflicts, Conflict{Manager: explain.Clean(manager), Field: explain.Clean(cause.Field)})
	}
	return e
}

// RightsError says that the caller may not do something with an object.
type RightsError struct {
	// Verb in words: "apply", "delete", "read".
	Verb      string
	Ref       record.Ref
	Namespace string
	// Missing rights in words, where the API server said which: "get nodes".
	Missing []string
	// Escalation is true where the caller may write Roles, but not one with
	// rights that it doesn't have itself.
	Escalation bool
	Err        error
}

func (e *RightsError) Error() string {
	missing := strings.Join(e.Missing, ", ")
	if e.Escalation {
		return fmt.Sprintf("%s %s in namespace %q: the hub needs rights that you don't have and so can't give: %s; ask an administrator of the cluster to bind you to the ClusterRole admin in this namespace, or to apply the Role and RoleBinding for you",
			e.Verb, e.Ref, e.Namespace, missing)
	}
	return fmt.Sprintf("%s %s in namespace %q: you lack the right to %s; ask an administrator of the cluster to bind you to the ClusterRole admin in this namespace",
		e.Verb, e.Ref, e.Namespace, missing)
}

// Unwrap returns the API's error.
func (e *RightsError) Unwrap() error { return e.Err }

var (
	// Both texts are the API server's own: RBAC's authorizer and its
	// escalation check (PolicyRule.CompactString).
	cannot = regexp.MustCompile(`cannot (\S+) resource "([^"]*)" in API group "([^"]*)"`)
	rule   = regexp.MustCompile(`\{APIGroups:\[([^\]]*)\], Resources:\[([^\]]*)\](?:, [A-Za-z]+:\[[^\]]*\])*?, Verbs:\[([^\]]*)\]\}`)
)

// refusal turns an API error into one that says what to do about it.
func (c *Client) refusal(ref record.Ref, verb string, err error) error {
	message := err.Error()
	if apierrors.IsForbidden(err) {
		e := &RightsError{Verb: verb, Ref: ref, Namespace: c.namespace, Err: err}
		if strings.Contains(message, "attempting to grant RBAC permissions not currently held") {
			e.Escalation = true
			for _, m := range rule.FindAllStringSubmatch(message, -1) {
				e.Missing = append(e.Missing, strings.ReplaceAll(plainList(m[3]), ", ", "/")+" "+plainList(m[2]))
			}
			if len(e.Missing) == 0 {
				e.Missing = []string{explain.Clean(message)}
			}
			return e
		}
		if m := cannot.FindStringSubmatch(message); m != nil {
			e.Missing = []string{m[1] + " " + m[2]}
			return e
		}
	}
	if f := explain.Refusal(ref.String(), message); f != nil {
		return f
	}
	return fmt.Errorf("%s %s in namespace %q: %w", verb, ref, c.namespace, err)
}

// plainList writes `"get" "list"` as `get, list`.
func plainList(quoted string) string {
	return strings.ReplaceAll(strings.ReplaceAll(quoted, `" "`, ", "), `"`, "")
}
