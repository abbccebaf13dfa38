// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
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
		ValidArgsFunction: f.CompleteUsers,
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
	var users []string
	var exact, alike []*corev1.Pod
	for i := range pods.Items {
		p := &pods.Items[i]
		name := p.Annotations[workshop.UsernameAnnotation]
		switch {
		case name == user:
			exact = append(exact, p)
		case factory.SameUser(name, user):
			alike = append(alike, p)
		}
		users = append(users, name)
	}
	if p := current(exact); p != nil {
		return p, nil
	}
	if names := userNames(alike); len(names) > 1 {
		return nil, fault.Usage("%s could be any of %s; write the name as it is", user, strings.Join(names, ", "))
	}
	if p := current(alike); p != nil {
		return p, nil
	}
	return nil, fault.Hint(fmt.Errorf("%s has no session in workshop %s%s", user, n, factory.DidYouMean(user, users)),
		"`workshopctl sessions list` shows who has one.")
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

// userNames are the users of pods, each once.
func userNames(pods []*corev1.Pod) []string {
	var names []string
	for _, p := range pods {
		names = append(names, p.Annotations[workshop.UsernameAnnotation])
	}
	slices.Sort(names)
	return slices.Compact(names)
}
