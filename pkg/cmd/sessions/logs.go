// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	apiwatch "k8s.io/apimachinery/pkg/watch"

	"github.com/workshopctl/workshopctl/pkg/cmd/batch"
	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/session"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// LogsOptions of `logs` and `sessions logs`.
type LogsOptions struct {
	factory.WorkshopOptions
	// Component is the workshop's part whose log is meant; empty for the session
	// of User, or of everybody.
	Component workshop.Component
	User      string
	All       bool
	// Container of the pod; empty for all that there are, in their order.
	Container  string
	Follow     bool
	Previous   bool
	Timestamps bool
	// Tail is how many lines from the end; negative for all.
	Tail int64
	// Since is how old lines may be; 0 for all.
	Since time.Duration
}

// sessionPrefix begins the name of a session, as -o name has it.
const sessionPrefix = "session/"

// NewLogs returns the command `logs`. A test may put its own run in place.
func NewLogs(f *factory.Factory, run factory.Run[*LogsOptions]) *cobra.Command {
	o := &LogsOptions{}
	do := factory.RunE(f, o, run, Logs)
	cmd := &cobra.Command{
		Use:   "logs (hub | proxy | USER | --all)",
		Short: "The log of the hub, the proxy or a session",
		Long: `Prints the log of the hub, of the proxy, or of a user's session with the steps of
its start in their order: what puts the terminal server in place (gateway), what
fills the volume (seed), then the terminal server's own, with what the image's start
scripts printed. What an attendee types and sees is in no log.

A session that hasn't started prints what there is, and why there is no more. With
-f it goes on as the log grows: with hub and proxy also in the pod that comes next.

A user who is called hub or proxy is written session/hub, session/proxy.`,
		Example: `  workshopctl logs hub -f
  workshopctl logs jane
  workshopctl logs jane --container seed
  workshopctl logs --all --since 5m`,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
			users, directive := f.CompleteUser(cmd, args, word)
			if len(args) == 0 {
				users = append([]string{"hub", "proxy"}, users...)
			}
			return users, directive
		},
		Args: func(cmd *cobra.Command, args []string) error {
			if o.All {
				return factory.Args()(cmd, args)
			}
			return factory.Args("hub, proxy or USER")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case o.All:
			case args[0] == "hub":
				o.Component = workshop.ComponentHub
			case args[0] == "proxy":
				o.Component = workshop.ComponentProxy
			default:
				o.User = strings.TrimPrefix(args[0], sessionPrefix)
			}
			return do(cmd, args)
		},
	}
	o.addFlags(f, cmd)
	cmd.Flags().BoolVar(&o.All, "all", false, "The logs of all sessions side by side, without the steps of their start")
	return cmd
}

// newLogs returns `sessions logs`, which is `logs` for users alone.
func newLogs(f *factory.Factory, run factory.Run[*LogsOptions]) *cobra.Command {
	o := &LogsOptions{}
	do := factory.RunE(f, o, run, Logs)
	cmd := &cobra.Command{
		Use:   "logs USER",
		Short: "Print what a session says of itself",
		Long: `Prints the log of a session, as ` + "`workshopctl logs`" + ` does: the steps of its start, what
its terminal server does, and what the image's start scripts wrote. What an attendee
types and sees is not in it.`,
		Example: `  workshopctl sessions logs jane
  workshopctl sessions logs jane -f

  # Filling the volume
  workshopctl sessions logs jane --container seed`,
		Args:              factory.Args("USER"),
		ValidArgsFunction: f.CompleteUser,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.User = strings.TrimPrefix(args[0], sessionPrefix)
			return do(cmd, args)
		},
	}
	o.addFlags(f, cmd)
	return cmd
}

