// SPDX-License-Identifier: Apache-2.0

//go:build integration

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/root"
	"github.com/workshopctl/workshopctl/pkg/session"
	"github.com/workshopctl/workshopctl/pkg/workshop"
	"github.com/workshopctl/workshopctl/test/testcluster"
)

// trainer runs commands in a namespace of a real API server.
type trainer struct {
	*testcluster.Cluster
	t *testing.T
}

// newTrainer has a kubelet that runs every pod.
func newTrainer(t *testing.T) (*trainer, *testcluster.Kubelet) {
	c := testcluster.New(t)
	kubelet := testcluster.NewKubelet(t, c)
	c.ServiceAccount(t)
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("WORKSHOPCTL_GATEWAY_IMAGE", "registry.example.com/gateway:1")
	tr := &trainer{c, t}
	tr.actAs(c.Trainer)
	return tr, kubelet
}

// actAs has the commands that follow run as another user.
func (tr *trainer) actAs(u *testcluster.User) {
	tr.t.Helper()
	config := clientcmdapi.NewConfig()
	rest := u.Config
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: rest.Host, CertificateAuthority: rest.CAFile, CertificateAuthorityData: rest.CAData}
	config.AuthInfos["u"] = &clientcmdapi.AuthInfo{Token: rest.BearerToken}
	config.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u", Namespace: tr.Namespace}
	config.CurrentContext = "x"
	file := filepath.Join(tr.t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		tr.t.Fatal(err)
	}
	tr.t.Setenv("KUBECONFIG", file)
}

type result struct {
	code           int
	stdout, stderr string
}

// try runs a command.
func (tr *trainer) try(args ...string) result {
	tr.t.Helper()
	var out, errOut bytes.Buffer
	streams := genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &errOut}
	code := root.Main(append([]string{"workshopctl"}, args...), streams, factory.Build{Version: "v0.0.1-test"})
	return result{code, out.String(), errOut.String()}
}

