// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/sandbox/host"
	"github.com/workshopctl/workshopctl/sandbox/image"
	"github.com/workshopctl/workshopctl/sandbox/node"
)

func newEnv(streams Streams) *cobra.Command {
	var name string
	var admin bool
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Print shell commands that make kubectl and workshopctl use a sandbox",
		Long: `Print shell commands that make kubectl and workshopctl use a sandbox, as a trainer
with the namespace "workshop" and no rights elsewhere. With --admin they have all
rights. A sandbox of the control plane alone has no trainer.`,
		Example: `  eval "$(workshop-sandbox env)"
  eval "$(workshop-sandbox env --admin)"`,
		Args: exactly(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			dirs, err := dirsOf(name)
			if err != nil {
				return err
			}
			lines, err := environment(dirs, admin)
			if err != nil {
				return err
			}
			for _, line := range lines {
				fmt.Fprintln(streams.Out, "export "+line)
			}
			return nil
		},
	}
	nameFlag(cmd, &name)
	cmd.Flags().BoolVar(&admin, "admin", false, "be the cluster's administrator")
	return cmd
}

// environment returns assignments, quoted for a shell.
func environment(dirs host.Dirs, admin bool) ([]string, error) {
	cfg, err := node.LoadConfig(dirs.ConfigFile())
	if err != nil {
		return nil, err
	}
	if cfg.Name == "" {
		return nil, fmt.Errorf("there is no sandbox %s: start it with: workshop-sandbox up --name %s", dirs.Name, dirs.Name)
	}
	if !cfg.HasTrainer() {
		return []string{"KUBECONFIG=" + quote(dirs.Kubeconfig())}, nil
	}
	kubeconfig := dirs.TrainerKubeconfig()
	if admin {
		kubeconfig = dirs.Kubeconfig()
	}
	lines := []string{
		"KUBECONFIG=" + quote(kubeconfig),
		"WORKSHOPCTL_DOMAIN=" + quote(fmt.Sprintf("%s:%d", cfg.Domain(), cfg.Ports.HTTPS)),
		"WORKSHOPCTL_TLS_SECRET=default",
		"WORKSHOP_SANDBOX_CA=" + quote(dirs.CA()),
	}
	var refs []string
	data, err := os.ReadFile(dirs.ImagesFile())
	if err == nil {
		err = json.Unmarshal(data, &refs)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, v := range []struct{ variable, name string }{
		{"WORKSHOPCTL_HUB_IMAGE", image.Hub5}, {"WORKSHOPCTL_PROXY_IMAGE", image.Proxy},
		{"WORKSHOPCTL_GATEWAY_IMAGE", image.Gateway}, {"WORKSHOPCTL_TERMINAL_IMAGE", image.Terminal1},
	} {
		if cfg.OpenShift && v.name == image.Terminal1 {
			continue // the cluster has a terminal image of its own
		}
		for _, ref := range refs {
			// The gateway's tag says what is in it, and isn't known before.
			if ref == "workshop/"+v.name || strings.HasPrefix(ref, "workshop/"+v.name+":") {
				lines = append(lines, v.variable+"="+quote(node.RegistryHost+"/"+ref))
			}
		}
	}
	return lines, nil
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
