// SPDX-License-Identifier: Apache-2.0

// Package list is the command `list`.
package list

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/output"
	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/rollout"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Options of the command.
type Options struct {
	AllNamespaces bool
	output.Format
}

// NewCommand returns the command. A test may put its own run in place.
func NewCommand(f *factory.Factory, run factory.Run[*Options]) *cobra.Command {
	o := &Options{}
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the workshops of the namespace, or of all",
		Long: `Lists the workshops of the namespace.

With --all-namespaces it lists those of all namespaces that you may look into: of the
whole cluster, or else of your projects where the cluster has projects, or else of
those namespaces whose names you may list; and says what it could not look into.`,
		Example: `  workshopctl list
  workshopctl list -A
  workshopctl list -o name
  workshopctl list -o jsonpath='{.items[*].url}'`,
		Args: factory.Args(),
		RunE: factory.RunE(f, o, run, Run),
	}
	cmd.Flags().BoolVarP(&o.AllNamespaces, "all-namespaces", "A", false, "List the workshops of all namespaces")
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

// found is what a namespace has.
type found struct {
	namespace string
	items     []Item
	// unrecorded are workshops that were applied by other means.
	unrecorded []string
	// unreadable is why some are missing, nil if none is.
	unreadable error
}

// Run lists.
func Run(ctx context.Context, f *factory.Factory, o *Options) error {
	c, err := f.Cluster()
	if err != nil {
		return err
	}
	var all []found
	if o.AllNamespaces {
		all, err = everywhere(ctx, f, c)
	} else {
		all = make([]found, 1)
		all[0], err = in(ctx, f, c)
	}
	if err != nil {
		return err
	}
	return show(f, c, o, all)
}

func show(f *factory.Factory, c *factory.Cluster, o *Options, all []found) error {
	items, names := []Item{}, []string{}
	var unreadable []error
	others := 0
	for _, one := range all {
		items = append(items, one.items...)
		unreadable = append(unreadable, one.unreadable)
		others += len(one.unrecorded)
	}
	for _, i := range items {
		names = append(names, output.WorkshopName(i.Name))
	}
	if err := o.Print(f.Out, map[string]any{"items": items}, names, func(wide bool) error {
		switch {
		case len(items) > 0:
			return table(items, wide, o.AllNamespaces).Write(f.Out)
		case others > 0:
		case o.AllNamespaces:
			f.Say("There is no workshop.")
		default:
			f.Say("Namespace %s has no workshop. Deploy one: workshopctl deploy --terminal-image IMAGE", c.Namespace)
		}
		return nil
	}); err != nil {
		return err
	}
	for _, one := range all {
		for _, name := range one.unrecorded {
			hint := f.UnrecordedHint(name)
			if o.AllNamespaces {
				hint = "In namespace " + one.namespace + ": " + hint
			}
			f.Say("%s", hint)
		}
	}
	return errors.Join(unreadable...)
}

// in lists the workshops of the cluster's namespace, in four requests, or five
// where there are workshops of DeploymentConfigs.
func in(ctx context.Context, f *factory.Factory, c *factory.Cluster) (found, error) {
	records, unreadable := f.Records(c).List(ctx)
	if len(records) == 0 && unreadable != nil {
		return found{}, unreadable
	}
	parts, err := workloads(ctx, c, records)
	if err != nil {
		return found{}, err
	}
	all := found{namespace: c.Namespace, unreadable: unreadable}
	var known []string
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
		all.items = append(all.items, item)
		known = append(known, item.Name)
	}
	all.unrecorded = f.Unrecorded(ctx, c, known)
	return all, nil
}

// atOnce is how many namespaces are looked into side by side.
const atOnce = 8

// everywhere lists the workshops of all namespaces, as far as one may.
func everywhere(ctx context.Context, f *factory.Factory, c *factory.Cluster) ([]found, error) {
	namespaces, err := namespaces(ctx, f, c)
	if err != nil {
		return nil, err
	}
	all := make([]found, len(namespaces))
	closed := make([]bool, len(namespaces))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i, namespace := range namespaces {
		group.Go(func() (err error) {
			there := *c
			there.Namespace = namespace
			if all[i], err = in(ctx, f, &there); apierrors.IsForbidden(err) {
				closed[i], err = true, nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var names []string
	for i, is := range closed {
		if is {
			names = append(names, namespaces[i])
		}
	}
	if len(names) == len(namespaces) && len(names) > 0 {
		return nil, fault.Hint(fmt.Errorf("you may not list workshops in namespace %s", strings.Join(names, ", ")), "docs/rights.md says what it takes; -n chooses another namespace.")
	}
	if len(names) > 0 {
		f.Say("You may not look into %s.", strings.Join(names, ", "))
	}
	return all, nil
}

var projects = schema.GroupVersionResource{Group: "project.openshift.io", Version: "v1", Resource: "projects"}

// namespaces are those to look into, and all that may have a workshop. Where
// that can't be known, it is said what they are.
func namespaces(ctx context.Context, f *factory.Factory, c *factory.Cluster) ([]string, error) {
	// The records, and the hubs for those without one.
	parts := fmt.Sprintf("%s=%s,%s in (%s,%s)", workshop.LabelManagedBy, workshop.ManagedBy, workshop.LabelComponent, workshop.ComponentRecord, workshop.ComponentHub)
	records, err := c.Metadata.Resource(corev1.SchemeGroupVersion.WithResource("configmaps")).List(ctx, metav1.ListOptions{LabelSelector: parts})
	if err == nil {
		found := map[string]bool{}
		for _, m := range records.Items {
			found[m.Namespace] = true
		}
		return slices.Sorted(maps.Keys(found)), nil
	}
	if !apierrors.IsForbidden(err) {
		return nil, fmt.Errorf("list the workshops of all namespaces: %w", err)
	}
	// A person's projects are all that they may see of the cluster.
	if own := names(c.Dynamic.Resource(projects).List(ctx, metav1.ListOptions{})); len(own) > 0 {
		f.Say("You may not list the workshops of all namespaces; these are those of your projects.")
		return own, nil
	}
	if all := names(c.Dynamic.Resource(corev1.SchemeGroupVersion.WithResource("namespaces")).List(ctx, metav1.ListOptions{})); len(all) > 0 {
		f.Say("You may not list the workshops of all namespaces at once; each is looked into.")
		return all, nil
	}
	f.Say("You may not list namespaces; these are the workshops of %s alone. -n chooses another one.", c.Namespace)
	return []string{c.Namespace}, nil
}

// names of what was listed, none where it wasn't.
func names(list *unstructured.UnstructuredList, err error) []string {
	if err != nil {
		return nil
	}
	var all []string
	for _, o := range list.Items {
		all = append(all, o.GetName())
	}
	slices.Sort(all)
	return all
}

func table(items []Item, wide, namespaces bool) *output.Table {
	t := &output.Table{Header: []string{"NAME", "READY", "REVISION", "DEPLOYED", "URL"}}
	if wide {
		t.Header = append(t.Header, "TERMINAL IMAGE", "AUTH")
	}
	if namespaces {
		t.Header = append([]string{"NAMESPACE"}, t.Header...)
	}
	for _, i := range items {
		row := []string{i.Name, yesNo(i.Ready), fmt.Sprint(i.Revision), output.Age(i.Deployed), i.URL}
		if wide {
			row = append(row, i.TerminalImage, i.Auth)
		}
		if namespaces {
			row = append([]string{i.Namespace}, row...)
		}
		t.Add(row...)
	}
	return t
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
