// SPDX-License-Identifier: Apache-2.0

package record

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/workshopctl/workshopctl/pkg/workshop"
)

const namespace = "spring"

var (
	now        = time.Date(2026, 3, 1, 9, 30, 0, 5000, time.FixedZone("CET", 3600))
	deployment = Ref{APIVersion: "apps/v1", Kind: "Deployment", Name: "terminals"}
	service    = Ref{APIVersion: "v1", Kind: "Service", Name: "terminals-hub"}
	claim      = Ref{APIVersion: "v1", Kind: "PersistentVolumeClaim", Name: "terminals-hub"}
)

func spec(image string) workshop.Spec {
	s := workshop.Spec{TerminalImage: image, GatewayImage: "gateway:1"}.WithDefaults(workshop.Images{Hub: "hub:1", Proxy: "proxy:1"})
	s.Labels = map[string]string{"course": "go"}
	return s
}

// cluster is a fake one that knows who asks.
func cluster() *fake.Clientset {
	client := fake.NewClientset()
	client.PrependReactor("create", "selfsubjectreviews", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, &authenticationv1.SelfSubjectReview{Status: authenticationv1.SelfSubjectReviewStatus{
			UserInfo: authenticationv1.UserInfo{Username: "jane"}}}, nil
	})
	return client
}

func writes(client *fake.Clientset) (verbs []string) {
	for _, a := range client.Actions() {
		if a.GetResource().Resource == "configmaps" && a.GetVerb() != "get" && a.GetVerb() != "list" {
			verbs = append(verbs, a.GetVerb())
		}
	}
	return verbs
}

func begin(t *testing.T, r *Record, s workshop.Spec, objects ...Ref) {
	t.Helper()
	if err := r.Begin(s, objects, "workshopctl deploy", now); err != nil {
		t.Fatal(err)
	}
}

func TestSaveAndLoad(t *testing.T) {
	ctx := t.Context()
	client := cluster()
	store := NewStore(client, namespace, "v0.1.0+dirty")
	r := New()
	begin(t, r, spec("image:1"), service, deployment)
	if err := store.Save(ctx, r); err != nil {
		t.Fatal(err)
	}
	got, err := store.Load(ctx, "terminals")
	if err != nil {
		t.Fatal(err)
	}
	want := []Revision{{Number: 1, Time: time.Date(2026, 3, 1, 8, 30, 0, 0, time.UTC), Author: "jane", Cause: "workshopctl deploy", Spec: spec("image:1")}}
	if d := cmp.Diff(want, got.History); d != "" {
		t.Error("history (-want +got):\n" + d)
	}
	if d := cmp.Diff([]Ref{service, deployment}, got.Inventory); d != "" {
		t.Error("inventory (-want +got):\n" + d)
	}
	if d := cmp.Diff(spec("image:1"), got.Spec); d != "" {
		t.Error("spec (-want +got):\n" + d)
	}

	// The same once more: a new revision would be wrong, and so would a write.
	begin(t, got, spec("image:1"), service, deployment)
	got.Finish([]Ref{service, deployment}, nil)
	if err := store.Save(ctx, got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"create"}, writes(client)); d != "" {
		t.Error("an unchanged record was written (-want +got):\n" + d)
	}
	if got.Revision() != 1 {
		t.Errorf("revision %d of an unchanged Spec", got.Revision())
	}

	begin(t, got, spec("image:2"), deployment)
	if got.Revision() != 2 {
		t.Errorf("revision %d of the second Spec", got.Revision())
	}
	if d := cmp.Diff([]Ref{deployment, service}, got.Inventory); d != "" {
		t.Error("the inventory of an intent holds old and new objects (-want +got):\n" + d)
	}
	got.Finish([]Ref{deployment}, []Ref{claim})
	if d := cmp.Diff([]Ref{deployment, claim}, got.Inventory); d != "" {
		t.Error("the inventory after the prune (-want +got):\n" + d)
	}
}

