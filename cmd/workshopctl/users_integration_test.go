// SPDX-License-Identifier: Apache-2.0

//go:build integration

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/root"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// hashes are what the hub would read.
func (tr *trainer) hashes() map[string]string {
	tr.t.Helper()
	secret, err := tr.Admin.Kubernetes.CoreV1().Secrets(tr.Namespace).Get(tr.t.Context(), "terminals-users", metav1.GetOptions{})
	if err != nil {
		tr.t.Fatal(err)
	}
	out := map[string]string{}
	if err := json.Unmarshal(secret.Data[workshop.SecretPasswords], &out); err != nil {
		tr.t.Fatal(err)
	}
	return out
}

// typed runs a command that must succeed, with something on its stdin.
func (tr *trainer) typed(stdin string, args ...string) result {
	tr.t.Helper()
	var out, errOut bytes.Buffer
	code := root.Main(append([]string{"workshopctl"}, args...), genericiooptions.IOStreams{In: strings.NewReader(stdin), Out: &out, ErrOut: &errOut}, factory.Build{Version: "v0.0.1-test"})
	if code != 0 {
		tr.t.Fatalf("%v: exit code %d\n%s%s", args, code, out.String(), errOut.String())
	}
	return result{code, out.String(), errOut.String()}
}

// attendee makes what the hub would for somebody who has logged in.
func (tr *trainer) attendee(user string) {
	tr.t.Helper()
	meta := metav1.ObjectMeta{Name: "terminals--" + user, Labels: workshop.Names("terminals").Labels(workshop.ComponentSession), Annotations: map[string]string{workshop.UsernameAnnotation: user}}
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: meta, Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
	}}
	if _, err := tr.Admin.Kubernetes.CoreV1().PersistentVolumeClaims(tr.Namespace).Create(tr.t.Context(), claim, metav1.CreateOptions{}); err != nil {
		tr.t.Fatal(err)
	}
	pod := &corev1.Pod{ObjectMeta: meta, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "notebook", Image: "registry.example.com/terminal:1"}}}}
	if _, err := tr.Admin.Kubernetes.CoreV1().Pods(tr.Namespace).Create(tr.t.Context(), pod, metav1.CreateOptions{}); err != nil {
		tr.t.Fatal(err)
	}
}

type credentials struct {
	Items []struct {
		Name, Password, PasswordState string
		Admin                         bool
	}
}

