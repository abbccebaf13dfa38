// SPDX-License-Identifier: Apache-2.0

//go:build scale

// Package scale has large classes on a control plane with simulated nodes:
// the real API server, the real JupyterHub with a workshop's own
// configuration, its real proxy, and the built workshopctl. Pods get ready
// there, and nothing runs in them. `make scale` and `make bench-sessions` run it.
package scale

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/workshopctl/workshopctl/pkg/forward"
	"github.com/workshopctl/workshopctl/pkg/hub"
	"github.com/workshopctl/workshopctl/pkg/session"
	"github.com/workshopctl/workshopctl/pkg/workshop"
	"github.com/workshopctl/workshopctl/test/testcluster"
	"github.com/workshopctl/workshopctl/test/testhub"
)

// What has these addresses in the sandbox's network.
const (
	apiServer = "https://10.77.0.10:6443"
	proxyAPI  = "http://127.0.0.1:8001"
	hubURL    = "http://127.0.0.1:8081"
)

// registrar is the token of a service that may make users.
const registrar = "fedcba9876543210fedcba9876543210"

// class is a deployed workshop whose hub and proxy run beside the cluster, in
// its network, and are reached as their simulated pods.
type class struct {
	*testcluster.Cluster
	t          *testing.T
	names      workshop.Names
	bin        string
	dir        string // the hub's, with its configuration and database
	python     string
	env        []string // of the hub's container
	token      string   // of workshopctl's service at the hub
	kubeconfig string   // the trainer's
	running    *program // the hub
}

// newClass deploys a workshop and starts its hub and proxy. more are flags of
// the hub.
func newClass(t *testing.T, version string, more ...string) *class {
	t.Helper()
	bin, err := filepath.Abs(filepath.Join("..", "..", "bin"))
	if err != nil {
		t.Fatal(err)
	}
	c := &class{Cluster: testcluster.New(t), t: t, names: workshop.DefaultName, bin: bin, dir: t.TempDir()}
	c.ServiceAccount(t)
	c.python = filepath.Join(testhub.Install(t, version), "bin", "python")
	c.kubeconfig = filepath.Join(c.dir, "trainer.kubeconfig")
	c.writeKubeconfig(c.kubeconfig, c.Trainer.Config.Host, c.Trainer.Config.BearerToken)
	c.workshopctl("deploy", "--terminal-image", "registry.example.com/terminal:1", "--expose", "none", "--skip-image-check")
	c.unpack()
	c.start("proxy", append(testhub.Proxy(t), "--ip=127.0.0.1", "--port=8000", "--api-ip=127.0.0.1", "--api-port=8001", "--default-target="+hubURL), c.env).wait(t, "Proxy API at")
	c.startHub(more...)
	return c
}

func (c *class) writeKubeconfig(file, server, token string) {
	c.t.Helper()
	api := c.Admin.Config
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: server, CertificateAuthority: api.CAFile, CertificateAuthorityData: api.CAData}
	config.AuthInfos["u"] = &clientcmdapi.AuthInfo{Token: token}
	config.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u", Namespace: c.Namespace}
	config.CurrentContext = "x"
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		c.t.Fatal(err)
	}
}

