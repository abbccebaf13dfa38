// SPDX-License-Identifier: Apache-2.0

package preflight

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/render"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// rendered is a workshop with the defaults.
func rendered(t *testing.T, change func(*workshop.Spec)) Input {
	t.Helper()
	s := workshop.Spec{TerminalImage: "terminal:1", Expose: workshop.ExposeNone}
	if change != nil {
		change(&s)
	}
	s = s.WithDefaults(workshop.Images{Gateway: "gateway:1", Hub: "hub:1", Proxy: "proxy:1"})
	objects, err := render.Objects(render.Input{Spec: s, Namespace: "training"})
	if err != nil {
		t.Fatal(err)
	}
	return Input{Namespace: "training", Spec: s, Objects: objects}
}

func quantities(values map[corev1.ResourceName]string) corev1.ResourceList {
	l := corev1.ResourceList{}
	for name, v := range values {
		l[name] = resource.MustParse(v)
	}
	return l
}

// What quotas may count, and what they then say beforehand.
func TestQuota(t *testing.T) {
	fast := func(s *workshop.Spec) { s.Storage.ClassName = "fast" }
	none := func(s *workshop.Spec) { s.Storage.Size, s.HubStorageSize = "0Gi", "0" }
	for _, c := range []struct {
		name, hard string
		change     func(*workshop.Spec)
		want       string
		warning    bool
	}{
		{"secrets", "0", nil, "secrets: 1 needed, 0 of 0 left", false},
		{"count/secrets", "0", nil, "count/secrets: 1 needed, 0 of 0 left", false},
		{"secrets", "1", nil, "", false},
		{"configmaps", "1", nil, "configmaps: 3 needed, 1 of 1 left", false},
		{"count/configmaps", "1", nil, "count/configmaps: 3 needed, 1 of 1 left", false},
		{"persistentvolumeclaims", "0", nil, "persistentvolumeclaims: 1 needed, 0 of 0 left", false},
		{"persistentvolumeclaims", "1", nil, "persistentvolumeclaims: 2 needed, 1 of 1 left", true},
		{"persistentvolumeclaims", "0", none, "", false},
		{"fast.storageclass.storage.k8s.io/requests.storage", "1Gi", fast, "fast.storageclass.storage.k8s.io/requests.storage: 2Gi needed, 1Gi of 1Gi left", true},
		{"fast.storageclass.storage.k8s.io/requests.storage", "0", nil, "", false},
		{"pods", "1", nil, "pods: 2 needed, 1 of 1 left", false},
		{"count/pods", "2", nil, "count/pods: 3 needed, 2 of 2 left", true},
		{"services", "2", nil, "services: 3 needed, 2 of 2 left", false},
		{"count/deployments.apps", "1", nil, "count/deployments.apps: 2 needed, 1 of 1 left", false},
		{"count/replicasets.apps", "1", nil, "count/replicasets.apps: 2 needed, 1 of 1 left", false},
		{"limits.memory", "1Gi", nil, "limits.memory: 1280Mi needed, 1Gi of 1Gi left", false},
	} {
		q := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "team", Namespace: "training"},
			Status: corev1.ResourceQuotaStatus{Hard: quantities(map[corev1.ResourceName]string{corev1.ResourceName(c.name): c.hard})}}
		found, err := quota(t.Context(), fake.NewClientset(q), rendered(t, c.change))
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case c.want == "" && len(found) == 0:
		case len(found) != 1 || found[0].Code != explain.Quota || found[0].Warning != c.warning || found[0].Evidence[0] != c.want:
			t.Errorf("%s %s: %+v; want %q", c.name, c.hard, found, c.want)
		}
	}
}

func TestLimits(t *testing.T) {
	item := func(of corev1.LimitType, set func(*corev1.LimitRangeItem)) corev1.LimitRangeItem {
		i := corev1.LimitRangeItem{Type: of}
		set(&i)
		return i
	}
	for name, c := range map[string]struct {
		item     corev1.LimitRangeItem
		existing bool
		want     []string
	}{
		"roomy": {item: item(corev1.LimitTypeContainer, func(i *corev1.LimitRangeItem) {
			i.Max = quantities(map[corev1.ResourceName]string{"memory": "1Gi", "cpu": "1"})
			i.Min = quantities(map[corev1.ResourceName]string{"memory": "64Mi"})
		})},
		"most of a container": {item: item(corev1.LimitTypeContainer, func(i *corev1.LimitRangeItem) {
			i.Max = quantities(map[corev1.ResourceName]string{"memory": "256Mi"})
		}), want: []string{"a session's container may use 512Mi of memory, the most is 256Mi", "the hub's container may use 1Gi of memory, the most is 256Mi"}},
		"least of a container": {item: item(corev1.LimitTypeContainer, func(i *corev1.LimitRangeItem) {
			i.Min = quantities(map[corev1.ResourceName]string{"cpu": "60m"})
		}), want: []string{"a session's container asks for 50m of cpu, the least is 60m", "the proxy's container asks for 50m of cpu, the least is 60m"}},
		"ratio": {item: item(corev1.LimitTypeContainer, func(i *corev1.LimitRangeItem) {
			i.MaxLimitRequestRatio = quantities(map[corev1.ResourceName]string{"cpu": "10"})
		}), want: []string{"a session's container may use 1 of cpu and asks for 50m, the most is 10 times as much"}},
		"pod that is there": {item: item(corev1.LimitTypePod, func(i *corev1.LimitRangeItem) {
			i.Max = quantities(map[corev1.ResourceName]string{"memory": "512Mi"})
		}), existing: true},
		"claim": {item: item(corev1.LimitTypePersistentVolumeClaim, func(i *corev1.LimitRangeItem) {
			i.Min = quantities(map[corev1.ResourceName]string{"storage": "2Gi"})
		}), want: []string{"a session's volume asks for 1Gi of storage, the least is 2Gi", "the hub's volume asks for 1Gi of storage, the least is 2Gi"}},
	} {
		var objects []runtime.Object
		objects = append(objects, &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: "team", Namespace: "training"}, Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{c.item}}})
		in := rendered(t, nil)
		in.Existing = c.existing
		found, err := limits(t.Context(), fake.NewClientset(objects...), in)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range found {
			if f.Code != explain.LimitRange || f.Warning {
				t.Errorf("%s: %+v", name, f)
			}
			got = append(got, f.Evidence...)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestHasSize(t *testing.T) {
	for size, want := range map[string]bool{"": false, "0": false, "0Gi": false, "0.0": false, "1": true, "1Gi": true, "500Mi": true} {
		if hasSize(size) != want {
			t.Errorf("hasSize(%q) is %v", size, !want)
		}
	}
}
