// SPDX-License-Identifier: Apache-2.0

package users_test

import (
	"encoding/json"
	"errors"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/workshopctl/workshopctl/pkg/users"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

func set(name, hash string) func(map[string]string) {
	return func(all map[string]string) { all[name] = hash }
}

func TestPasswords(t *testing.T) {
	client := fake.NewClientset()
	p := users.PasswordsOf(client, "ns", "terminals")
	check := func(want map[string]string) {
		t.Helper()
		got, err := p.Read(t.Context())
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
	}
	change := func(f func(map[string]string)) {
		t.Helper()
		if err := p.Change(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	check(map[string]string{})
	change(func(map[string]string) {})
	if list, _ := client.CoreV1().Secrets("ns").List(t.Context(), metav1.ListOptions{}); len(list.Items) > 0 {
		t.Error("nothing was to be written, and a Secret was made")
	}
	change(set("jane", "a"))
	change(set("jim", "b"))
	check(map[string]string{"jane": "a", "jim": "b"})
	secret, err := client.CoreV1().Secrets("ns").Get(t.Context(), "terminals-users", metav1.GetOptions{})
	if err != nil || secret.Labels[workshop.LabelManagedBy] != workshop.ManagedBy || secret.Labels[workshop.LabelInstance] != "terminals" {
		t.Errorf("%v, %v: `delete` would leave it", err, secret)
	}
	if !json.Valid(secret.Data["passwords.json"]) {
		t.Errorf("the hub can't read %s", secret.Data["passwords.json"])
	}
	change(func(all map[string]string) { delete(all, "jane") })
	check(map[string]string{"jim": "b"})
}

// What somebody else writes at the same time stays.
func TestPasswordsConflict(t *testing.T) {
	client := fake.NewClientset()
	p := users.PasswordsOf(client, "ns", "terminals")
	if err := p.Change(t.Context(), set("jane", "a")); err != nil {
		t.Fatal(err)
	}
	tries := 0
	client.PrependReactor("update", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		if tries++; tries > 1 {
			return false, nil, nil
		}
		return true, nil, apierrors.NewConflict(corev1.Resource("secrets"), "terminals-users", errors.New("it has changed"))
	})
	seen := []map[string]string{}
	err := p.Change(t.Context(), func(all map[string]string) {
		seen = append(seen, maps.Clone(all))
		all["joe"] = "c"
	})
	if err != nil {
		t.Fatal(err)
	}
	// Read again after the conflict, and changed from what is there then.
	if diff := cmp.Diff([]map[string]string{{"jane": "a"}, {"jane": "a"}}, seen); diff != "" || tries != 2 {
		t.Errorf("%d tries\n%s", tries, diff)
	}
	got, err := p.Read(t.Context())
	if diff := cmp.Diff(map[string]string{"jane": "a", "joe": "c"}, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestForeignPasswords(t *testing.T) {
	client := fake.NewClientset(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "terminals-users"}})
	p := users.PasswordsOf(client, "ns", "terminals")
	var foreign *users.ForeignError
	if err := p.Change(t.Context(), set("jane", "a")); !errors.As(err, &foreign) {
		t.Errorf("a Secret of somebody else's: %v", err)
	}
}

// The hub's pods are touched, and no others.
func TestDeliver(t *testing.T) {
	pod := func(name string, n workshop.Names, c workshop.Component) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, Labels: n.Selector(c)}}
	}
	client := fake.NewClientset(pod("hub", "terminals", workshop.ComponentHub), pod("session", "terminals", workshop.ComponentSession), pod("other", "other", workshop.ComponentHub))
	if err := users.PasswordsOf(client, "ns", "terminals").Deliver(t.Context()); err != nil {
		t.Fatal(err)
	}
	pods, err := client.CoreV1().Pods("ns").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pods.Items {
		if touched := p.Annotations[users.ChangedAnnotation] != ""; touched != (p.Name == "hub") {
			t.Errorf("%s was touched: %v", p.Name, touched)
		}
	}
}
