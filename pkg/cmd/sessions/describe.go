// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/workshopctl/workshopctl/pkg/capability"
	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/output"
	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/hub"
	"github.com/workshopctl/workshopctl/pkg/session"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// DescribeOptions of `sessions describe`.
type DescribeOptions struct {
	factory.WorkshopOptions
	User   string
	Format output.Format
}

func newDescribe(f *factory.Factory, run factory.Run[*DescribeOptions]) *cobra.Command {
	o := &DescribeOptions{}
	do := factory.RunE(f, o, run, Describe)
	cmd := &cobra.Command{
		Use:   "describe USER",
		Short: "Everything about one session: state, image, use, events, log, volume",
		Long: `Shows all that is known of a user's session: what the list has, and the image's
digest, containers, conditions, events, what the session uses at the moment (where
the cluster measures that), its volume, and the end of its log.

Without the hub it shows what the cluster knows. A user without a session is
shown with their volume.`,
		Example: `  workshopctl sessions describe jane
  workshopctl sessions describe jane -o jsonpath='{.usage.memory}'`,
		Args:              factory.Args("USER"),
		ValidArgsFunction: f.CompleteUser,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.User = args[0]
			return do(cmd, args)
		},
	}
	o.AddFlags(f, cmd)
	o.Format.AddFlag(cmd, output.JSON, output.YAML, output.JSONPath)
	return cmd
}

// Validate checks what can be checked without the cluster.
func (o *DescribeOptions) Validate() error {
	return errors.Join(o.WorkshopOptions.Validate(), o.Format.Validate())
}

// Description of a session.
type Description struct {
	session.Session
	Containers []Container `json:"containers,omitempty"`
	Conditions []Condition `json:"conditions,omitempty"`
	// Usage at the moment, where the cluster measures it.
	Usage *Usage `json:"usage,omitempty"`
	// UsageError is why it isn't there.
	UsageError    string          `json:"usageError,omitempty"`
	VolumeDetails *session.Volume `json:"volumeDetails,omitempty"`
	// Events of the pod and the volume, oldest first.
	Events []Event `json:"events,omitempty"`
	// Log is the end of the session's.
	Log []string `json:"log,omitempty"`
	// LogError is why it isn't there.
	LogError string `json:"logError,omitempty"`
	// HubError is why the hub's part is missing.
	HubError string `json:"hubError,omitempty"`
}

// Container of a session's pod.
type Container struct {
	Name  string `json:"name"`
	Init  bool   `json:"init,omitempty"`
	Image string `json:"image"`
	// State in words: running, waiting, ended.
	State    string `json:"state"`
	Reason   string `json:"reason,omitempty"`
	Restarts int32  `json:"restarts"`
}

// Condition of a session's pod.
type Condition struct {
	Type    string    `json:"type"`
	Status  string    `json:"status"`
	Reason  string    `json:"reason,omitempty"`
	Message string    `json:"message,omitempty"`
	Since   time.Time `json:"since,omitzero"`
}

// Usage of a session's pod.
type Usage struct {
	// CPU in cores and Memory in bytes, as Kubernetes writes them.
	CPU    string `json:"cpu"`
	Memory string `json:"memory"`
	// CPULimit and MemoryLimit of the session; empty for none.
	CPULimit    string `json:"cpuLimit,omitempty"`
	MemoryLimit string `json:"memoryLimit,omitempty"`
}

// Event of the cluster.
type Event struct {
	Time    time.Time `json:"time,omitzero"`
	Type    string    `json:"type"`
	Object  string    `json:"object"`
	Reason  string    `json:"reason"`
	Message string    `json:"message"`
	Count   int32     `json:"count"`
}

// logTail is how many lines of the log are shown.
const logTail = 10

