// SPDX-License-Identifier: Apache-2.0

package sessions_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/root"
	"github.com/workshopctl/workshopctl/test/testsession"
)

func TestMain(m *testing.M) { os.Exit(testsession.Main(m)) }

// class is a workshop, and the trainer's command line.
type class struct {
	*testsession.Server
	t *testing.T
}

func newClass(t *testing.T, users ...string) *class {
	t.Helper()
	c := &class{testsession.New(t), t}
	t.Setenv("KUBECONFIG", c.Kubeconfig)
	t.Setenv("HOME", t.TempDir())
	for _, user := range users {
		c.Add(user, nil)
	}
	return c
}

func (c *class) run(in string, args ...string) (code int, stdout, stderr string) {
	c.t.Helper()
	var out, errOut bytes.Buffer
	streams := genericiooptions.IOStreams{In: strings.NewReader(in), Out: &out, ErrOut: &errOut}
	code = root.Main(append([]string{"workshopctl"}, args...), streams, factory.Build{Version: "v0.0.1-test"})
	return code, out.String(), errOut.String()
}

// wants runs a command and compares what it says, lines in any order.
func (c *class) wants(code int, stdout, stderr []string, args ...string) {
	c.t.Helper()
	gotCode, out, errOut := c.run("", args...)
	sorted := func(text string) []string {
		return slices.Sorted(slices.Values(strings.Split(strings.TrimSpace(text), "\n")))
	}
	want := func(lines []string) []string { return sorted(strings.Join(lines, "\n")) }
	if diff := cmp.Diff(want(stdout), sorted(out)) + cmp.Diff(want(stderr), sorted(errOut)); gotCode != code || diff != "" {
		c.t.Errorf("%v: exit code %d, want %d\n%s", args, gotCode, code, diff)
	}
}

func starting(p *corev1.Pod) {
	p.Status = corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{Name: "notebook", State: corev1.ContainerState{
		Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "no such \x1b[31mimage"}}}}}
}

func TestExec(t *testing.T) {
	c := newClass(t, "jane", "bob@example.com")
	c.wants(0, []string{"jane            | hi", "bob@example.com | hi"}, []string{"2 of 2 ok"}, "sessions", "exec", "--all", "--", "echo", "hi")
	c.wants(0, []string{"a b|$HOME|"}, nil, "sessions", "exec", "JANE", "--", "printf", "%s|", "a b", "$HOME")
	c.wants(7, []string{"out"}, []string{"err"}, "sessions", "exec", "jane", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
	c.wants(127, nil, []string{"workshop-terminal: nope: not found in the session's PATH"}, "sessions", "exec", "jane", "--", "nope")
	// One of several fails, and one isn't there yet.
	c.Add("ann", starting)
	c.wants(1, []string{"jane            | /user/jane", "bob@example.com |"}, []string{
		"bob@example.com | oops",
		"Error: 1 of 3 ok; failed: ann (the session is failed: ImagePullBackOff: no such image), bob@example.com (exit 4)",
	}, "sessions", "exec", "--all", "--", "sh", "-c", `[ "$USER" = jane ] && { echo /user/$USER; exit; }; echo; echo oops >&2; exit 4`)
	c.wants(3, nil, []string{"Error: exec in ann: the session is failed: ImagePullBackOff: no such image"}, "sessions", "exec", "ann", "--", "true")
	c.wants(1, nil, []string{"Error: joe has no session in workshop terminals", "`workshopctl sessions list` shows who has one."}, "sessions", "exec", "joe", "--", "true")

	// What a session prints steers no terminal and forges no line, and its own
	// bytes go untouched into a file.
	evil := `printf 'x\033]52;c;ZQ==\007y\r50%%\r100%%\nlast'`
	c.wants(0, []string{"bob@example.com | 100%", "bob@example.com | last", "jane            | 100%", "jane            | last"}, []string{"2 of 2 ok"},
		"sessions", "exec", "jane", "bob@example.com", "--", "sh", "-c", evil)
	if _, out, _ := c.run("", "sessions", "exec", "jane", "--", "sh", "-c", evil); out != "x\x1b]52;c;ZQ==\ay\r50%\r100%\nlast" {
		t.Errorf("%q", out)
	}
	if code, out, errOut := c.run("typed", "sessions", "exec", "jane", "-i", "--", "cat"); code != 0 || out != "typed" {
		t.Errorf("%d %q %q", code, out, errOut)
	}
	if code, out, errOut := c.run("typed", "sessions", "exec", "jane", "--", "cat"); code != 0 || out != "" {
		t.Errorf("without -i: %d %q %q", code, out, errOut)
	}
}

func TestExecJSON(t *testing.T) {
	c := newClass(t, "jane", "joe")
	c.Add("ann", starting)
	code, out, errOut := c.run("", "sessions", "exec", "--all", "-o", "json", "--", "sh", "-c", `echo "<$USER>"; echo err >&2; [ $USER = jane ]`)
	var got struct{ Items []map[string]any }
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err, out)
	}
	want := []map[string]any{
		{"user": "ann", "exitCode": nil, "stdout": "", "stderr": "", "error": "the session is failed: ImagePullBackOff: no such image"},
		{"user": "jane", "exitCode": 0.0, "stdout": "<jane>\n", "stderr": "err\n"},
		{"user": "joe", "exitCode": 1.0, "stdout": "<joe>\n", "stderr": "err\n"},
	}
	if diff := cmp.Diff(want, got.Items); diff != "" || code != 1 || !strings.Contains(errOut, "1 of 3 ok; failed: ann (") {
		t.Errorf("%d %s\n%s", code, errOut, diff)
	}
	code, out, _ = c.run("", "sessions", "exec", "jane", "-o", "json", "--", "sh", "-c", "yes | head -c 2000000")
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || len(got.Items[0]["stdout"].(string)) != 1<<20 || got.Items[0]["truncated"] != true {
		t.Errorf("a lot of output: %d %v, %d bytes", code, err, len(out))
	}
}

