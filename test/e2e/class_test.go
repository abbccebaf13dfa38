// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// classSize is how many have a session in the test of a class.
const classSize = 20

// class is a workshop with sessions that were started before anybody came.
type class struct {
	*trainer
	users []string
	// looking are those who have their page open, and login how they come in.
	looking []string
	login   func(*attendee)
}

// part of a test of the class, which begins with what the one before has left.
type part struct {
	name string
	test func(*testing.T, *class)
}

// classSettings fit twenty sessions on a small machine.
var classSettings = []string{"--cpu-request", "5m", "--memory-request", "16Mi", "--storage-size", "64Mi", "--idle-timeout", "3h"}

// TestClass runs the class of twenty real sessions: what is done in them first,
// what stops them last.
func TestClass(t *testing.T) {
	tr := newTrainer(t, newSandbox(t), "class")
	tr.run(t, append([]string{"deploy"}, classSettings...)...)
	c := &class{trainer: tr, looking: []string{"kube:admin", "jane"}, login: func(a *attendee) { a.login(tr.password(t)) }}
	c.begin(t, "jane", "bob", "kube:admin")
	c.goOn(t, slices.Concat(classParts, []part{
		{"without the hub", classWithoutHub},
		{"while the hub is replaced", classHubReplaced},
		{"with a small image", classSmallImage},
		{"sent home", classSentHome},
	}))
}

// TestClassOpenShift is the same with what differs there: the login, whose names
// keep their case, the Route, the project's uid, and an image stream tag as image.
// The hub is the newest, as TestClass has the public image's.
func TestClassOpenShift(t *testing.T) {
	tr := newProject(t, newSandbox(t), "class", "user5")
	tr.loadImage(t, "my-workshop-terminal:latest", "registry.localhost/workshop/terminal:1")
	host := "terminals-class." + tr.env["WORKSHOPCTL_DOMAIN"]
	tr.run(t, append([]string{"deploy", "--host", host, "--terminal-image", "my-workshop-terminal:latest", "--hub-image", tr.hubs()["hub6"]}, classSettings...)...)
	c := &class{trainer: tr, looking: []string{"user4"}, login: func(a *attendee) { a.openshiftLogin(openshiftPassword) }}
	c.begin(t, "user4", "bob", "kube:admin")
	c.goOn(t, slices.Concat(classParts, []part{{"sent home", classSentHome}}))
}

var classParts = []part{
	{"started again", classStartedAgain},
	{"looked at", classLookedAt},
	{"worked in", classInside},
	{"extended", classExtended},
	{"restarted and stopped", classStopped},
	{"deleted and pruned", classPruned},
}

// begin starts the sessions of these and of as many more as make it a class.
func (c *class) begin(t *testing.T, users ...string) {
	t.Helper()
	c.users = users
	for i := len(c.users); i < classSize; i++ {
		c.users = append(c.users, fmt.Sprintf("user%02d", i-len(users)+1))
	}
	list := "username,full name\n# the first row\n"
	for i, user := range c.users {
		list += fmt.Sprintf("%s,\"User, %d\"\n", user, i+1)
	}
	file := filepath.Join(t.TempDir(), "class.csv")
	if err := os.WriteFile(file, []byte(list), 0o644); err != nil {
		t.Fatal(err)
	}
	var started struct {
		Items []struct{ User, Result, URL, Error string }
	}
	c.json(t, &started, "sessions", "start", "--from", file)
	if len(started.Items) != classSize {
		t.Fatalf("started %+v", started)
	}
	for i, s := range started.Items {
		if s.User != c.users[i] || s.Result != "running" || !strings.HasSuffix(s.URL, "/user/"+url.PathEscape(s.User)+"/") {
			t.Errorf("started %+v", s)
		}
	}
}

// goOn runs the parts.
func (c *class) goOn(t *testing.T, parts []part) {
	for _, part := range parts {
		if !t.Run(part.name, func(t *testing.T) { part.test(t, c) }) {
			break // the next would meet what this left
		}
	}
}

// json runs a command with -o json.
func (c *class) json(t *testing.T, into any, args ...string) {
	t.Helper()
	r := c.run(t, append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(r.stdout), into); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, r.stdout)
	}
}

// listed is a session as `sessions list` prints it.
type listed struct {
	User, State, Reason, Image, Digest, Node, Pod, Volume, URL string
	Created, LastActivity, KeepUntil, CulledAt                 time.Time
}