// Describe shows one session.
func Describe(ctx context.Context, f *factory.Factory, o *DescribeOptions) error {
	c, r, err := o.Load(ctx, f)
	if err != nil {
		return err
	}
	n := workshop.Names(r.Spec.Name)
	overview, err := session.List(ctx, c.Kubernetes, c.Namespace, n, nil)
	if err != nil {
		return err
	}
	all := people(nil, overview)
	var users []string
	for user := range all {
		users = append(users, user)
	}
	slices.Sort(users)
	user, err := resolveOne(o.User, users, noSession(n))
	if err != nil {
		return err
	}
	d := Description{Session: session.Session{User: user, State: session.Stopped}}
	if list := perUser(all[user].session); len(list) > 0 {
		d.Session = list[0]
	}
	if volumes := all[user].volumes; len(volumes) > 0 {
		d.Volume, d.VolumeDetails = volumes[0].Name, &volumes[0]
	}
	if err := d.read(ctx, c, r.Spec); err != nil {
		return err
	}
	rules := []session.Session{d.Session}
	factory.Rules(r.Spec).Apply(rules)
	d.Session = rules[0]
	return o.Format.Print(f.Out, d, nil, func(bool) error { return d.write(f.Out, n) })
}

// read asks for all that the list doesn't have, side by side.
func (d *Description) read(ctx context.Context, c *factory.Cluster, spec workshop.Spec) error {
	group, groupCtx := errgroup.WithContext(ctx)
	var (
		pod    *corev1.Pod
		usage  *Usage
		known  []hub.User
		hubErr error
	)
	if d.Pod != "" {
		group.Go(func() (err error) {
			pod, err = c.Kubernetes.CoreV1().Pods(c.Namespace).Get(groupCtx, d.Pod, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return nil // it has ended meanwhile
			}
			return err
		})
		group.Go(func() error {
			var err error
			if usage, err = used(groupCtx, c, d.Pod); err != nil {
				d.UsageError = err.Error()
			}
			return nil
		})
		group.Go(func() error {
			var err error
			if d.Log, err = tail(groupCtx, c, d.Pod); err != nil {
				d.LogError = err.Error()
			}
			return nil
		})
	}
	group.Go(func() (err error) {
		d.Events, err = events(groupCtx, c, d.Pod, d.Volume)
		return err
	})
	group.Go(func() error {
		known, hubErr = asHub(groupCtx, c, spec, d.User)
		return nil
	})
	if err := group.Wait(); err != nil {
		return err
	}
	switch {
	case hubErr != nil:
		d.HubError = hubErr.Error()
	case d.State != session.Stopped:
		d.Session = session.Known([]session.Session{d.Session}, known)[0]
	default: // the hub may be about to make its pod
		for _, s := range session.Known(nil, known) {
			s.Volume = d.Volume
			d.Session = s
		}
	}
	if pod != nil {
		d.Containers, d.Conditions = containers(pod), conditions(pod)
		if usage != nil {
			usage.limits(pod)
		}
	}
	d.Usage = usage
	return nil
}

// asHub is the user as the hub knows them, nobody if it doesn't.
func asHub(ctx context.Context, c *factory.Cluster, spec workshop.Spec, name string) ([]hub.User, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	client, closeHub, err := c.Hub(ctx, spec)
	if err != nil {
		return nil, err
	}
	defer closeHub()
	user, err := client.User(ctx, name)
	var answer *hub.Error
	switch {
	case errors.As(err, &answer) && answer.Status == http.StatusNotFound:
		return []hub.User{}, nil
	case err != nil:
		return nil, err
	}
	return []hub.User{user}, nil
}

// used is what a pod uses at the moment, by the metrics API; an error says why
// that isn't known.
func used(ctx context.Context, c *factory.Cluster, pod string) (*Usage, error) {
	client := c.Kubernetes.Discovery().RESTClient()
	has, err := capability.Discover(ctx, client)
	switch {
	case err != nil:
		return nil, err
	case !has.Metrics:
		return nil, errors.New("this cluster doesn't measure it (it has no metrics.k8s.io)")
	}
	body, err := client.Get().AbsPath("/apis/metrics.k8s.io/v1beta1/namespaces", c.Namespace, "pods", pod).SetHeader("Accept", "application/json").DoRaw(ctx)
	switch {
	case apierrors.IsNotFound(err):
		return nil, errors.New("the cluster has not measured this session yet")
	case err != nil:
		return nil, err
	}
	return usageOf(body)
}

