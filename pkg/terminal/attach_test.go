// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestAttach joins the shell of a gateway that runs, as `sessions attach` does
// within the session's container.
func TestAttach(t *testing.T) {
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"version": "6.1.1"}`) }))
	defer hub.Close()
	// Sockets without a file are the whole machine's.
	prefix := fmt.Sprintf("JUPYTERHUB_SERVICE_PREFIX=/user/jane-%d/", os.Getpid())
	env := append(gatewayEnv(t, hub.URL), prefix)
	gateway := exec.Command(os.Args[0], "serve")
	gateway.Env, gateway.Stderr = env, os.Stderr
	log, err := gateway.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := gateway.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = gateway.Process.Signal(syscall.SIGTERM); _ = gateway.Wait() })
	lines := bufio.NewScanner(log)
	for lines.Scan() && !strings.Contains(lines.Text(), " serves ") {
	}
	go func() { _, _ = io.Copy(io.Discard, log) }()

	attach := func(args ...string) (in io.WriteCloser, out *bufio.Reader, events *bytes.Buffer, wait func() error) {
		t.Helper()
		cmd := exec.Command(os.Args[0], append([]string{"attach"}, args...)...)
		events = &bytes.Buffer{}
		cmd.Env, cmd.Stderr = env, events
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		late := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		t.Cleanup(func() { late.Stop(); _ = cmd.Process.Kill() })
		return in, bufio.NewReader(stdout), events, cmd.Wait
	}
	until := func(out *bufio.Reader, text string) {
		t.Helper()
		var seen strings.Builder
		for !strings.Contains(seen.String(), text) {
			b, err := out.ReadByte()
			if err != nil {
				t.Fatalf("no %q: %v, %q", text, err, seen.String())
			}
			seen.WriteByte(b)
		}
	}

	message := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(os.Args[0], append([]string{"message"}, args...)...)
		cmd.Env = env
		said, _ := cmd.CombinedOutput()
		return string(said)
	}
	if said := message("--for", "1m", "--", "Lunch"); said != `{"pages":0}`+"\n" {
		t.Errorf("a message: %q", said)
	}
	for text, want := range map[string]string{"\x1b\t ": "no text", strings.Repeat("x", 501): "too long", strings.Repeat("x\n", 10) + "x": "too long"} {
		if said := message("--", text); !strings.Contains(said, want) {
			t.Errorf("%.10q: %q, want %q", text, said, want)
		}
	}

	in, out, events, wait := attach("--write")
	if _, err := io.WriteString(in, "echo $((40+2))\n"); err != nil {
		t.Fatal(err)
	}
	until(out, "42\r\n")
	watch, seen, _, waitForWatch := attach()
	until(seen, "42\r\n")
	if _, err := io.WriteString(watch, "echo by the wat''cher\n"); err != nil {
		t.Fatal(err)
	}
	watch.Close()
	if rest, err := io.ReadAll(seen); err != nil || strings.Contains(string(rest), "by the watcher") {
		t.Errorf("after its input's end: %q, %v", rest, err)
	}
	if err := waitForWatch(); err != nil {
		t.Errorf("leaving is no failure: %v", err)
	}
	if _, err := io.WriteString(in, "echo $((50+2))\n"); err != nil {
		t.Fatal(err)
	}
	until(out, "52\r\n")
	if _, err := io.WriteString(in, "exit 3\n"); err != nil {
		t.Fatal(err)
	}
	until(out, "The shell has ended: status 3")
	in.Close()
	if err := wait(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(events.String(), `{"size":{"columns":80,"rows":24}}`) {
		t.Errorf("events: %q", events)
	}

	_, _, said, wait := attach("--shell", "5")
	if err := wait(); err == nil || !strings.Contains(said.String(), "no shell of this number") {
		t.Errorf("a shell that isn't there: %v, %q", err, said)
	}
	env[len(env)-1] = prefix + "nobody/"
	_, _, said, wait = attach()
	if err := wait(); err == nil || !strings.Contains(said.String(), "no gateway that can be joined") {
		t.Errorf("no gateway: %v, %q", err, said)
	}
	if said := message("--", "Lunch"); !strings.Contains(said, "no gateway that can be joined") {
		t.Errorf("no gateway for a message: %q", said)
	}
}
