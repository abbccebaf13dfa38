// SPDX-License-Identifier: Apache-2.0

package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
)

// uid of the nth claim.
func uid(n int) types.UID { return types.UID(fmt.Sprintf("00000000-0000-4000-8000-%012d", n)) }

// claim is one that the scheduler has chosen our node for.
func claim(n int, change ...func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
	class := "local"
	c := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: fmt.Sprintf("claim-%d", n), UID: uid(n),
			Annotations: map[string]string{annotationProvisioner: provisionerName, annotationSelectedNode: "node"}},
		Spec: corev1.PersistentVolumeClaimSpec{StorageClassName: &class, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}}},
		Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending},
	}
	for _, f := range change {
		f(c)
	}
	return c
}

// volume is what the provisioner would have made for the nth claim.
func volume(root string, n int, phase corev1.PersistentVolumePhase, change ...func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
	p := &provisioner{cfg: Config{Root: root, NodeName: "node", ClassName: "local"}}
	v := p.newVolume(claim(n))
	v.Status.Phase = phase
	for _, f := range change {
		f(v)
	}
	return v
}

// start runs a provisioner until the test ends or the returned function is called.
func start(t *testing.T, client kubernetes.Interface, root string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, client, Config{Root: root, NodeName: "node", ClassName: "local", Log: t.Logf})
	}()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("run ended with %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// watchVolumes is to be called before anything happens.
func watchVolumes(t *testing.T, client kubernetes.Interface) watch.Interface {
	t.Helper()
	w, err := client.CoreV1().PersistentVolumes().Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// await returns the first n volumes that something happens to.
func await(t *testing.T, w watch.Interface, kind watch.EventType, n int) map[string]*corev1.PersistentVolume {
	t.Helper()
	got := map[string]*corev1.PersistentVolume{}
	giveUp := time.After(time.Minute)
	for len(got) < n {
		select {
		case e := <-w.ResultChan():
			if v, ok := e.Object.(*corev1.PersistentVolume); ok && e.Type == kind {
				got[v.Name] = v
			}
		case <-giveUp:
			t.Fatalf("only %d of %d volumes were %s", len(got), n, kind)
		}
	}
	return got
}

func write(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestClaimsGetVolumes(t *testing.T) {
	const n = 20
	root := filepath.Join(t.TempDir(), "volumes")
	client := fake.NewClientset()
	for i := range n {
		if err := client.Tracker().Add(claim(i)); err != nil {
			t.Fatal(err)
		}
	}
	w := watchVolumes(t, client)
	start(t, client, root)
	for name, v := range await(t, w, watch.Added, n) {
		dir := filepath.Join(root, name)
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("%s: %v, %v", dir, info, err)
		}
		size := v.Spec.Capacity[corev1.ResourceStorage]
		if v.Spec.Local.Path != dir || v.Spec.ClaimRef.UID != types.UID(strings.TrimPrefix(name, "pvc-")) || size.String() != "1Gi" ||
			v.Spec.NodeAffinity.Required.NodeSelectorTerms[0].MatchExpressions[0].Values[0] != "node" {
			t.Errorf("%+v", v.Spec)
		}
	}
	class, err := client.StorageV1().StorageClasses().Get(t.Context(), "local", metav1.GetOptions{})
	if err != nil || class.Annotations[annotationDefaultClass] != "true" || *class.VolumeBindingMode != storagev1.VolumeBindingWaitForFirstConsumer {
		t.Errorf("%+v %v", class, err)
	}
}

// TestClaimsOfOthers: a claim that isn't for us gets no volume. One that is
// comes last and shows that the others were passed over.
func TestClaimsOfOthers(t *testing.T) {
	other, block := "other", corev1.PersistentVolumeBlock
	tests := map[string]func(*corev1.PersistentVolumeClaim){
		"other class":       func(c *corev1.PersistentVolumeClaim) { c.Spec.StorageClassName = &other },
		"other provisioner": func(c *corev1.PersistentVolumeClaim) { c.Annotations[annotationProvisioner] = other },
		"no pod yet":        func(c *corev1.PersistentVolumeClaim) { delete(c.Annotations, annotationSelectedNode) },
		"other node":        func(c *corev1.PersistentVolumeClaim) { c.Annotations[annotationSelectedNode] = other },
		"bound":             func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeName = other },
		"block device":      func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeMode = &block },
		"selector":          func(c *corev1.PersistentVolumeClaim) { c.Spec.Selector = &metav1.LabelSelector{} },
		"data source":       func(c *corev1.PersistentVolumeClaim) { c.Spec.DataSource = &corev1.TypedLocalObjectReference{} },
		"path as UID":       func(c *corev1.PersistentVolumeClaim) { c.UID = "../../evil" },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "volumes")
			client := fake.NewClientset()
			w := watchVolumes(t, client)
			start(t, client, root)
			for i, f := range []func(*corev1.PersistentVolumeClaim){change, func(*corev1.PersistentVolumeClaim) {}} {
				if _, err := client.CoreV1().PersistentVolumeClaims("ns").Create(t.Context(), claim(i, f), metav1.CreateOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			if got := await(t, w, watch.Added, 1); got["pvc-"+string(uid(1))] == nil {
				t.Errorf("the volume is for another claim: %v", got)
			}
			if entries, err := os.ReadDir(root); err != nil || len(entries) != 1 {
				t.Errorf("%v %v", entries, err)
			}
		})
	}
}

