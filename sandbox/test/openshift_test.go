// SPDX-License-Identifier: Apache-2.0

//go:build integration && openshift

package test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/workshopctl/workshopctl/sandbox/imagestream"
)

// person is somebody with a kubeconfig.
type person struct {
	*sandbox
	kubeconfig string
}

func (s *sandbox) person(kubeconfig string) person { return person{s, kubeconfig} }

// try runs oc.
func (p person) try(stdin string, args ...string) (string, error) {
	p.t.Helper()
	// Some of its commands wait for ever.
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(p.dirs.State, "bin", "oc"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+p.kubeconfig)
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return strings.TrimSpace(out.String()), err
}

// login is as a new user of a machine does it.
func (p person) login(user, password string) string {
	p.t.Helper()
	return p.oc("login", fmt.Sprintf("https://127.0.0.1:%d", p.status().Ports.API), "-u", user, "-p", password,
		"--certificate-authority", filepath.Join(p.dirs.State, "pki", "ca-bundle.crt"))
}

// oc runs it and expects it to succeed.
func (p person) oc(args ...string) string {
	p.t.Helper()
	out, err := p.try("", args...)
	if err != nil {
		p.t.Fatalf("oc %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// answers waits until oc says so.
func (p person) answers(want string, args ...string) {
	p.t.Helper()
	until(p.t, "oc "+strings.Join(args, " ")+" says "+want, func(context.Context) error {
		out, err := p.try("", args...)
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		if !strings.Contains(out, want) {
			return errors.New(out)
		}
		return nil
	})
}

// create makes an object of YAML.
func (p person) create(object string) (string, error) {
	p.t.Helper()
	return p.try("---\n"+object, "create", "-f", "-") // what begins with a brace is taken for JSON
}

// TestOpenShift: OpenShift's own API, login, constraints, deployer and image
// streams, on a node with real pods.
func TestOpenShift(t *testing.T) {
	before := machine(t)
	s := newSandbox(t, "test-openshift")
	images := []string{"up", "--images", "pause:1,ash:1"}
	s.must(images[0], append(images[1:], "--openshift", "--https-port", strconv.Itoa(freePort(t)))...)
	first := s.status()
	if !first.Healthy || !first.OpenShift {
		t.Fatalf("after up: %+v", first)
	}
	trainer, admin := s.person(s.dirs.TrainerKubeconfig()), s.person(s.dirs.Kubeconfig())
	attendee := s.person(filepath.Join(t.TempDir(), "kubeconfig"))

	t.Run("users log in and make projects", func(t *testing.T) {
		out := attendee.login("user1", "openshift")
		if !strings.Contains(out, "You don't have any projects") {
			t.Errorf("oc login says %s", out)
		}
		attendee.oc("new-project", "mine", "--display-name", "My own")
		attendee.answers("mine", "projects", "-q") // the server learns of it a moment later
		if out, err := attendee.try("", "get", "pods", "-n", "workshop"); err == nil || !strings.Contains(out, "forbidden") {
			t.Errorf("user1 sees another's project: %s", out)
		}
		if out, err := attendee.try("", "login", "-u", "user1", "-p", "wrong"); err == nil || !strings.Contains(out, "Login failed") {
			t.Errorf("with a wrong password: %s", out)
		}
	})
	t.Run("the trainer is admin of one project", func(t *testing.T) {
		if out := trainer.oc("whoami"); out != "trainer" {
			t.Errorf("the trainer is %s", out)
		}
		if out := trainer.oc("projects", "-q"); out != "workshop" {
			t.Errorf("the trainer has the projects %q", out)
		}
		if out, err := trainer.try("", "get", "nodes"); err == nil {
			t.Errorf("the trainer sees nodes: %s", out)
		}
		// The same person by a password.
		other := s.person(filepath.Join(t.TempDir(), "kubeconfig"))
		other.login("trainer", "trainer")
		if out := other.oc("projects", "-q"); out != "workshop" {
			t.Errorf("by a password the trainer has the projects %q", out)
		}
	})
	t.Run("pods run as a user of their namespace's range", func(t *testing.T) {
		pod := `{apiVersion: v1, kind: Pod, metadata: {name: NAME}, spec: {restartPolicy: Never, containers: [
  {name: c, image: registry.localhost/workshop/ash:1, command: [sh, -c, "id; grep NoNewPrivs /proc/self/status"], securityContext: {CONTEXT}}]}}`
		if out, err := attendee.create(strings.NewReplacer("NAME", "root", "CONTEXT", "runAsUser: 0").Replace(pod)); err == nil || !strings.Contains(out, "unable to validate against any security context constraint") {
			t.Errorf("as root: %s", out)
		}
		if out, err := attendee.create(strings.NewReplacer("NAME", "plain", "CONTEXT", "").Replace(pod)); err != nil {
			t.Fatalf("a plain pod: %s", out)
		}
		attendee.answers("Succeeded", "get", "pod", "plain", "-o", "jsonpath={.status.phase}")
		if out := attendee.oc("get", "pod", "plain", "-o", `jsonpath={.metadata.annotations.openshift\.io/scc}`); out != "restricted-v2" {
			t.Errorf("its constraints are %s", out)
		}
		start, _, _ := strings.Cut(admin.oc("get", "namespace", "mine", "-o", `jsonpath={.metadata.annotations.openshift\.io/sa\.scc\.uid-range}`), "/")
		if out := attendee.oc("logs", "plain"); !strings.Contains(out, "uid="+start+" gid=0") || !strings.Contains(out, "NoNewPrivs:\t1") {
			t.Errorf("it ran as %s, and the range begins with %s", out, start)
		}
	})
	t.Run("a DeploymentConfig rolls", func(t *testing.T) {
		out, err := attendee.create(`{apiVersion: apps.openshift.io/v1, kind: DeploymentConfig, metadata: {name: web}, spec: {
  replicas: 1, selector: {app: web}, triggers: [{type: ConfigChange}],
  template: {metadata: {labels: {app: web}}, spec: {terminationGracePeriodSeconds: 1, containers: [
    {name: web, image: registry.localhost/workshop/ash:1, command: [sh, -c, "mkdir /tmp/w; echo hello >/tmp/w/index.html; httpd -f -p 8080 -h /tmp/w"], ports: [{containerPort: 8080}]}]}}}}`)
		if err != nil {
			t.Fatal(out)
		}
		if out := attendee.oc("rollout", "status", "dc/web"); !strings.Contains(out, `"web-1" successfully rolled out`) {
			t.Errorf("oc rollout status says %s", out)
		}
		attendee.oc("set", "env", "dc/web", "COLOR=blue")
		attendee.answers(`"web-2" successfully rolled out`, "rollout", "status", "dc/web")
		if out := attendee.oc("get", "pods", "-l", "app=web,deployment=web-2", "-o", "jsonpath={.items[*].spec.containers[0].env[0].value}"); out != "blue" {
			t.Errorf("the new pod has %q", out)
		}
	})
	t.Run("routes are served", func(t *testing.T) { testRoutes(t, s, attendee) })
	t.Run("an image stream's tag is pulled", func(t *testing.T) {
		if out := s.must("load-image", "workshop/ash:1", "--to", "mine/tools:latest"); !strings.HasPrefix(out, imagestream.Registry+"/mine/tools:latest\n") {
			t.Errorf("load-image prints %s", out)
		}
		ref := attendee.oc("get", "imagestreamtag", "tools:latest", "-o", "jsonpath={.image.dockerImageReference}")
		if !strings.HasPrefix(ref, imagestream.Registry+"/mine/tools@sha256:") {
			t.Errorf("the tag stands for %s", ref)
		}
		attendee.oc("run", "tools", "--image", ref, "--restart=Never", "--", "true")
		attendee.answers("Succeeded", "get", "pod", "tools", "-o", "jsonpath={.status.phase}")
	})
	t.Run("goes on after kill -9, with the same token", func(t *testing.T) {
		if err := syscall.Kill(s.status().PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		s.must(images[0], images[1:]...) // without the flag it is what it was
		if now := s.status(); !now.Healthy || !now.OpenShift || now.Ports != first.Ports {
			t.Fatalf("after up: %+v", now)
		}
		if out := trainer.oc("whoami"); out != "trainer" {
			t.Errorf("the trainer is %s", out)
		}
		if out := attendee.oc("whoami"); out != "user1" {
			t.Errorf("user1 is %s", out)
		}
		attendee.oc("rollout", "latest", "dc/web")
		attendee.answers(`"web-3" successfully rolled out`, "rollout", "status", "dc/web")
	})
	t.Run("can't be made a plain one", func(t *testing.T) {
		if status, _, errOut := s.run("up", "--openshift=false"); status != 2 || !strings.Contains(errOut, "down --name test-openshift") {
			t.Errorf("exit status %d, and it says:\n%s", status, errOut)
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
}

// A sandbox that was started plain speaks OpenShift from then on, with what is
// in it; and OpenShift's groups and login need no node.
func TestOpenShiftControlPlane(t *testing.T) {
	s := newSandbox(t, "test-os-cp")
	s.must("up", "--control-plane")
	s.must("up", "--control-plane", "--openshift", "--https-port", strconv.Itoa(freePort(t)))
	status := s.status()
	if !status.Healthy || !status.ControlPlane || !status.OpenShift {
		t.Fatalf("after up: %+v", status)
	}
	trainer := s.person(s.dirs.TrainerKubeconfig())
	if env := s.must("env"); !strings.Contains(env, "KUBECONFIG='"+s.dirs.TrainerKubeconfig()+"'") {
		t.Errorf("env names another kubeconfig:\n%s", env)
	}
	if out := trainer.oc("get", "imagestreamtag", "-n", "openshift", "cli:latest", "-o", "name"); !strings.Contains(out, "cli:latest") {
		t.Errorf("oc get imagestreamtag says %s", out)
	}
	attendee := s.person(filepath.Join(t.TempDir(), "kubeconfig"))
	attendee.login("user2", "openshift")
	attendee.oc("new-project", "mine")
	other := s.person(filepath.Join(t.TempDir(), "kubeconfig"))
	other.login("user3", "openshift")
	accountsAsClients(t, s, attendee, s.person(s.dirs.Kubeconfig()))
	rightsAndSchemas(t, s, attendee, other)
}