// unpack writes what the hub's container has of the workshop: the files of its
// ConfigMap, and the account's kubeconfig.
func (c *class) unpack() {
	c.t.Helper()
	ctx, client := c.t.Context(), c.Admin.Kubernetes
	config, err := client.CoreV1().ConfigMaps(c.Namespace).Get(ctx, c.names.HubPart(), metav1.GetOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	secret, err := client.CoreV1().Secrets(c.Namespace).Get(ctx, c.names.HubPart(), metav1.GetOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	deployment, err := client.AppsV1().Deployments(c.Namespace).Get(ctx, c.names.Hub(), metav1.GetOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	for file, content := range config.Data {
		if err := os.WriteFile(filepath.Join(c.dir, file), []byte(content), 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
	// Somebody who may make users, beside those of the workshop.
	file := filepath.Join(c.dir, "jupyterhub_config.py")
	own := fmt.Sprintf("\nc.JupyterHub.services.append({'name': 'registrar', 'api_token': '%s'})\n"+
		"c.JupyterHub.load_roles.append({'name': 'registrar', 'scopes': ['admin:users'], 'services': ['registrar']})\n", registrar)
	if err := os.WriteFile(file, []byte(config.Data["jupyterhub_config.py"]+own), 0o600); err != nil {
		c.t.Fatal(err)
	}
	kubeconfig := filepath.Join(c.dir, "hub.kubeconfig")
	c.writeKubeconfig(kubeconfig, apiServer, c.Account(c.t, deployment.Spec.Template.Spec.ServiceAccountName).Config.BearerToken)
	c.token = string(secret.Data[workshop.SecretAPIToken])
	c.env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir, "TMPDIR=" + c.dir, "KUBECONFIG=" + kubeconfig, "PYTHONUNBUFFERED=1"}, environment(deployment, secret, c.Namespace)...)
}

// environment is that of the hub's container.
func environment(deployment *appsv1.Deployment, secret *corev1.Secret, namespace string) []string {
	var env []string
	for _, v := range deployment.Spec.Template.Spec.Containers[0].Env {
		value := strings.ReplaceAll(v.Value, "$$", "$") // as the kubelet does
		if v.ValueFrom != nil && v.ValueFrom.SecretKeyRef != nil {
			value = string(secret.Data[v.ValueFrom.SecretKeyRef.Key])
		}
		if v.ValueFrom != nil && v.ValueFrom.FieldRef != nil {
			value = map[string]string{"metadata.namespace": namespace, "spec.serviceAccountName": deployment.Spec.Template.Spec.ServiceAccountName}[v.ValueFrom.FieldRef.FieldPath]
		}
		env = append(env, v.Name+"="+value)
	}
	return env
}

// startHub starts the hub. Of the workshop's configuration it changes only
// where things are.
func (c *class) startHub(more ...string) {
	c.t.Helper()
	c.running = c.start("hub", append([]string{c.python, "-m", "jupyterhub", "--config=" + filepath.Join(c.dir, "jupyterhub_config.py"),
		"--JupyterHub.db_url=sqlite:///" + filepath.Join(c.dir, "hub.sqlite"),
		"--JupyterHub.hub_connect_url=" + hubURL,
		"--KubeSpawner.namespace=" + c.Namespace,
		"--ConfigurableHTTPProxy.api_url=" + proxyAPI}, more...), c.env)
	c.running.wait(c.t, "JupyterHub is now running")
}

// stopHub ends it as a restart would.
func (c *class) stopHub() { c.running.stop() }

// program runs in the sandbox's network until the test ends.
type program struct {
	name  string
	cmd   *exec.Cmd
	ended chan struct{}

	mu      sync.Mutex
	log     []string
	changed chan struct{}
}

func (c *class) start(name string, args, env []string) *program {
	c.t.Helper()
	args = append([]string{fmt.Sprintf("--net=/proc/%d/ns/net", sandboxPID(c.t, c.bin)), "--"}, args...)
	p := &program{name: name, cmd: exec.Command("nsenter", args...), ended: make(chan struct{}), changed: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env = c.dir, env
	// What it starts goes with it, as the first process of a namespace, and it
	// goes with a test that is killed.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	reader, writer := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = writer, writer
	if err := p.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait()
		_ = writer.Close()
	}()
	go func() {
		for lines := bufio.NewReader(reader); ; {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			p.mu.Lock()
			p.log = append(p.log, line)
			close(p.changed)
			p.changed = make(chan struct{})
			p.mu.Unlock()
		}
	}()
	c.t.Cleanup(func() {
		p.stop()
		if c.t.Failed() {
			log := p.lines("")
			c.t.Logf("the end of the log of the %s:\n%s", p.name, strings.Join(log[max(0, len(log)-200):], ""))
		}
	})
	return p
}

// stop ends it in good order, if it does that.
func (p *program) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// lines are those of the log that have the words.
func (p *program) lines(words string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []string
	for _, line := range p.log {
		if strings.Contains(line, words) {
			found = append(found, line)
		}
	}
	return found
}

// wait for words in the log.
func (p *program) wait(t *testing.T, words string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for {
		p.mu.Lock()
		changed := p.changed
		p.mu.Unlock()
		if len(p.lines(words)) > 0 {
			return
		}
		select {
		case <-changed:
		case <-p.ended:
			t.Fatalf("the %s ended without logging %q", p.name, words)
		case <-ctx.Done():
			t.Fatalf("the %s didn't log %q", p.name, words)
		}
	}
}

// sandboxPID is the process whose network the sandbox has.
func sandboxPID(t *testing.T, bin string) int {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), filepath.Join(bin, "workshop-sandbox"), "status", "--name", os.Getenv("WORKSHOPCTL_TEST_SANDBOX"), "-o", "json").Output()
	if err != nil {
		t.Fatalf("no sandbox to run on: use `make bench-sessions`: %v", err)
	}
	var status struct {
		PID            int `json:"pid"`
		SimulatedNodes int `json:"simulatedNodes"`
	}
	if err := json.Unmarshal(out, &status); err != nil {
		t.Fatal(err)
	}
	if status.SimulatedNodes == 0 {
		t.Fatal("this sandbox has no simulated nodes: use `make bench-sessions`")
	}
	return status.PID
}

// command is workshopctl, run by the trainer.
func (c *class) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(c.t.Context(), filepath.Join(c.bin, "workshopctl"), args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir, "KUBECONFIG=" + c.kubeconfig, "WORKSHOPCTL_GATEWAY_IMAGE=registry.example.com/gateway:1"}
	return cmd
}

