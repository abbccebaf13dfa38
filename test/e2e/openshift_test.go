// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// password of the sandbox's OpenShift users user1 … user5.
const openshiftPassword = "openshift"

// newProject has a user log in with oc and request a project, which makes them
// its admin and gives them no other right.
func newProject(t *testing.T, s *sandbox, project, user string) *trainer {
	t.Helper()
	dir := t.TempDir()
	tr := &trainer{sandbox: s, namespace: project, kubeconfig: filepath.Join(dir, "kubeconfig"), configHome: dir}
	// Both the API server's authority and that of the login page.
	ca := filepath.Join(filepath.Dir(s.env["WORKSHOP_SANDBOX_CA"]), "ca-bundle.crt")
	tr.oc(t, "login", s.config.Host, "--certificate-authority", ca, "-u", user, "-p", openshiftPassword)
	tr.oc(t, "new-project", project)
	s.deleteAfter(t, project)
	return tr
}

// oc runs the real oc as the trainer and returns what it prints.
func (tr *trainer) oc(t *testing.T, args ...string) string {
	t.Helper()
	return tr.ocInput(t, "", args...)
}

func (tr *trainer) ocInput(t *testing.T, input string, args ...string) string {
	t.Helper()
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(t.Context(), filepath.Join(filepath.Dir(tr.env["WORKSHOP_SANDBOX_CA"]), "..", "bin", "oc"), args...)
	cmd.Env = []string{"PATH=" + tr.bin + ":" + os.Getenv("PATH"), "HOME=" + tr.configHome, "KUBECONFIG=" + tr.kubeconfig}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &stdout, &stderr
	started := time.Now()
	err := cmd.Run()
	t.Logf("oc %s: %v, %.1fs", strings.Join(args, " "), err, time.Since(started).Seconds())
	if err != nil {
		t.Fatalf("oc %s: %v\nstdout: %s\nstderr: %s", strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return strings.TrimSpace(stdout.String())
}

// openshiftLogin goes through OpenShift's login page, and the page that asks
// whether the workshop may know who the attendee is.
func (a *attendee) openshiftLogin(password string) {
	a.t.Helper()
	a.do(chromedp.Navigate(a.url),
		chromedp.WaitVisible(chromedp.CSS("#inputUsername")),
		chromedp.SendKeys(chromedp.CSS("#inputUsername"), a.user),
		chromedp.SendKeys(chromedp.CSS("#inputPassword"), password),
		chromedp.Submit(chromedp.CSS("#inputPassword")))
	eventually(a.t, 30*time.Second, "page after the login of "+a.user, func(context.Context) error {
		if eval[bool](a, `!!document.querySelector("input[name=approve]")`) {
			a.screenshot("approve-" + a.user)
			a.do(chromedp.Click(chromedp.CSS("input[name=approve]")))
			return nil
		}
		if host := eval[string](a, "location.host"); host != "" && strings.Contains(a.url, host) {
			return nil
		}
		return fmt.Errorf("sees %q at %s", eval[string](a, "document.body.innerText"), eval[string](a, "location.href"))
	})
}

// TestOpenShift is the flow of 2018, line by line, as a person with one project
// of their own: with workshopctl and with the exported template and oc, by
// Deployments and by DeploymentConfigs.
func TestOpenShift(t *testing.T) {
	s := newSandbox(t)
	chromium := newChromium(t, s)
	for i, workload := range []string{"deployment", "deploymentconfig"} {
		for j, template := range []bool{false, true} {
			name := workload
			if template {
				name += "-template"
			}
			user := fmt.Sprintf("user%d", 2+(2*i+j)%4)
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				seed(chromium, t, newProject(t, s, "seed-"+name, user), workload, template)
			})
		}
	}
}

