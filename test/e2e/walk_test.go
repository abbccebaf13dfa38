// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"crypto/tls"
	"crypto/x509"
	"os"

	"github.com/chromedp/chromedp"
	"github.com/coder/websocket"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// TestWorkshop is the walk that the tool exists for, with the hub that the
// public image has and with the newest one.
func TestWorkshop(t *testing.T) {
	s := newSandbox(t)
	chromium := newChromium(t, s)
	for name, hub := range s.hubs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			walk(chromium, t, newTrainer(t, s, "walk-"+name), hub)
		})
	}
}

func walk(chromium context.Context, t *testing.T, tr *trainer, hub string) {
	deployed := tr.run(t, "deploy", "--hub-image", hub, "--admin-users", "Boss", "--cpu-request", "10m", "--memory-request", "32Mi")
	address := strings.TrimSuffix(deployed.stdout, "\n")
	if u, err := url.Parse(address); err != nil || u.Scheme != "https" || strings.ContainsAny(address, " \n") {
		t.Fatalf("stdout of deploy is not the URL alone: %q", deployed.stdout)
	}
	if got := tr.run(t, "url").stdout; got != deployed.stdout {
		t.Errorf("url says %q, deploy said %q", got, deployed.stdout)
	}
	password := tr.password(t)
	if !strings.Contains(deployed.stderr, password) {
		t.Errorf("deploy doesn't say how to log in:\n%s", deployed.stderr)
	}

	// Names that need care: one that meets the hub's own objects, one that is
	// no DNS label.
	jane := newAttendee(chromium, t, "jane.doe@example.com", address)
	other := newAttendee(chromium, t, "hub", address)
	jane.login(password)
	other.login(password)
	jane.prompt()
	other.prompt()
	jane.types("echo written by jane > mine.txt; cat mine.txt README*; id -u")
	jane.sees("written by jane", 10*time.Second)
	other.types("ls; echo other > mine.txt; mount | grep -c app-root")
	jane.screenshot("terminal-" + tr.namespace)

	step(t, "an unchanged deploy changes no object", func() {
		before := tr.versions(t)
		tr.run(t, "deploy")
		after := tr.versions(t)
		if !maps.Equal(before, after) {
			t.Errorf("resource versions before:\n%v\nafter:\n%v", before, after)
		}
	})

	step(t, "nobody else gets at a terminal", func() {
		page := eval[string](jane, "location.href")
		eventually(t, time.Minute, "page of jane for hub", func(ctx context.Context) error {
			other.do(chromedp.Navigate(page))
			text := eval[string](other, "document.title + document.body.innerText")
			if strings.Contains(text, "403") {
				return nil
			}
			return fmt.Errorf("sees %q", text)
		})
		socket := tr.socketURL(t, jane)
		if code := tr.dial(t, socket, address, other.cookies(page)); code != http.StatusForbidden {
			t.Errorf("websocket with another's cookies: %d, want 403", code)
		}
		if code := tr.dial(t, socket, address, nil); code != http.StatusUnauthorized {
			t.Errorf("websocket without a cookie: %d, want 401", code)
		}
		if code := tr.dial(t, socket, "https://evil.example.com", jane.cookies(page)); code != http.StatusForbidden {
			t.Errorf("websocket from another origin: %d, want 403", code)
		}
		if code := tr.dial(t, socket, address, jane.cookies(page)); code != http.StatusSwitchingProtocols {
			t.Errorf("websocket of jane herself: %d, want 101", code)
		}
		other.do(chromedp.Navigate(address))
		other.prompt()
	})

	step(t, "a reload comes back to the same shell and screen", func() {
		jane.types("mark=survivor")
		jane.reload()
		jane.sees("written by jane", 20*time.Second)
		jane.types("echo after reload: $mark")
		jane.sees("after reload: survivor", 10*time.Second)
	})

	step(t, "a hub that is away disturbs no terminal, and its pages wait for it", func() {
		tr.scaleHub(t, 0)
		jane.types("echo while the hub is away: $mark")
		jane.sees("while the hub is away: survivor", 10*time.Second)
		other.do(chromedp.Navigate(address + "hub/home"))
		const title = "document.title"
		if got := eval[string](other, title); got != "One moment" {
			t.Errorf("the hub's page without the hub is called %q", got)
		}
		other.screenshot("hub-away-" + tr.namespace)
		tr.scaleHub(t, 1)
		eventually(t, time.Minute, "the hub's page", func(context.Context) error {
			if got := eval[string](other, title); got == "One moment" || !strings.Contains(eval[string](other, "document.body.innerText"), "Stop My Server") {
				return fmt.Errorf("still %q", got)
			}
			return nil
		})
		other.do(chromedp.Navigate(address))
		other.prompt()
		jane.types("echo with the new hub: $mark")
		jane.sees("with the new hub: survivor", 10*time.Second)
	})

	step(t, "set-image leaves running sessions alone", func() {
		before := tr.session(t, jane.user)
		tr.run(t, "set-image", "registry.localhost/workshop/terminal:2")
		jane.types("echo after set-image: $mark")
		jane.sees("after set-image: survivor", 10*time.Second)
		if after := tr.session(t, jane.user); after.UID != before.UID {
			t.Error("set-image restarted a running session")
		}
		late := newAttendee(chromium, t, "late", address)
		late.login(password)
		late.prompt()
		if image := tr.session(t, "late").Spec.Containers[0].Image; image != "registry.localhost/workshop/terminal:2" {
			t.Errorf("a new session runs %s", image)
		}
		status := tr.run(t, "status").stdout
		if err := contains(status, "workshop/terminal:2"); err != nil {
			t.Error(err)
		}
	})

	step(t, "set-image --restart comes back when the new sessions are ready", func() {
		before := tr.session(t, jane.user)
		r := tr.run(t, "set-image", "registry.localhost/workshop/terminal:2", "--restart", "all", "--yes")
		after := tr.session(t, jane.user)
		if after.UID == before.UID || !ready(after) || after.Spec.Containers[0].Image != "registry.localhost/workshop/terminal:2" {
			t.Errorf("the same pod: %v, ready: %v, image %s\n%s", after.UID == before.UID, ready(after), after.Spec.Containers[0].Image, r.stderr)
		}
		jane.do(chromedp.Navigate(address))
		jane.prompt()
	})

	step(t, "files outlive the session", func() {
		old := tr.session(t, jane.user)
		jane.stopSession(address)
		eventually(t, time.Minute, "end of the session's pod", func(ctx context.Context) error {
			for _, p := range tr.pods(t, "app.kubernetes.io/component=session") {
				if p.UID == old.UID {
					return errors.New("still there")
				}
			}
			return nil
		})
		jane.do(chromedp.Navigate(address))
		jane.start()
		jane.prompt()
		jane.types("cat mine.txt")
		jane.sees("written by jane", 10*time.Second)
	})

	step(t, "the trainer sees and asks", func() {
		var list struct {
			Items []struct{ User, State, Image, Node string }
		}
		if err := json.Unmarshal([]byte(tr.run(t, "sessions", "list", "-o", "json").stdout), &list); err != nil {
			t.Fatal(err)
		}
		var users []string
		for _, i := range list.Items {
			users = append(users, i.User)
			if i.State != "running" && i.State != "idle" || i.Image == "" || i.Node == "" {
				t.Errorf("session %+v", i)
			}
		}
		slices.Sort(users)
		if want := []string{"hub", "jane.doe@example.com", "late"}; !slices.Equal(users, want) {
			t.Errorf("sessions of %v, want %v", users, want)
		}
		if history := tr.run(t, "rollout", "history").stdout; strings.Count(history, "\n") < 3 {
			t.Errorf("history has not both revisions:\n%s", history)
		}
		tr.run(t, "rollout", "status")
		if r := tr.try(t, "diff"); r.code != 0 || r.stdout != "" {
			t.Errorf("diff of an unchanged workshop: code %d\n%s", r.code, r.stdout)
		}
		tr.run(t, "rollout", "undo")
		if err := contains(tr.run(t, "status").stdout, "workshop/terminal:1"); err != nil {
			t.Error(err)
		}
	})

	step(t, "delete leaves attendees' volumes and nothing else", func() {
		if r := tr.try(t, "delete", "terminals"); r.code != 5 || !strings.Contains(r.stderr, "--yes") {
			t.Errorf("delete without a yes: code %d, %s", r.code, r.stderr)
		}
		tr.run(t, "delete", "terminals", "--yes")
		claims, err := tr.admin.CoreV1().PersistentVolumeClaims(tr.namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range claims.Items {
			if !strings.HasPrefix(c.Name, "terminals--") {
				t.Errorf("claim %s is left", c.Name)
			}
		}
		if len(claims.Items) != 3 {
			t.Errorf("%d volumes of attendees are left, want 3", len(claims.Items))
		}
		for what := range tr.versions(t) {
			if !strings.HasPrefix(what, "persistentvolumeclaims/terminals--") {
				t.Errorf("%s is left", what)
			}
		}
	})
}

// step is a part of a walk that the parts after it build on: the first one
// that fails ends the walk.
func step(t *testing.T, what string, do func()) {
	t.Helper()
	t.Log("--- " + what)
	do()
	if t.Failed() {
		t.Fatalf("failed at: %s", what)
	}
}

// password is the attendees' password.
func (tr *trainer) password(t *testing.T) string {
	t.Helper()
	return tr.secret(t, "USER_PASSWORD")
}

// secret reads the workshop's Secret.
func (tr *trainer) secret(t *testing.T, key string) string {
	t.Helper()
	secret, err := tr.admin.CoreV1().Secrets(tr.namespace).Get(t.Context(), "terminals-hub", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return string(secret.Data[key])
}

func (tr *trainer) pods(t *testing.T, selector string) []corev1.Pod {
	t.Helper()
	pods, err := tr.admin.CoreV1().Pods(tr.namespace).List(t.Context(), metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		t.Fatal(err)
	}
	return pods.Items
}

// scaleHub ends the hub, or brings it back, and waits until that is so.
func (tr *trainer) scaleHub(t *testing.T, replicas int32) {
	t.Helper()
	hubs := tr.admin.AppsV1().Deployments(tr.namespace)
	scale, err := hubs.GetScale(t.Context(), "terminals", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	scale.Spec.Replicas = replicas
	if _, err := hubs.UpdateScale(t.Context(), "terminals", scale, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 2*time.Minute, "hub's pods", func(context.Context) error {
		pods := tr.pods(t, "app.kubernetes.io/component=hub")
		if len(pods) != int(replicas) || replicas > 0 && !ready(pods[0]) {
			return fmt.Errorf("%d pods, or not ready", len(pods))
		}
		return nil
	})
}

// session is the pod of a user's session.
func (tr *trainer) session(t *testing.T, user string) corev1.Pod {
	t.Helper()
	for _, p := range tr.pods(t, "app.kubernetes.io/component=session") {
		if p.Annotations["hub.jupyter.org/username"] == user && p.DeletionTimestamp == nil {
			return p
		}
	}
	t.Fatalf("%s has no session", user)
	return corev1.Pod{}
}

func ready(p corev1.Pod) bool {
	return p.DeletionTimestamp == nil && slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// versions are the resource versions of everything in the namespace that
// carries the workshop's label or name, but for what the cluster itself keeps
// writing to (pods and their like).
func (tr *trainer) versions(t *testing.T) map[string]string {
	t.Helper()
	client, err := dynamic.NewForConfig(tr.config)
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for _, r := range []schema.GroupVersionResource{
		{Version: "v1", Resource: "configmaps"}, {Version: "v1", Resource: "secrets"}, {Version: "v1", Resource: "services"},
		{Version: "v1", Resource: "serviceaccounts"}, {Version: "v1", Resource: "persistentvolumeclaims"},
		{Group: "apps", Version: "v1", Resource: "deployments"}, {Group: "networking.k8s.io", Version: "v1", Resource: "ingresses"},
		{Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies"},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "roles"}, {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"},
	} {
		list, err := client.Resource(r).Namespace(tr.namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range list.Items {
			if strings.HasPrefix(o.GetName(), "terminals") {
				versions[r.Resource+"/"+o.GetName()] = version(o)
			}
		}
	}
	return versions
}

// version is the generation where the cluster's controllers write to the same
// object's status, else the resource version.
func version(o unstructured.Unstructured) string {
	if o.GetKind() == "PersistentVolumeClaim" {
		return string(o.GetUID())
	}
	return o.GetResourceVersion()
}

var socketInPage = regexp.MustCompile(`(?:/user/[^/]+/)`)

// socketURL is the websocket that the page of a terminal talks to.
func (tr *trainer) socketURL(t *testing.T, a *attendee) string {
	t.Helper()
	page := eval[string](a, "location.origin + location.pathname")
	prefix := socketInPage.FindStringIndex(page)
	if prefix == nil {
		t.Fatalf("%s is at %s, no terminal", a.user, page)
	}
	return "wss" + strings.TrimPrefix(page[:prefix[1]], "https") + "ws"
}

// dial tries to open a websocket and returns the answer's status.
func (tr *trainer) dial(t *testing.T, socket, origin string, cookies []*http.Cookie) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	header := http.Header{"Origin": {strings.TrimSuffix(origin, "/")}}
	var pairs []string
	for _, c := range cookies {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	if len(pairs) > 0 {
		header.Set("Cookie", strings.Join(pairs, "; "))
	}
	conn, response, err := websocket.Dial(ctx, socket, &websocket.DialOptions{HTTPClient: tr.httpClient(t), HTTPHeader: header})
	if err == nil {
		_ = conn.CloseNow()
	}
	if response == nil {
		t.Fatalf("dial %s: %v", socket, err)
	}
	return response.StatusCode
}

// httpClient trusts the sandbox's certificate authority and reaches its names
// on loopback, as browsers do with names under .localhost.
func (tr *trainer) httpClient(t *testing.T) *http.Client {
	t.Helper()
	ca, err := os.ReadFile(tr.env["WORKSHOP_SANDBOX_CA"])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DialContext: loopback}}
}