func TestExecIsBounded(t *testing.T) {
	c := newClass(t)
	for i := range 12 {
		c.Add(fmt.Sprintf("user%d", i), nil)
	}
	if code, _, errOut := c.run("", "sessions", "exec", "--all", "--at-once", "3", "--", "true"); code != 0 || errOut != "12 of 12 ok\n" {
		t.Error(code, errOut)
	}
	if most := c.Most(); most > 3 {
		t.Errorf("%d at one time", most)
	}
}

func TestExecForbidden(t *testing.T) {
	c := newClass(t)
	for _, user := range []string{"jane", "joe"} {
		c.Add(user, nil).Refuses = &metav1.Status{Status: metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden, Message: "pods is forbidden"}
	}
	for _, who := range []string{"jane", "--all"} {
		code, _, errOut := c.run("", "sessions", "exec", who, "--", "true")
		if code != 1 || !strings.Contains(errOut, "pods is forbidden") || !strings.Contains(errOut, "verbs create and get of pods/exec in namespace training") {
			t.Errorf("%s: %d %s", who, code, errOut)
		}
	}
}

func TestMessage(t *testing.T) {
	c := newClass(t)
	got := filepath.Join(t.TempDir(), "got")
	answers := func(user, answer string) {
		c.Add(user, nil).Gateway = func(ctx context.Context, args []string) *exec.Cmd {
			return exec.CommandContext(ctx, "/bin/sh", append([]string{"-c", `printf '%s|' "$@" >> ` + got + `; ` + answer, "sh"}, args...)...)
		}
	}
	answers("jane", `echo '{"pages":2}'`)
	answers("joe", `echo '{"pages":0}'`)
	c.wants(0, nil, []string{"No page is open at joe: who opens one within 15m sees it then.", "2 of 2 told"}, "sessions", "message", "--all", "  Lunch\tat \x1b[31m12\n")
	if sent, _ := os.ReadFile(got); !strings.HasPrefix(string(sent), "message|--for|15m0s|--|Lunch\tat 12|") {
		t.Errorf("%q", sent)
	}
	c.wants(0, nil, []string{"1 of 1 told"}, "sessions", "message", "jane", "--for", "1h", "Lunch")
	answers("old", `echo "workshop-terminal is the gateway of a workshop's sessions. JupyterHub starts it." >&2; exit 2`)
	answers("evil", `echo nonsense`)
	answers("stopped", `echo "workshop-terminal: no gateway that can be joined runs here" >&2; exit 1`)
	c.wants(1, []string{"{", `  "items": [`, "    {", `      "error": "the session doesn't say whether it has shown it"`, `      "pages": 0,`, `      "user": "evil",`, "    }", "  ]", "}"},
		[]string{"Error: 0 of 1 told; failed: evil (the session doesn't say whether it has shown it)"}, "sessions", "message", "evil", "Lunch", "-o", "json")
	older := "(the session's gateway is of an older version, which can't do this)"
	code, _, errOut := c.run("", "sessions", "message", "old", "stopped", "Lunch")
	if code != 1 || !strings.Contains(errOut, "0 of 2 told; failed: old "+older+", stopped "+older) || !strings.Contains(errOut, "stopped and started again") {
		t.Errorf("%d %s", code, errOut)
	}
}