func (c *class) list(t *testing.T, args ...string) (byUser map[string]listed, hubError string) {
	t.Helper()
	var out struct {
		Items    []listed
		HubError string
	}
	c.json(t, &out, append([]string{"sessions", "list"}, args...)...)
	byUser = map[string]listed{}
	for _, s := range out.Items {
		byUser[s.User] = s
	}
	return byUser, out.HubError
}

func classStartedAgain(t *testing.T, c *class) {
	before, _ := c.list(t)
	c.run(t, "sessions", "start", "USER01", "user02")
	after, _ := c.list(t)
	if len(after) != classSize || !after["user01"].Created.Equal(before["user01"].Created) {
		t.Errorf("what runs was started again: %+v", after["user01"])
	}
}

func classLookedAt(t *testing.T, c *class) {
	sessions, hubError := c.list(t)
	if hubError != "" {
		t.Errorf("the hub: %s", hubError)
	}
	for _, user := range c.users {
		s := sessions[user]
		if s.State != "running" || s.Node == "" || s.Image == "" || s.Digest == "" || s.Volume == "" || s.URL == "" || s.LastActivity.IsZero() ||
			s.CulledAt.Before(s.LastActivity.Add(3*time.Hour)) || s.CulledAt.After(s.LastActivity.Add(3*time.Hour+time.Minute)) {
			t.Errorf("%s: %+v", user, s)
		}
	}
	if out := c.run(t, "sessions", "list", "-o", "wide").stdout; strings.Count(out, "\n") != classSize+1 || !strings.Contains(out, "CULLED-IN") {
		t.Errorf("wide:\n%s", out)
	}
	var d struct {
		listed
		Containers []struct{ Name, State string }
		Events     []struct{ Object, Reason string }
		Log        []string
		Usage      *struct{ Memory string }
		UsageError string
		Details    struct{ Phase string } `json:"volumeDetails"`
		HubError   string
	}
	c.json(t, &d, "sessions", "describe", "user01")
	if d.State != "running" || d.HubError != "" || len(d.Containers) != 3 || len(d.Events) == 0 || len(d.Log) == 0 || d.Details.Phase != "Bound" || (d.Usage == nil) == (d.UsageError == "") {
		t.Errorf("describe: %+v", d)
	}
	t.Log(c.run(t, "sessions", "describe", "user01").stdout)
}

func classExtended(t *testing.T, c *class) {
	before, _ := c.list(t)
	c.run(t, "sessions", "extend", "user01", "--by", "1h")
	after, _ := c.list(t)
	if got, want := after["user01"].CulledAt, before["user01"].CulledAt.Add(time.Hour); got.Before(want) || got.After(want.Add(time.Minute)) {
		t.Errorf("culled at %v, then at %v", before["user01"].CulledAt, got)
	}
	if !after["user02"].KeepUntil.IsZero() {
		t.Errorf("user02 is kept, too: %+v", after["user02"])
	}
	c.run(t, "sessions", "extend", "--all", "--by", "30m")
	for user, s := range func() map[string]listed { l, _ := c.list(t); return l }() {
		if s.KeepUntil.Before(time.Now().Add(3 * time.Hour)) {
			t.Errorf("%s is kept until %v", user, s.KeepUntil)
		}
	}
}

func classStopped(t *testing.T, c *class) {
	before, _ := c.list(t)
	c.run(t, "sessions", "restart", "user02", "--yes")
	after, _ := c.list(t)
	if s := after["user02"]; s.State != "running" || !s.Created.After(before["user02"].Created) || !s.KeepUntil.IsZero() {
		t.Errorf("restarted: %+v", s)
	}
	if r := c.try(t, "sessions", "stop", "user03", "user04"); r.code != 5 {
		t.Errorf("stop without a yes: %+v", r)
	}
	c.run(t, "sessions", "stop", "user03", "user04", "--yes")
	if after, _ = c.list(t); len(after) != classSize-2 {
		t.Errorf("%d sessions after two were stopped", len(after))
	}
	if all, _ := c.list(t, "--stopped"); len(all) != classSize || all["user03"].State != "stopped" || all["user03"].Volume == "" {
		t.Errorf("%d with those that are stopped: %+v", len(all), all["user03"])
	}
	if out := c.run(t, "sessions", "stop", "--idle", "2h", "--yes", "-o", "name").stdout; out != "" {
		t.Errorf("idle for two hours: %q", out)
	}
}