func seed(chromium context.Context, t *testing.T, tr *trainer, workload string, template bool) {
	domain := tr.env["WORKSHOPCTL_DOMAIN"] // with the port of the sandbox
	host := "terminals-" + tr.namespace + "." + domain
	address := "https://" + host + "/"
	dc := map[string]string{"deployment": "deployment/terminals", "deploymentconfig": "deploymentconfig/terminals"}[workload]

	step(t, "deploy", func() {
		if template {
			exported := tr.run(t, "template", "export", "--workload", workload, "--host", host).stdout
			if workload == "deploymentconfig" { // as in 2018
				file := filepath.Join(t.TempDir(), "workshop.yaml")
				if err := os.WriteFile(file, []byte(exported), 0o600); err != nil {
					t.Fatal(err)
				}
				said := tr.oc(t, "new-app", "-f", file)
				for _, want := range []string{"error", "warning"} {
					if strings.Contains(strings.ToLower(said), want) {
						t.Errorf("oc new-app says\n%s", said)
					}
				}
				t.Log(said)
			} else {
				list := tr.ocInput(t, exported, "process", "-f", "-")
				tr.ocInput(t, list, "apply", "-f", "-")
			}
		} else if got := tr.run(t, "deploy", "--workload", workload, "--host", host).stdout; got != address+"\n" {
			t.Errorf("deploy prints %q, want %q", got, address)
		}
	})
	step(t, "oc rollout status, oc get route", func() {
		tr.oc(t, "rollout", "status", dc)
		tr.oc(t, "rollout", "status", dc+"-proxy")
		name, _, _ := strings.Cut(host, ":")
		if got := tr.oc(t, "get", "route", "terminals", "-o", "jsonpath={.spec.host}"); got != name {
			t.Errorf("the route's host is %q, want %q", got, name)
		}
	})

	one, two := newAttendee(chromium, t, "user1", address), newAttendee(chromium, t, "user2", address)
	step(t, "two attendees log in at OpenShift's page", func() {
		one.openshiftLogin(openshiftPassword)
		two.openshiftLogin(openshiftPassword)
		one.prompt()
		two.prompt()
		one.types("id -u; id -g; echo written by user1 > mine.txt; cat mine.txt")
		one.sees("written by user1", 10*time.Second)
		for _, p := range tr.pods(t, "") {
			if scc := p.Annotations["openshift.io/scc"]; scc != "restricted-v2" && !strings.HasSuffix(p.Name, "-deploy") {
				t.Errorf("pod %s runs under %q", p.Name, scc)
			}
		}
	})
	step(t, "oc login asks for the password only", func() {
		one.types("oc login -u user1")
		one.sees("Password:", 30*time.Second)
		one.types(openshiftPassword)
		one.sees("Login successful", 30*time.Second)
		mine := tr.namespace + "-user1"
		tr.deleteAfter(t, mine)
		// A new project is listed a moment later.
		one.types("clear; oc new-project " + mine + " >/dev/null; until oc get projects | grep " + mine + "; do sleep 1; done; echo as $(oc whoami)")
		one.sees("Active", 30*time.Second)
		one.sees("as user1", 30*time.Second)
		one.screenshot("oc-" + tr.namespace)
	})
	step(t, "files last", func() {
		one.again(tr, address)
		one.types("clear; cat mine.txt")
		one.sees("written by user1", 10*time.Second)
	})

	tr.loadImage(t, "my-workshop-terminal:v1", "registry.localhost/workshop/terminal:1")
	tr.loadImage(t, "my-workshop-terminal:v2", "registry.localhost/workshop/terminal:2")
	runs := func(image string) {
		t.Helper()
		two.again(tr, address)
		if got := tr.session(t, "user2").Spec.Containers[0].Image; got != image {
			t.Errorf("a new session runs %s, want %s", got, image)
		}
	}
	step(t, "an image by name", func() {
		if template {
			tr.oc(t, "set", "env", dc, "TERMINAL_IMAGE=registry.localhost/workshop/terminal:2")
		} else {
			tr.run(t, "set-image", "registry.localhost/workshop/terminal:2")
		}
		tr.rolledOut(t, dc, address)
		runs("registry.localhost/workshop/terminal:2")
	})
	step(t, "an image stream tag by oc set env", func() {
		tr.oc(t, "tag", "my-workshop-terminal:v1", "my-workshop-terminal:latest")
		tr.oc(t, "set", "env", dc, "TERMINAL_IMAGE=my-workshop-terminal:latest")
		tr.rolledOut(t, dc, address)
		runs(tr.tagged(t, "my-workshop-terminal:v1"))
	})
	step(t, "oc tag alone switches new sessions", func() {
		tr.oc(t, "tag", "my-workshop-terminal:v2", "my-workshop-terminal:latest")
		runs(tr.tagged(t, "my-workshop-terminal:v2"))
	})
	if template {
		return
	}
	step(t, "status tells, deploy keeps what oc set", func() {
		status := tr.run(t, "status").stdout
		if err := contains(status, "my-workshop-terminal:latest"); err != nil {
			t.Error(err)
		}
		tr.run(t, "deploy", "--idle-timeout", "3h")
		runs(tr.tagged(t, "my-workshop-terminal:v2"))
	})
	step(t, "set-image takes an image stream tag", func() {
		tr.run(t, "set-image", "my-workshop-terminal:v1")
		runs(tr.tagged(t, "my-workshop-terminal:v1"))
	})
	step(t, "a tag that doesn't exist is refused, with those that do", func() {
		r := tr.try(t, "set-image", "my-workshop-terminal:v9")
		if r.code == 0 || !strings.Contains(r.stderr, "v1") || !strings.Contains(r.stderr, "v2") {
			t.Errorf("exit code %d: %s", r.code, r.stderr)
		}
	})
	step(t, "the plugin runs under oc", func() {
		if got := tr.oc(t, "workshop", "url"); got != address {
			t.Errorf("oc workshop url prints %q", got)
		}
	})
	step(t, "delete", func() {
		tr.run(t, "delete", "terminals", "--yes", "--delete-volumes")
		eventually(t, time.Minute, "end of all pods", func(context.Context) error {
			if n := len(tr.pods(t, "app=terminals")); n > 0 {
				return fmt.Errorf("%d are left", n)
			}
			return nil
		})
	})
}

