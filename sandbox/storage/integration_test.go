// SPDX-License-Identifier: Apache-2.0

//go:build integration

package storage

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// TestOnARealAPIServer walks claims from their making to their end with the
// real controllers. There is no scheduler: the test chooses the node.
func TestOnARealAPIServer(t *testing.T) {
	kubeconfig := os.Getenv("WORKSHOPCTL_TEST_KUBECONFIG")
	if kubeconfig == "" {
		t.Skip("WORKSHOPCTL_TEST_KUBECONFIG names no cluster; make integration does")
	}
	rc, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(rc)
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(t.TempDir(), "volumes")
	const class = "storage-test"
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, rc, Config{Root: root, NodeName: "nowhere", ClassName: class, Log: t.Logf})
	}()
	ns, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "storage-test-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		done := context.WithoutCancel(t.Context())
		if err := client.CoreV1().Namespaces().Delete(done, ns.Name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
		if err := client.StorageV1().StorageClasses().Delete(done, class, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})

	claims := client.CoreV1().PersistentVolumeClaims(ns.Name)
	w, err := claims.Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	const n = 5
	for i := range n {
		c := claim(i)
		c.Namespace, c.UID, c.Annotations = ns.Name, "", map[string]string{annotationSelectedNode: "nowhere"}
		*c.Spec.StorageClassName = class
		if _, err := claims.Create(t.Context(), c, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	bound := map[types.UID]string{}
	for len(bound) < n {
		select {
		case e, ok := <-w.ResultChan():
			if !ok {
				t.Fatal("the watch ended")
			}
			if c, ok := e.Object.(*corev1.PersistentVolumeClaim); ok && c.Status.Phase == corev1.ClaimBound {
				bound[c.UID] = c.Spec.VolumeName
			}
		case err := <-ended:
			ended <- err
			t.Fatalf("Run ended: %v", err)
		}
	}
	volumes, err := client.CoreV1().PersistentVolumes().Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer volumes.Stop()
	for uid, name := range bound {
		if name != "pvc-"+string(uid) {
			t.Errorf("claim %s has the volume %s", uid, name)
		}
		write(t, filepath.Join(root, name, "file"))
	}
	if err := claims.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, volumes, watch.Deleted, n)
	if left, err := os.ReadDir(root); err != nil || len(left) != 0 {
		t.Errorf("files are left: %v %v", left, err)
	}
}
