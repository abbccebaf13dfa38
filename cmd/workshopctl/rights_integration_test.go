// SPDX-License-Identifier: Apache-2.0

//go:build integration

package main

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// applyAsAdmin does with printed objects what `kubectl apply -f -` does.
func (tr *trainer) applyAsAdmin(documents string) (kinds []string) {
	tr.t.Helper()
	for document := range strings.SplitSeq(documents, "\n---\n") {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &o.Object); err != nil {
			tr.t.Fatal(err)
		}
		plural, _ := meta.UnsafeGuessKindToResource(o.GroupVersionKind())
		if _, err := tr.Admin.Dynamic.Resource(plural).Namespace(tr.Namespace).Apply(tr.t.Context(), o.GetName(), o, metav1.ApplyOptions{FieldManager: "kubectl", Force: true}); err != nil {
			tr.t.Fatal(err)
		}
		kinds = append(kinds, o.GetKind())
	}
	return kinds
}

// Who may edit a namespace but not make Roles deploys with an account that an
// administrator has prepared, and is told how before anything is written.
func TestEditor(t *testing.T) {
	tr, _ := newTrainer(t)
	tr.actAs(tr.Bound(t, "edit"))
	before := tr.versions()
	tr.fails(1, []string{"deploy terminals: you lack the right to make a Role", "nothing was written",
		"workshopctl render --admin --workshop terminals -n " + tr.Namespace, "--service-account terminals-hub"}, append([]string{"deploy"}, deployable...)...)
	if after := tr.versions(); len(after) != len(before) {
		t.Errorf("written: %v", after)
	}
	with := append([]string{"deploy", "--service-account", "terminals-hub"}, deployable...)
	tr.fails(3, []string{"--service-account names an account that does not exist", "workshopctl render --admin"}, with...)

	kinds := tr.applyAsAdmin(tr.run("render", "--admin", "--workshop", "terminals"))
	if got := strings.Join(kinds, " "); got != "ServiceAccount Role RoleBinding" {
		t.Errorf("prepared: %s", got)
	}
	tr.run(with...)
	// It is kept like every other choice, and stays when the workshop goes.
	tr.run("deploy", "--idle-timeout", "3h", "--skip-image-check")
	tr.run("delete", "terminals", "--yes")
	if _, err := tr.Admin.Kubernetes.CoreV1().ServiceAccounts(tr.Namespace).Get(t.Context(), "terminals-hub", metav1.GetOptions{}); err != nil {
		t.Errorf("after the delete: %v", err)
	}

	// An administrator who deploys doesn't take over what was prepared.
	tr.actAs(tr.Trainer)
	tr.fails(5, []string{"needs names that others use", "serviceaccount/terminals-hub"}, append([]string{"deploy"}, deployable...)...)
}

// The account that a workshop has of its own isn't one to run it by.
func TestOwnAccount(t *testing.T) {
	tr, _ := newTrainer(t)
	tr.run(append([]string{"deploy"}, deployable...)...)
	tr.fails(1, []string{"terminals-hub is the workshop's own", "Leave --service-account out"}, "deploy", "--service-account", "terminals-hub", "--skip-image-check")
	tr.applyAsAdmin(tr.run("render", "--admin"))
	tr.run("deploy", "--service-account", "terminals-hub", "--skip-image-check")
	if _, err := tr.Admin.Kubernetes.RbacV1().Roles(tr.Namespace).Get(t.Context(), "terminals-hub", metav1.GetOptions{}); err != nil {
		t.Errorf("the role is gone: %v", err)
	}
}

// A workshop that was applied by other means is named, left alone, and taken
// over when that is asked for.
func TestUnrecorded(t *testing.T) {
	tr, _ := newTrainer(t)
	tr.applyAsAdmin(tr.run(append([]string{"render"}, deployable[:6]...)...))
	for _, args := range [][]string{{"status"}, {"url"}, {"delete", "terminals", "--yes"}} {
		tr.fails(1, []string{"has a workshop terminals, but no record of it", "--take-ownership"}, args...)
	}
	if r := tr.try("list"); r.code != 0 || !strings.Contains(r.stderr, "keeps no record of it") || strings.Contains(r.stderr, "has no workshop") {
		t.Errorf("list: %+v", r)
	}
	before := tr.versions()
	deploy := append([]string{"deploy", "--memory-limit", "1Gi"}, deployable...)
	tr.fails(5, []string{"no record of it; nothing was written"}, deploy...)
	if after := tr.versions(); len(after) != len(before) {
		t.Errorf("written: %v", after)
	}
	tr.run(append(deploy, "--take-ownership")...)
	if out := tr.run("list"); !strings.Contains(out, "terminals") {
		t.Errorf("list: %s", out)
	}
	// From now on it is like any other.
	tr.run("deploy", "--skip-image-check")
	tr.run("delete", "terminals", "--yes")
}
