// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPlugin: the real kubectl, and oc where the sandbox has it, find the
// program on the PATH and pass on what they are given.
func TestPlugin(t *testing.T) {
	t.Parallel()
	tr := newTrainer(t, newSandbox(t), "plugin")
	// Beside the kubeconfig of the sandbox are the clients for it.
	clients := filepath.Join(filepath.Dir(tr.env["KUBECONFIG"]), "bin")
	for _, host := range []string{"kubectl", "oc"} {
		if _, err := os.Stat(filepath.Join(clients, host)); os.IsNotExist(err) && host == "oc" {
			t.Log("this sandbox has no oc; one with --openshift has")
			continue
		}
		t.Run(host, func(t *testing.T) { tr.plugin(t, clients, host) })
	}
}

func (tr *trainer) plugin(t *testing.T, clients, host string) {
	const file = "name: class\nterminalImage: registry.example.com/terminal:1\ngatewayImage: registry.example.com/gateway:1\nhost: class.example.com\n"
	run := func(args ...string) result {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), filepath.Join(clients, host), args...)
		cmd.Env = []string{"PATH=" + tr.bin + ":" + os.Getenv("PATH"), "HOME=" + tr.configHome, "KUBECONFIG=" + tr.kubeconfig, "NO_COLOR=1"}
		cmd.Stdin = strings.NewReader(file)
		var stdout, stderr strings.Builder
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		_ = cmd.Run() // the exit code tells
		if cmd.ProcessState == nil {
			t.Fatalf("%s %v did not run", host, args)
		}
		return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
	}
	for name, test := range map[string]struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		"help":            {[]string{"workshop", "--help"}, 0, "Usage:\n  " + host + " workshop COMMAND\n", ""},
		"dry run":         {[]string{"workshop", "deploy", "-f", "-", "--dry-run=client", "-o", "yaml"}, 0, "kind: Deployment\n", "class: "},
		"flags before":    {[]string{"workshop", "-n", tr.namespace, "list", "-o", "json"}, 0, `"items": []`, ""},
		"flags after":     {[]string{"workshop", "list", "-o", "json", "--namespace", tr.namespace}, 0, `"items": []`, ""},
		"no workshop":     {[]string{"workshop", "status"}, 1, "", host + " workshop deploy --terminal-image"},
		"a usage error":   {[]string{"workshop", "delpoy"}, 2, "", "Error: " + host + ` workshop has no command "delpoy"; did you mean deploy?`},
		"completion":      {[]string{"__complete", "workshop", "rollout", ""}, 0, "undo\tGo back to what was deployed before\n", ""},
		"what flags take": {[]string{"__complete", "workshop", "set-image", "x", "--restart", ""}, 0, "idle\n", ""},
	} {
		r := run(test.args...)
		if r.code != test.code || !strings.Contains(r.stdout, test.stdout) || !strings.Contains(r.stderr, test.stderr) {
			t.Errorf("%s: exit code %d\nstdout: %s\nstderr: %s", name, r.code, r.stdout, r.stderr)
		}
		if strings.Contains(r.stdout+r.stderr, "\x1b") {
			t.Errorf("%s: colours although NO_COLOR is set", name)
		}
	}
}
