// SPDX-License-Identifier: Apache-2.0

//go:build integration

package terminal

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestImageWithoutShell runs the gateway where there is nothing else: an empty root,
// any user, no passwd, nowhere to write.
func TestImageWithoutShell(t *testing.T) {
	root := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "env", "CGO_ENABLED=0", "go", "build", "-o", filepath.Join(root, "gateway"), "../../cmd/workshop-terminal").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command("/gateway", "serve")
	cmd.Path = "/gateway"
	cmd.Dir = "/"
	cmd.Err = nil
	cmd.Env = gatewayEnv("http://127.0.0.1:1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 1000650000, Gid: 0}}
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said = said || strings.Contains(lines.Text(), "the image has no shell")
		if strings.Contains(lines.Text(), " serves /user/jane/ on ") {
			// Other programs of the same user can't read the token there.
			path := fmt.Sprintf("/proc/%d/environ", cmd.Process.Pid)
			if info, err := os.Stat(path); err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 {
				t.Errorf("the environment is its user's to read: %v", err)
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if !said {
		t.Error("the log doesn't say that there is no shell")
	}
}
