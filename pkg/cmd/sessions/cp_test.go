// SPDX-License-Identifier: Apache-2.0

package sessions_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// holds says whether a file has some content, and how its folder looks if not.
func holds(t *testing.T, path, content string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != content {
		entries, _ := os.ReadDir(filepath.Dir(path))
		t.Errorf("%s: %.40q %v; there is %v", path, got, err, entries)
	}
}

func TestCp(t *testing.T) {
	c := newClass(t, "kube:admin")
	jane, joe := c.Add("jane", nil), c.Add("joe", nil)
	here := t.TempDir()
	t.Chdir(here)
	write(t, "notes.md", "notes\n")
	write(t, "exercises/day1/main.go", "package main\n")
	if err := os.Symlink("day1/main.go", "exercises/first"); err != nil {
		t.Fatal(err)
	}
	big := strings.Repeat("0123456789abcdef", 1<<18) // 4 MiB
	write(t, "big", big)

	c.wants(0, nil, []string{"jane:" + jane.Home + "/notes.md: 1 file, 6 bytes"}, "sessions", "cp", "notes.md", "JANE:")
	holds(t, jane.Home+"/notes.md", "notes\n")
	c.wants(0, nil, []string{"jane:" + jane.Home + "/a/b.md: 1 file, 6 bytes"}, "sessions", "cp", "notes.md", "jane:~/a/b.md")
	holds(t, jane.Home+"/a/b.md", "notes\n")
	c.wants(0, nil, []string{"3 of 3 copied"}, "sessions", "cp", "exercises", "--all", ":")
	holds(t, joe.Home+"/exercises/day1/main.go", "package main\n")
	if target, err := os.Readlink(joe.Home + "/exercises/first"); err != nil || target != "day1/main.go" {
		t.Error(target, err)
	}
	c.wants(0, nil, []string{"jane:" + jane.Home + "/x: 1 file, 4096 KiB"}, "sessions", "cp", "big", "jane:x")
	holds(t, jane.Home+"/x", big)

	// The other way.
	c.wants(0, nil, []string{"back: 1 file, 4096 KiB"}, "sessions", "cp", "jane:x", "back")
	holds(t, "back", big)
	c.wants(0, nil, []string{"exercises/a: 1 file, 6 bytes"}, "sessions", "cp", "jane:a", "exercises/")
	holds(t, "exercises/a/b.md", "notes\n")
	write(t, joe.Home+"/answer", "joe's")
	write(t, jane.Home+"/answer", "jane's")
	c.wants(1, nil, []string{"Error: 2 of 3 copied; failed: kube:admin (" + homeOf(c, "kube:admin") + "/answer: no such file or folder)"}, "sessions", "cp", "--all", ":answer", "solutions")
	holds(t, "solutions/jane/answer", "jane's")
	holds(t, "solutions/joe/answer", "joe's")
	if entries, _ := os.ReadDir("solutions"); len(entries) != 2 {
		t.Errorf("who has nothing has a folder: %v", entries)
	}
	write(t, homeOf(c, "kube:admin")+"/a:b", "admin's")
	c.wants(0, nil, []string{"c: 1 file, 7 bytes"}, "sessions", "cp", "kube:admin:a:b", "c")
	holds(t, "c", "admin's")

	code, out, _ := c.run("", "sessions", "cp", "notes.md", "--all", ":json.md", "-o", "json")
	var got struct{ Items []map[string]any }
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 {
		t.Fatal(code, err, out)
	}
	if diff := cmp.Diff(map[string]any{"user": "jane", "path": jane.Home + "/json.md", "files": 1.0, "bytes": 6.0}, got.Items[0]); diff != "" {
		t.Error(diff)
	}

	// What fails says why, and leaves nothing.
	c.wants(2, nil, []string{"Error: nothing: no such file or folder here"}, "sessions", "cp", "nothing", "jane:")
	c.wants(1, nil, []string{"Error: copy jane:nothing: " + jane.Home + "/nothing: no such file or folder"}, "sessions", "cp", "jane:nothing", "here")
	c.wants(1, nil, []string{"Error: copy notes.md: " + jane.Home + "/x is a file, not a folder"}, "sessions", "cp", "notes.md", "jane:x/y")
	c.wants(1, nil, []string{"Error: copy big: /proc/x: no such file or folder"}, "sessions", "cp", "big", "jane:/proc/x")
	c.wants(1, nil, []string{"Error: copy big: " + jane.Home + "/x is a file, not a folder"}, "sessions", "cp", "big", "jane:x/y")
	c.wants(1, nil, []string{"Error: copy jane:x: it has more than 1Mi, which --max-size allows"}, "sessions", "cp", "jane:x", "small", "--max-size", "1Mi")
	c.wants(1, nil, []string{"Error: joe2 has no session in workshop terminals; did you mean joe?", "`workshopctl sessions list` shows who has one."}, "sessions", "cp", "notes.md", "joe2:")
	for _, dir := range []string{here, jane.Home, joe.Home} {
		if left, _ := filepath.Glob(dir + "/.workshopctl-*"); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	for _, name := range []string{"here", "small"} {
		if _, err := os.Stat(name); err == nil {
			t.Errorf("%s is there", name)
		}
	}

	// A folder of which something can't be taken along.
	write(t, joe.Home+"/d/ok", "ok")
	if err := os.Symlink("/etc/passwd", joe.Home+"/d/link"); err != nil {
		t.Fatal(err)
	}
	code, _, errOut := c.run("", "sessions", "cp", "joe:d", "d")
	if code != 1 || !strings.Contains(errOut, "Warning: joe: link was left out: it is a link that leads out of the folder") || !strings.Contains(errOut, "1 left out, the rest is copied") {
		t.Errorf("%d %s", code, errOut)
	}
	holds(t, "d/ok", "ok")
}

func homeOf(c *class, user string) string {
	code, out, _ := c.run("", "sessions", "exec", user, "--", "pwd")
	if code != 0 {
		c.t.Fatal(code)
	}
	return strings.TrimSpace(out)
}

// TestCpFromHostileSession: an attendee has put another program in the gateway's
// place.
func TestCpFromHostileSession(t *testing.T) {
	c := newClass(t)
	evil := c.Add("mallory", nil)
	old := c.Add("joe", nil)
	here := t.TempDir()
	t.Chdir(here)
	for script, want := range map[string]string{
		`echo '{"folder":true}'; tar -c -P --transform 's,^,../../,' notes`: "broke off or was damaged",
		`echo '{}'; cat notes`: "broke off or was damaged",
		`yes`:                  "broke off or was damaged",
		`printf '\033]52;c;eA==\007sorry\033[2J' >&2; exit 9`: "Error: copy mallory:x: sorry",
		`exit 0`: "broke off or was damaged",
		`echo '{"bytes":9223372036854775807}'; exec sleep 60`: "it has more than 1Gi",
	} {
		write(t, evil.Home+"/notes", "evil")
		evil.Gateway = func(ctx context.Context, _ []string) *exec.Cmd {
			return exec.CommandContext(ctx, "/bin/sh", "-c", script)
		}
		code, out, errOut := c.run("", "sessions", "cp", "mallory:x", "x")
		if code != 1 || !strings.Contains(errOut, want) || strings.ContainsRune(errOut+out, 0x1b) {
			t.Errorf("%s: %d %q", script, code, errOut)
		}
		if entries, _ := os.ReadDir(here); len(entries) > 0 {
			t.Errorf("%s: %v", script, entries)
		}
	}
	// Uploads that are only said to have come.
	evil.Gateway = func(ctx context.Context, _ []string) *exec.Cmd {
		return exec.CommandContext(ctx, "/bin/sh", "-c", `echo ready; cat >/dev/null; echo '{"path":"/x","files":1}'`)
	}
	write(t, "notes", "mine")
	if code, _, errOut := c.run("", "sessions", "cp", "notes", "mallory:"); code != 1 || !strings.Contains(errOut, "the session doesn't confirm what it was sent") {
		t.Errorf("%d %s", code, errOut)
	}
	old.Gateway = func(ctx context.Context, _ []string) *exec.Cmd {
		return exec.CommandContext(ctx, "/bin/sh", "-c", `echo "workshop-terminal is the gateway of a workshop's sessions. JupyterHub starts it." >&2; exit 2`)
	}
	for _, args := range [][]string{{"notes", "joe:"}, {"joe:x", "y"}} {
		if code, _, errOut := c.run("", append([]string{"sessions", "cp"}, args...)...); code != 1 || !strings.Contains(errOut, "is of an older version") || !strings.Contains(errOut, "stopped and started again") {
			t.Errorf("%v: %d %s", args, code, errOut)
		}
	}
}