// workshopctl must succeed; it returns what was printed to stdout and stderr.
func (c *class) workshopctl(args ...string) (stdout, stderr string) {
	c.t.Helper()
	var out, errOut strings.Builder
	cmd := c.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		c.t.Fatalf("workshopctl %s: %v\n%s%s", strings.Join(args, " "), err, out.String(), errOut.String())
	}
	return out.String(), errOut.String()
}

// hubHTTP reaches the hub as workshopctl does: through the API server, as a
// port of its pod.
func (c *class) hubHTTP() *http.Client {
	dialer := forward.New(c.Trainer.Config, c.Trainer.Kubernetes, c.Namespace, c.names, workshop.ComponentHub, hub.Port)
	c.t.Cleanup(dialer.Close)
	return &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext}}
}

func (c *class) hub() *hub.Client { return hub.New("http://hub.invalid/", c.token, c.hubHTTP()) }

// enroll makes a user of the hub.
func (c *class) enroll(name string) {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, "http://hub.invalid/hub/api/users/"+url.PathEscape(name), http.NoBody)
	if err != nil {
		c.t.Fatal(err)
	}
	request.Header.Set("Authorization", "token "+registrar)
	response, err := c.hubHTTP().Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusCreated {
		answer, _ := io.ReadAll(response.Body)
		c.t.Fatalf("make user %s: %s %s", name, response.Status, answer)
	}
}

// attendee is the local part of an attendee's name, all of the same length.
func attendee(i int) string { return fmt.Sprintf("attendee%04d", i) }

