// SPDX-License-Identifier: Apache-2.0

//go:build integration

package test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/workshopctl/workshopctl/sandbox/host"
	"github.com/workshopctl/workshopctl/sandbox/node"
)

var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "workshop-sandbox-test")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	program = filepath.Join(dir, "workshop-sandbox")
	status := 1
	if out, err := exec.Command("go", "build", "-o", program, "../cmd/workshop-sandbox").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build workshop-sandbox: %v\n%s", err, out)
	} else {
		status = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(status)
}

// sandbox is one that a test uses, and no other.
type sandbox struct {
	t    *testing.T
	dirs host.Dirs
}

// newSandbox names a sandbox and takes it down in the end.
func newSandbox(t *testing.T, name string) *sandbox {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("a sandbox needs root")
	}
	dirs, err := host.NewDirs(name)
	if err != nil {
		t.Fatal(err)
	}
	s := &sandbox{t, dirs}
	s.must("down") // of a test that was killed
	t.Cleanup(func() {
		if t.Failed() {
			_, out, _ := s.run("logs", "--tail", "10")
			t.Log(out)
		}
		s.must("down")
	})
	return s
}

// run runs a command on the sandbox.
func (s *sandbox) run(command string, args ...string) (status int, stdout, stderr string) {
	s.t.Helper()
	cmd := exec.Command(program, append([]string{command, "--name", s.dirs.Name}, args...)...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errOut.String()
}

// must is run that has to succeed; it returns what was printed.
func (s *sandbox) must(command string, args ...string) string {
	s.t.Helper()
	status, out, errOut := s.run(command, args...)
	if status != 0 {
		s.t.Fatalf("%s %v: exit status %d\n%s", command, args, status, errOut)
	}
	return out + errOut
}

func (s *sandbox) status() node.Status {
	s.t.Helper()
	_, out, errOut := s.run("status", "-o", "json")
	var status node.Status
	if err := json.Unmarshal([]byte(out), &status); err != nil {
		s.t.Fatalf("%v: %s%s", err, out, errOut)
	}
	return status
}

func (s *sandbox) client() *kubernetes.Clientset {
	s.t.Helper()
	rc, err := clientcmd.BuildConfigFromFlags("", s.dirs.Kubeconfig())
	if err != nil {
		s.t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(rc)
	if err != nil {
		s.t.Fatal(err)
	}
	return client
}

// until waits for a condition, and fails with its last answer.
func until(t *testing.T, what string, ok func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		err := ok(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// machine is what a sandbox might leave or change on the host.
func machine(t *testing.T) map[string]string {
	t.Helper()
	output := func(name string, args ...string) string {
		out, err := exec.Command(name, args...).Output()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return string(out)
	}
	read := func(path string) string {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	list := func(dir string) string {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range entries {
			if e.Name() != "workshop-sandbox" { // somebody may have another
				names = append(names, e.Name())
			}
		}
		return strings.Join(names, " ")
	}
	state := map[string]string{
		"firewall": regexp.MustCompile(`(?m)^#.*$|\[\d+:\d+\]`).ReplaceAllString(output("iptables-save"), ""), // without dates and counters
		"routes":   output("ip", "route", "show", "table", "all"),
		"links":    output("ip", "-o", "link"),
		"mounts":   read("/proc/self/mountinfo"),
		"/var/lib": list("/var/lib"), "/etc": list("/etc"), "/var/log": list("/var/log"), "/run": list("/run"),
	}
	for _, setting := range []string{"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/hostname", "net/ipv4/ip_forward", "net/ipv4/conf/all/route_localnet"} {
		state[setting] = read(filepath.Join("/proc/sys", setting))
	}
	return state
}

// leftovers are traces of the one sandbox.
func leftovers(t *testing.T, dirs host.Dirs) []string {
	t.Helper()
	var found []string
	for _, path := range []string{dirs.State, dirs.Run, dirs.Lock} {
		if _, err := os.Lstat(path); err == nil {
			found = append(found, path)
		}
	}
	cgroups, err := host.FindCgroups()
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range cgroups.Hierarchies {
		if path := filepath.Join(h.Mount, dirs.Cgroup()); exists(path) {
			found = append(found, path)
		}
	}
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range commands {
		data, _ := os.ReadFile(file)
		line := strings.ReplaceAll(string(data), "\x00", " ")
		// Its programs name its state in their arguments or are its own.
		if strings.Contains(line, dirs.State+"/") || strings.Contains(line, "internal-init "+dirs.Name) || strings.Contains(line, "internal-run "+dirs.Name) {
			found = append(found, line)
		}
	}
	return found
}

func exists(path string) bool { _, err := os.Lstat(path); return err == nil }

func TestControlPlane(t *testing.T) {
	before := machine(t)
	s := newSandbox(t, "test-cp")
	port := freePort(t)
	out := s.must("up", "--control-plane", "--api-port", strconv.Itoa(port))
	if !strings.Contains(out, "env --name test-cp") || !strings.Contains(out, "down --name test-cp") {
		t.Errorf("up doesn't say how to go on:\n%s", out)
	}
	first := s.status()
	if !first.Healthy || !first.ControlPlane || first.Ports.API != port {
		t.Fatalf("after up: %+v", first)
	}
	if env := s.must("env"); env != "export KUBECONFIG='"+s.dirs.Kubeconfig()+"'\n" {
		t.Errorf("env prints %s", env)
	}
	if _, err := s.client().CoreV1().ServiceAccounts("default").Get(t.Context(), "default", metav1.GetOptions{}); err != nil {
		t.Errorf("up returns before the controllers work: %v", err)
	}

	t.Run("up again changes nothing", func(t *testing.T) {
		if out := s.must("up", "--control-plane"); !strings.Contains(out, "running and healthy") {
			t.Errorf("it says:\n%s", out)
		}
		if now := s.status(); now.PID != first.PID || now.Ports != first.Ports {
			t.Errorf("it was restarted: %+v", now)
		}
	})
	t.Run("refused while another is at work", func(t *testing.T) {
		lock, err := host.Acquire(s.dirs.Lock, "somebody's up")
		if err != nil {
			t.Fatal(err)
		}
		defer lock.Release()
		for _, command := range []string{"up", "down"} {
			status, _, errOut := s.run(command)
			if status != 1 || !strings.Contains(errOut, fmt.Sprintf("process %d (somebody's up)", os.Getpid())) {
				t.Errorf("%s: exit status %d, and it says:\n%s", command, status, errOut)
			}
		}
		if now := s.status(); now.PID != first.PID || !now.Healthy {
			t.Errorf("it was touched: %+v", now)
		}
	})
	t.Run("a port that is taken", func(t *testing.T) {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		status, _, errOut := s.run("up", "--control-plane", "--api-port", strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
		if status != 1 || !strings.Contains(errOut, "is in use") || !strings.Contains(errOut, "--api-port") {
			t.Errorf("exit status %d, and it says:\n%s", status, errOut)
		}
	})
	t.Run("goes on after kill -9", func(t *testing.T) {
		for _, victim := range []func(first int) int{
			func(first int) int { return childOf(t, first) },
			func(first int) int { return first },
		} {
			was := s.status().PID
			victim := victim(was)
			if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			until(t, "all of it ends", func(context.Context) error {
				if now := s.status(); now.Running {
					return fmt.Errorf("process %d runs", now.PID)
				}
				return nil
			})
			s.must("up", "--control-plane")
			now := s.status()
			if !now.Healthy || now.PID == was || now.Ports != first.Ports {
				t.Fatalf("after up: %+v", now)
			}
			if _, err := s.client().CoreV1().Namespaces().Get(t.Context(), "default", metav1.GetOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	})

	s.must("down")
	if found := leftovers(t, s.dirs); len(found) > 0 {
		t.Errorf("down leaves:\n%s", strings.Join(found, "\n"))
	}
	for what, now := range machine(t) {
		if now != before[what] {
			t.Errorf("the host's %s changed from\n%s\nto\n%s", what, before[what], now)
		}
	}
	if out := s.must("down"); !strings.Contains(out, "no sandbox test-cp") {
		t.Errorf("a second down says %s", out)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// childOf returns the supervisor, which is the first process's only child of
// the name internal-run.
func childOf(t *testing.T, pid int) int {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // of each thread
	if err != nil {
		t.Fatal(err)
	}
	var children string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		children += string(data)
	}
	for field := range strings.FieldsSeq(children) {
		if line, _ := os.ReadFile("/proc/" + field + "/cmdline"); strings.Contains(string(line), "internal-run") {
			child, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			return child
		}
	}
	t.Fatalf("process %d has no supervisor: its children are %s", pid, children)
	return 0
}

// A whole node: a pod with a volume, names, both registries and an ingress.
func TestNode(t *testing.T) {
	before := machine(t)
	s := newSandbox(t, "test-node")
	s.must("up", "--images", "pause:1,ash:1", "--https-port", strconv.Itoa(freePort(t)))
	// Beside it another, to meet it wherever the two are not apart.
	other := newSandbox(t, "test-beside")
	other.must("up", "--control-plane")
	ports := s.status().Ports
	client := s.client()
	ctx := t.Context()

	create(t, client, ports, s.dirs.Name)
	waitForPod(t, client, "web")
	logs, err := client.CoreV1().Pods("default").GetLogs("web", &corev1.PodLogOptions{}).DoRaw(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"id uid=1001 gid=0 groups=0,5000",
		"group 5000", // of the volume
		"name web.default.svc.cluster.local ok",
		"name x.test-node.localhost 10.77.0.10",
		"name example.com none",
		"start 1\n",
	} {
		if !strings.Contains(string(logs), want) {
			t.Errorf("the pod's log lacks %q:\n%s", want, logs)
		}
	}
	until(t, "pulling without a login fails with the registry's reason", func(ctx context.Context) error {
		pod, err := client.CoreV1().Pods("default").Get(ctx, "no-login", metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range pod.Status.ContainerStatuses {
			if w := c.State.Waiting; w != nil && strings.Contains(w.Message, "401 Unauthorized") {
				return nil
			}
		}
		return fmt.Errorf("%+v", pod.Status.ContainerStatuses)
	})

	url := fmt.Sprintf("https://x.%s.localhost:%d/start", s.dirs.Name, ports.HTTPS)
	browser := trusting(t, s.dirs.CA())
	until(t, "the ingress leads to the pod", get(browser, url, "1\n"))

	t.Run("the trainer has a namespace and nothing else", func(t *testing.T) {
		if env := s.must("env"); !strings.Contains(env, "KUBECONFIG='"+s.dirs.TrainerKubeconfig()+"'") {
			t.Errorf("env names another kubeconfig:\n%s", env)
		}
		rc, err := clientcmd.BuildConfigFromFlags("", s.dirs.TrainerKubeconfig())
		if err != nil {
			t.Fatal(err)
		}
		trainer, err := kubernetes.NewForConfig(rc)
		if err != nil {
			t.Fatal(err)
		}
		own := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "own"}}
		if _, err := trainer.CoreV1().ConfigMaps("workshop").Create(ctx, own, metav1.CreateOptions{}); err != nil {
			t.Error(err)
		}
		if _, err := trainer.CoreV1().ConfigMaps("default").Create(ctx, own, metav1.CreateOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("a ConfigMap in another namespace: %v, want it forbidden", err)
		}
		if _, err := trainer.CoreV1().Nodes().List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("list nodes: %v, want it forbidden", err)
		}
	})

	t.Run("load-image takes both kinds of files", func(t *testing.T) {
		img, err := random.Image(1000, 1)
		if err != nil {
			t.Fatal(err)
		}
		digest, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		archive, ociLayout := filepath.Join(dir, "image.tar"), filepath.Join(dir, "layout")
		tag, err := name.NewTag("whatever:1")
		if err != nil {
			t.Fatal(err)
		}
		if err := tarball.WriteToFile(archive, tag, img); err != nil {
			t.Fatal(err)
		}
		p, err := layout.Write(ociLayout, empty.Index)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.AppendImage(img); err != nil {
			t.Fatal(err)
		}
		for src, ref := range map[string]string{archive: "mine/from-archive:1", ociLayout: "registry.localhost/mine/from-layout:1"} {
			out := s.must("load-image", src, ref)
			ref = strings.TrimPrefix(ref, "registry.localhost/")
			if !strings.HasPrefix(out, "registry.localhost/"+ref+"\n") {
				t.Errorf("it prints %s", out)
			}
			there, err := name.NewTag(fmt.Sprintf("127.0.0.1:%d/%s", ports.Registry, ref))
			if err != nil {
				t.Fatal(err)
			}
			got, err := remote.Get(there)
			if err != nil {
				t.Fatal(err)
			}
			if src == ociLayout && got.Digest != digest {
				t.Errorf("the registry has %s, not %s", got.Digest, digest)
			}
		}
	})
	t.Run("pods come back after kill -9, with their volumes", func(t *testing.T) {
		if err := syscall.Kill(s.status().PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		s.must("up", "--images", "pause:1,ash:1")
		if now := s.status(); now.Ports != ports {
			t.Errorf("ports were %+v, and are %+v", ports, now.Ports)
		}
		if pod, err := client.CoreV1().Pods("default").Get(ctx, "web", metav1.GetOptions{}); err != nil {
			t.Error(err)
		} else if c := pod.Status.ContainerStatuses[0]; c.State.Running != nil && c.RestartCount == 0 {
			t.Errorf("up returns while the pod looks as if it had never ended: %+v", c)
		}
		until(t, "the pod has started again", get(browser, url, "2\n"))
	})
	t.Run("pods come back after down --keep-state", func(t *testing.T) {
		s.must("down", "--keep-state")
		if found := slices.DeleteFunc(leftovers(t, s.dirs), func(f string) bool { return f == s.dirs.State }); len(found) > 0 {
			t.Errorf("it leaves:\n%s", strings.Join(found, "\n"))
		}
		s.must("up", "--images", "pause:1,ash:1")
		until(t, "the pod has started again", get(browser, url, "3\n"))
	})

	s.must("down")
	if found := leftovers(t, s.dirs); len(found) > 0 {
		t.Errorf("down leaves:\n%s", strings.Join(found, "\n"))
	}
	if now := other.status(); !now.Healthy {
		t.Errorf("the other sandbox isn't healthy any more: %+v", now)
	}
	other.must("down")
	for what, now := range machine(t) {
		if now != before[what] {
			t.Errorf("the host's %s changed from\n%s\nto\n%s", what, before[what], now)
		}
	}
}

// create makes a pod that serves a directory of its volume, where it counts
// its starts, and what leads to it.
func create(t *testing.T, client kubernetes.Interface, ports node.Ports, name string) {
	t.Helper()
	ctx := t.Context()
	none := metav1.CreateOptions{}
	login := fmt.Sprintf(`{"auths":{%q:{"username":"trainer","password":"private-registry"}}}`, node.PrivateRegistryHost)
	objects := []error{}
	add := func(_ any, err error) { objects = append(objects, err) }
	add(client.CoreV1().Secrets("default").Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "login"},
		Type: corev1.SecretTypeDockerConfigJson, StringData: map[string]string{corev1.DockerConfigJsonKey: login}}, none))
	add(client.CoreV1().PersistentVolumeClaims("default").Create(ctx, &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: corev1.PersistentVolumeClaimSpec{AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}}}}, none))
	group, user := int64(5000), int64(1001)
	script := strings.NewReplacer("NAME", name).Replace(`
echo "id $(id)"; echo "group $(stat -c %g /data)"
for n in web.default.svc.cluster.local; do nslookup $n >/dev/null 2>&1 && echo "name $n ok" || echo "name $n none"; done
echo "name x.NAME.localhost $(nslookup x.NAME.localhost 2>/dev/null | sed -n '/^Name/,$p' | grep -o '10[.]77[.]0[.]10$' | tail -n 1)"
nslookup example.com >/dev/null 2>&1 || echo "name example.com none"
n=$(cat /data/start 2>/dev/null || echo 0); n=$((n+1)); echo $n >/data/start; echo "start $n"
trap 'exit 0' TERM
httpd -f -p 8080 -h /data & wait`)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Labels: map[string]string{"app": "web"}}, Spec: corev1.PodSpec{
		ImagePullSecrets: []corev1.LocalObjectReference{{Name: "login"}},
		SecurityContext:  &corev1.PodSecurityContext{FSGroup: &group, RunAsUser: &user},
		Volumes:          []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "web"}}}},
		Containers: []corev1.Container{{Name: "web", Image: node.PrivateRegistryHost + "/workshop/ash:1", ImagePullPolicy: corev1.PullAlways, Command: []string{"/bin/sh", "-c", script},
			VolumeMounts:   []corev1.VolumeMount{{Name: "data", MountPath: "/data"}},
			ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(8080)}}}}},
	}}
	add(client.CoreV1().Services("default").Create(ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}}}}, none))
	prefix := networkingv1.PathTypePrefix
	hostname := "x." + name + ".localhost"
	add(client.NetworkingV1().Ingresses("default").Create(ctx, &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: networkingv1.IngressSpec{
		TLS: []networkingv1.IngressTLS{{Hosts: []string{hostname}}},
		Rules: []networkingv1.IngressRule{{Host: hostname, IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
			Paths: []networkingv1.HTTPIngressPath{{Path: "/", PathType: &prefix, Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "web", Port: networkingv1.ServiceBackendPort{Number: 80}}}}}}}}},
	}}, none))
	add(client.CoreV1().Pods("default").Create(ctx, pod, none))
	denied := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "no-login"}, Spec: corev1.PodSpec{
		Containers: []corev1.Container{{Name: "c", Image: node.PrivateRegistryHost + "/workshop/ash:1", ImagePullPolicy: corev1.PullAlways}}}}
	add(client.CoreV1().Pods("default").Create(ctx, denied, none))
	for _, err := range objects {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func waitForPod(t *testing.T, client kubernetes.Interface, name string) {
	t.Helper()
	until(t, "pod "+name+" is ready", func(ctx context.Context) error {
		pod, err := client.CoreV1().Pods("default").Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range pod.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("%+v", pod.Status)
	})
}

// trusting is a client on the host that knows the sandbox's authority and,
// as browsers do, takes names under localhost for loopback.
func trusting(t *testing.T, ca string) *http.Client {
	t.Helper()
	data, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(data)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: pool},
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
		},
	}}
}

// get expects a page to say this.
func get(client *http.Client, url, want string) func(context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err == nil && string(body) != want {
			err = fmt.Errorf("%s: %.200s", resp.Status, body)
		}
		return err
	}
}
