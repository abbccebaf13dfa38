// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/workshopctl/workshopctl/test/testhub"
)

// classInside has the trainer work in all sessions of the class from their own
// machine, while some of the attendees look at their pages.
func classInside(t *testing.T, tr *class) {
	axe := testhub.Axe(t)
	chromium := newChromium(t, tr.sandbox)
	address := strings.TrimSpace(tr.run(t, "url").stdout)
	all := func(what string) string { return fmt.Sprintf("%d of %d %s\n", classSize, classSize, what) }
	var jane *attendee
	for _, user := range tr.looking {
		jane = newAttendee(chromium, t, user, address)
		tr.login(jane)
		jane.prompt()
	}
	absent := slices.DeleteFunc(slices.Sorted(slices.Values(tr.users)), func(user string) bool { return slices.Contains(tr.looking, user) })
	unlikeBob := slices.DeleteFunc(slices.Sorted(slices.Values(tr.users)), func(user string) bool { return user == "bob" })

	step(t, "a shell beside the attendee's", func() {
		sh := tr.beside(t, jane.user)
		sh.types("echo $((40+2)) $PWD $TERM [$JUPYTERHUB_API_TOKEN]; stty size\r")
		sh.sees("42 /opt/app-root/src xterm-256color []\r\n24 80")
		if strings.Contains(jane.screen(), "echo $((40+2))") {
			t.Error("the attendee sees the trainer's shell")
		}
		sh.types("workshop-version; exit 7\r") // an image's own command, from its PATH
		sh.ends(7)
		tool := tr.beside(t, jane.user, "--", "sh", "-c", "tty; exit 3")
		tool.sees("/dev/pts/")
		tool.ends(3)
	})

	step(t, "a command in all sessions", func() {
		r := tr.run(t, "sessions", "exec", "--all", "--", "sh", "-c", "echo $USER is in $PWD; echo err >&2")
		for _, line := range []string{"bob        | bob is in /opt/app-root/src\n", "kube:admin | kube:admin is in", fmt.Sprintf("%-10s | %s is in", jane.user, jane.user)} {
			if err := contains(r.stdout, line); err != nil {
				t.Error(err)
			}
		}
		if !strings.Contains(r.stderr, fmt.Sprintf("%-10s | err\n", jane.user)) || strings.Count(r.stdout, "\n") != classSize || !strings.HasSuffix(r.stderr, all("ok")) {
			t.Error(r.stderr)
		}
		r = tr.try(t, "sessions", "exec", "--all", "-o", "json", "--", "sh", "-c", "test $USER = bob")
		var got struct{ Items []struct{ ExitCode *int } }
		if err := json.Unmarshal([]byte(r.stdout), &got); err != nil || r.code != 1 || len(got.Items) != classSize || !strings.Contains(r.stderr, fmt.Sprintf("1 of %d ok; failed: %s (exit 1), %s (exit 1), ", classSize, unlikeBob[0], unlikeBob[1])) {
			t.Errorf("%d %v %s %s", r.code, err, r.stdout, r.stderr)
		}
		if r := tr.try(t, "sessions", "exec", jane.user, "--", "no-such-program"); r.code != 127 || !strings.Contains(r.stderr, "not found in the session's PATH") {
			t.Errorf("%d %s", r.code, r.stderr)
		}
	})

	step(t, "files go there and come back", func() {
		dir := t.TempDir()
		big := strings.Repeat("0123456789abcdef", 2<<20) // 32 MiB
		for name, content := range map[string]string{"exercise/run.sh": "#!/bin/sh\necho it runs\n", "exercise/data": "data", "big": big} {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		r := tr.run(t, "sessions", "cp", dir+"/exercise", "--all", ":")
		if r.stderr != all("copied") {
			t.Error(r.stderr)
		}
		jane.types("exercise/run.sh; echo mine > exercise/answer")
		jane.sees("it runs", 20*time.Second)
		tr.run(t, "sessions", "cp", dir+"/big", "kube:admin:~/deep/er/big")
		tr.run(t, "sessions", "cp", "kube:admin:deep/er/big", dir+"/back")
		if back, err := os.ReadFile(dir + "/back"); err != nil || string(back) != big {
			t.Errorf("%d bytes came back: %v", len(back), err)
		}
		r = tr.run(t, "sessions", "cp", "--all", ":exercise", dir+"/all")
		for _, name := range []string{jane.user + "/exercise/answer", "bob/exercise/data", "kube%3Aadmin/exercise/run.sh"} {
			if _, err := os.Stat(filepath.Join(dir, "all", name)); err != nil {
				t.Error(err, r.stderr)
			}
		}
		for place, why := range map[string]string{"/proc/x": "/proc", "README.md/x": "is a file, not a folder"} {
			if r := tr.try(t, "sessions", "cp", dir+"/big", jane.user+":"+place); r.code != 1 || !strings.Contains(r.stderr, why) {
				t.Errorf("%d %s", r.code, r.stderr)
			}
		}
		if r := tr.run(t, "sessions", "exec", "--all", "--", "sh", "-c", "find / -name '.workshopctl-*.part' 2>/dev/null; true"); r.stdout != "" {
			t.Errorf("left behind: %s", r.stdout)
		}
	})

	step(t, "a message is on every page until it is dismissed", func() {
		r := tr.run(t, "sessions", "message", "--all", "Lunch <b>now</b>\nBack at 13:30")
		if !strings.HasPrefix(r.stderr, fmt.Sprintf("No page is open at %s, %s, ", absent[0], absent[1])) || !strings.HasSuffix(r.stderr, all("told")) {
			t.Error(r.stderr)
		}
		jane.says("Lunch <b>now</b>")
		for _, theme := range []string{"dark", "light"} {
			jane.prefers(theme)
			jane.isTheme(theme)
			jane.accessible(axe, "a message, "+theme)
			jane.screenshot("inside-message-" + theme)
		}
		second := jane.tab(eval[string](jane, "location.href"))
		second.says("Back at 13:30") // a page that comes later
		second.clickText("#banners button", "Dismiss")
		for _, page := range []*attendee{second, jane} {
			eventually(t, 20*time.Second, "the message goes from all pages", func(context.Context) error {
				if text := eval[string](page, `document.querySelector("#banners").textContent`); strings.Contains(text, "Lunch") {
					return fmt.Errorf("%q", text)
				}
				return nil
			})
		}
		jane.reload()
		jane.sees("it runs", 20*time.Second)
		if text := eval[string](jane, `document.querySelector("#banners").textContent`); strings.Contains(text, "Lunch") {
			t.Errorf("it is back after a reload: %q", text)
		}
	})

	step(t, "logs", func() {
		if r := tr.run(t, "logs", jane.user); !strings.Contains(r.stdout, "a trainer's message has come to") {
			t.Error(r.stdout)
		}
		if r := tr.run(t, "logs", "--all"); strings.Count(r.stdout, "a trainer's message has come to") != classSize || !strings.HasSuffix(r.stderr, all("read")) {
			t.Errorf("%s\n%s", r.stdout, r.stderr)
		}
		if r := tr.run(t, "logs", "proxy", "--tail", "3"); strings.Count(r.stdout, "\n") != 3 {
			t.Error(r.stdout)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		follow := exec.CommandContext(ctx, filepath.Join(tr.bin, "workshopctl"), "logs", "hub", "-f", "--tail", "1")
		follow.Env = []string{"HOME=" + tr.configHome, "KUBECONFIG=" + tr.kubeconfig}
		var said bytes.Buffer
		follow.Stderr = &said
		out, err := follow.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := follow.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		if !lines.Scan() {
			t.Fatalf("the hub's log doesn't begin: %v\n%s", follow.Wait(), said.String())
		}
		pods, err := tr.admin.CoreV1().Pods(tr.namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=hub"})
		if err != nil {
			t.Fatal(err)
		}
		old := map[string]bool{}
		for _, p := range pods.Items {
			old[p.Name] = true
			if err := tr.admin.CoreV1().Pods(tr.namespace).Delete(t.Context(), p.Name, metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, 2*time.Minute, "another hub", func(ctx context.Context) error {
			pods, err := tr.admin.CoreV1().Pods(tr.namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=hub"})
			if err != nil || len(pods.Items) != 1 || old[pods.Items[0].Name] || pods.Items[0].Status.Phase != corev1.PodRunning || !pods.Items[0].Status.ContainerStatuses[0].Ready {
				return fmt.Errorf("%d pods, %w", len(pods.Items), err)
			}
			return nil
		})
		// The hub's sessions work on meanwhile, and so does the trainer in them.
		tr.run(t, "sessions", "exec", "--all", "--", "true")
		next := false
		for !next && lines.Scan() {
			next = strings.Contains(lines.Text(), "JupyterHub is now running")
		}
		cancel()
		_ = follow.Wait()
		if !next || !strings.Contains(said.String(), "what follows is the next one's") {
			t.Errorf("the next hub's log was seen: %t\n%s", next, said.String())
		}
	})
}
