// SPDX-License-Identifier: Apache-2.0

//go:build integration

package rollout_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/workshopctl/workshopctl/pkg/apply"
	"github.com/workshopctl/workshopctl/pkg/capability"
	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/render"
	"github.com/workshopctl/workshopctl/pkg/rollout"
	"github.com/workshopctl/workshopctl/pkg/workshop"
	"github.com/workshopctl/workshopctl/test/testcluster"
)

const names = workshop.Names("terminals")

// spec is a workshop without ingress and hub volume.
func spec() workshop.Spec {
	s := workshop.Spec{Expose: workshop.ExposeNone, TerminalImage: "image:1", HubStorageSize: "0"}
	return s.WithDefaults(workshop.Images{Gateway: "gateway:1", Hub: "hub:1", Proxy: "proxy:1"})
}

// deploy applies a workshop as the trainer.
func deploy(t *testing.T, c *testcluster.Cluster, s workshop.Spec, change func(*unstructured.Unstructured)) rollout.Target {
	t.Helper()
	client := apply.New(c.Trainer.Dynamic, c.Namespace)
	live, err := client.Read(t.Context(), []record.Ref{apply.SecretRef(names)})
	if err != nil {
		t.Fatal(err)
	}
	objects, err := render.Objects(render.Input{Spec: s, Namespace: c.Namespace, Version: "v0.1.0", Capabilities: capability.Set{Ingress: true}, Secret: live.Secret(names)})
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		for _, o := range objects {
			change(o)
		}
	}
	if live, err = client.Read(t.Context(), record.RefsOf(objects)); err != nil {
		t.Fatal(err)
	}
	results, err := client.Apply(t.Context(), objects, live, apply.Options{})
	if err != nil {
		t.Fatal(err)
	}
	target := rollout.Target{Namespace: c.Namespace, Spec: s, Generations: map[string]int64{}}
	for _, r := range results {
		if r.Ref.Kind == "Deployment" {
			target.Generations[r.Ref.Name] = r.Generation
		}
	}
	return target
}

// deadline bounds a wait that should end much sooner.
func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func wantFailure(t *testing.T, err error, code explain.Code, cause string) *explain.Failure {
	t.Helper()
	f, ok := errors.AsType[*explain.Failure](err)
	if !ok {
		t.Fatalf("error %v, want a failure %s", err, code)
	}
	if f.Code != code || !strings.Contains(f.Cause, cause) {
		t.Errorf("%s: %v, want %s: …%s…", f.Code, f, code, cause)
	}
	return f
}

// pull writes the kubelet's event.
func pull(t *testing.T, c *testcluster.Cluster, image string) testcluster.Fate {
	var once sync.Once
	return func(pod *corev1.Pod) corev1.PodStatus {
		once.Do(func() {
			e := &corev1.Event{ObjectMeta: metav1.ObjectMeta{GenerateName: pod.Name}, InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
				Type: corev1.EventTypeNormal, Reason: "Pulling", Message: `Pulling image "` + image + `"`, LastTimestamp: metav1.Now()}
			if _, err := c.Admin.Kubernetes.CoreV1().Events(c.Namespace).Create(t.Context(), e, metav1.CreateOptions{}); err != nil {
				t.Error(err)
			}
		})
		return testcluster.Waiting("ContainerCreating", "")(pod)
	}
}