func (o *LogsOptions) addFlags(f *factory.Factory, cmd *cobra.Command) {
	o.AddFlags(f, cmd)
	cmd.Flags().StringVarP(&o.Container, "container", "c", "", "Only this container of the pod: gateway, seed or "+session.Container+" of a session")
	_ = cmd.RegisterFlagCompletionFunc("container", cobra.FixedCompletions([]string{"gateway", "seed", session.Container}, cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().BoolVarP(&o.Follow, "follow", "f", false, "Go on as the log grows, until Ctrl-C")
	cmd.Flags().BoolVarP(&o.Previous, "previous", "p", false, "The log of the container's last run")
	cmd.Flags().Int64Var(&o.Tail, "tail", -1, "`LINES` from the end, of the last step alone (default all)")
	cmd.Flags().DurationVar(&o.Since, "since", 0, "Only lines of the last `DURATION`, such as 10m")
	cmd.Flags().BoolVar(&o.Timestamps, "timestamps", false, "Begin each line with its time")
}

// Validate checks what can be checked without the cluster.
func (o *LogsOptions) Validate() error {
	switch {
	case o.Previous && o.Follow:
		return fault.Usage("--previous is of a run that has ended; leave --follow out")
	case o.Since < 0:
		return fault.Usage("--since: must be more than 0")
	}
	return o.WorkshopOptions.Validate()
}

// Logs prints the log.
func Logs(ctx context.Context, f *factory.Factory, o *LogsOptions) error {
	c, r, err := o.Load(ctx, f)
	if err != nil {
		return err
	}
	n := workshop.Names(r.Spec.Name)
	if o.All {
		return o.all(ctx, f, c, r.Spec)
	}
	var pod *corev1.Pod
	whose := o.User
	if o.Component == "" {
		pod, err = find(ctx, c, n, o.User)
	} else {
		whose = "the " + string(o.Component)
		pod, err = newest(ctx, c, n, o.Component)
		if err == nil && pod == nil {
			err = fault.Hint(fmt.Errorf("%s of workshop %s has no pod", whose, n), fmt.Sprintf("`workshopctl status%s` says why.", f.On(r.Spec.Name)))
		}
	}
	if err != nil {
		return err
	}
	for {
		l := &podLog{o: o, f: f, c: c, out: f.Out, say: f.Say}
		err := l.print(ctx, pod)
		switch {
		case ctx.Err() != nil && o.Follow:
			return nil // Ctrl-C is the way to end it
		case err != nil && (!o.Follow || !apierrors.IsNotFound(err)):
			return fmt.Errorf("log of %s: %w", whose, err)
		case !o.Follow:
			return nil
		case o.Component == "":
			f.Say("The session of %s has ended.", explain.Clean(pod.Annotations[workshop.UsernameAnnotation]))
			return nil
		}
		f.Say("The pod %s has ended; what follows is the next one's.", pod.Name)
		gone := pod.UID
		pod, err = awaitPod(ctx, c, labels.FormatLabels(n.Selector(o.Component)), func(p *corev1.Pod) bool {
			return p.UID != gone && p.DeletionTimestamp == nil
		})
		if err != nil {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // Ctrl-C, as above
			}
			return fmt.Errorf("log of %s: %w", whose, err)
		}
	}
}

// all prints the logs of all sessions.
func (o *LogsOptions) all(ctx context.Context, f *factory.Factory, c *factory.Cluster, spec workshop.Spec) error {
	target := Target{All: true}
	list, _, err := target.load(ctx, c, spec, false)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		f.Say("Workshop %s has no sessions.", spec.Name)
		return nil
	}
	if o.Container == "" {
		o.Container = session.Container
	}
	var mu sync.Mutex
	begins := prefixes(f.Out, usersOf(list))
	side := atOnce{batch.AtOnce}
	if o.Follow {
		side.AtOnce = len(list) // none of them ends
	}
	errs := side.each(ctx, list, func(ctx context.Context, i int, s session.Session) error {
		pod, err := c.Kubernetes.CoreV1().Pods(c.Namespace).Get(ctx, s.Pod, metav1.GetOptions{})
		if err != nil {
			return err
		}
		l := &podLog{o: o, f: f, c: c, out: &prefixed{w: f.Out, mu: &mu, prefix: begins[i]}, say: func(string, ...any) {}}
		return l.print(ctx, pod)
	})
	if ctx.Err() != nil && o.Follow {
		return nil
	}
	return summed(f, c.Namespace, "read", usersOf(list), errs)
}

// newest is the pod of a workshop's component, nil if there is none.
func newest(ctx context.Context, c *factory.Cluster, n workshop.Names, component workshop.Component) (*corev1.Pod, error) {
	pods, err := c.Kubernetes.CoreV1().Pods(c.Namespace).List(ctx, metav1.ListOptions{LabelSelector: labels.FormatLabels(n.Selector(component))})
	if err != nil {
		return nil, err
	}
	var found *corev1.Pod
	for i := range pods.Items {
		p := &pods.Items[i]
		if found == nil || p.DeletionTimestamp == nil && (found.DeletionTimestamp != nil || found.CreationTimestamp.Before(&p.CreationTimestamp)) {
			found = p
		}
	}
	return found, nil
}

// podLog prints the log of a pod.
type podLog struct {
	o   *LogsOptions
	f   *factory.Factory
	c   *factory.Cluster
	out io.Writer
	say func(string, ...any)
}

// print prints the steps of a pod, and returns when there is no more: with
// --follow when the pod has ended.
func (l *podLog) print(ctx context.Context, pod *corev1.Pod) error {
	last := pod.Spec.Containers[0].Name
	var names []string
	for _, c := range pod.Spec.InitContainers {
		names = append(names, c.Name)
	}
	names = append(names, last)
	switch {
	case l.o.Container != "":
		if !slices.Contains(names, l.o.Container) {
			return fault.Usage("the pod has no container %q; choose one of %s", l.o.Container, strings.Join(names, ", "))
		}
		names = []string{l.o.Container}
	case l.o.Previous, l.o.Tail >= 0 && started(statusOf(pod, last)):
		names = []string{last}
	}
	for _, name := range names {
		over, err := l.container(ctx, pod, name, name != last)
		if err != nil || over {
			return err
		}
	}
	return nil
}

