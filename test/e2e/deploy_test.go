// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
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

// TestImages: an image that can't be pulled fails the deploy before anything
// is written, within a minute, with the registry's reason.
func TestImages(t *testing.T) {
	t.Parallel()
	tr := newTrainer(t, newSandbox(t), "images")
	for name, test := range map[string]struct {
		image string
		words []string
	}{
		"missing tag":  {"registry.localhost/workshop/terminal:none", []string{"registry.localhost/workshop/terminal:none", "not found"}},
		"needs login":  {"private.localhost/workshop/terminal:1", []string{"private.localhost/workshop/terminal:1", "--pull-secret"}},
		"missing repo": {"registry.localhost/nobody/nothing:1", []string{"registry.localhost/nobody/nothing:1", "not found"}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			r := tr.tryCtx(ctx, t, "deploy", "--terminal-image", test.image)
			if r.code != 3 || r.stdout != "" {
				t.Errorf("exit code %d, want 3; stdout %q", r.code, r.stdout)
			}
			for _, w := range test.words {
				if err := contains(r.stderr, w); err != nil {
					t.Error(err)
				}
			}
			if left := tr.versions(t); len(left) > 0 {
				t.Errorf("the refused deploy wrote %v", left)
			}
			eventually(t, time.Minute, "end of the check's pod", func(context.Context) error {
				if pods := tr.pods(t, ""); len(pods) > 0 {
					return fmt.Errorf("%s is left", pods[0].Name)
				}
				return nil
			})
		})
	}
	t.Run("with the pull secret", func(t *testing.T) {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "registry"}, Type: corev1.SecretTypeDockerConfigJson,
			Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(`{"auths":{"private.localhost":{"username":"trainer","password":"private-registry"}}}`)}}
		if _, err := tr.admin.CoreV1().Secrets(tr.namespace).Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		tr.run(t, "deploy", "--terminal-image", "private.localhost/workshop/terminal:1", "--pull-secret", "registry")
		tr.run(t, "delete", "terminals", "--yes")
	})
}

// TestHubThatCannotStart: what keeps the hub from starting is told, with the
// exit code for it, and the way on is `deploy` again.
func TestHubThatCannotStart(t *testing.T) {
	t.Parallel()
	tr := newTrainer(t, newSandbox(t), "no-hub")
	r := tr.try(t, "deploy", "--hub-image", "registry.localhost/workshop/hub:none", "--timeout", "2m")
	if r.code != 3 {
		t.Errorf("exit code %d, want 3", r.code)
	}
	for _, w := range []string{"registry.localhost/workshop/hub:none", "not found", "--hub-image"} {
		if err := contains(r.stderr, w); err != nil {
			t.Error(err)
		}
	}
	tr.run(t, "deploy", "--hub-image", tr.env["WORKSHOPCTL_HUB_IMAGE"])
	tr.run(t, "delete", "terminals", "--yes", "--delete-volumes")
	if left := tr.versions(t); len(left) > 0 {
		t.Errorf("delete left %v", left)
	}
}