// fill makes a class of that many. The hub starts the first session; the others
// are copies of its pod, its claim and its rows in the hub's database, which
// differ in the user's name alone. A hub by itself starts some ten a second on
// a processor of its own.
func (c *class) fill(size int) {
	c.t.Helper()
	ctx, first := c.t.Context(), attendee(1)
	user := first + "@example.com"
	c.enroll(user)
	if err := c.hub().Start(ctx, user); err != nil {
		c.t.Fatal(err)
	}
	if err := c.hub().Ready(ctx, user); err != nil {
		c.t.Fatal(err)
	}
	c.stopHub()
	client := c.Admin.Kubernetes.CoreV1()
	selector := metav1.ListOptions{LabelSelector: session.Selector(c.names)}
	pods, err := client.Pods(c.Namespace).List(ctx, selector)
	if err != nil || len(pods.Items) != 1 {
		c.t.Fatalf("%d pods of one session, %v", len(pods.Items), err)
	}
	claims, err := client.PersistentVolumeClaims(c.Namespace).List(ctx, selector)
	if err != nil || len(claims.Items) != 1 {
		c.t.Fatalf("%d claims of one session, %v", len(claims.Items), err)
	}
	pod, claim := pods.Items[0], claims.Items[0]
	pod.ObjectMeta, claim.ObjectMeta = asCreated(pod.ObjectMeta), asCreated(claim.ObjectMeta)
	pod.Spec.NodeName, claim.Spec.VolumeName = "", ""
	pod.Status, claim.Status = corev1.PodStatus{}, corev1.PersistentVolumeClaimStatus{}

	var group errgroup.Group
	group.SetLimit(16)
	for i := 2; i <= size; i++ {
		group.Go(func() error {
			claim, err := copied(claim, first, attendee(i))
			if err != nil {
				return err
			}
			if _, err := client.PersistentVolumeClaims(c.Namespace).Create(ctx, &claim, metav1.CreateOptions{}); err != nil {
				return err
			}
			pod, err := copied(pod, first, attendee(i))
			if err != nil {
				return err
			}
			_, err = client.Pods(c.Namespace).Create(ctx, &pod, metav1.CreateOptions{})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		c.t.Fatal(err)
	}
	script := exec.CommandContext(ctx, c.python, filepath.Join("testdata", "class.py"), filepath.Join(c.dir, "hub.sqlite"), strconv.Itoa(size))
	if out, err := script.CombinedOutput(); err != nil {
		c.t.Fatalf("copy the session in the hub's database: %v\n%s", err, out)
	}
	c.startHub()
}

// asCreated is what was asked for when the object was made.
func asCreated(m metav1.ObjectMeta) metav1.ObjectMeta {
	made := metav1.ObjectMeta{Name: m.Name, Labels: m.Labels, Annotations: map[string]string{}}
	for k, v := range m.Annotations {
		if !strings.Contains(k, "kubernetes.io/") { // what controllers say of claims
			made.Annotations[k] = v
		}
	}
	return made
}

// copied is the same object with another name wherever it is written.
func copied[T any](object T, name, other string) (T, error) {
	var copied T
	text, err := json.Marshal(object)
	if err == nil {
		err = json.Unmarshal(bytes.ReplaceAll(text, []byte(name), []byte(other)), &copied)
	}
	return copied, err
}

// settle waits until pods, claims and hub agree that all sessions are ready.
func (c *class) settle(size int) {
	c.t.Helper()
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	late := time.After(10 * time.Minute)
	for {
		pods, claims, servers := c.counts()
		if pods == size && claims == size && servers == size {
			return
		}
		c.t.Logf("%d pods are ready, %d claims bound, %d sessions at the hub", pods, claims, servers)
		select {
		case <-tick.C:
		case <-late:
			c.t.Fatalf("these aren't the %d of the class", size)
		}
	}
}

// counts are how many pods of sessions are ready, how many of their claims
// are bound, and how many sessions the hub has that are ready.
func (c *class) counts() (pods, claims, servers int) {
	c.t.Helper()
	selector := metav1.ListOptions{LabelSelector: session.Selector(c.names)}
	podList, err := c.Admin.Kubernetes.CoreV1().Pods(c.Namespace).List(c.t.Context(), selector)
	if err != nil {
		c.t.Fatal(err)
	}
	for i := range podList.Items {
		if session.FromPod(&podList.Items[i]).State == session.Running {
			pods++
		}
	}
	claimList, err := c.Admin.Kubernetes.CoreV1().PersistentVolumeClaims(c.Namespace).List(c.t.Context(), selector)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, claim := range claimList.Items {
		if claim.Status.Phase == corev1.ClaimBound {
			claims++
		}
	}
	active, err := c.hub().Active(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	for _, u := range active {
		if u.Servers[""].Ready {
			servers++
		}
	}
	return pods, claims, servers
}