// usageOf adds up what a pod's containers use.
func usageOf(body []byte) (*Usage, error) {
	var metrics struct {
		Containers []struct {
			Usage map[corev1.ResourceName]resource.Quantity `json:"usage"`
		} `json:"containers"`
	}
	if err := json.Unmarshal(body, &metrics); err != nil {
		return nil, fmt.Errorf("the cluster's answer is none of the metrics API: %w", err)
	}
	var cpu, memory resource.Quantity
	for _, c := range metrics.Containers {
		cpu.Add(c.Usage[corev1.ResourceCPU])
		memory.Add(c.Usage[corev1.ResourceMemory])
	}
	// Nanocores are more than anybody wants to read.
	return &Usage{CPU: resource.NewMilliQuantity(cpu.MilliValue(), resource.DecimalSI).String(), Memory: fmt.Sprintf("%dMi", memory.Value()>>20)}, nil
}

func (u *Usage) limits(pod *corev1.Pod) {
	for _, c := range pod.Spec.Containers {
		if c.Name != session.Container {
			continue
		}
		if q, ok := c.Resources.Limits[corev1.ResourceCPU]; ok {
			u.CPULimit = q.String()
		}
		if q, ok := c.Resources.Limits[corev1.ResourceMemory]; ok {
			u.MemoryLimit = q.String()
		}
	}
}

// tail is the end of a session's log.
func tail(ctx context.Context, c *factory.Cluster, pod string) ([]string, error) {
	lines := int64(logTail)
	body, err := c.Kubernetes.CoreV1().Pods(c.Namespace).GetLogs(pod, &corev1.PodLogOptions{Container: session.Container, TailLines: &lines}).DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for line := range strings.Lines(string(body)) {
		out = append(out, explain.Clean(strings.TrimRight(line, "\n")))
	}
	return out, nil
}

// events are those about a pod and its volume, oldest first.
func events(ctx context.Context, c *factory.Cluster, pod, volume string) ([]Event, error) {
	var out []Event
	for kind, name := range map[string]string{"Pod": pod, "PersistentVolumeClaim": volume} {
		if name == "" {
			continue
		}
		list, err := c.Kubernetes.CoreV1().Events(c.Namespace).List(ctx, metav1.ListOptions{
			FieldSelector: fields.Set{"involvedObject.kind": kind, "involvedObject.name": name}.String(),
		})
		if err != nil {
			return nil, err
		}
		for i := range list.Items {
			e := &list.Items[i]
			object := "pod"
			if kind != "Pod" {
				object = "volume"
			}
			out = append(out, Event{
				Time: eventTime(e), Type: e.Type, Object: object, Reason: e.Reason, Message: explain.Clean(strings.TrimSpace(e.Message)), Count: max(1, e.Count),
			})
		}
	}
	slices.SortStableFunc(out, func(a, b Event) int { return a.Time.Compare(b.Time) })
	return out, nil
}

// eventTime is when it was last seen: who writes events uses one field or
// another.
func eventTime(e *corev1.Event) time.Time {
	t := e.LastTimestamp.Time
	if t.IsZero() {
		t = e.EventTime.Time
	}
	if t.IsZero() {
		t = e.CreationTimestamp.Time
	}
	return t.UTC()
}

func containers(pod *corev1.Pod) []Container {
	var out []Container
	add := func(init bool, specs []corev1.Container, statuses []corev1.ContainerStatus) {
		for _, spec := range specs {
			c := Container{Name: spec.Name, Init: init, Image: spec.Image, State: "waiting"}
			for _, s := range statuses {
				if s.Name != spec.Name {
					continue
				}
				c.Restarts = s.RestartCount
				switch {
				case s.State.Running != nil:
					c.State = "running"
				case s.State.Terminated != nil:
					c.State, c.Reason = "ended", cmp.Or(s.State.Terminated.Message, s.State.Terminated.Reason)
				case s.State.Waiting != nil:
					c.Reason = cmp.Or(s.State.Waiting.Message, s.State.Waiting.Reason)
				}
			}
			out = append(out, c)
		}
	}
	add(true, pod.Spec.InitContainers, pod.Status.InitContainerStatuses)
	add(false, pod.Spec.Containers, pod.Status.ContainerStatuses)
	return out
}

