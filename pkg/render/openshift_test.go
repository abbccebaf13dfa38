// SPDX-License-Identifier: Apache-2.0

//go:build integration && openshift

package render_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"

	"github.com/workshopctl/workshopctl/pkg/workshop"
	"github.com/workshopctl/workshopctl/test/testcluster"
)

// unstructuredOf is a Template as it goes over the wire.
func unstructuredOf(t *testing.T, template any) *unstructured.Unstructured {
	t.Helper()
	content, err := yaml.Marshal(template)
	if err != nil {
		t.Fatal(err)
	}
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(content, &o.Object); err != nil {
		t.Fatal(err)
	}
	return o
}

func itemsOf(t *testing.T, list any) []*unstructured.Unstructured {
	t.Helper()
	items, ok := list.([]any)
	if !ok {
		t.Fatalf("no list of objects: %v", list)
	}
	var all []*unstructured.Unstructured
	for _, item := range items {
		all = append(all, &unstructured.Unstructured{Object: item.(map[string]any)})
	}
	return all
}

// The API server's templates API and oc make of an exported Template what a
// deploy makes of the same choices.
func TestOpenShiftTemplate(t *testing.T) {
	c := testcluster.New(t)
	// The sandbox has its programs beside its kubeconfig.
	oc := filepath.Join(filepath.Dir(os.Getenv("WORKSHOPCTL_TEST_KUBECONFIG")), "bin", "oc")
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: c.Trainer.Config.Host, CertificateAuthorityData: c.Trainer.Config.CAData, CertificateAuthority: c.Trainer.Config.CAFile}
	config.AuthInfos["u"] = &clientcmdapi.AuthInfo{Token: c.Trainer.Config.BearerToken}
	config.Contexts["c"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u", Namespace: c.Namespace}
	config.CurrentContext = "c"
	if err := clientcmd.WriteToFile(*config, kubeconfig); err != nil {
		t.Fatal(err)
	}
	for name, in := range cases(t) {
		t.Run(name, func(t *testing.T) {
			in = unassigned(in)
			want := objects(t, in)
			values := secrets(t, want)
			template := exported(t, in)
			give(t, template, values)
			wanted := same(t, want)
			answer, err := c.Trainer.Dynamic.Resource(schema.GroupVersionResource{Group: "template.openshift.io", Version: "v1", Resource: "processedtemplates"}).
				Namespace(c.Namespace).Create(t.Context(), unstructuredOf(t, template), metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(wanted, same(t, itemsOf(t, answer.Object["objects"]))); diff != "" {
				t.Errorf("the API server makes something else (+) of the Template than a deploy (-):\n%s", diff)
			}

			file := filepath.Join(t.TempDir(), "template.yaml")
			content, err := yaml.Marshal(exported(t, in))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, content, 0o600); err != nil {
				t.Fatal(err)
			}
			args := []string{"process", "-f", file, "-n", c.Namespace, "-o", "json"}
			for key, value := range values {
				args = append(args, "-p", key+"="+value)
			}
			command := exec.CommandContext(t.Context(), oc, args...)
			command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
			var errors bytes.Buffer
			command.Stderr = &errors
			out, err := command.Output()
			if err != nil {
				t.Fatalf("oc process: %v\n%s", err, errors.String())
			}
			var list map[string]any
			if err := json.Unmarshal(out, &list); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(wanted, same(t, itemsOf(t, list["items"]))); diff != "" {
				t.Errorf("oc process makes something else (+) of the Template than a deploy (-):\n%s", diff)
			}
		})
	}
}

// A project whose administrators are careful takes all that a workshop makes:
// every pod runs under restricted-v2, with a user of the project's range.
func TestOpenShiftRestricted(t *testing.T) {
	for _, name := range []string{"security-context-constraints", "route"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := testcluster.New(t)
			demanding(t, c)
			limits := &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: "demanding"}, Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
				Type: corev1.LimitTypeContainer,
				Min:  corev1.ResourceList{"cpu": resource.MustParse("10m"), "memory": resource.MustParse("32Mi")},
				Max:  corev1.ResourceList{"cpu": resource.MustParse("1"), "memory": resource.MustParse("1Gi")},
			}}}}
			if _, err := c.Admin.Kubernetes.CoreV1().LimitRanges(c.Namespace).Create(t.Context(), limits, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			in := cases(t)[name]
			in.Namespace = c.Namespace
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			pods, err := c.Admin.Kubernetes.CoreV1().Pods(c.Namespace).Watch(ctx, metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer pods.Stop()
			apply(t, c, objects(t, in))
			startSessions(t, c, "security-context-constraints", workshop.Names(in.Spec.Name))
			missing := map[string]bool{"hub": true, "proxy": true, "session": true}
			for e := range pods.ResultChan() {
				pod, ok := e.Object.(*corev1.Pod)
				if !ok {
					continue
				}
				if scc := pod.Annotations["openshift.io/scc"]; scc != "restricted-v2" {
					t.Errorf("pod %s runs under %q", pod.Name, scc)
				}
				for _, container := range append(pod.Spec.InitContainers, pod.Spec.Containers...) {
					if container.SecurityContext.RunAsUser == nil || *container.SecurityContext.RunAsUser < 1_000_000_000 {
						t.Errorf("pod %s: container %s has user %v", pod.Name, container.Name, container.SecurityContext.RunAsUser)
					}
				}
				if delete(missing, pod.Labels[workshop.LabelComponent]); len(missing) == 0 {
					return
				}
			}
			t.Errorf("no pods came of %v", missing)
		})
	}
}

func apply(t *testing.T, c *testcluster.Cluster, all []*unstructured.Unstructured) {
	t.Helper()
	for _, o := range all {
		plural, _ := meta.UnsafeGuessKindToResource(o.GroupVersionKind())
		if _, err := c.Trainer.Dynamic.Resource(plural).Namespace(c.Namespace).Apply(t.Context(), o.GetName(), o, metav1.ApplyOptions{FieldManager: workshop.ManagedBy}); err != nil {
			t.Fatalf("%s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
}

// A hub that has to find out its address may get its own Route, and no other.
func TestOpenShiftRouteRight(t *testing.T) {
	c := testcluster.New(t)
	in := unassigned(cases(t)["route"])
	in.Namespace = c.Namespace
	apply(t, c, objects(t, in))
	hub := c.Account(t, in.Spec.Account())
	routes := hub.Dynamic.Resource(schema.GroupVersionResource{Group: "route.openshift.io", Version: "v1", Resource: "routes"}).Namespace(c.Namespace)
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		_, err := routes.Get(ctx, "terminals", metav1.GetOptions{})
		return err == nil, nil
	})
	if err != nil {
		t.Errorf("the hub can't get its route: %v", err)
	}
	if _, err := routes.Get(t.Context(), "another", metav1.GetOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("another route: %v", err)
	}
}