// TestUsers goes through a class: an import, who comes late, who has lost their
// password, and the end.
func TestUsers(t *testing.T) {
	tr, _ := newTrainer(t)
	tr.run(append([]string{"deploy"}, deployable...)...)
	dir := t.TempDir()
	class, handout := filepath.Join(dir, "class.csv"), filepath.Join(dir, "handout.html")
	if err := os.WriteFile(class, []byte("name,password,admin\nJane,\njim,his-own-one\ntrainer,,true\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	// A dry run writes nothing.
	if out := tr.run("users", "import", class, "--dry-run"); !strings.Contains(out, "jane") || !strings.Contains(out, "(new)") || strings.Contains(out, "his-own-one") {
		t.Errorf("dry run:\n%s", out)
	}
	if _, err := tr.Admin.Kubernetes.CoreV1().Secrets(tr.Namespace).Get(t.Context(), "terminals-users", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the dry run has made the Secret: %v", err)
	}
	// Whom it would keep out is asked for.
	tr.attendee("guest")
	tr.fails(5, []string{"only those on the list", "guest", "--yes"}, "users", "import", class)
	// A handout that is there is no place for another, and nothing is written.
	if err := os.WriteFile(handout, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tr.fails(5, []string{"exists; nothing was written", "--force"}, "users", "import", class, "--handout", handout, "--yes", "--url", "https://workshop.example.com/")
	tr.fails(2, []string{"has no URL", "--url"}, "users", "import", class, "--handout", handout, "--force", "--yes")

	var made credentials
	if err := json.Unmarshal([]byte(tr.run("users", "import", class, "--yes", "-o", "json")), &made); err != nil {
		t.Fatal(err)
	}
	passwords := map[string]string{}
	for _, c := range made.Items {
		passwords[c.Name] = c.Password
		if err := bcrypt.CompareHashAndPassword([]byte(tr.hashes()[c.Name]), []byte(c.Password)); err != nil {
			t.Errorf("%s: the hub would refuse %q: %v", c.Name, c.Password, err)
		}
	}
	if len(passwords) != 3 || passwords["jim"] != "his-own-one" || len(passwords["trainer"]) < 32 {
		t.Errorf("%v", passwords)
	}
	r := tr.spec("terminals")
	if !slices.Equal(r.AllowedUsers, []string{"jane", "jim"}) || !slices.Equal(r.AdminUsers, []string{"trainer"}) {
		t.Errorf("allowed %v, admins %v", r.AllowedUsers, r.AdminUsers)
	}
	for _, object := range []string{tr.run("rollout", "history", "-o", "json"), tr.run("status", "-o", "json")} {
		for _, p := range passwords {
			if strings.Contains(object, p) {
				t.Errorf("a password is in\n%s", object)
			}
		}
	}

	// Again, with one more: the others keep theirs, and the cards say so.
	if err := os.WriteFile(class, []byte("jane\njim\ntrainer,,true\njill\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := tr.hashes()
	if out := tr.run("users", "import", class, "--handout", handout, "--force", "--url", "https://workshop.example.com/"); out != "" {
		t.Errorf("passwords on the screen beside the handout:\n%s", out)
	}
	page, err := os.ReadFile(handout)
	if err != nil {
		t.Fatal(err)
	}
	card := regexp.MustCompile(`class="password">([a-z0-9-]+)<`).FindAllStringSubmatch(string(page), -1)
	if len(card) != 1 || strings.Count(string(page), "as you have it already") != 3 {
		t.Errorf("%d cards with a password, want jill's", len(card))
	} else if err := bcrypt.CompareHashAndPassword([]byte(tr.hashes()["jill"]), []byte(card[0][1])); err != nil {
		t.Errorf("the password on jill's card: %v", err)
	}
	for name, hash := range before {
		if tr.hashes()[name] != hash {
			t.Errorf("%s has another password", name)
		}
	}

	// New ones.
	jane := strings.TrimSpace(tr.run("users", "password", "JANE"))
	if err := bcrypt.CompareHashAndPassword([]byte(tr.hashes()["jane"]), []byte(jane)); err != nil || jane == passwords["jane"] {
		t.Errorf("jane's new password %q: %v", jane, err)
	}
	if r := tr.typed("chosen-by-jim\n", "users", "password", "jim", "--password-stdin"); r.stdout != "" || bcrypt.CompareHashAndPassword([]byte(tr.hashes()["jim"]), []byte("chosen-by-jim")) != nil {
		t.Errorf("jim's own: %+v", r)
	}
	tr.fails(5, []string{"joe is not on the list", "users add joe"}, "users", "password", "joe")
	secret := func() map[string][]byte {
		s, err := tr.Admin.Kubernetes.CoreV1().Secrets(tr.Namespace).Get(t.Context(), "terminals-hub", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return s.Data
	}
	old := secret()
	shared := strings.TrimSpace(tr.run("users", "password", "--shared"))
	if got := secret(); string(got[workshop.SecretUserPassword]) != shared || shared == string(old[workshop.SecretUserPassword]) || !bytes.Equal(got[workshop.SecretCookie], old[workshop.SecretCookie]) {
		t.Errorf("the shared password is %s, printed was %q", got[workshop.SecretUserPassword], shared)
	}

	// Who is there.
	var list struct {
		Items []struct {
			Name, Allowed, State, Volume string
			Listed, Admin, OwnPassword   bool
		}
	}
	tr.attendee("jane")
	if err := json.Unmarshal([]byte(tr.run("users", "list", "-o", "json")), &list); err != nil {
		t.Fatal(err)
	}
	told := map[string]string{}
	for _, u := range list.Items {
		data, err := json.Marshal([]any{u.Allowed, u.Listed, u.Admin, u.OwnPassword, u.Volume})
		if err != nil {
			t.Fatal(err)
		}
		told[u.Name] = string(data)
	}
	for name, want := range map[string]string{
		"jane": `["yes",true,false,true,"terminals--jane"]`, "jim": `["yes",true,false,true,""]`, "jill": `["yes",true,false,true,""]`,
		"trainer": `["yes",true,true,true,""]`, "guest": `["no",false,false,false,"terminals--guest"]`,
	} {
		if told[name] != want {
			t.Errorf("%s: %s, want %s", name, told[name], want)
		}
	}

	// The end.
	removed := tr.try("users", "remove", "jane", "jim")
	if removed.code != 0 || !strings.Contains(removed.stderr, "Kept: the files of jane") {
		t.Errorf("remove: %+v", removed)
	}
	if _, there := tr.hashes()["jane"]; there || slices.Contains(tr.spec("terminals").AllowedUsers, "jane") {
		t.Error("jane is there yet")
	}
	tr.fails(2, []string{"jane is on no list"}, "users", "remove", "jane")
	tr.fails(5, []string{"lets everybody in", "--allow-everybody"}, "users", "remove", "jill")
	tr.run("users", "remove", "jill", "--allow-everybody")
	if allowed := tr.spec("terminals").AllowedUsers; len(allowed) > 0 {
		t.Errorf("allowed: %v", allowed)
	}

	// Others' Secrets are left alone, and the workshop's own goes with it.
	secrets := tr.Admin.Kubernetes.CoreV1().Secrets(tr.Namespace)
	tr.run("delete", "terminals", "--yes", "--delete-volumes")
	if _, err := secrets.Get(t.Context(), "terminals-users", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("`delete` has left the passwords: %v", err)
	}
}

// TestUsersElsewhere: lists for logins without passwords of ours.
func TestUsersElsewhere(t *testing.T) {
	tr, _ := newTrainer(t)
	tr.run(append([]string{"deploy", "--auth", "anonymous"}, deployable...)...)
	tr.fails(5, []string{"knows no names", "--auth"}, "users", "add", "jane")
	tr.fails(5, []string{"has no passwords", "--auth password"}, "users", "password", "jane")
}

// TestUsersForeign: a Secret of somebody else's isn't touched.
func TestUsersForeign(t *testing.T) {
	tr, _ := newTrainer(t)
	tr.run(append([]string{"deploy"}, deployable...)...)
	secrets := tr.Admin.Kubernetes.CoreV1().Secrets(tr.Namespace)
	if _, err := secrets.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "terminals-users"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	tr.fails(5, []string{"secret terminals-users is there, and isn't the workshop's"}, "users", "add", "jane")
	tr.run("delete", "terminals", "--yes")
	if _, err := secrets.Get(t.Context(), "terminals-users", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
}