func conditions(pod *corev1.Pod) []Condition {
	var out []Condition
	for _, c := range pod.Status.Conditions {
		out = append(out, Condition{Type: string(c.Type), Status: string(c.Status), Reason: c.Reason, Message: c.Message, Since: c.LastTransitionTime.UTC()})
	}
	slices.SortStableFunc(out, func(a, b Condition) int { return a.Since.Compare(b.Since) })
	return out
}

// write shows it to a person.
func (d Description) write(w io.Writer, n workshop.Names) error {
	facts := &output.Table{}
	fact := func(name, value string) {
		if value != "" {
			facts.Add(name+":", value)
		}
	}
	fact("User", d.User)
	fact("Workshop", string(n))
	state := string(d.State)
	if d.Reason != "" {
		state += ": " + d.Reason
	}
	fact("State", state)
	ago := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return fmt.Sprintf("%s ago (%s)", output.Age(t), t.Local().Format("Mon 2 Jan 15:04:05"))
	}
	fact("Started", ago(d.Created))
	if d.HubError == "" {
		fact("Last activity", ago(d.LastActivity))
	} else {
		fact("Last activity", "not known: the hub does not answer: "+d.HubError)
	}
	if !d.CulledAt.IsZero() {
		fact("Culled in", fmt.Sprintf("%s (%s), if nobody does anything in it", output.In(d.CulledAt), d.CulledAt.Local().Format("15:04")))
	}
	if !d.KeepUntil.IsZero() {
		fact("Kept until", d.KeepUntil.Local().Format("Mon 2 Jan 15:04"))
	}
	fact("URL", d.URL)
	fact("Image", named(d.Session))
	fact("Digest", d.Digest)
	fact("Node", d.Node)
	fact("Pod", d.Pod)
	if v := d.VolumeDetails; v != nil {
		fact("Volume", fmt.Sprintf("%s, %s, %s", v.Name, v.Size, strings.ToLower(v.Phase)))
	} else {
		fact("Volume", d.Volume)
	}
	switch {
	case d.Usage != nil:
		fact("CPU", of(d.Usage.CPU, d.Usage.CPULimit))
		fact("Memory", of(d.Usage.Memory, d.Usage.MemoryLimit))
	case d.Pod != "":
		fact("Uses", "not known: "+d.UsageError)
	}
	if err := facts.Write(w); err != nil {
		return err
	}
	return d.writeTables(w)
}

// of is what is used of a limit.
func of(used, limit string) string {
	if limit == "" {
		return used
	}
	return used + " of " + limit
}

func (d Description) writeTables(w io.Writer) error {
	section := func(t *output.Table) error {
		if len(t.Rows) == 0 {
			return nil
		}
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
		return t.Write(w)
	}
	parts := &output.Table{Header: []string{"CONTAINER", "STATE", "RESTARTS", "IMAGE", "REASON"}}
	for _, c := range d.Containers {
		parts.Add(c.Name, c.State, fmt.Sprint(c.Restarts), c.Image, c.Reason)
	}
	state := &output.Table{Header: []string{"CONDITION", "STATUS", "SINCE", "REASON", "MESSAGE"}}
	for _, c := range d.Conditions {
		state.Add(c.Type, c.Status, output.Age(c.Since), c.Reason, c.Message)
	}
	seen := &output.Table{Header: []string{"EVENT", "ABOUT", "AGE", "COUNT", "MESSAGE"}}
	for _, e := range d.Events {
		seen.Add(e.Reason, e.Object, output.Age(e.Time), fmt.Sprint(e.Count), e.Message)
	}
	for _, t := range []*output.Table{parts, state, seen} {
		if err := section(t); err != nil {
			return err
		}
	}
	switch {
	case len(d.Log) > 0:
		_, err := fmt.Fprintf(w, "\nLog, last %d lines:\n  %s\n", len(d.Log), strings.Join(d.Log, "\n  "))
		return err
	case d.LogError != "":
		_, err := fmt.Fprintf(w, "\nLog: %s\n", explain.Clean(d.LogError))
		return err
	}
	return nil
}