func (c *class) claims(t *testing.T) []string {
	t.Helper()
	list, err := c.admin.CoreV1().PersistentVolumeClaims(c.namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=session"})
	if err != nil {
		t.Fatal(err)
	}
	var users []string
	for _, claim := range list.Items {
		if claim.DeletionTimestamp == nil {
			users = append(users, claim.Annotations["hub.jupyter.org/username"])
		}
	}
	return users
}

func classPruned(t *testing.T, c *class) {
	c.run(t, "sessions", "delete", "user05", "user06", "--yes")
	c.run(t, "sessions", "delete", "user06", "--delete-volumes", "--yes")
	if claims := c.claims(t); !slices.Contains(claims, "user05") || slices.Contains(claims, "user06") {
		t.Errorf("volumes: %v", claims)
	}
	if r := c.try(t, "sessions", "delete", "user06", "--yes"); r.code != 1 || !strings.Contains(r.stderr, "user06 is no user of workshop terminals") {
		t.Errorf("deleted twice: %+v", r)
	}

	// A session that the hub knows nothing of.
	pod := c.session(t, "user01")
	ghost := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "terminals--ghost", Labels: pod.Labels, Annotations: map[string]string{"hub.jupyter.org/username": "ghost"}}, Spec: pod.Spec}
	ghost.Spec.NodeName = ""
	if _, err := c.admin.CoreV1().Pods(c.namespace).Create(t.Context(), ghost, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "terminals--ghost", Labels: pod.Labels, Annotations: ghost.Annotations},
		Spec: corev1.PersistentVolumeClaimSpec{AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("10Mi")}}}}
	if _, err := c.admin.CoreV1().PersistentVolumeClaims(c.namespace).Create(t.Context(), claim, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	type found struct {
		Sessions, Volumes       []struct{ User string }
		Deleted, VolumesDeleted bool
	}
	eventually(t, 3*time.Minute, "the orphan", func(context.Context) error {
		var f found
		c.json(t, &f, "sessions", "prune", "--dry-run")
		if len(f.Sessions) != 1 || f.Sessions[0].User != "ghost" || len(f.Volumes) != 2 {
			return fmt.Errorf("%+v", f)
		}
		return nil
	})
	if sessions, _ := c.list(t); sessions["ghost"].State != "orphaned" {
		t.Errorf("%+v", sessions["ghost"])
	}
	var f found
	c.json(t, &f, "sessions", "prune", "--yes")
	if claims := c.claims(t); !f.Deleted || f.VolumesDeleted || !slices.Contains(claims, "ghost") || !slices.Contains(claims, "user05") {
		t.Errorf("%+v; volumes %v", f, claims)
	}
	if sessions, _ := c.list(t); len(sessions) != classSize-4 {
		t.Errorf("%d sessions are left", len(sessions))
	}
	c.run(t, "sessions", "prune", "--delete-volumes", "--yes")
	if claims := c.claims(t); len(claims) != classSize-2 || slices.Contains(claims, "ghost") || slices.Contains(claims, "user05") {
		t.Errorf("volumes: %v", claims)
	}
}