// container prints the log of a container, of each of its runs with --follow. It
// is over if nothing can come after it.
func (l *podLog) container(ctx context.Context, pod *corev1.Pod, name string, step bool) (over bool, err error) {
	run, waits := int32(-1), "" // the run that was printed, what was said of waiting
	for {
		status := statusOf(pod, name)
		switch fresh := started(status) && status.RestartCount > run; {
		case fresh, l.o.Previous:
			run = status.RestartCount
			if err := l.stream(ctx, pod.Name, name, step); err != nil {
				return true, err
			}
			if !l.o.Follow {
				return false, nil
			}
		case !l.o.Follow:
			l.say("%s", notStarted(pod, name))
			return true, nil
		case run < 0 && waits != notStarted(pod, name):
			waits = notStarted(pod, name)
			l.say("%s", waits)
		}
		// What comes next: another run, the next step, or the end.
		var next bool
		pod, err = awaitChange(ctx, l.c, pod, func(p *corev1.Pod) bool {
			status := statusOf(p, name)
			next = step && run >= 0 && status.State.Terminated != nil && status.State.Terminated.ExitCode == 0
			over = p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded
			return next || over || started(status) && status.RestartCount > run || run < 0 && waits != notStarted(p, name)
		})
		switch {
		case err != nil, pod == nil, over:
			return true, err
		case next:
			return false, nil
		}
	}
}

// notStarted says why a container has no log.
func notStarted(pod *corev1.Pod, name string) string {
	s := session.FromPod(pod)
	text := fmt.Sprintf("%s has not started", name)
	if s.Reason != "" {
		text += ": " + explain.Clean(s.Reason)
	}
	return text
}

func statusOf(pod *corev1.Pod, name string) corev1.ContainerStatus {
	for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if s.Name == name {
			return s
		}
	}
	return corev1.ContainerStatus{}
}

// started says whether a container has run at all, and so has a log.
func started(s corev1.ContainerStatus) bool {
	return s.State.Running != nil || s.State.Terminated != nil || s.LastTerminationState.Terminated != nil
}

// stream prints the log of a container's present or last run.
func (l *podLog) stream(ctx context.Context, pod, name string, step bool) error {
	options := &corev1.PodLogOptions{Container: name, Follow: l.o.Follow, Previous: l.o.Previous, Timestamps: l.o.Timestamps}
	if l.o.Tail >= 0 {
		options.TailLines = &l.o.Tail
	}
	if l.o.Since > 0 {
		seconds := max(1, int64(l.o.Since.Seconds()))
		options.SinceSeconds = &seconds
	}
	stream, err := l.c.Kubernetes.CoreV1().Pods(l.c.Namespace).GetLogs(pod, options).Stream(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	lines := bufio.NewReader(stream)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			if step && !strings.Contains(line, name+": ") {
				line = name + ": " + line
			}
			if _, err := io.WriteString(l.out, strings.TrimSuffix(explain.Clean(line), "\n")+"\n"); err != nil {
				return err
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			return nil
		default:
			return err
		}
	}
}

// awaitChange waits until a pod is as it should be; nil if it has gone.
func awaitChange(ctx context.Context, c *factory.Cluster, pod *corev1.Pod, ok func(*corev1.Pod) bool) (now *corev1.Pod, err error) {
	err = watchPods(ctx, c, metav1.ListOptions{FieldSelector: "metadata.name=" + pod.Name}, func(pods map[string]*corev1.Pod) bool {
		if now = pods[pod.Name]; now != nil && now.UID != pod.UID {
			now = nil
		}
		return now == nil || ok(now)
	})
	return now, err
}

// awaitPod waits for a pod.
func awaitPod(ctx context.Context, c *factory.Cluster, selector string, ok func(*corev1.Pod) bool) (found *corev1.Pod, err error) {
	err = watchPods(ctx, c, metav1.ListOptions{LabelSelector: selector}, func(pods map[string]*corev1.Pod) bool {
		for _, p := range pods {
			if ok(p) {
				found = p
			}
		}
		return found != nil
	})
	return found, err
}

// watchPods shows pods, by name, now and after each change until it was enough.
func watchPods(ctx context.Context, c *factory.Cluster, options metav1.ListOptions, enough func(map[string]*corev1.Pod) bool) error {
	client := c.Kubernetes.CoreV1().Pods(c.Namespace)
	for {
		list, err := client.List(ctx, options)
		if err != nil {
			return err
		}
		pods := map[string]*corev1.Pod{}
		for i := range list.Items {
			pods[list.Items[i].Name] = &list.Items[i]
		}
		if enough(pods) {
			return nil
		}
		from := options
		from.ResourceVersion = list.ResourceVersion
		w, err := client.Watch(ctx, from)
		if err != nil && !apierrors.IsResourceExpired(err) {
			return err
		}
		if err == nil && follow(ctx, w, pods, enough) {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// follow says whether it was enough before the watch ended.
func follow(ctx context.Context, w apiwatch.Interface, pods map[string]*corev1.Pod, enough func(map[string]*corev1.Pod) bool) bool {
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case event, more := <-w.ResultChan():
			pod, isPod := event.Object.(*corev1.Pod)
			switch {
			case !more, !isPod:
				return false
			case event.Type == apiwatch.Deleted:
				delete(pods, pod.Name)
			default:
				pods[pod.Name] = pod
			}
			if enough(pods) {
				return true
			}
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
