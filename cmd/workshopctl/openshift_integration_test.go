// SPDX-License-Identifier: Apache-2.0

//go:build integration && openshift

package main

import (
	"context"
	"strings"
	"testing"
	"time"

	openshiftappsv1 "github.com/openshift/api/apps/v1"
	routev1 "github.com/openshift/api/route/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/workshopctl/workshopctl/pkg/workshop"
	"github.com/workshopctl/workshopctl/test/testcluster"
)

// newProject is a trainer's on OpenShift, with a first deploy's flags.
func newProject(t *testing.T) (*trainer, *testcluster.Kubelet, []string) {
	tr, kubelet := newTrainer(t)
	return tr, kubelet, []string{"deploy", "--terminal-image", "registry.example.com/terminal:1", "--hub-storage-size", "0", "--skip-image-check", "--timeout", "1m"}
}

// publicURL is what the hub takes for its address, and how often its pods have
// changed.
func (tr *trainer) publicURL() (url string, generation int64) {
	tr.t.Helper()
	hub, err := tr.Admin.Kubernetes.AppsV1().Deployments(tr.Namespace).Get(tr.t.Context(), "terminals", metav1.GetOptions{})
	if err != nil {
		tr.t.Fatal(err)
	}
	for _, e := range hub.Spec.Template.Spec.Containers[0].Env {
		if e.Name == "PUBLIC_URL" {
			url = e.Value
		}
	}
	return url, hub.Generation
}

func (tr *trainer) route(name, host string) *routev1.Route {
	tr.t.Helper()
	r := &routev1.Route{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: routev1.RouteSpec{Host: host, To: routev1.RouteTargetReference{Kind: "Service", Name: "nobody"}}}
	r, err := tr.Admin.Routes.Routes(tr.Namespace).Create(tr.t.Context(), r, metav1.CreateOptions{})
	if err != nil {
		tr.t.Fatal(err)
	}
	return r
}