func classWithoutHub(t *testing.T, c *class) {
	c.scaleHub(t, 0)
	sessions, hubError := c.list(t)
	if hubError == "" || len(sessions) != classSize-4 || sessions["user07"].State != "running" {
		t.Errorf("list: %d, %q, %+v", len(sessions), hubError, sessions["user07"])
	}
	c.run(t, "sessions", "describe", "user07")
	c.run(t, "sessions", "extend", "user07", "--by", "5h")
	c.run(t, "sessions", "stop", "user08", "--yes")
	if out := c.run(t, "sessions", "exec", "user07", "--", "echo", "hi").stdout; out != "hi\n" {
		t.Errorf("exec: %q", out)
	}
	c.run(t, "sessions", "cp", "user07:README.md", filepath.Join(t.TempDir(), "README.md"))
	c.run(t, "sessions", "message", "--all", "The hub is away; go on.")
	c.run(t, "logs", "user07", "--tail", "1")
	for _, args := range [][]string{{"start", "user08"}, {"restart", "user07", "--yes"}, {"prune", "--yes"}} {
		if r := c.try(t, append([]string{"sessions"}, args...)...); r.code != 1 || !strings.Contains(r.stderr, "the hub does not answer") {
			t.Errorf("%v: %+v", args, r)
		}
	}
	if r := c.try(t, "sessions", "delete", "user09", "--yes"); r.code != 1 || !strings.Contains(r.stderr, "still knows them") {
		t.Errorf("delete: %+v", r)
	}
	c.scaleHub(t, 1)
	// The hub comes to know what was done meanwhile.
	eventually(t, 3*time.Minute, "what the hub knows", func(context.Context) error {
		sessions, hubError := c.list(t)
		for _, user := range []string{"user08", "user09"} {
			if s, there := sessions[user]; there || hubError != "" {
				return fmt.Errorf("%s: %+v (%s)", user, s, hubError)
			}
		}
		return nil
	})
	c.run(t, "sessions", "delete", "user09", "--yes")
	c.run(t, "sessions", "start", "user08")
	if sessions, _ := c.list(t); sessions["user08"].State != "running" || sessions["user07"].KeepUntil.Before(time.Now().Add(5*time.Hour)) {
		t.Errorf("%+v\n%+v", sessions["user08"], sessions["user07"])
	}
}

// What waits for the hub goes on with the next one.
func classHubReplaced(t *testing.T, c *class) {
	var start result
	done := make(chan struct{})
	go func() {
		defer close(done)
		start = c.try(t, "sessions", "start", "user03", "user04", "--at-once", "1")
	}()
	t.Cleanup(func() { <-done })
	eventually(t, time.Minute, "the first session's pod", func(context.Context) error {
		for _, p := range c.pods(t, "app.kubernetes.io/component=session") {
			if p.Annotations["hub.jupyter.org/username"] == "user03" {
				return nil
			}
		}
		return errors.New("none")
	})
	c.run(t, "deploy", "--idle-timeout", "4h")
	if <-done; start.code != 0 {
		t.Errorf("start: %+v", start)
	}
	sessions, hubError := c.list(t)
	for _, user := range []string{"user01", "user03", "user04"} {
		if s := sessions[user]; s.State != "running" || hubError != "" {
			t.Errorf("%s: %+v (%s)", user, s, hubError)
		}
	}
}

// An image with BusyBox alone will do for all that is done inside sessions.
func classSmallImage(t *testing.T, c *class) {
	c.run(t, "set-image", c.busybox(t))
	c.run(t, "sessions", "start", "user05")
	if out := c.run(t, "sessions", "exec", "user05", "--", "sh", "-c", "echo $USER").stdout; out != "user05\n" {
		t.Errorf("exec: %q", out)
	}
	sh := c.beside(t, "user05")
	sh.types("echo $((40+2)) [$USER]; stty size\r")
	sh.sees("42 [user05]\r\n24 80")
	sh.types("exit 3\r")
	sh.ends(3)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "there"), []byte("and back"), 0o644); err != nil {
		t.Fatal(err)
	}
	c.run(t, "sessions", "cp", filepath.Join(dir, "there"), "user05:deep/er/")
	c.run(t, "sessions", "cp", "user05:deep/er/there", filepath.Join(dir, "back"))
	if back, err := os.ReadFile(filepath.Join(dir, "back")); err != nil || string(back) != "and back" {
		t.Errorf("%q came back: %v", back, err)
	}
	c.run(t, "sessions", "message", "user05", "hello")
	if out := c.run(t, "logs", "user05").stdout; !strings.Contains(out, "a trainer's message has come to") {
		t.Errorf("logs: %s", out)
	}
}

func classSentHome(t *testing.T, c *class) {
	before := len(c.claims(t))
	c.run(t, "sessions", "stop", "--all", "--yes")
	if sessions, _ := c.list(t); len(sessions) > 0 || len(c.claims(t)) != before {
		t.Errorf("%d sessions, %d volumes of %d", len(sessions), len(c.claims(t)), before)
	}
	c.run(t, "sessions", "delete", "--all", "--delete-volumes", "--yes")
	if claims := c.claims(t); len(claims) > 0 {
		t.Errorf("volumes: %v", claims)
	}
	if r := c.run(t, "sessions", "delete", "--all", "--yes"); !strings.Contains(r.stderr, "has no users") {
		t.Errorf("users are left: %+v", r)
	}
}
