// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/session"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// LogsOptions of `sessions logs`.
type LogsOptions struct {
	factory.WorkshopOptions
	User string
	// Container of the pod; empty for the session's own.
	Container string
	Follow    bool
	Previous  bool
	// Tail is how many lines from the end; negative for all.
	Tail int64
}

func newLogs(f *factory.Factory, run factory.Run[*LogsOptions]) *cobra.Command {
	o := &LogsOptions{}
	do := factory.RunE(f, o, run, Logs)
	cmd := &cobra.Command{
		Use:   "logs USER",
		Short: "Print what a session says of itself",
		Long: `Prints the log of a session: what its terminal server does, and what the image's
start scripts wrote. What an attendee types and sees is not in it.`,
		Example: `  workshopctl sessions logs jane
  workshopctl sessions logs jane -f

  # Filling the volume
  workshopctl sessions logs jane --container seed`,
		Args:              factory.Args("USER"),
		ValidArgsFunction: f.CompleteUser,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.User = args[0]
			return do(cmd, args)
		},
	}
	o.AddFlags(f, cmd)
	cmd.Flags().StringVarP(&o.Container, "container", "c", "", "Container of the session's pod: gateway, seed or "+session.Container+" (default "+session.Container+")")
	_ = cmd.RegisterFlagCompletionFunc("container", cobra.FixedCompletions([]string{"gateway", "seed", session.Container}, cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().BoolVarP(&o.Follow, "follow", "f", false, "Go on as the log grows, until Ctrl-C")
	cmd.Flags().BoolVarP(&o.Previous, "previous", "p", false, "The log of the container's last run")
	cmd.Flags().Int64Var(&o.Tail, "tail", -1, "`LINES` from the end (default all)")
	return cmd
}

// Logs prints the log of a session.
func Logs(ctx context.Context, f *factory.Factory, o *LogsOptions) error {
	c, r, err := o.Load(ctx, f)
	if err != nil {
		return err
	}
	pod, err := find(ctx, c, workshop.Names(r.Spec.Name), o.User)
	if err != nil {
		return err
	}
	options := &corev1.PodLogOptions{Container: o.Container, Follow: o.Follow, Previous: o.Previous}
	if options.Container == "" {
		options.Container = session.Container
	}
	if o.Tail >= 0 {
		options.TailLines = &o.Tail
	}
	stream, err := c.Kubernetes.CoreV1().Pods(c.Namespace).GetLogs(pod.Name, options).Stream(ctx)
	if err != nil {
		return fmt.Errorf("log of %s: %w", o.User, err)
	}
	defer func() { _ = stream.Close() }()
	lines := bufio.NewReader(stream)
	for {
		line, err := lines.ReadString('\n')
		if _, writeErr := io.WriteString(f.Out, explain.Clean(line)); writeErr != nil {
			return writeErr
		}
		switch {
		case err == nil:
		case err == io.EOF, o.Follow && ctx.Err() != nil:
			return nil
		default:
			return fmt.Errorf("log of %s: %w", o.User, err)
		}
	}
}

// find returns the pod of a user's session. One that is spelled otherwise will
// do where there is none of exactly that name.
func find(ctx context.Context, c *factory.Cluster, n workshop.Names, user string) (*corev1.Pod, error) {
	pods, err := c.Kubernetes.CoreV1().Pods(c.Namespace).List(ctx, metav1.ListOptions{LabelSelector: session.Selector(n)})
	if err != nil {
		return nil, err
	}
	of := map[string][]*corev1.Pod{}
	for i := range pods.Items {
		name := pods.Items[i].Annotations[workshop.UsernameAnnotation]
		of[name] = append(of[name], &pods.Items[i])
	}
	name, err := resolveOne(user, slices.Sorted(maps.Keys(of)), noSession(n))
	if err != nil {
		return nil, err
	}
	return current(of[name]), nil
}

// current is the pod of a session that isn't about to go, if there is one: a
// session that has been started again may have two for a moment.
func current(pods []*corev1.Pod) *corev1.Pod {
	var found *corev1.Pod
	for _, p := range pods {
		if found == nil || found.DeletionTimestamp != nil && p.DeletionTimestamp == nil {
			found = p
		}
	}
	return found
}