// TestOpenShiftDemanding: a project with a quota on everything that a workshop
// makes and with limits for its containers, an image that needs a login, and a
// proxy that the attendees' programs are to use, and nothing else.
func TestOpenShiftDemanding(t *testing.T) {
	s := newSandbox(t)
	chromium := newChromium(t, s)
	tr := newProject(t, s, "demanding", "user1")
	hard := corev1.ResourceList{}
	for name, most := range map[corev1.ResourceName]string{
		"requests.cpu": "1", "requests.memory": "2Gi", "limits.cpu": "8", "limits.memory": "4Gi",
		"requests.storage": "5Gi", "secrets": "20", "configmaps": "10", "persistentvolumeclaims": "3", "pods": "6", "services": "4",
	} {
		hard[name] = resource.MustParse(most)
	}
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "team"}, Spec: corev1.ResourceQuotaSpec{Hard: hard}}
	if _, err := tr.admin.CoreV1().ResourceQuotas(tr.namespace).Create(t.Context(), quota, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	limits := &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: "team"}, Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
		Type: corev1.LimitTypeContainer,
		Min:  corev1.ResourceList{"cpu": resource.MustParse("10m"), "memory": resource.MustParse("32Mi")},
		Max:  corev1.ResourceList{"cpu": resource.MustParse("1"), "memory": resource.MustParse("1Gi")},
	}}}}
	if _, err := tr.admin.CoreV1().LimitRanges(tr.namespace).Create(t.Context(), limits, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	const image = "private.localhost/workshop/terminal:1"
	if r := tr.try(t, "deploy", "--terminal-image", image); r.code != 3 || contains(r.stderr, "--pull-secret") != nil {
		t.Errorf("without the pull secret: exit code %d, want 3, and the flag to name it with", r.code)
	}
	tr.oc(t, "create", "secret", "docker-registry", "registry", "--docker-server=private.localhost", "--docker-username=trainer", "--docker-password=private-registry")

	domain := tr.env["WORKSHOPCTL_DOMAIN"]
	address := "https://terminals-" + tr.namespace + "." + domain + "/"
	file := filepath.Join(t.TempDir(), "workshop.yaml")
	// Nobody answers at the proxy's address: whoever went there would fail.
	spec := fmt.Sprintf(`apiVersion: workshopctl.io/v1alpha1
kind: Workshop
name: terminals
terminalImage: %s
pullSecret: registry
host: terminals-%s.%s
proxy:
  httpProxy: http://proxy.invalid:3128
  httpsProxy: http://proxy.invalid:3128
`, image, tr.namespace, domain)
	if err := os.WriteFile(file, []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := tr.run(t, "deploy", "--filename", file).stdout; got != address+"\n" {
		t.Errorf("deploy prints %q, want %q", got, address)
	}
	a := newAttendee(chromium, t, "user2", address)
	a.openshiftLogin(openshiftPassword)
	a.prompt()
	if got := tr.session(t, "user2").Spec.Containers[0].Image; got != image {
		t.Errorf("the session runs %s, want %s", got, image)
	}
	// What is outside goes by the proxy, the cluster itself doesn't.
	a.types("curl -s https://example.com/ || echo outside $?; curl -sko /dev/null -w 'inside %{http_code}\\n' https://kubernetes.default.svc/version")
	a.sees("outside 5", 30*time.Second) // curl's status for a proxy whose name isn't known
	a.sees("inside 200", 30*time.Second)
	for _, p := range tr.pods(t, "") {
		if scc := p.Annotations["openshift.io/scc"]; scc != "restricted-v2" {
			t.Errorf("pod %s runs under %q", p.Name, scc)
		}
	}
}

// again stops the attendee's session and starts a new one.
func (a *attendee) again(tr *trainer, address string) {
	a.t.Helper()
	old := tr.session(a.t, a.user)
	a.stopSession(address)
	eventually(a.t, time.Minute, "end of the session's pod", func(context.Context) error {
		for _, p := range tr.pods(a.t, "app.kubernetes.io/component=session") {
			if p.UID == old.UID {
				return errors.New("still there")
			}
		}
		return nil
	})
	a.do(chromedp.Navigate(address))
	a.start()
	a.prompt()
}

// rolledOut waits as a person does who uses oc: until it says so, and then, since
// it knows of pods alone, until the way to the new hub is there.
func (tr *trainer) rolledOut(t *testing.T, dc, address string) {
	t.Helper()
	tr.oc(t, "rollout", "status", dc)
	client := tr.httpClient(t)
	eventually(t, time.Minute, "answer of the hub", func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"hub/health", http.NoBody)
		if err != nil {
			return err
		}
		answer, err := client.Do(request)
		if err != nil {
			return err
		}
		if err := answer.Body.Close(); err != nil {
			return err
		}
		if answer.StatusCode != http.StatusOK {
			return errors.New(answer.Status)
		}
		return nil
	})
}

// loadImage makes an image stream tag of the project from an image that the
// sandbox has.
func (tr *trainer) loadImage(t *testing.T, tag, image string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(tr.bin, "workshop-sandbox"), "load-image", image, "--to", tr.namespace+"/"+tag, "--name", os.Getenv("WORKSHOPCTL_TEST_SANDBOX"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("load-image: %v\n%s", err, out)
	}
}

// tagged is the image by digest that an image stream tag stands for.
func (tr *trainer) tagged(t *testing.T, tag string) string {
	t.Helper()
	return tr.oc(t, "get", "istag", tag, "-o", "jsonpath={.image.dockerImageReference}")
}
