// SPDX-License-Identifier: Apache-2.0

package list

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Everybody sees as much as they may, and reads what is missing.
func TestEverywhere(t *testing.T) {
	no := func(resource string) error {
		return apierrors.NewForbidden(schema.GroupResource{Resource: resource}, "", nil)
	}
	for name, test := range map[string]struct {
		// may says whether a list is allowed; namespace "" means all.
		may      func(namespace, resource string) bool
		projects []string // nil: the cluster has none
		want     []string
		says     string
		fails    string
	}{
		"administrator": {
			may:  func(string, string) bool { return true },
			want: []string{"a/class", "a/terminals", "b/terminals"},
		},
		"of projects": {
			may:      func(namespace, resource string) bool { return namespace == "b" || namespace == "c" },
			projects: []string{"b", "c"},
			want:     []string{"b/terminals"}, says: "You may not list the workshops of all namespaces; these are those of your projects.",
		},
		"who may list namespaces": {
			may:  func(namespace, resource string) bool { return namespace == "b" || resource == "namespaces" },
			want: []string{"b/terminals"}, says: "You may not look into a, c.",
		},
		"of one namespace": {
			may:  func(namespace, _ string) bool { return namespace == "a" },
			want: []string{"a/class", "a/terminals"}, says: "these are the workshops of a alone",
		},
		"nobody": {
			may:  func(string, string) bool { return false },
			says: "these are the workshops of a alone", fails: "you may not list workshops in namespace a",
		},
	} {
		t.Run(name, func(t *testing.T) {
			client := fake.NewClientset()
			var records []runtime.Object
			for _, w := range []struct{ namespace, name string }{{"a", "terminals"}, {"a", "class"}, {"b", "terminals"}} {
				store := record.NewStore(client, w.namespace, "1")
				r := record.New()
				r.Spec = workshop.Spec{Name: w.name}.WithDefaults(workshop.Images{})
				if err := store.Save(t.Context(), r); err != nil {
					t.Fatal(err)
				}
				records = append(records, &metav1.PartialObjectMetadata{
					TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
					ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: workshop.Names(w.name).Record(), Labels: workshop.Names(w.name).Labels(workshop.ComponentRecord)},
				})
			}
			scheme := metadatafake.NewTestScheme()
			if err := metav1.AddMetaToScheme(scheme); err != nil {
				t.Fatal(err)
			}
			meta := metadatafake.NewSimpleMetadataClient(scheme, records...)
			refuse := func(a clienttesting.Action) (bool, runtime.Object, error) {
				if test.may(a.GetNamespace(), a.GetResource().Resource) {
					return false, nil, nil
				}
				return true, nil, no(a.GetResource().Resource)
			}
			client.PrependReactor("list", "*", refuse)
			meta.PrependReactor("list", "*", refuse)
			kinds := map[schema.GroupVersionResource]string{
				projects: "ProjectList",
				corev1.SchemeGroupVersion.WithResource("namespaces"):                       "NamespaceList",
				{Group: "apps", Version: "v1", Resource: "deployments"}:                    "DeploymentList",
				{Group: "apps.openshift.io", Version: "v1", Resource: "deploymentconfigs"}: "DeploymentConfigList",
			}
			dynamic := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds)
			for resource, names := range map[string][]string{"projects": test.projects, "namespaces": {"a", "b", "c"}} {
				dynamic.PrependReactor("list", resource, func(a clienttesting.Action) (bool, runtime.Object, error) {
					switch {
					case names == nil:
						return true, nil, apierrors.NewNotFound(projects.GroupResource(), "")
					case resource == "namespaces" && !test.may("", resource):
						return true, nil, no(resource)
					}
					list := &unstructured.UnstructuredList{Object: map[string]any{"apiVersion": "v1", "kind": "List"}}
					for _, n := range names {
						list.Items = append(list.Items, unstructured.Unstructured{Object: map[string]any{
							"apiVersion": "v1", "kind": "Any", "metadata": map[string]any{"name": n},
						}})
					}
					return true, list, nil
				})
			}
			streams, _, out, errOut := genericiooptions.NewTestIOStreams()
			f := factory.New([]string{"workshopctl"}, streams, factory.Build{})
			c := &factory.Cluster{Namespace: "a", Kubernetes: client, Dynamic: dynamic, Metadata: meta}
			all, err := everywhere(context.Background(), f, c)
			if test.fails != "" {
				if err == nil || !strings.Contains(err.Error(), test.fails) {
					t.Errorf("%v", err)
				}
			} else if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(errOut.String(), test.says) || test.says == "" && errOut.Len() > 0 {
				t.Errorf("it says %q, want %q", errOut, test.says)
			}
			if err != nil {
				return
			}
			o := &Options{AllNamespaces: true}
			if err := show(f, c, o, all); err != nil {
				t.Fatal(err)
			}
			var got []string
			for line := range strings.Lines(out.String()) {
				if cells := strings.Fields(line); cells[0] != "NAMESPACE" {
					got = append(got, cells[0]+"/"+cells[1])
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// An Item in JSON has these fields.
func TestItem(t *testing.T) {
	content, err := json.Marshal(Item{Name: "a", Namespace: "b", URL: "c", TerminalImage: "d", Auth: "e"})
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"name", "namespace", "ready", "url", "revision", "terminalImage", "auth"} {
		if !slices.Contains(strings.Split(string(content), `"`), field) {
			t.Errorf("no %s in %s", field, content)
		}
	}
}
