// SPDX-License-Identifier: Apache-2.0

package terminal_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestTokenIsOutOfReach: programs of the same user find the gateway's token
// neither in its environment nor in its memory, nor in that of the shell.
func TestTokenIsOutOfReach(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to become somebody else")
	}
	hub := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(hub.Close)
	// In a place that nobody's programs reach.
	dir, err := os.MkdirTemp("", "gateway")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	gateway := filepath.Join(dir, "workshop-terminal")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", gateway, "../../cmd/workshop-terminal").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const token = "the-token-of-the-server"
	nobody := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, Pdeathsig: syscall.SIGKILL}
	cmd := exec.CommandContext(t.Context(), gateway, "serve")
	cmd.Dir, cmd.SysProcAttr = dir, nobody
	cmd.Env = []string{"HOME=" + dir, "PATH=/usr/bin:/bin", "SHELL=/bin/sh",
		"JUPYTERHUB_SERVICE_URL=http://127.0.0.1:0/user/jane/", "JUPYTERHUB_SERVICE_PREFIX=/user/jane/", "JUPYTERHUB_API_URL=" + hub.URL,
		"JUPYTERHUB_API_TOKEN=" + token, "JPY_API_TOKEN=" + token, "JUPYTERHUB_CLIENT_ID=c", "JUPYTERHUB_USER=jane", `JUPYTERHUB_OAUTH_ACCESS_SCOPES=["a"]`}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	// Its shell is there when it has a child.
	var shell string
	for deadline := time.Now().Add(30 * time.Second); strings.TrimSpace(shell) == ""; {
		if time.Now().After(deadline) {
			said, _ := os.ReadFile(log.Name())
			t.Fatalf("no shell was started:\n%s", said)
		}
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", cmd.Process.Pid))
		for _, children := range tasks {
			if list, err := os.ReadFile(children); err == nil {
				shell += string(list) + " "
			}
		}
	}
	script := fmt.Sprintf(`for f in environ mem maps auxv; do cat /proc/%[1]d/$f >/dev/null 2>&1 && echo "$f of the gateway can be read"; done
ls /proc/%[1]d/fd >/dev/null 2>&1 && echo "its files can be seen"
grep -ls -e %[2]s -e JUPYTERHUB_ /proc/[0-9]*/environ; echo done`, cmd.Process.Pid, token)
	other := exec.CommandContext(t.Context(), "/bin/sh", "-c", script)
	other.SysProcAttr = nobody
	out, err := other.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if text := string(out); text != "done\n" {
		t.Errorf("a program of the same user finds:\n%s", text)
	}
}