func TestReleasedVolumesAreRemoved(t *testing.T) {
	root := t.TempDir()
	outside := filepath.Join(t.TempDir(), "kept")
	write(t, outside)
	client := fake.NewClientset()
	w := watchVolumes(t, client)
	// A restart finds what was released meanwhile.
	v := volume(root, 1, corev1.VolumeReleased)
	if err := client.Tracker().Add(v); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(v.Spec.Local.Path, "deep", "file"))
	if err := os.Symlink(filepath.Dir(outside), filepath.Join(v.Spec.Local.Path, "link")); err != nil {
		t.Fatal(err)
	}
	start(t, client, root)
	await(t, w, watch.Deleted, 1)
	if exists(v.Spec.Local.Path) {
		t.Error("its files are left")
	}
	if !exists(outside) {
		t.Error("a link led out of the volume")
	}
}

// TestVolumesOfOthers: nothing is removed that isn't ours to remove. One that
// is comes last and shows that the others were passed over.
func TestVolumesOfOthers(t *testing.T) {
	outside := t.TempDir()
	tests := map[string]func(*corev1.PersistentVolume){
		"bound": func(v *corev1.PersistentVolume) { v.Status.Phase = corev1.VolumeBound },
		"to be kept": func(v *corev1.PersistentVolume) {
			v.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRetain
		},
		"other provisioner": func(v *corev1.PersistentVolume) { v.Annotations[annotationProvisionedBy] = "other" },
		"outside":           func(v *corev1.PersistentVolume) { v.Spec.Local.Path = outside },
		"another's path":    func(v *corev1.PersistentVolume) { v.Spec.Local.Path = strings.Replace(v.Spec.Local.Path, "1", "3", 1) },
		"dots": func(v *corev1.PersistentVolume) {
			v.Spec.Local.Path = filepath.Dir(v.Spec.Local.Path) + "/x/../" + v.Name
		},
		"other name": func(v *corev1.PersistentVolume) { v.Name = "volumes" },
		"not local":  func(v *corev1.PersistentVolume) { v.Spec.Local = nil },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			kept := volume(root, 1, corev1.VolumeReleased, change)
			// There before the start, which sweeps away what no volume has.
			client := fake.NewClientset(kept)
			w := watchVolumes(t, client)
			file := filepath.Join(root, kept.Name, "file")
			write(t, file)
			start(t, client, root)
			last := volume(root, 2, corev1.VolumeReleased)
			if _, err := client.CoreV1().PersistentVolumes().Create(t.Context(), last, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			if got := await(t, w, watch.Deleted, 1); got["pvc-"+string(uid(2))] == nil {
				t.Errorf("the wrong volume was deleted: %v", got)
			}
			if name != "other name" && !exists(file) {
				t.Error("its files are gone")
			}
			if !exists(outside) {
				t.Error("a directory outside is gone")
			}
		})
	}
}

// TestRestart: what was begun is finished, what nobody wants is swept away,
// and what isn't ours stays.
func TestRestart(t *testing.T) {
	root := t.TempDir()
	client := fake.NewClientset(claim(1), volume(root, 2, corev1.VolumeBound))
	for _, n := range []int{1, 2, 3} {
		write(t, filepath.Join(root, "pvc-"+string(uid(n)), "file"))
	}
	write(t, filepath.Join(root, "notes", "file"))
	w := watchVolumes(t, client)
	stop := start(t, client, root)
	// The first to be seen may be the volume that was there before.
	for name := "pvc-" + string(uid(1)); await(t, w, watch.Added, 1)[name] == nil; {
	}
	stop()
	for path, want := range map[string]bool{"pvc-" + string(uid(1)): true, "pvc-" + string(uid(2)): true, "pvc-" + string(uid(3)): false, "notes": true} {
		if got := exists(filepath.Join(root, path, "file")); got != want {
			t.Errorf("%s: is there %t, want %t", path, got, want)
		}
	}
	start(t, client, root)
}

func TestClassOfAnother(t *testing.T) {
	client := fake.NewClientset(&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "local"}, Provisioner: "rancher.io/local-path"})
	err := run(t.Context(), client, Config{Root: t.TempDir(), NodeName: "node", ClassName: "local"})
	if err == nil || !strings.Contains(err.Error(), "rancher.io/local-path") {
		t.Errorf("got %v", err)
	}
}

// Without a node of its own, the provisioner serves any that the scheduler has
// chosen, and the volume is there.
func TestAnyNode(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	client := fake.NewClientset(claim(1), claim(2, func(c *corev1.PersistentVolumeClaim) {
		c.Annotations[annotationSelectedNode] = "another"
	}), claim(3, func(c *corev1.PersistentVolumeClaim) { delete(c.Annotations, annotationSelectedNode) }))
	made := watchVolumes(t, client)
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, client, Config{Root: t.TempDir(), ClassName: "local", Log: t.Logf}) }()
	got := await(t, made, watch.Added, 2)
	for n, want := range map[int]string{1: "node", 2: "another"} {
		v := got["pvc-"+string(uid(n))]
		if v == nil || v.Spec.NodeAffinity.Required.NodeSelectorTerms[0].MatchExpressions[0].Values[0] != want {
			t.Errorf("claim %d: %+v", n, v)
		}
	}
	cancel()
	<-ended
}
