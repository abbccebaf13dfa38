// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/workshopctl/workshopctl/pkg/terminal/process"
)

func start(r *process.Reaper, script string) (*exec.Cmd, error) {
	cmd := exec.Command("/bin/sh", "-c", script)
	_, err := r.Start(func() (*os.Process, error) { err := cmd.Start(); return cmd.Process, err })
	return cmd, err
}

// TestOrphansAreReaped, and exit statuses reach those who wait for them, with
// many of both at once.
func TestOrphansAreReaped(t *testing.T) {
	r, err := process.NewReaper()
	if err != nil {
		t.Fatal(err)
	}
	go r.Run(t.Context())
	var all sync.WaitGroup
	for status := range 40 {
		all.Go(func() {
			cmd, err := start(r, "(exit 1) & (sleep 0.01; exit 2) & exit "+strconv.Itoa(status))
			if err != nil {
				t.Error(err)
				return
			}
			_ = r.Wait(cmd)
			if got := cmd.ProcessState.ExitCode(); got != status {
				t.Errorf("status %d, want %d", got, status)
			}
		})
	}
	all.Wait()
	deadline := time.Now().Add(10 * time.Second)
	for children(t) != "" {
		if time.Now().After(deadline) {
			t.Fatalf("children are left: %s", children(t))
		}
	}
}

// children are the pids of this process's children, also of those that have ended.
func children(t *testing.T) string {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, task := range tasks {
		c, err := os.ReadFile("/proc/self/task/" + task.Name() + "/children")
		if os.IsNotExist(err) {
			continue // a thread that has ended, or a kernel that doesn't tell
		}
		all.Write(c)
	}
	return all.String()
}

func TestGroupsOfSession(t *testing.T) {
	r, err := process.NewReaper()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("setsid", "bash", "-c", "set -m; sleep 100 & echo $$ $!; wait")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Start(func() (*os.Process, error) { err := cmd.Start(); return cmd.Process, err }); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = r.Wait(cmd) }()
	line := make([]byte, 100)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(line[:n]))
	session, _ := strconv.Atoi(fields[0])
	job, _ := strconv.Atoi(fields[1])
	got := process.GroupsOfSession(session)
	if len(got) != 2 || got[0] != session || got[1] != job {
		t.Errorf("groups %v, want %v", got, fields)
	}
	if p, err := os.FindProcess(job); err == nil {
		_ = p.Kill()
	}
}
