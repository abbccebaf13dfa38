// SPDX-License-Identifier: Apache-2.0

// Package list is the command `list`.
package list

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/output"
	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/rollout"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Options of the command.
type Options struct {
	output.Format
}

// NewCommand returns the command. A test may put its own run in place.
func NewCommand(f *factory.Factory, run factory.Run[*Options]) *cobra.Command {
	o := &Options{}
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the workshops of the namespace",
		Long:    "Lists the workshops of the namespace.",
		Example: `  workshopctl list
  workshopctl list -o name
  workshopctl list -o jsonpath='{.items[*].url}'`,
		Args: factory.Args(),
		RunE: factory.RunE(f, o, run, Run),
	}
	o.AddFlag(cmd, output.JSON, output.YAML, output.Name, output.Wide, output.JSONPath)
	return cmd
}

// Item is one workshop in `list -o json`.
type Item struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	// Ready is true if hub and proxy are.
	Ready    bool      `json:"ready"`
	URL      string    `json:"url,omitempty"`
	Revision int       `json:"revision"`
	Deployed time.Time `json:"deployed,omitzero"`
	// TerminalImage that new sessions get.
	TerminalImage string `json:"terminalImage"`
	Auth          string `json:"auth"`
}

// Run lists, in four requests, or five where there are workshops of
// DeploymentConfigs.
func Run(ctx context.Context, f *factory.Factory, o *Options) error {
	c, err := f.Cluster()
	if err != nil {
		return err
	}
	records, unreadable := f.Records(c).List(ctx)
	if len(records) == 0 && unreadable != nil {
		return unreadable
	}
	parts, err := workloads(ctx, c, records)
	if err != nil {
		return err
	}
	items := []Item{}
	names := []string{}
	for _, r := range records {
		n := workshop.Names(r.Spec.Name)
		item := Item{
			Name: r.Spec.Name, Namespace: c.Namespace, URL: r.Spec.URL(), Revision: r.Revision(),
			TerminalImage: r.Spec.Image().String(), Auth: string(r.Spec.Auth),
			Ready: parts[n.Hub()].ready && parts[n.Proxy()].ready,
		}
		if image := parts[n.Hub()].terminalImage; image != (workshop.Image{}) {
			item.TerminalImage = image.String()
		}
		if len(r.History) > 0 {
			item.Deployed = r.History[len(r.History)-1].Time
		}
		items = append(items, item)
		names = append(names, output.WorkshopName(item.Name))
	}
	known := make([]string, len(items))
	for i, item := range items {
		known[i] = item.Name
	}
	others := f.Unrecorded(ctx, c, known)
	if err := o.Print(f.Out, map[string]any{"items": items}, names, func(wide bool) error {
		if len(items) == 0 && len(others) > 0 {
			return nil
		}
		return table(f, c, items, wide)
	}); err != nil {
		return err
	}
	for _, name := range others {
		f.Say("%s", f.UnrecordedHint(name))
	}
	return unreadable
}

func table(f *factory.Factory, c *factory.Cluster, items []Item, wide bool) error {
	if len(items) == 0 {
		f.Say("Namespace %s has no workshop. Deploy one: workshopctl deploy --terminal-image IMAGE", c.Namespace)
		return nil
	}
	t := output.Table{Header: []string{"NAME", "READY", "REVISION", "DEPLOYED", "URL"}}
	if wide {
		t.Header = append(t.Header, "TERMINAL IMAGE", "AUTH")
	}
	for _, i := range items {
		row := []string{i.Name, yesNo(i.Ready), fmt.Sprint(i.Revision), output.Age(i.Deployed), i.URL}
		if wide {
			row = append(row, i.TerminalImage, i.Auth)
		}
		t.Add(row...)
	}
	return t.Write(f.Out)
}

// workload is what runs a hub or a proxy.
type workload struct {
	ready         bool
	terminalImage workshop.Image
}

// workloads are all of the namespace's workshops, by name.
func workloads(ctx context.Context, c *factory.Cluster, records []*record.Record) (map[string]workload, error) {
	options := metav1.ListOptions{LabelSelector: workshop.LabelManagedBy + "=" + workshop.ManagedBy}
	all := map[string]workload{}
	deployments, err := c.Kubernetes.AppsV1().Deployments(c.Namespace).List(ctx, options)
	if err != nil {
		return nil, err
	}
	for _, d := range deployments.Items {
		s := d.Status
		all[d.Name] = workload{s.ObservedGeneration >= d.Generation && s.ReadyReplicas > 0 && s.UpdatedReplicas > 0, rollout.TerminalImage(&d.Spec.Template)}
	}
	if !slices.ContainsFunc(records, func(r *record.Record) bool { return r.Spec.Workload == workshop.WorkloadDeploymentConfig }) {
		return all, nil
	}
	configs, err := c.Rollout().DeploymentConfigs.DeploymentConfigs(c.Namespace).List(ctx, options)
	if err != nil {
		return nil, err
	}
	for _, d := range configs.Items {
		s := d.Status
		all[d.Name] = workload{s.ObservedGeneration >= d.Generation && s.ReadyReplicas > 0 && s.UpdatedReplicas > 0, rollout.TerminalImage(d.Spec.Template)}
	}
	return all, nil
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