// A whole start, with volume and ingress, each step made when the one before
// it has been told.
func TestWaitTellsWhatGoesOn(t *testing.T) {
	c := testcluster.New(t)
	ctx := t.Context()
	k := testcluster.NewKubelet(t, c)
	k.Say(workshop.ComponentHub, pull(t, c, "hub:1"))
	s := spec()
	s.HubStorageSize, s.Expose, s.Host = "1Gi", workshop.ExposeIngress, "workshop.example.com"
	s.Annotations = map[string]string{"kubernetes.io/ingress.class": "test"}
	// A volume that waits for this claim, so that the real controller binds it.
	volume := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}, Spec: corev1.PersistentVolumeSpec{
		Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		ClaimRef:               &corev1.ObjectReference{Namespace: c.Namespace, Name: names.HubPart()},
		PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/nowhere"}}}}
	volume, err := c.Admin.Kubernetes.CoreV1().PersistentVolumes().Create(ctx, volume, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Admin.Kubernetes.CoreV1().PersistentVolumes().Delete(context.Background(), volume.Name, metav1.DeleteOptions{}); err != nil {
			t.Log(err)
		}
	})
	target := deploy(t, c, s, nil)
	told := map[string][]string{}
	err = rollout.Wait(deadline(t), clients(c.Trainer), target, func(p rollout.Progress) {
		told[p.Part] = append(told[p.Part], p.Message)
		switch p.Part + " " + p.Message {
		case "hub pulling image hub:1":
			k.Say(workshop.ComponentHub, testcluster.Starting)
		case "hub starting":
			k.Say(workshop.ComponentHub, testcluster.Running)
		case "hub ready":
			patch := []byte(`{"status":{"loadBalancer":{"ingress":[{"hostname":"localhost"}]}}}`)
			if _, err := c.Admin.Kubernetes.NetworkingV1().Ingresses(c.Namespace).Patch(ctx, names.Ingress(), types.MergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for part, want := range map[string][]string{"hub": {"pulling image hub:1", "starting", "ready"}, "proxy": {"ready"}, "hub volume": {"ready"}, "ingress": {"waiting for the controller of class test", "ready"}} {
		rest := told[part]
		for _, message := range want {
			i := slices.Index(rest, message)
			if i < 0 {
				t.Errorf("%s: told %q, want %q in this order", part, told[part], want)
				break
			}
			rest = rest[i+1:]
		}
	}

	// A status is read anew, and the pod that was ready may not be counted yet.
	var snapshot rollout.Snapshot
	if err := wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, 10*time.Second, true, func(ctx context.Context) (bool, error) {
		var err error
		snapshot, err = rollout.Status(ctx, clients(c.Trainer), target)
		return snapshot.Ready, err
	}); err != nil {
		t.Errorf("status: %v: %+v", err, snapshot)
	}
	hub := snapshot.Parts[slices.IndexFunc(snapshot.Parts, func(p rollout.Part) bool { return p.Name == "hub" })]
	if hub.Image != "hub:1" || hub.ReadyReplicas != 1 || hub.Replicas != 1 || hub.State != rollout.Ready || hub.Created.IsZero() {
		t.Errorf("hub: %+v", hub)
	}
}

func TestWaitFailsWithTheCause(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*testing.T, *testcluster.Cluster, *testcluster.Kubelet)
		spec    func(*workshop.Spec)
		change  func(*unstructured.Unstructured)
		code    explain.Code
		cause   string
	}{
		"image": {prepare: func(t *testing.T, _ *testcluster.Cluster, k *testcluster.Kubelet) {
			k.Say(workshop.ComponentProxy, testcluster.Waiting("ErrImagePull", `failed to resolve reference "proxy:1": proxy:1: not found`))
		}, code: explain.ImageNotFound, cause: "no such image: proxy:1"},
		"login": {prepare: func(t *testing.T, _ *testcluster.Cluster, k *testcluster.Kubelet) {
			k.Say(workshop.ComponentHub, testcluster.Waiting("ImagePullBackOff", `Back-off pulling image "hub:1": ErrImagePull: 401 Unauthorized`))
		}, code: explain.ImageUnauthorized, cause: "login"},
		"crash": {prepare: func(t *testing.T, _ *testcluster.Cluster, k *testcluster.Kubelet) {
			k.Say(workshop.ComponentHub, func(pod *corev1.Pod) corev1.PodStatus {
				s := testcluster.Waiting("CrashLoopBackOff", "back-off 10s")(pod)
				s.ContainerStatuses[0].RestartCount = 1
				s.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 1, Message: "no database"}
				return s
			})
		}, code: explain.ContainerCrash, cause: "again and again"},
		// These are told by the real controllers and admission plugins.
		"quota": {prepare: func(t *testing.T, c *testcluster.Cluster, _ *testcluster.Kubelet) {
			quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "small"}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("1")}}}
			if _, err := c.Admin.Kubernetes.CoreV1().ResourceQuotas(c.Namespace).Create(t.Context(), quota, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			testcluster.Await(t, c.Admin.Kubernetes.CoreV1().ResourceQuotas(c.Namespace), "small", func(q *corev1.ResourceQuota) bool { return len(q.Status.Hard) > 0 })
		}, code: explain.Quota, cause: "used up (small)"},
		"pod security": {prepare: func(t *testing.T, c *testcluster.Cluster, _ *testcluster.Kubelet) {
			patch := []byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}`)
			if _, err := c.Admin.Kubernetes.CoreV1().Namespaces().Patch(t.Context(), c.Namespace, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
		}, change: func(o *unstructured.Unstructured) {
			if o.GetKind() == "Deployment" && o.GetName() == names.Proxy() {
				if err := unstructured.SetNestedField(o.Object, true, "spec", "template", "spec", "hostNetwork"); err != nil {
					panic(err)
				}
			}
		}, code: explain.PodSecurity, cause: "restricted"},
		"no storage class": {spec: func(s *workshop.Spec) { s.HubStorageSize = "1Gi" }, code: explain.VolumePending, cause: "no default"},
		"no ingress class": {spec: func(s *workshop.Spec) { s.Expose, s.Host = workshop.ExposeIngress, "workshop.example.com" }, code: explain.IngressNoClass, cause: "no class"},
		"switched off": {change: func(o *unstructured.Unstructured) {
			if o.GetKind() == "Deployment" && o.GetName() == names.Hub() {
				if err := unstructured.SetNestedField(o.Object, int64(0), "spec", "replicas"); err != nil {
					panic(err)
				}
			}
		}, code: explain.SwitchedOff, cause: "switched it off"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := testcluster.New(t)
			k := testcluster.NewKubelet(t, cluster)
			if c.prepare != nil {
				c.prepare(t, cluster, k)
			}
			s := spec()
			if c.spec != nil {
				c.spec(&s)
			}
			target := deploy(t, cluster, s, c.change)
			wantFailure(t, rollout.Wait(deadline(t), clients(cluster.Trainer), target, nil), c.code, c.cause)
			snapshot, err := rollout.Status(t.Context(), clients(cluster.Trainer), target)
			if err != nil || snapshot.Ready {
				t.Errorf("status: %+v, error %v", snapshot, err)
			}
		})
	}
}

// What is wrong with the pods of the template before must not fail the
// rollout of the one that mends it.
func TestWaitLooksAtTheNewTemplateOnly(t *testing.T) {
	c := testcluster.New(t)
	k := testcluster.NewKubelet(t, c)
	k.Say(workshop.ComponentHub, testcluster.Waiting("ErrImagePull", "hub:1: not found"))
	target := deploy(t, c, spec(), nil)
	wantFailure(t, rollout.Wait(deadline(t), clients(c.Trainer), target, nil), explain.ImageNotFound, "hub:1")
	k.Say(workshop.ComponentHub, func(pod *corev1.Pod) corev1.PodStatus {
		if pod.Spec.Containers[0].Image == "hub:1" {
			return testcluster.Waiting("ErrImagePull", "hub:1: not found")(pod)
		}
		return testcluster.Running(pod)
	})
	s := spec()
	s.HubImage = "hub:2"
	target = deploy(t, c, s, nil)
	if err := rollout.Wait(deadline(t), clients(c.Trainer), target, nil); err != nil {
		t.Error(err)
	}
}

// The image was pushed, or the quota enlarged, and the same is deployed again.
func TestRetry(t *testing.T) {
	c := testcluster.New(t)
	ctx := t.Context()
	k := testcluster.NewKubelet(t, c)
	refused := map[types.UID]bool{}
	k.Say(workshop.ComponentHub, func(pod *corev1.Pod) corev1.PodStatus {
		if refused[pod.UID] || len(refused) == 0 {
			refused[pod.UID] = true
			return testcluster.Waiting("ImagePullBackOff", "hub:1: not found")(pod)
		}
		return testcluster.Running(pod)
	})
	target := deploy(t, c, spec(), nil)
	wantFailure(t, rollout.Wait(deadline(t), clients(c.Trainer), target, nil), explain.ImageNotFound, "hub:1")
	if done, err := rollout.Retry(ctx, clients(c.Trainer), target); err != nil || len(done) != 1 {
		t.Errorf("retry: %q, error %v", done, err)
	}
	if err := rollout.Wait(deadline(t), clients(c.Trainer), target, nil); err != nil {
		t.Error(err)
	}
	if done, err := rollout.Retry(ctx, clients(c.Trainer), target); err != nil || len(done) != 0 {
		t.Errorf("retry of what runs: %q, error %v", done, err)
	}

	quotas := c.Admin.Kubernetes.CoreV1().ResourceQuotas(c.Namespace)
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "small"}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("1")}}}
	if _, err := quotas.Create(ctx, quota, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	testcluster.Await(t, quotas, "small", func(q *corev1.ResourceQuota) bool { return len(q.Status.Hard) > 0 })
	s := spec()
	s.ProxyImage = "proxy:2"
	target = deploy(t, c, s, nil)
	wantFailure(t, rollout.Wait(deadline(t), clients(c.Trainer), target, nil), explain.Quota, "small")
	if err := quotas.Delete(ctx, "small", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if done, err := rollout.Retry(ctx, clients(c.Trainer), target); err != nil || len(done) != 1 {
		t.Errorf("retry: %q, error %v", done, err)
	}
	if err := rollout.Wait(deadline(t), clients(c.Trainer), target, nil); err != nil {
		t.Error(err)
	}
}

func TestWaitEnds(t *testing.T) {
	c := testcluster.New(t)
	k := testcluster.NewKubelet(t, c)
	k.Say(workshop.ComponentHub, testcluster.Starting)
	target := deploy(t, c, spec(), nil)

	ctx, cancel := context.WithCancel(t.Context())
	told := map[string]string{}
	err := rollout.Wait(ctx, clients(c.Trainer), target, func(p rollout.Progress) {
		if told[p.Part] = p.Message; told["hub"] == "starting" && told["proxy"] == "ready" {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}

	ctx, cancel = context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	err = rollout.Wait(ctx, clients(c.Trainer), target, nil)
	late, ok := errors.AsType[*rollout.TimeoutError](err)
	if !ok || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("timeout: %v", err)
	}
	if diff := cmp.Diff([]string{"hub: starting"}, late.Missing); diff != "" {
		t.Error("missing (-want +got):\n" + diff)
	}

	// What has a grace that was longer than the time is told as well.
	k.Say(workshop.ComponentHub, testcluster.Waiting("CreateContainerConfigError", `secret "x" not found`))
	ctx, cancel = context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	err = rollout.Wait(ctx, clients(c.Trainer), target, nil)
	if late, ok := errors.AsType[*rollout.TimeoutError](err); !ok || len(late.Missing) != 1 || !strings.Contains(late.Missing[0], `secret "x" not found`) {
		t.Errorf("timeout: %v", err)
	}
}

func TestWaitWithoutRights(t *testing.T) {
	c := testcluster.New(t)
	stranger := c.Bound(t, "system:basic-user")
	err := rollout.Wait(deadline(t), clients(stranger), rollout.Target{Namespace: c.Namespace, Spec: spec()}, nil)
	if err == nil || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "forbidden") {
		t.Errorf("error %v", err)
	}
}

// breakable hands out a client whose connections can be cut.
func breakable(t *testing.T, config *rest.Config) (client kubernetes.Interface, cut func()) {
	t.Helper()
	var mu sync.Mutex
	var open []net.Conn
	config = rest.CopyConfig(config)
	config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err == nil {
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
		}
		return conn, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client, func() {
		mu.Lock()
		defer mu.Unlock()
		for _, conn := range open {
			conn.Close()
		}
		open = nil
	}
}

func TestWaitSurvivesBrokenConnections(t *testing.T) {
	c := testcluster.New(t)
	k := testcluster.NewKubelet(t, c)
	k.Say(workshop.ComponentHub, testcluster.Starting)
	target := deploy(t, c, spec(), nil)
	client, cut := breakable(t, c.Trainer.Config)
	cuts := 0
	err := rollout.Wait(deadline(t), rollout.Clients{Kubernetes: client}, target, func(p rollout.Progress) {
		if p.Part != "hub" || p.Message != "starting" {
			return
		}
		cut()
		cuts++
		k.Say(workshop.ComponentHub, testcluster.Running)
	})
	if err != nil || cuts != 1 {
		t.Errorf("error %v after %d cuts", err, cuts)
	}
}

type counter struct {
	mu       sync.Mutex
	requests []string
	next     http.RoundTripper
}

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	c.requests = append(c.requests, r.Method+" "+r.URL.Path)
	c.mu.Unlock()
	return c.next.RoundTrip(r)
}

// clients are a person's for a workshop.
func clients(u *testcluster.User) rollout.Clients {
	return rollout.Clients{Kubernetes: u.Kubernetes, DeploymentConfigs: u.Apps, Routes: u.Routes}
}

func TestStatusRequests(t *testing.T) {
	c := testcluster.New(t)
	s := spec()
	s.HubStorageSize, s.Expose, s.Host = "1Gi", workshop.ExposeIngress, "workshop.example.com"
	target := deploy(t, c, s, nil)
	count := &counter{}
	config := rest.CopyConfig(c.Trainer.Config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { count.next = next; return count })
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := rollout.Status(t.Context(), rollout.Clients{Kubernetes: client}, target)
	if err != nil {
		t.Fatal(err)
	}
	if len(count.requests) != 7 {
		t.Errorf("%d requests: %v", len(count.requests), count.requests)
	}
	var parts []string
	for _, p := range snapshot.Parts {
		parts = append(parts, p.Name)
	}
	if diff := cmp.Diff([]string{"hub volume", "hub", "proxy", "ingress"}, parts); diff != "" {
		t.Error("parts (-want +got):\n" + diff)
	}
	// Of a workshop that isn't there.
	target.Spec.Name = "other"
	if snapshot, err = rollout.Status(t.Context(), rollout.Clients{Kubernetes: client}, target); err != nil || snapshot.Ready || snapshot.Parts[1].State != rollout.Missing {
		t.Errorf("status: %+v, error %v", snapshot, err)
	}
}

func TestWatchStatus(t *testing.T) {
	c := testcluster.New(t)
	k := testcluster.NewKubelet(t, c)
	k.Say(workshop.ComponentHub, testcluster.Starting)
	target := deploy(t, c, spec(), nil)
	ctx, cancel := context.WithCancel(deadline(t))
	var states []bool
	err := rollout.WatchStatus(ctx, clients(c.Trainer), target, func(s rollout.Snapshot) {
		states = append(states, s.Ready)
		if s.Parts[0].Message == "starting" && s.Parts[1].Ready {
			k.Say(workshop.ComponentHub, testcluster.Running)
		}
		if s.Ready {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || states[0] || !states[len(states)-1] {
		t.Errorf("error %v, states %v", err, states)
	}
}

func TestWaitSession(t *testing.T) {
	c := testcluster.New(t)
	c.ServiceAccount(t)
	k := testcluster.NewKubelet(t, c)
	create := func(name string) {
		t.Helper()
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: names.Labels(workshop.ComponentSession)}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "notebook", Image: "image:1"}}}}
		if _, err := c.Admin.Kubernetes.CoreV1().Pods(c.Namespace).Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
			t.Error(err)
		}
	}
	name := names.SessionPrefix() + "jane"
	err := rollout.WaitSession(deadline(t), c.Trainer.Kubernetes, c.Namespace, name, func(p rollout.Progress) {
		if p.Message == "waiting for its pod to be made" {
			create(name)
		}
	})
	if err != nil {
		t.Error(err)
	}
	k.Say(workshop.ComponentSession, testcluster.Waiting("ErrImagePull", "image:1: not found"))
	create(name + "2")
	err = rollout.WaitSession(deadline(t), c.Trainer.Kubernetes, c.Namespace, name+"2", nil)
	wantFailure(t, err, explain.ImageNotFound, "image:1")
}