// TestQuota: a namespace whose quota wants requests and limits of every
// container, and one that is too small.
func TestQuota(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	chromium := newChromium(t, s)
	tr := newTrainer(t, s, "quota")
	hard := corev1.ResourceList{}
	for name, q := range map[corev1.ResourceName]string{"requests.cpu": "1", "requests.memory": "2Gi", "limits.cpu": "8", "limits.memory": "4Gi", "requests.storage": "5Gi"} {
		hard[name] = resource.MustParse(q)
	}
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "team"}, Spec: corev1.ResourceQuotaSpec{Hard: hard}}
	if _, err := tr.admin.CoreV1().ResourceQuotas(tr.namespace).Create(t.Context(), quota, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	address := strings.TrimSpace(tr.run(t, "deploy", "--idle-timeout", "0").stdout)
	a := newAttendee(chromium, t, "ann", address)
	a.login(tr.password(t))
	a.prompt()
	tr.run(t, "delete", "terminals", "--yes", "--delete-volumes")

	quota.Spec.Hard["requests.memory"] = resource.MustParse("200Mi")
	if _, err := tr.admin.CoreV1().ResourceQuotas(tr.namespace).Update(t.Context(), quota, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	r := tr.try(t, "deploy", "--timeout", "2m")
	if r.code != 3 {
		t.Errorf("exit code %d, want 3", r.code)
	}
	for _, w := range []string{"quota", "team", "requests.memory"} {
		if err := contains(r.stderr, w); err != nil {
			t.Error(err)
		}
	}
}

// TestCulling: an idle tab's session is stopped, a busy one's is not.
func TestCulling(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	chromium := newChromium(t, s)
	tr := newTrainer(t, s, "culling")
	address := strings.TrimSpace(tr.run(t, "deploy", "--idle-timeout", "90s").stdout)
	password := tr.password(t)
	idle, busy := newAttendee(chromium, t, "idle", address), newAttendee(chromium, t, "busy", address)
	idle.login(password)
	busy.login(password)
	idle.prompt()
	busy.prompt()
	busy.types("while sleep 5; do echo still here; done")
	eventually(t, 6*time.Minute, "end of the idle session", func(context.Context) error {
		for _, p := range tr.pods(t, "app.kubernetes.io/component=session") {
			if p.Annotations["hub.jupyter.org/username"] == "idle" {
				return errors.New("still there")
			}
		}
		return nil
	})
	tr.session(t, "busy")
	busy.sees("still here", 10*time.Second)
}

// TestAnonymousWithoutIngress: no login, no way in from outside; `url
// --forward` makes one.
func TestAnonymousWithoutIngress(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	chromium := newChromium(t, s)
	tr := newTrainer(t, s, "anonymous")
	tr.run(t, "deploy", "class", "--auth", "anonymous", "--expose", "none", "--storage-size", "0")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	forward := exec.CommandContext(ctx, filepath.Join(tr.bin, "workshopctl"), "url", "--forward")
	forward.Env = []string{"HOME=" + tr.configHome, "KUBECONFIG=" + tr.kubeconfig}
	out, err := forward.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := forward.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); _ = forward.Wait() }()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimSpace(line)
	if !strings.HasPrefix(address, "http://localhost:") && !strings.HasPrefix(address, "http://127.0.0.1:") {
		t.Fatalf("url --forward printed %q", line)
	}
	first, second := newAttendee(chromium, t, "first", address), newAttendee(chromium, t, "second", address)
	for _, guest := range []*attendee{first, second} {
		guest.do(chromedp.Navigate(address))
		guest.start()
	}
	first.prompt()
	second.prompt()
	if fate := eval[string](first, `document.querySelector("meta[name=files]").content`); fate != "lost" {
		t.Errorf("the page says that the files of a session without a volume are %s", fate)
	}
	if a, b := eval[string](first, "location.pathname"), eval[string](second, "location.pathname"); a == b {
		t.Errorf("two browsers share the session %s", a)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"hub/api/users", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusForbidden {
		t.Errorf("the hub's API answers %d without a token", response.StatusCode)
	}
	tr.run(t, "delete", "class", "--yes", "--delete-volumes")
}

// TestForeignObject: what has the workshop's name but isn't ours is refused
// before the first write.
func TestForeignObject(t *testing.T) {
	t.Parallel()
	tr := newTrainer(t, newSandbox(t), "foreign")
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "terminals-proxy"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}
	if _, err := tr.admin.CoreV1().Services(tr.namespace).Create(t.Context(), service, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	before := fmt.Sprint(tr.versions(t))
	r := tr.try(t, "deploy")
	if r.code != 5 {
		t.Errorf("exit code %d, want 5", r.code)
	}
	if err := contains(r.stderr, "terminals-proxy"); err != nil {
		t.Error(err)
	}
	if after := fmt.Sprint(tr.versions(t)); after != before {
		t.Errorf("objects before %s, after %s", before, after)
	}
}
