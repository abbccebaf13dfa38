// SPDX-License-Identifier: Apache-2.0

// Package list is the command `list`.
package list

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/output"
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

// Run lists, in two requests.
func Run(ctx context.Context, f *factory.Factory, o *Options) error {
	c, err := f.Cluster()
	if err != nil {
		return err
	}
	records, unreadable := f.Records(c).List(ctx)
	if len(records) == 0 && unreadable != nil {
		return unreadable
	}
	deployments, err := c.Kubernetes.AppsV1().Deployments(c.Namespace).List(ctx, metav1.ListOptions{LabelSelector: workshop.LabelManagedBy + "=" + workshop.ManagedBy})
	if err != nil {
		return err
	}
	byName := map[string]*appsv1.Deployment{}
	for i := range deployments.Items {
		byName[deployments.Items[i].Name] = &deployments.Items[i]
	}
	items := []Item{}
	names := []string{}
	for _, r := range records {
		n := workshop.Names(r.Spec.Name)
		item := Item{
			Name: r.Spec.Name, Namespace: c.Namespace, URL: r.Spec.URL(), Revision: r.Revision(),
			TerminalImage: r.Spec.Image().String(), Auth: string(r.Spec.Auth),
			Ready: ready(byName[n.Hub()]) && ready(byName[n.Proxy()]),
		}
		if image := rollout.TerminalImage(byName[n.Hub()]); image != (workshop.Image{}) {
			item.TerminalImage = image.String()
		}
		if len(r.History) > 0 {
			item.Deployed = r.History[len(r.History)-1].Time
		}
		items = append(items, item)
		names = append(names, output.WorkshopName(item.Name))
	}
	if err := o.Print(f.Out, map[string]any{"items": items}, names, func(wide bool) error { return table(f, c, items, wide) }); err != nil {
		return err
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

func ready(d *appsv1.Deployment) bool {
	return d != nil && d.Status.ObservedGeneration >= d.Generation && d.Status.ReadyReplicas > 0 && d.Status.UpdatedReplicas > 0
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
