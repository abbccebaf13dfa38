// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// Package e2e walks through a workshop as a trainer and attendees do: with
// the built programs, on a sandbox with real pods, with the real JupyterHub
// and a real browser. `make e2e` runs it.
package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// sandbox is what the tests know of the cluster they run on.
type sandbox struct {
	bin    string            // directory of the built programs
	env    map[string]string // what `workshop-sandbox env` says
	config *rest.Config      // of the cluster's administrator
	admin  kubernetes.Interface
}

func sandboxName(t *testing.T) string {
	t.Helper()
	name := os.Getenv("WORKSHOPCTL_TEST_SANDBOX")
	if name == "" {
		t.Fatal("no sandbox to run on: use `make e2e`, or `.ci/with-sandbox e2e -- go test -tags e2e ./test/e2e`")
	}
	return name
}

// newSandbox reads the sandbox that .ci/with-sandbox has brought up.
func newSandbox(t *testing.T) *sandbox {
	t.Helper()
	bin, err := filepath.Abs("../../bin")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(bin, "workshop-sandbox"), "env", "--name", sandboxName(t)).Output()
	if err != nil {
		t.Fatalf("workshop-sandbox env: %v", err)
	}
	env := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if k, v, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "="); ok {
			env[k] = strings.Trim(v, `'"`)
		}
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("WORKSHOPCTL_TEST_KUBECONFIG"))
	if err != nil {
		t.Fatal(err)
	}
	config.QPS, config.Burst = 50, 100
	admin, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return &sandbox{bin: bin, env: env, config: config, admin: admin}
}

// hubs are images of the hub by name: the default one, with the JupyterHub of the
// public image, and one with the newest.
func (s *sandbox) hubs() map[string]string {
	return map[string]string{"hub5": s.env["WORKSHOPCTL_HUB_IMAGE"], "hub6": "registry.localhost/workshop/hub:6.1.1"}
}

// trainer is a person with one namespace, admin there and nothing elsewhere.
type trainer struct {
	*sandbox
	namespace  string
	kubeconfig string
	configHome string // of workshopctl's own configuration
}

// newTrainer makes a namespace that enforces the restricted pod security
// standard, and its admin.
func newTrainer(t *testing.T, s *sandbox, namespace string) *trainer {
	t.Helper()
	ctx := t.Context()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: map[string]string{
		"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "latest"}}}
	if _, err := s.admin.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.deleteAfter(t, namespace)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "trainer"}}
	if _, err := s.admin.CoreV1().ServiceAccounts(namespace).Create(ctx, account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "trainer"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "admin"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "trainer", Namespace: namespace}}}
	if _, err := s.admin.RbacV1().RoleBindings(namespace).Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	token, err := s.admin.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, "trainer", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["sandbox"] = &clientcmdapi.Cluster{Server: s.config.Host, CertificateAuthorityData: s.config.CAData, CertificateAuthority: s.config.CAFile}
	config.AuthInfos["trainer"] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	config.Contexts["sandbox"] = &clientcmdapi.Context{Cluster: "sandbox", AuthInfo: "trainer", Namespace: namespace}
	config.CurrentContext = "sandbox"
	dir := t.TempDir()
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := clientcmd.WriteToFile(*config, kubeconfig); err != nil {
		t.Fatal(err)
	}
	own, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(own)
	if err != nil {
		t.Fatal(err)
	}
	// The API server's authorizer learns of a binding a moment later.
	eventually(t, time.Minute, "the trainer's rights", func(ctx context.Context) error {
		_, err := client.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{})
		return err
	})
	return &trainer{sandbox: s, namespace: namespace, kubeconfig: kubeconfig, configHome: dir}
}

// deleteAfter deletes a namespace when the test is done, and says first what is
// in it if the test has failed.
func (s *sandbox) deleteAfter(t *testing.T, namespace string) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if t.Failed() {
			s.describe(ctx, t, namespace)
		}
		if err := s.admin.CoreV1().Namespaces().Delete(ctx, namespace, metav1.DeleteOptions{}); err != nil {
			t.Log(err)
		}
	})
}

// describe logs what a person would look at after a failure.
func (s *sandbox) describe(ctx context.Context, t *testing.T, namespace string) {
	pods, err := s.admin.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Log(err)
		return
	}
	for _, p := range pods.Items {
		t.Logf("pod %s: %s", p.Name, p.Status.Phase)
		for _, c := range append(p.Status.InitContainerStatuses, p.Status.ContainerStatuses...) {
			tail := int64(40)
			log, err := s.admin.CoreV1().Pods(namespace).GetLogs(p.Name, &corev1.PodLogOptions{Container: c.Name, TailLines: &tail}).DoRaw(ctx)
			if err != nil {
				log = []byte(err.Error())
			}
			t.Logf("container %s: %+v\n%s", c.Name, c.State, log)
		}
	}
	events, err := s.admin.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{FieldSelector: "type=Warning"})
	if err != nil {
		t.Log(err)
		return
	}
	for _, e := range events.Items {
		t.Logf("%s %s: %s: %s", e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Reason, e.Message)
	}
}

// result of a command of workshopctl.
type result struct {
	stdout, stderr string
	code           int
}

// run runs workshopctl as the trainer and wants it to succeed.
func (tr *trainer) run(t *testing.T, args ...string) result {
	t.Helper()
	r := tr.try(t, args...)
	if r.code != 0 {
		t.Fatalf("workshopctl %s: exit code %d\nstdout: %s\nstderr: %s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r
}

// try runs workshopctl as the trainer.
func (tr *trainer) try(t *testing.T, args ...string) result {
	t.Helper()
	return tr.tryCtx(t.Context(), t, args...)
}

func (tr *trainer) tryCtx(ctx context.Context, t *testing.T, args ...string) result {
	t.Helper()
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(ctx, filepath.Join(tr.bin, "workshopctl"), args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + tr.configHome, "KUBECONFIG=" + tr.kubeconfig}
	for k, v := range tr.env {
		if strings.HasPrefix(k, "WORKSHOPCTL_") {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
	}
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	started := time.Now()
	err := cmd.Run()
	t.Logf("workshopctl %s: %v, %.1fs", strings.Join(args, " "), err, time.Since(started).Seconds())
	if cmd.ProcessState == nil {
		t.Fatalf("workshopctl: %v", err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// eventually waits until the condition holds, and fails with its last word.
func eventually(t *testing.T, within time.Duration, what string, condition func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := condition(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within %s: %v", what, within, err)
		case <-tick.C:
		}
	}
}

func contains(text, part string) error {
	if strings.Contains(text, part) {
		return nil
	}
	return fmt.Errorf("%q is not in %q", part, text)
}