func TestLabelsFollowTheSpec(t *testing.T) {
	ctx := t.Context()
	client := cluster()
	store := NewStore(client, namespace, "v0.1.0+dirty")
	r := New()
	begin(t, r, spec("image:1"))
	if err := store.Save(ctx, r); err != nil {
		t.Fatal(err)
	}
	cm, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, "terminals-workshop", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cm.Labels["theirs"] = "stays"
	if _, err := client.CoreV1().ConfigMaps(namespace).Update(ctx, cm, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if r, err = store.Load(ctx, "terminals"); err != nil {
		t.Fatal(err)
	}
	next := spec("image:1")
	next.Labels = map[string]string{"term": "spring"}
	begin(t, r, next)
	if err := store.Save(ctx, r); err != nil {
		t.Fatal(err)
	}
	cm, err = client.CoreV1().ConfigMaps(namespace).Get(ctx, "terminals-workshop", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := workshop.Names("terminals").Labels(workshop.ComponentRecord)
	want["theirs"], want["term"], want[workshop.LabelVersion] = "stays", "spring", "v0.1.0_dirty"
	if d := cmp.Diff(want, cm.Labels); d != "" {
		t.Error("labels (-want +got):\n" + d)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	ctx := t.Context()
	store := NewStore(cluster(), namespace, "v0.1.0")
	r := New()
	for i := range MaxHistory + 5 {
		begin(t, r, spec(fmt.Sprintf("image:%d", i)))
	}
	if len(r.History) != MaxHistory || r.History[0].Number != 6 || r.Revision() != 15 {
		t.Errorf("%d revisions from %d to %d", len(r.History), r.History[0].Number, r.Revision())
	}
	// Large Specs: as many revisions as there is room for.
	r = New()
	for i := range 5 {
		s := spec(fmt.Sprintf("image:%d", i))
		s.Env = map[string]string{"BIG": strings.Repeat("x", 200<<10)}
		begin(t, r, s)
	}
	if err := store.Save(ctx, r); err != nil {
		t.Fatal(err)
	}
	got, err := store.Load(ctx, "terminals")
	if err != nil {
		t.Fatal(err)
	}
	if len(got.History) != 3 || got.Revision() != 5 {
		t.Errorf("%d revisions up to %d, want 3 up to 5", len(got.History), got.Revision())
	}
	// One that is too large for any.
	s := spec("image:1")
	s.CABundle = strings.Repeat("x", 500<<10)
	begin(t, r, s)
	if err := store.Save(ctx, r); err == nil || !strings.Contains(err.Error(), "caBundle") {
		t.Errorf("a Spec of 500 KiB: %v", err)
	}
}

func TestLoadRefuses(t *testing.T) {
	ctx := t.Context()
	for name, c := range map[string]struct {
		change func(labels, annotations, data map[string]string)
		want   string
	}{
		"newer format":   {func(_, a, _ map[string]string) { a[FormatAnnotation] = "2" }, `written by workshopctl v0.9.0, can't be read by this version of workshopctl: its format is "2"`},
		"no format":      {func(_, a, _ map[string]string) { delete(a, FormatAnnotation) }, "its format is"},
		"newer field":    {func(_, _, d map[string]string) { d[KeySpec] += "colour: red\n" }, "colour is not a field"},
		"other workshop": {func(_, _, d map[string]string) { d[KeySpec] = "name: other\n" }, `spec.yaml is that of workshop "other"`},
		"history":        {func(_, _, d map[string]string) { d[KeyHistory] = "{" }, "history.json: "},
		"inventory":      {func(_, _, d map[string]string) { delete(d, KeyInventory) }, "inventory.json: "},
		"foreign":        {func(l, _, _ map[string]string) { delete(l, workshop.LabelManagedBy) }, `configmap "terminals-workshop" in namespace "spring" exists and is no record`},
	} {
		t.Run(name, func(t *testing.T) {
			client := cluster()
			store := NewStore(client, namespace, "v0.9.0")
			r := New()
			begin(t, r, spec("image:1"), deployment)
			if err := store.Save(ctx, r); err != nil {
				t.Fatal(err)
			}
			cm := r.loaded.DeepCopy()
			c.change(cm.Labels, cm.Annotations, cm.Data)
			if _, err := client.CoreV1().ConfigMaps(namespace).Update(ctx, cm, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			if _, err := store.Load(ctx, "terminals"); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
	_, err := NewStore(cluster(), namespace, "v0.1.0").Load(ctx, "terminals")
	if _, ok := errors.AsType[*NotFoundError](err); !ok {
		t.Errorf("no record: %v", err)
	}
}

func TestListKeepsWhatItCanRead(t *testing.T) {
	ctx := t.Context()
	client := cluster()
	store := NewStore(client, namespace, "v0.1.0")
	for _, name := range []string{"b", "a", "later"} {
		r := New()
		s := spec("image:1")
		s.Name = name
		begin(t, r, s)
		if err := store.Save(ctx, r); err != nil {
			t.Fatal(err)
		}
		if name == "later" {
			cm := r.loaded.DeepCopy()
			cm.Annotations[FormatAnnotation] = "7"
			if _, err := client.CoreV1().ConfigMaps(namespace).Update(ctx, cm, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	client.ClearActions()
	records, err := store.List(ctx)
	if len(records) != 2 || records[0].Spec.Name != "a" || records[1].Spec.Name != "b" {
		t.Errorf("records %v", records)
	}
	if e, ok := errors.AsType[*UnreadableError](err); !ok || e.Name != "later" {
		t.Errorf("error %v", err)
	}
	if n := len(client.Actions()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestSaveWithoutAnAnswerToWho(t *testing.T) {
	client := fake.NewClientset()
	client.PrependReactor("create", "selfsubjectreviews", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, context.DeadlineExceeded
	})
	r := New()
	begin(t, r, spec("image:1"))
	if err := NewStore(client, namespace, "v0.1.0").Save(t.Context(), r); err != nil {
		t.Error(err)
	}
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"workshopctl", "deploy", "--env", "TOKEN=abc", "--wait"}, `workshopctl deploy --env TOKEN=*** --wait`},
		{[]string{"workshopctl", "deploy", "--env=TOKEN=a=c", "x y"}, `workshopctl deploy --env=TOKEN=*** "x y"`},
		{[]string{"oc workshop", "--token=abc", "--password", "abc"}, `"oc workshop" --token=*** --password ***`},
		{[]string{"workshopctl", "--host", "https://jane:secret@example.com/x"}, `workshopctl --host https://***@example.com/x`},
		{[]string{"workshopctl", "--env"}, "workshopctl --env"},
	} {
		got := CommandLine(c.args)
		for _, secret := range []string{"abc", "a=c", "secret"} {
			if strings.Contains(got, secret) {
				t.Errorf("%q shows %q", got, secret)
			}
		}
		if got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestRefs(t *testing.T) {
	if got := deployment.String() + " " + service.String(); got != "deployment.apps/terminals service/terminals-hub" {
		t.Error(got)
	}
	beta := deployment
	beta.APIVersion = "apps/v1beta1"
	if got := Without([]Ref{beta, service, claim}, []Ref{deployment, service}); len(got) != 1 || got[0] != claim {
		t.Error(got)
	}
}