// The cluster assigns the host, the hub knows it from its first start, and
// nothing turns it into a choice.
func TestOpenShiftRoute(t *testing.T) {
	tr, _, deploy := newProject(t)
	// What will be is known before anything is.
	if out := tr.run("render", "--terminal-image", "x:1"); !strings.Contains(out, "value: https://terminals-"+tr.Namespace+".") {
		t.Error("render without a workshop doesn't tell the hub its address")
	}
	t.Setenv("WORKSHOPCTL_DOMAIN", "localhost:8443")
	tr.run(append(deploy, "--dry-run=server")...)
	if routes, err := tr.Trainer.Routes.Routes(tr.Namespace).List(t.Context(), metav1.ListOptions{}); err != nil || len(routes.Items) > 0 {
		t.Fatalf("a dry run has made %d routes: %v", len(routes.Items), err)
	}
	url := strings.TrimSpace(tr.run(deploy...))
	r, err := tr.Trainer.Routes.Routes(tr.Namespace).Get(t.Context(), "terminals", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if url != "https://"+r.Spec.Host+":8443/" || !strings.HasPrefix(r.Spec.Host, "terminals-"+tr.Namespace+".") {
		t.Errorf("url %s, host %s", url, r.Spec.Host)
	}
	if r.Spec.TLS == nil || r.Spec.TLS.Termination != routev1.TLSTerminationEdge || r.Spec.TLS.InsecureEdgeTerminationPolicy != routev1.InsecureEdgeTerminationPolicyRedirect || r.Annotations["haproxy.router.openshift.io/timeout"] != "1h" {
		t.Errorf("route: %+v %v", r.Spec.TLS, r.Annotations)
	}
	if got, generation := tr.publicURL(); got != url || generation != 1 {
		t.Errorf("the hub's address is %s in generation %d, want %s in 1", got, generation, url)
	}
	t.Setenv("WORKSHOPCTL_DOMAIN", "")
	if got := strings.TrimSpace(tr.run("url")); got != url {
		t.Errorf("url: %s, want %s", got, url)
	}
	// The same again changes nothing, and the host is nobody's choice.
	tr.run("diff")
	tr.run(append(deploy, "--idle-timeout", "3h")...)
	again, err := tr.Trainer.Routes.Routes(tr.Namespace).Get(t.Context(), "terminals", metav1.GetOptions{})
	if err != nil || again.UID != r.UID || again.Generation != r.Generation {
		t.Errorf("the route was changed: %v", err)
	}
	for _, m := range again.ManagedFields {
		if m.Manager == workshop.ManagedBy && strings.Contains(m.FieldsV1.GetRawString(), "f:host") {
			t.Error("workshopctl holds on to the host that the cluster has assigned")
		}
	}
	if file := tr.run("rollout", "history", "--revision", "2"); !strings.Contains(file, "hostAssigned: true") {
		t.Errorf("a printed revision takes the host for a choice:\n%s", file)
	}

	// A namespace's admin may choose a host, and change it by a new route.
	if out := tr.try("diff", "--host", "chosen.example.com"); out.code != 1 || !strings.Contains(out.stdout, "+  host: chosen.example.com") {
		t.Errorf("diff: %d\n%s%s", out.code, out.stdout, out.stderr)
	}
	if got := strings.TrimSpace(tr.run("deploy", "--host", "chosen.example.com", "--timeout", "1m")); got != "https://chosen.example.com/" {
		t.Errorf("with a host: %s", got)
	}
	if got, _ := tr.publicURL(); got != "https://chosen.example.com/" {
		t.Errorf("the hub's address is %s", got)
	}
	tr.run("delete", "terminals", "--yes")
	if routes, err := tr.Trainer.Routes.Routes(tr.Namespace).List(t.Context(), metav1.ListOptions{}); err != nil || len(routes.Items) > 0 {
		t.Errorf("delete leaves %d routes: %v", len(routes.Items), err)
	}
}

// A host that somebody else has is explained: before the first write where
// that can be seen, and else by what the router says.
func TestOpenShiftHostIsTaken(t *testing.T) {
	tr, _, deploy := newProject(t)
	tr.route("other", "taken-"+tr.Namespace+".example.com")
	tr.fails(3, []string{"taken by route other of this namespace", "--host"}, append(deploy, "--host", "taken-"+tr.Namespace+".example.com")...)

	elsewhere := testcluster.New(t)
	host := "elsewhere-" + tr.Namespace + ".example.com"
	theirs := &routev1.Route{ObjectMeta: metav1.ObjectMeta{Name: "theirs"}, Spec: routev1.RouteSpec{Host: host, To: routev1.RouteTargetReference{Kind: "Service", Name: "nobody"}}}
	theirs, err := elsewhere.Admin.Routes.Routes(elsewhere.Namespace).Create(t.Context(), theirs, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	testcluster.Await(t, elsewhere.Admin.Routes.Routes(elsewhere.Namespace), "theirs", func(r *routev1.Route) bool { return len(r.Status.Ingress) > 0 })
	// The older one gets the host, and of two from the same second either may.
	<-time.After(time.Until(theirs.CreationTimestamp.Add(time.Second)))
	words := []string{"its host " + host + " is taken by a route in another namespace", "HostAlreadyClaimed", "--host"}
	tr.fails(3, words, append(deploy, "--host", host)...)
	tr.fails(3, words, "url")
	tr.fails(3, words, "rollout", "status")
	if out := tr.run("status"); !strings.Contains(out, words[0]) {
		t.Errorf("status:\n%s", out)
	}
}

// What the cluster lacks, or nobody can change, is refused before anything is
// written.
func TestOpenShiftWorkloadStays(t *testing.T) {
	tr, _, deploy := newProject(t)
	tr.run(deploy...)
	before := tr.versions()
	tr.fails(5, []string{"can't become DeploymentConfigs", "workshopctl rollout history --revision 1 > workshop.yaml", "workshopctl delete terminals", "--workload deploymentconfig"}, "deploy", "--workload", "deploymentconfig")
	if after := tr.versions(); len(after) != len(before) {
		t.Errorf("before %v, after %v", before, after)
	}
}

// deployer plays the pod that carries out a rollout with strategy Recreate: it
// stops the old version, starts the new one, and ends when that is ready.
func (tr *trainer) deployer(t *testing.T) testcluster.Fate {
	client := tr.Admin.Kubernetes.CoreV1()
	begun := map[types.UID]bool{}
	scale := func(rc *corev1.ReplicationController, replicas string) {
		if _, err := client.ReplicationControllers(tr.Namespace).Patch(t.Context(), rc.Name, types.MergePatchType, []byte(`{"spec":{"replicas":`+replicas+`}}`), metav1.PatchOptions{}); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	}
	return func(pod *corev1.Pod) corev1.PodStatus {
		if pod.Status.Phase == corev1.PodSucceeded || begun[pod.UID] {
			return pod.Status
		}
		begun[pod.UID] = true
		name := pod.Labels[openshiftappsv1.DeployerPodForDeploymentLabel]
		all, err := client.ReplicationControllers(tr.Namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Error(err)
			return pod.Status
		}
		for _, rc := range all.Items {
			if rc.Name == name {
				for _, old := range all.Items {
					if old.Name != name && old.Annotations[openshiftappsv1.DeploymentConfigAnnotation] == rc.Annotations[openshiftappsv1.DeploymentConfigAnnotation] {
						scale(&old, "0")
					}
				}
				scale(&rc, "1")
			}
		}
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			w, err := client.ReplicationControllers(tr.Namespace).Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
			if err != nil {
				return // the test is over
			}
			defer w.Stop()
			for e := range w.ResultChan() {
				if rc, ok := e.Object.(*corev1.ReplicationController); ok && rc.Status.ReadyReplicas == 1 {
					_, _ = client.Pods(tr.Namespace).Patch(ctx, pod.Name, types.MergePatchType, []byte(`{"status":{"phase":"Succeeded"}}`), metav1.PatchOptions{}, "status")
					return
				}
			}
		}()
		return testcluster.Running(pod)
	}
}

// Every command that has to do with hub and proxy works with
// DeploymentConfigs, as far as it goes without a node.
func TestOpenShiftDeploymentConfig(t *testing.T) {
	tr, kubelet, deploy := newProject(t)
	kubelet.Say(workshop.ComponentDeployer, tr.deployer(t))
	tr.run(append(deploy, "--workload", "deploymentconfig")...)
	dc, err := tr.Trainer.Apps.DeploymentConfigs(tr.Namespace).Get(t.Context(), "terminals", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if dc.Status.LatestVersion != 1 {
		t.Errorf("%d rollouts, want 1", dc.Status.LatestVersion)
	}
	tr.run("diff")
	tr.run("rollout", "status", "--timeout", "1m")
	if out := tr.run("status"); strings.Count(out, "1/1") != 2 || !strings.Contains(out, "revision 1, ready") {
		t.Errorf("status:\n%s", out)
	}
	if out := tr.run("list"); !strings.Contains(out, "yes") {
		t.Errorf("list:\n%s", out)
	}

	// As `oc set env dc/terminals` does.
	patch := []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"hub","env":[{"name":"TERMINAL_IMAGE","value":"registry.example.com/theirs:1"}]}]}}}}`)
	if _, err := tr.Trainer.Apps.DeploymentConfigs(tr.Namespace).Patch(t.Context(), "terminals", types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: "oc-set"}); err != nil {
		t.Fatal(err)
	}
	tr.run("rollout", "status", "--timeout", "1m")
	if out := tr.run("status"); !strings.Contains(out, "registry.example.com/theirs:1") {
		t.Errorf("status doesn't show what was set by hand:\n%s", out)
	}
	tr.run("deploy", "--idle-timeout", "3h", "--timeout", "1m", "--skip-image-check")
	if out := tr.run("list", "-o", "wide"); !strings.Contains(out, "registry.example.com/theirs:1") {
		t.Errorf("a deploy doesn't keep what was set by hand:\n%s", out)
	}
	tr.run("set-image", "registry.example.com/terminal:2", "--skip-image-check", "--timeout", "1m")
	tr.run("rollout", "undo", "--to-revision", "1", "--skip-image-check", "--timeout", "1m")
	if out := tr.run("list", "-o", "wide"); !strings.Contains(out, "registry.example.com/terminal:1") {
		t.Errorf("after undo:\n%s", out)
	}

	// A rollout that fails is explained, and tried again by the same deploy.
	kubelet.Say(workshop.ComponentDeployer, func(pod *corev1.Pod) corev1.PodStatus {
		if pod.Status.Phase == corev1.PodSucceeded {
			return pod.Status
		}
		return corev1.PodStatus{Phase: corev1.PodFailed}
	})
	tr.fails(3, []string{"deployment config terminals: its rollout has failed", "has failed progressing"}, "deploy", "--idle-timeout", "4h", "--timeout", "1m")
	if out := tr.run("status"); !strings.Contains(out, "its rollout has failed") {
		t.Errorf("status:\n%s", out)
	}
	kubelet.Say(workshop.ComponentDeployer, tr.deployer(t))
	r := tr.try("deploy", "--timeout", "1m")
	if r.code != 0 || !strings.Contains(r.stderr, "rolling out terminals anew") {
		t.Errorf("deploy again: %d\n%s", r.code, r.stderr)
	}

	tr.run("delete", "terminals", "--yes", "--timeout", "1m")
	left, err := tr.Trainer.Kubernetes.CoreV1().ReplicationControllers(tr.Namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(left.Items) > 0 {
		t.Errorf("delete leaves %d replication controllers: %v", len(left.Items), err)
	}
}

// A quota without room for the pod that carries out the rollout.
func TestOpenShiftDeployerIsRefused(t *testing.T) {
	tr, kubelet, deploy := newProject(t)
	kubelet.Say(workshop.ComponentDeployer, tr.deployer(t))
	tr.run(append(deploy, "--workload", "deploymentconfig")...)
	quotas := tr.Admin.Kubernetes.CoreV1().ResourceQuotas(tr.Namespace)
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "small"}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("2")}}}
	if _, err := quotas.Create(t.Context(), quota, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	testcluster.Await(t, quotas, "small", func(q *corev1.ResourceQuota) bool { return q.Status.Used.Pods().Value() == 2 })
	patch := []byte(`{"spec":{"template":{"metadata":{"annotations":{"example.com/changed":"yes"}}}}}`)
	if _, err := tr.Trainer.Apps.DeploymentConfigs(tr.Namespace).Patch(t.Context(), "terminals-proxy", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	tr.fails(3, []string{"deployment config terminals-proxy: the namespace's quota is used up (small)"}, "rollout", "status", "--timeout", "1m")
}
