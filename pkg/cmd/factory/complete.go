// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/workshopctl/workshopctl/pkg/image"
	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// completionTime is how long a person who pressed Tab waits for the cluster.
const completionTime = 3 * time.Second

// CompleteContexts completes the contexts of the kubeconfig.
func (f *Factory) CompleteContexts(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	config, err := f.ConfigFlags.ToRawKubeConfigLoader().RawConfig()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for name := range config.Contexts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, cobra.ShellCompDirectiveNoFileComp
}

// CompleteNamespaces completes the namespaces that the person may list.
func (f *Factory) CompleteNamespaces(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return f.complete(cmd, func(ctx context.Context, c *Cluster) ([]string, error) {
		list, err := c.Kubernetes.CoreV1().Namespaces().List(ctx, metav1.ListOptions{Limit: 500})
		if err != nil {
			return nil, err
		}
		var names []string
		for _, n := range list.Items {
			names = append(names, n.Name)
		}
		return names, nil
	})
}

// CompleteWorkshops completes the names of the namespace's workshops.
func (f *Factory) CompleteWorkshops(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return f.complete(cmd, func(ctx context.Context, c *Cluster) ([]string, error) {
		records, err := f.Records(c).List(ctx)
		var names []string
		for _, r := range records {
			names = append(names, r.Spec.Name)
		}
		return names, err
	})
}

// CompleteUser completes an attendee who has a session, for a command that
// takes one.
func (f *Factory) CompleteUser(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return f.CompleteUsers(cmd, args, word)
}

// CompleteUsers completes the attendees who have a session and are not among
// the arguments yet. A class is large, and only the names are read of it.
func (f *Factory) CompleteUsers(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return f.complete(cmd, func(ctx context.Context, c *Cluster) ([]string, error) {
		selector := map[string]string{workshop.LabelComponent: string(workshop.ComponentSession)}
		if name, err := cmd.Flags().GetString(workshopFlag); err == nil && name != "" {
			selector[workshop.LabelApp] = name
		}
		pods, err := c.Metadata.Resource(corev1.SchemeGroupVersion.WithResource("pods")).Namespace(c.Namespace).
			List(ctx, metav1.ListOptions{LabelSelector: labels.FormatLabels(selector)})
		if err != nil {
			return nil, err
		}
		var users []string
		for _, p := range pods.Items {
			if user := p.Annotations[workshop.UsernameAnnotation]; user != "" && !slices.Contains(args, user) {
				users = append(users, user)
			}
		}
		slices.Sort(users)
		return slices.Compact(users), nil
	})
}

// CompleteStreamTags completes the tags of the project's image streams.
func (f *Factory) CompleteStreamTags(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return f.complete(cmd, func(ctx context.Context, c *Cluster) ([]string, error) {
		return image.NewStreams(c.Dynamic, c.Namespace).Tags(ctx)
	})
}

// complete asks the cluster, and answers with nothing rather than late or with
// an error: there is nobody to read it.
func (f *Factory) complete(cmd *cobra.Command, ask func(context.Context, *Cluster) ([]string, error)) ([]string, cobra.ShellCompDirective) {
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	c, err := f.Cluster()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names, err := ask(ctx, c)
	if err != nil {
		return names, cobra.ShellCompDirectiveNoFileComp
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// CompleteRecord completes with what the workshop's record has.
func (f *Factory) CompleteRecord(name *string, pick func(*record.Record) []string) Complete {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return f.complete(cmd, func(ctx context.Context, c *Cluster) ([]string, error) {
			r, err := f.Workshop(ctx, c, *name)
			if err != nil {
				return nil, err
			}
			return pick(r), nil
		})
	}
}