// run runs a command that must succeed, and returns what it printed.
func (tr *trainer) run(args ...string) string {
	tr.t.Helper()
	r := tr.try(args...)
	if r.code != 0 {
		tr.t.Fatalf("%v: exit code %d\n%s%s", args, r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// fails runs a command that must end with an exit code and say some words.
func (tr *trainer) fails(code int, words []string, args ...string) {
	tr.t.Helper()
	r := tr.try(args...)
	if r.code != code {
		tr.t.Errorf("%v: exit code %d, want %d\n%s%s", args, r.code, code, r.stdout, r.stderr)
	}
	for _, w := range words {
		if !strings.Contains(r.stderr, w) {
			tr.t.Errorf("%v: %q is not in\n%s", args, w, r.stderr)
		}
	}
	if r.stdout != "" && code != 1 {
		tr.t.Errorf("%v: a failed command prints on stdout:\n%s", args, r.stdout)
	}
}

// versions are the resource versions of what a workshop consists of.
func (tr *trainer) versions() map[string]string {
	tr.t.Helper()
	out := map[string]string{}
	for _, r := range []schema.GroupVersionResource{
		{Version: "v1", Resource: "configmaps"}, {Version: "v1", Resource: "secrets"}, {Version: "v1", Resource: "services"}, {Version: "v1", Resource: "serviceaccounts"},
		{Version: "v1", Resource: "persistentvolumeclaims"}, {Group: "apps", Version: "v1", Resource: "deployments"},
		{Group: "networking.k8s.io", Version: "v1", Resource: "ingresses"}, {Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies"},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "roles"}, {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"},
	} {
		list, err := tr.Admin.Dynamic.Resource(r).Namespace(tr.Namespace).List(tr.t.Context(), metav1.ListOptions{LabelSelector: workshop.LabelPartOf + "=" + workshop.ManagedBy})
		if err != nil {
			tr.t.Fatal(err)
		}
		for _, o := range list.Items {
			out[r.Resource+"/"+o.GetName()] = o.GetResourceVersion()
		}
	}
	return out
}

// deployable are the flags of a workshop that gets ready on an API server
// without storage and ingress.
var deployable = []string{"--terminal-image", "registry.example.com/terminal:1", "--expose", "none", "--hub-storage-size", "0", "--skip-image-check"}

func TestLifecycle(t *testing.T) {
	tr, _ := newTrainer(t)
	tr.fails(1, []string{"has no workshop", "workshopctl deploy"}, "url")
	if out := tr.run("list"); out != "" {
		t.Errorf("list of nothing: %q", out)
	}
	if out := tr.run("list", "-o", "json"); strings.TrimSpace(out) != "{\n  \"items\": []\n}" {
		t.Errorf("list of nothing: %q", out)
	}

	// What differs before the first deploy is everything; nothing is written.
	if r := tr.try(append([]string{"diff"}, deployable[:6]...)...); r.code != 1 || !strings.Contains(r.stdout, "+kind: Deployment") {
		t.Errorf("diff before: %+v", r)
	}
	if out := tr.run(append([]string{"deploy", "--dry-run=server"}, deployable...)...); !strings.Contains(out, "deployment.apps/terminals") {
		t.Errorf("dry run: %s", out)
	}
	if left := tr.versions(); len(left) > 0 {
		t.Fatalf("written by what writes nothing: %v", left)
	}

	deployed := tr.try(append([]string{"deploy"}, deployable...)...)
	secret, err := tr.Admin.Kubernetes.CoreV1().Secrets(tr.Namespace).Get(t.Context(), "terminals-hub", metav1.GetOptions{})
	if err != nil {
		t.Fatalf("%v\n%+v", err, deployed)
	}
	password := string(secret.Data[workshop.SecretUserPassword])
	if deployed.code != 0 || deployed.stdout != "" || !strings.Contains(deployed.stderr, password) || !strings.Contains(deployed.stderr, "url --forward") {
		t.Errorf("deploy without a way in: %+v", deployed)
	}
	for _, s := range []string{workshop.SecretAdminPassword, workshop.SecretAPIToken} {
		if strings.Contains(deployed.stderr, string(secret.Data[s])) {
			t.Errorf("deploy prints %s", s)
		}
	}

	// The same again changes nothing.
	before := tr.versions()
	again := tr.try("deploy")
	if again.code != 0 || !strings.Contains(again.stderr, "unchanged") {
		t.Errorf("deploy again: %+v", again)
	}
	if after := tr.versions(); !maps.Equal(before, after) {
		t.Errorf("an unchanged deploy wrote: before %v, after %v", before, after)
	}
	if r := tr.try("diff"); r.code != 0 || r.stdout != "" {
		t.Errorf("diff of nothing: %+v", r)
	}

	// A change of one thing leaves the others.
	tr.run("deploy", "--idle-timeout", "4h", "--env", "TOPIC=git")
	spec := tr.spec("terminals")
	if spec.IdleTimeout != "4h" || spec.Env["TOPIC"] != "git" || spec.TerminalImage != "registry.example.com/terminal:1" || spec.HubStorageSize != "0" {
		t.Errorf("spec %+v", spec)
	}
	if now, err := tr.Admin.Kubernetes.CoreV1().Secrets(tr.Namespace).Get(t.Context(), "terminals-hub", metav1.GetOptions{}); err != nil || string(now.Data[workshop.SecretUserPassword]) != password {
		t.Errorf("the password has changed (%v)", err)
	}

	// Revisions.
	tr.run("set-image", "registry.example.com/terminal:2", "--skip-image-check")
	if spec := tr.spec("terminals"); spec.TerminalImage != "registry.example.com/terminal:2" || spec.IdleTimeout != "4h" {
		t.Errorf("spec after set-image %+v", spec)
	}
	if out := tr.run("rollout", "history"); !strings.Contains(out, "workshopctl set-image registry.example.com/terminal:2") || strings.Contains(out, "TOPIC=git") {
		t.Errorf("history:\n%s", out)
	}
	tr.run("rollout", "undo", "--to-revision", "1", "--skip-image-check")
	if spec := tr.spec("terminals"); spec.TerminalImage != "registry.example.com/terminal:1" || spec.IdleTimeout != workshop.DefaultIdleTimeout || len(spec.Env) > 0 {
		t.Errorf("spec after undo %+v", spec)
	}
	if out := tr.run("rollout", "history", "-o", "name"); out != "revision/1\nrevision/2\nrevision/3\nrevision/4\n" {
		t.Errorf("history after undo: %q", out)
	}
	tr.fails(2, []string{"no revision 99", "rollout history"}, "rollout", "undo", "--to-revision", "99")
	tr.run("rollout", "status")

	// Two workshops have to be told apart.
	tr.run(append([]string{"deploy", "class", "--auth", "anonymous"}, deployable...)...)
	tr.fails(2, []string{"class, terminals", "--workshop"}, "status")
	if out := tr.run("list", "-o", "name"); out != "workshop/class\nworkshop/terminals\n" {
		t.Errorf("list: %q", out)
	}
	// Whoever may not look elsewhere reads so, and sees what there is here.
	everywhere := tr.try("list", "-A", "-o", "jsonpath={.items[*].namespace}")
	if everywhere.code != 0 || everywhere.stdout != tr.Namespace+" "+tr.Namespace || !strings.Contains(everywhere.stderr, "You may not list namespaces; these are the workshops of "+tr.Namespace+" alone.") {
		t.Errorf("list -A: %+v", everywhere)
	}
	if out := tr.run("list", "-o", "jsonpath={.items[*].ready}"); out != "true true" {
		t.Errorf("ready: %q", out)
	}

	// Status, without a hub that answers.
	status := tr.run("status", "--workshop", "terminals", "--show-passwords")
	for _, w := range []string{"terminals in namespace " + tr.Namespace + ", revision 4, ready", "registry.example.com/terminal:1", password, "hub", "proxy"} {
		if !strings.Contains(status, w) {
			t.Errorf("%q is not in the status:\n%s", w, status)
		}
	}
	if out := tr.run("status", "--workshop", "terminals"); strings.Contains(out, password) {
		t.Error("status shows the password without being asked")
	}
	if out := tr.run("status", "--workshop", "class", "-o", "jsonpath={.ready} {.spec.auth}"); out != "true anonymous" {
		t.Errorf("status: %q", out)
	}

	// The end, one at a time.
	tr.fails(5, []string{"--yes"}, "delete", "class")
	tr.run("delete", "class", "--yes")
	for what := range tr.versions() {
		if strings.Contains(what, "/class") {
			t.Errorf("delete left %s", what)
		}
	}
	tr.fails(1, []string{"has no workshop class"}, "delete", "class", "--yes")
	tr.run("delete", "terminals", "--yes")
	if left := tr.versions(); len(left) > 0 {
		t.Errorf("delete left %v", left)
	}
}

func (tr *trainer) spec(name string) workshop.Spec {
	tr.t.Helper()
	var status struct{ Spec workshop.Spec }
	if err := json.Unmarshal([]byte(tr.run("status", "--workshop", name, "-o", "json")), &status); err != nil {
		tr.t.Fatal(err)
	}
	return status.Spec
}

// The image of new sessions may be set by others; it stays until a deploy
// names one.
func TestImageOfOthers(t *testing.T) {
	tr, _ := newTrainer(t)
	tr.run(append([]string{"deploy"}, deployable...)...)
	set := func(image string) {
		t.Helper()
		patch := fmt.Appendf(nil, `{"spec":{"template":{"spec":{"containers":[{"name":"hub","env":[{"name":"TERMINAL_IMAGE","value":%q}]}]}}}}`, image)
		if _, err := tr.Trainer.Kubernetes.AppsV1().Deployments(tr.Namespace).Patch(t.Context(), "terminals", types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: "kubectl-set"}); err != nil {
			t.Fatal(err)
		}
	}
	set("registry.example.com/terminal:theirs")
	if out := tr.run("status"); !strings.Contains(out, "terminal:theirs (deployed: registry.example.com/terminal:1)") {
		t.Errorf("status:\n%s", out)
	}
	r := tr.try("deploy", "--idle-timeout", "3h", "--skip-image-check")
	if r.code != 0 || !strings.Contains(r.stderr, "stays registry.example.com/terminal:theirs (set by kubectl-set)") {
		t.Errorf("deploy of something else: %+v", r)
	}
	if spec := tr.spec("terminals"); spec.TerminalImage != "registry.example.com/terminal:theirs" || spec.IdleTimeout != "3h" {
		t.Errorf("spec %+v", spec)
	}
	set("registry.example.com/terminal:other")
	r = tr.try("deploy", "--terminal-image", "registry.example.com/terminal:2", "--skip-image-check")
	if r.code != 0 || !strings.Contains(r.stderr, "set by kubectl-set, is replaced by registry.example.com/terminal:2") {
		t.Errorf("deploy of an image: %+v", r)
	}
	if out := tr.run("list", "-o", "jsonpath={.items[0].terminalImage}"); out != "registry.example.com/terminal:2" {
		t.Errorf("image: %s", out)
	}
}

// What isn't ours is refused before anything is written.
func TestForeign(t *testing.T) {
	tr, _ := newTrainer(t)
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "terminals-proxy"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}
	if _, err := tr.Trainer.Kubernetes.CoreV1().Services(tr.Namespace).Create(t.Context(), service, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	tr.fails(5, []string{"service/terminals-proxy"}, append([]string{"deploy"}, deployable...)...)
	if left := tr.versions(); len(left) > 0 {
		t.Errorf("written before the refusal: %v", left)
	}
}

// A hub without a volume forgets the running sessions when a change restarts
// it, which is said before.
func TestHubWithoutVolume(t *testing.T) {
	tr, _ := newTrainer(t)
	tr.run(append([]string{"deploy", "--wait=false"}, deployable...)...)
	const words = "forgets the sessions"
	tr.fails(1, []string{words}, "diff", "--idle-timeout", "3h")
	if r := tr.try("deploy", "--wait=false"); r.code != 0 || strings.Contains(r.stderr, words) {
		t.Errorf("nothing changes: %+v", r)
	}
}

// What only OpenShift has is refused before anything is written, with what does
// the same.
func TestPlainCluster(t *testing.T) {
	tr, _ := newTrainer(t)
	deploy := []string{"deploy", "--terminal-image", "registry.example.com/terminal:1", "--skip-image-check"}
	tr.fails(2, []string{"deploy terminals: the cluster has no routes", "--expose ingress"}, append(deploy, "--expose", "route")...)
	tr.fails(2, []string{"deploy terminals: the cluster has no deployment configs", "--workload deployment"}, append(deploy, "--expose", "none", "--workload", "deploymentconfig")...)
	if out := tr.run("list", "-o", "name"); out != "" {
		t.Errorf("there is %s", out)
	}
	// GitOps needs no cluster: the objects are those of OpenShift.
	file := filepath.Join(t.TempDir(), "workshop.yaml")
	if err := os.WriteFile(file, []byte("terminalImage: x:1\nexpose: route\nworkload: deploymentconfig\nauth: password\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := tr.try("render", "-f", file)
	// The host isn't known; the hub will ask its Route.
	for _, word := range []string{"kind: Route", "kind: DeploymentConfig", "route_address.py"} {
		if !strings.Contains(r.stdout, word) {
			t.Errorf("render: no %s", word)
		}
	}
	if r.code != 0 || strings.Contains(r.stdout, "runAsUser:") {
		t.Errorf("render: %d\n%s", r.code, r.stderr)
	}
}

// A change that the API server refuses isn't taken up into the Spec, where it
// would fail every later deploy.
func TestRefusedChange(t *testing.T) {
	tr, _ := newTrainer(t)
	tr.run(append([]string{"deploy", "--wait=false"}, deployable...)...)
	patch := []byte(`{"metadata":{"labels":{"app":"other"}}}`)
	if _, err := tr.Trainer.Kubernetes.CoreV1().Secrets(tr.Namespace).Patch(t.Context(), "terminals-hub", types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: "kubectl-label"}); err != nil {
		t.Fatal(err)
	}
	before := tr.versions()
	tr.fails(5, []string{"secret/terminals-hub", "kubectl-label"}, "deploy", "--wait=false", "--idle-timeout", "3h")
	// The hub and what the cluster makes of its pods go on meanwhile.
	for _, object := range []string{"configmaps/terminals-workshop", "secrets/terminals-hub", "roles/terminals-hub"} {
		if after := tr.versions()[object]; after != before[object] {
			t.Errorf("%s was written", object)
		}
	}
	if spec := tr.spec("terminals"); spec.IdleTimeout != "2h" {
		t.Errorf("the refused change is in the Spec: %+v", spec)
	}
}

// A cause that the cluster knows ends the waiting with exit code 3.
func TestKnownCause(t *testing.T) {
	tr, kubelet := newTrainer(t)
	kubelet.Say(workshop.ComponentHub, testcluster.Waiting("ImagePullBackOff", `Back-off pulling image "registry.example.com/hub:none": not found`))
	tr.fails(3, []string{"deploy terminals", "registry.example.com/hub:none", "--hub-image"}, append([]string{"deploy", "--hub-image", "registry.example.com/hub:none"}, deployable...)...)
	// The way on is a deploy with another image.
	kubelet.Say(workshop.ComponentHub, testcluster.Running)
	tr.run("deploy", "--hub-image", "registry.example.com/hub:1")
}

// --timeout ends with what was still missing.
func TestTimeout(t *testing.T) {
	tr, kubelet := newTrainer(t)
	kubelet.Say(workshop.ComponentProxy, testcluster.Starting)
	tr.fails(4, []string{"the time is up; not ready yet:", "proxy", "workshopctl rollout status"}, append([]string{"deploy", "--timeout", "3s"}, deployable...)...)
}

// A host gives a URL, alone on stdout; nobody answers it here, which is a
// warning. The ingress has no controller, so nobody waits.
func TestURL(t *testing.T) {
	tr, _ := newTrainer(t)
	t.Setenv("WORKSHOPCTL_DOMAIN", "apps.invalid:8443")
	t.Setenv("WORKSHOPCTL_TLS_SECRET", "default")
	want := fmt.Sprintf("https://class-%s.apps.invalid:8443/\n", tr.Namespace)
	r := tr.try("deploy", "class", "--terminal-image", "registry.example.com/terminal:1", "--skip-image-check", "--wait=false")
	if r.code != 0 || r.stdout != want || !strings.Contains(r.stderr, "workshopctl rollout status --workshop class") {
		t.Errorf("deploy: %+v", r)
	}
	if out := tr.run("url"); out != want {
		t.Errorf("url: %q", out)
	}
	if out := tr.run("url", "-o", "json"); !strings.Contains(out, strings.TrimSpace(want)) {
		t.Errorf("url -o json: %q", out)
	}
	if out := tr.run("url", "--qr"); !strings.HasPrefix(out, want) || !strings.Contains(out, "█") {
		t.Errorf("url --qr: %q", out)
	}

	tr.fails(2, []string{"has a URL of its own", "--expose none"}, "url", "--forward")

	// Other defaults don't move a deployed workshop; a flag does, and what the
	// way in consisted of is gone.
	t.Setenv("WORKSHOPCTL_DOMAIN", "other.invalid")
	t.Setenv("WORKSHOPCTL_STORAGE_SIZE", "9Gi")
	if out := tr.run("deploy", "class", "--wait=false", "--skip-image-check"); out != want {
		t.Errorf("deploy with other defaults: %q", out)
	}
	tr.run("deploy", "class", "--expose", "none", "--wait=false")
	for what := range tr.versions() {
		if strings.HasPrefix(what, "ingresses/") {
			t.Errorf("%s is left", what)
		}
	}
	tr.fails(1, []string{"--expose none", "workshopctl url --forward --workshop class"}, "url")
	tr.fails(1, []string{"has no workshop none"}, "url", "--forward", "--workshop", "none")
}

// url --open hands the URL to the program that opens browsers.
func TestOpen(t *testing.T) {
	tr, _ := newTrainer(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "xdg-open"), []byte("#!/bin/sh\necho the browser says something\necho \"$@\" > "+dir+"/opened\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	t.Setenv("WORKSHOPCTL_DOMAIN", "apps.invalid")
	url := tr.run("deploy", "--terminal-image", "registry.example.com/terminal:1", "--skip-image-check", "--wait=false")
	if out := tr.run("url", "--open"); out != url {
		t.Errorf("url --open prints %q, want %q", out, url)
	}
	if opened, err := os.ReadFile(filepath.Join(dir, "opened")); err != nil || string(opened) != url {
		t.Errorf("opened %q, %v; want %q", opened, err, url)
	}
	t.Setenv("PATH", t.TempDir())
	if r := tr.try("url", "--open"); r.code != 1 || r.stdout != url || !strings.Contains(r.stderr, "Open the URL above by hand.") {
		t.Errorf("without a browser: %+v", r)
	}
}

// watching is a command that goes on until it is stopped.
type watching struct {
	t     *testing.T
	lines <-chan string
	stop  func() error
}

// watch runs a command that shows changes.
func (tr *trainer) watch(args ...string) *watching {
	r, w := io.Pipe()
	f := factory.New([]string{"workshopctl"}, genericiooptions.IOStreams{In: strings.NewReader(""), Out: w, ErrOut: io.Discard}, factory.Build{Version: "v0.0.1-test"})
	cmd := root.NewCommand(f)
	cmd.SetArgs(args)
	ctx, cancel := context.WithCancel(tr.t.Context())
	done, lines := make(chan error, 1), make(chan string, 100)
	go func() {
		done <- cmd.ExecuteContext(ctx)
		w.Close()
	}()
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(r); s.Scan(); {
			lines <- s.Text()
		}
	}()
	tr.t.Cleanup(cancel)
	return &watching{tr.t, lines, func() error { cancel(); return <-done }}
}

// shows waits for a line that begins with a word and holds another.
func (w *watching) shows(first, word string) {
	w.t.Helper()
	late := time.After(time.Minute)
	for {
		select {
		case line, more := <-w.lines:
			if strings.HasPrefix(line, first+" ") && strings.Contains(line, " "+word) {
				return
			}
			if !more {
				w.t.Fatalf("it ended before it showed %s as %s", first, word)
			}
		case <-late:
			w.t.Fatalf("never shows %s as %s", first, word)
		}
	}
}

// ends stops the command as Ctrl-C does, which is no failure.
func (w *watching) ends() {
	w.t.Helper()
	if err := w.stop(); err != nil {
		w.t.Errorf("ended with %v", err)
	}
}

// status -w and sessions list -w show what changes, as it changes.
func TestWatch(t *testing.T) {
	tr, kubelet := newTrainer(t)
	tr.run(append([]string{"deploy"}, deployable...)...)
	status, list := tr.watch("status", "-w"), tr.watch("sessions", "list", "-w")
	status.shows("proxy", "ready")
	kubelet.Say(workshop.ComponentProxy, testcluster.Starting)
	status.shows("proxy", "0/1")
	kubelet.Say(workshop.ComponentProxy, testcluster.Running)
	status.shows("proxy", "1/1")
	status.ends()

	kubelet.Say(workshop.ComponentSession, testcluster.Waiting("ImagePullBackOff", "no such image"))
	tr.session("ann")
	list.shows("ann", "failed")
	kubelet.Say(workshop.ComponentSession, testcluster.Running)
	list.shows("ann", "running")
	if err := tr.Trainer.Kubernetes.CoreV1().Pods(tr.Namespace).Delete(t.Context(), "terminals--ann", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	list.shows("ann", "stopped")
	list.ends()
}

// session makes the pod of one, as the hub does.
func (tr *trainer) session(user string) metav1.ObjectMeta {
	tr.t.Helper()
	meta := metav1.ObjectMeta{
		Name: "terminals--" + user, Annotations: map[string]string{workshop.UsernameAnnotation: user},
		Labels: workshop.Names("terminals").Labels(workshop.ComponentSession),
	}
	meta.Labels[workshop.LabelManagedBy] = "kubespawner"
	pod := &corev1.Pod{ObjectMeta: meta, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: session.Container, Image: "registry.example.com/terminal:1"}}}}
	if _, err := tr.Trainer.Kubernetes.CoreV1().Pods(tr.Namespace).Create(tr.t.Context(), pod, metav1.CreateOptions{}); err != nil {
		tr.t.Fatal(err)
	}
	return meta
}

// render needs no cluster with a file, and prints what is deployed without.
func TestRender(t *testing.T) {
	tr, _ := newTrainer(t)
	tr.run(append([]string{"deploy"}, deployable...)...)
	secret, err := tr.Admin.Kubernetes.CoreV1().Secrets(tr.Namespace).Get(t.Context(), "terminals-hub", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Items []struct {
			Kind string
			Data map[string]string
		}
	}
	if err := json.Unmarshal([]byte(tr.run("render", "-o", "json")), &list); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, o := range list.Items {
		if o.Kind == "Secret" {
			found = true
		}
	}
	if !found {
		t.Error("no Secret")
	}
	if out := tr.run("render", "--existing-secret", "mine"); strings.Contains(out, string(secret.Data[workshop.SecretUserPassword])) || !strings.Contains(out, "name: mine") {
		t.Errorf("render --existing-secret:\n%s", out)
	}
	if out := tr.run("deploy", "--dry-run=client", "--memory-limit", "1Gi"); !strings.Contains(out, "1Gi") || strings.Contains(out, string(secret.Data[workshop.SecretUserPassword])) {
		t.Errorf("dry run:\n%s", out)
	}
}

// Sessions and volumes as the cluster knows them, without a hub; and what
// becomes of them at the end.
func TestSessions(t *testing.T) {
	tr, kubelet := newTrainer(t)
	tr.run(append([]string{"deploy"}, deployable...)...)
	kubelet.Say(workshop.ComponentSession, func(p *corev1.Pod) corev1.PodStatus {
		if p.Annotations[workshop.UsernameAnnotation] == "bob" {
			return testcluster.Waiting("ImagePullBackOff", "no\x1b[31m such image")(p)
		}
		return testcluster.Running(p)
	})
	for _, user := range []string{"ann", "bob"} {
		meta := tr.session(user)
		claim := &corev1.PersistentVolumeClaim{ObjectMeta: meta, Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		}}
		if _, err := tr.Trainer.Kubernetes.CoreV1().PersistentVolumeClaims(tr.Namespace).Create(t.Context(), claim, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		testcluster.Await(t, tr.Admin.Kubernetes.CoreV1().Pods(tr.Namespace), meta.Name, func(p *corev1.Pod) bool { return len(p.Status.ContainerStatuses) > 0 })
	}
	r := tr.try("sessions", "list")
	if r.code != 0 || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, "The hub does not answer") {
		t.Errorf("sessions list: %+v", r)
	}
	lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[1], "ann ") || !strings.Contains(lines[1], " running ") ||
		!strings.Contains(lines[2], " failed ") || !strings.Contains(lines[2], "ImagePullBackOff: no such image") {
		t.Errorf("sessions list:\n%s", r.stdout)
	}
	if out := tr.run("sessions", "list", "-o", "jsonpath={.items[*].user}"); out != "ann bob" {
		t.Errorf("users: %q", out)
	}
	if out := tr.run("sessions", "list", "-o", "name"); out != "session/ann\nsession/bob\n" {
		t.Errorf("names: %q", out)
	}
	if out := tr.run("status"); !strings.Contains(out, "1 running, 1 failed") || !strings.Contains(out, "volumes of attendees: 2, 2Gi together") {
		t.Errorf("status:\n%s", out)
	}
	tr.fails(1, []string{"annn has no session", "did you mean ann?"}, "sessions", "logs", "annn")

	// Completion knows them.
	if out := tr.try("__complete", "sessions", "logs", "").stdout; !strings.HasPrefix(out, "ann\nbob\n") {
		t.Errorf("completion: %q", out)
	}
	if out := tr.try("__complete", "delete", "").stdout; !strings.HasPrefix(out, "terminals\n") {
		t.Errorf("completion: %q", out)
	}

	// Volumes stay, are found again, and go when that is said.
	deleted := tr.try("delete", "terminals", "--yes")
	if deleted.code != 0 || !strings.Contains(deleted.stderr, "2 volumes of attendees") {
		t.Errorf("delete: %+v", deleted)
	}
	if left := slices.Sorted(maps.Keys(tr.versions())); !slices.Equal(left, []string{"persistentvolumeclaims/terminals--ann", "persistentvolumeclaims/terminals--bob"}) {
		t.Errorf("left: %v", left)
	}
	tr.run(append([]string{"deploy"}, deployable...)...)
	tr.fails(5, []string{"--yes"}, "delete", "terminals", "--delete-volumes")
	tr.run("delete", "terminals", "--yes", "--delete-volumes")
	if left := tr.versions(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
