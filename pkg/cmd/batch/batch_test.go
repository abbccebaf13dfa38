// SPDX-License-Identifier: Apache-2.0

package batch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/workshopctl/workshopctl/pkg/cmd/batch"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/progress"
	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/hub"
	"github.com/workshopctl/workshopctl/pkg/rollout"
	"github.com/workshopctl/workshopctl/pkg/session"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

func TestOutcome(t *testing.T) {
	users := []string{"ann", "bob", "cleo"}
	pull := &explain.Failure{Code: explain.ImageNotFound, Object: "pod terminals--ann", Cause: "the registry has no such image: x"}
	late := &rollout.TimeoutError{Missing: []string{"session: starting"}}
	waiting := fmt.Errorf("%w (Unschedulable)", context.DeadlineExceeded)
	job := batch.Job{Failed: "did not get ready", Interrupted: "The rest goes on."}
	for name, test := range map[string]struct {
		errs []error
		want string
		code int
	}{
		"all well": {[]error{nil, nil, nil}, "", fault.OK},
		"one":      {[]error{pull, nil, nil}, "1 of 3 sessions did not get ready\nann: pod terminals--ann: the registry has no such image: x", fault.NotReady},
		"the same for several": {[]error{batch.FullError{}, errors.New("x"), batch.FullError{}},
			"3 of 3 sessions did not get ready\nann, cleo: the workshop is full: it has as many sessions as it may have at once\nbob: x", fault.Failed},
		"one and late ones": {[]error{errors.New("no room"), late, waiting},
			"1 of 3 sessions did not get ready\nann: no room\nnot done yet: bob, cleo: the time is up; not ready yet: session: starting", fault.TimedOut},
		"Ctrl-C": {[]error{nil, context.Canceled, fmt.Errorf("x: %w", context.Canceled)},
			"not done yet: bob, cleo: interrupted: context canceled\nThe rest goes on.", fault.Interrupted},
	} {
		err := job.Outcome(users, test.errs)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != test.want || fault.Code(err) != test.code {
			t.Errorf("%s: %q, exit code %d; want %q, %d", name, got, fault.Code(err), test.want, test.code)
		}
	}
}

func silent() *progress.Progress {
	return progress.New(&bytes.Buffer{}, func(s string) string { return s })
}

// As many at once as was said, no more; one that fails keeps no other.
func TestEachIsBounded(t *testing.T) {
	users := make([]string, 20)
	for i := range users {
		users[i] = fmt.Sprint("user", i)
	}
	var now, most, done atomic.Int32
	full := make(chan struct{})
	errs := batch.Job{AtOnce: 4}.Each(t.Context(), silent(), users, func(_ context.Context, i int) error {
		n := now.Add(1)
		defer now.Add(-1)
		for {
			m := most.Load()
			if n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		if n == 4 && i < 4 {
			close(full)
		}
		if i < 4 {
			<-full // four run side by side, or this hangs
		}
		if done.Add(1); i == 7 {
			return errors.New("no")
		}
		return nil
	})
	if most.Load() != 4 || done.Load() != 20 {
		t.Errorf("%d at once, %d done", most.Load(), done.Load())
	}
	for i, err := range errs {
		if (err != nil) != (i == 7) {
			t.Errorf("%s: %v", users[i], err)
		}
	}
}

// After Ctrl-C nothing more is begun.
func TestEachEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var begun atomic.Int32
	errs := batch.Job{AtOnce: 1}.Each(ctx, silent(), []string{"ann", "bob", "cleo"}, func(context.Context, int) error {
		begun.Add(1)
		cancel()
		return nil
	})
	if begun.Load() != 1 || errs[0] != nil || !errors.Is(errs[1], context.Canceled) || !errors.Is(errs[2], context.Canceled) {
		t.Errorf("%d begun, %v", begun.Load(), errs)
	}
}

func TestEachSays(t *testing.T) {
	var out bytes.Buffer
	say := progress.New(&out, func(s string) string { return s })
	batch.Job{Doing: "Stopping", AtOnce: 1}.Each(t.Context(), say, []string{"ann", "bob"}, func(_ context.Context, i int) error {
		return []error{nil, errors.New("no")}[i]
	})
	for _, want := range []string{"Stopping 2 sessions", "ann (1 of 2)", "bob failed (2 of 2)"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

// playedHub answers as it is told to.
type playedHub struct {
	mu      sync.Mutex
	start   []error // one after the other, then nil
	starts  int
	ready   []error
	stop    error
	stopped bool
	// blocks has Ready wait for ever, once it has said so.
	blocks chan struct{}
}

func (h *playedHub) Start(context.Context, string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.starts++
	return pop(&h.start)
}

func (h *playedHub) Ready(ctx context.Context, _ string) error {
	if h.blocks != nil {
		close(h.blocks)
		<-ctx.Done()
		return ctx.Err()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return pop(&h.ready)
}

func (h *playedHub) Stop(context.Context, string) (bool, error) { return h.stopped, h.stop }

func pop(list *[]error) error {
	if len(*list) == 0 {
		return nil
	}
	err := (*list)[0]
	*list = (*list)[1:]
	return err
}

func work(t *testing.T, h batch.Hub, pods ...*corev1.Pod) (*batch.Work, kubernetes.Interface) {
	t.Helper()
	client := fake.NewClientset()
	for _, pod := range pods {
		if _, err := client.CoreV1().Pods("ns").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	live, err := session.NewLive(t.Context(), session.Query{Client: client, Namespace: "ns", Names: "terminals"})
	if err != nil {
		t.Fatal(err)
	}
	// The played API server has no history: what happens before the watch is lost.
	watching, once := make(chan struct{}), sync.Once{}
	client.PrependWatchReactor("pods", func(clienttesting.Action) (bool, watch.Interface, error) {
		w, err := client.Tracker().Watch(corev1.SchemeGroupVersion.WithResource("pods"), "ns")
		once.Do(func() { close(watching) })
		return true, w, err
	})
	go func() { _ = live.Run(t.Context()) }()
	<-watching
	return &batch.Work{Client: client, Namespace: "ns", Hub: h, Live: live, Pause: time.Millisecond}, client
}

func pod(user string, change func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: "terminals--" + user, UID: "1", Labels: workshop.Names("terminals").Labels(workshop.ComponentSession),
		Annotations: map[string]string{workshop.UsernameAnnotation: user},
	}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: session.Container, Image: "t:1"}}}}
	if change != nil {
		change(p)
	}
	return p
}

// A busy or restarting hub is asked again, and nobody is lost; a full one is
// said to be.
func TestStart(t *testing.T) {
	busy := &hub.Error{Status: 429, Message: "Too many users trying to log in right now.", RetryAfter: 30 * time.Second}
	full := &hub.Error{Status: 429, Message: "Active user limit exceeded."}
	stopping := &hub.Error{Status: 400, Message: "terminals--ann is pending stop"}
	for name, test := range map[string]struct {
		answers []error
		starts  int
		want    error
	}{
		"at once":    {nil, 1, nil},
		"busy":       {[]error{busy, fmt.Errorf("start: %w", busy), busy}, 4, nil},
		"restarting": {[]error{errors.New("connection refused")}, 2, nil},
		"stopping":   {[]error{stopping, stopping}, 3, nil},
		"full":       {[]error{full}, 1, batch.FullError{}},
		"refused":    {[]error{&hub.Error{Status: 500, Message: "x"}}, 1, &hub.Error{Status: 500, Message: "x"}},
	} {
		h := &playedHub{start: test.answers}
		w, _ := work(t, h)
		err := w.Start(t.Context(), "ann")
		if h.starts != test.starts || (err == nil) != (test.want == nil) || err != nil && err.Error() != test.want.Error() {
			t.Errorf("%s: %d requests, %v; want %d, %v", name, h.starts, err, test.starts, test.want)
		}
	}
}

// The time that a hub is busy for is not waited for beyond one's own.
func TestStartEnds(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	h := &playedHub{}
	for range 1000 {
		h.start = append(h.start, &hub.Error{Status: 429, Message: "Too many", RetryAfter: time.Hour})
	}
	w, _ := work(t, h)
	if err := w.Start(ctx, "ann"); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "Too many") {
		t.Error(err)
	}
}

func TestReady(t *testing.T) {
	w, _ := work(t, &playedHub{ready: []error{errors.New("connection reset"), &hub.Error{Status: 503, Message: "starting"}}})
	if err := w.Ready(t.Context(), "ann"); err != nil {
		t.Errorf("over a restart of the hub: %v", err)
	}
	w, _ = work(t, &playedHub{ready: []error{&hub.FailedError{Message: "no room"}}})
	if err := w.Ready(t.Context(), "ann"); err == nil || err.Error() != "no room" {
		t.Errorf("what the hub gives up: %v", err)
	}
	// The cluster knows long before the hub. What is left of an earlier session
	// says nothing.
	evicted := func(user string) *corev1.Pod {
		return pod(user, func(p *corev1.Pod) {
			p.Status = corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted", Message: "low on memory"}
		})
	}
	blocks := &playedHub{blocks: make(chan struct{})}
	w, client := work(t, blocks)
	verdict := make(chan error, 1)
	go func() { verdict <- w.Ready(t.Context(), "bob") }()
	<-blocks.blocks
	if _, err := client.CoreV1().Pods("ns").Create(t.Context(), evicted("bob"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	var failure *explain.Failure
	if err := <-verdict; !errors.As(err, &failure) {
		t.Errorf("a pod that failed: %v", err)
	}
	w, _ = work(t, &playedHub{blocks: make(chan struct{})}, evicted("ann"))
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := w.Ready(short, "ann"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a pod that had failed before: %v", err)
	}
	// When the time is up, it is said what was missing.
	pending := pod("ann", func(p *corev1.Pod) {
		p.Status = corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes"}}}
	})
	w, _ = work(t, &playedHub{blocks: make(chan struct{})}, pending)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := w.Ready(ctx, "ann"); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "0/3 nodes") {
		t.Errorf("when the time is up: %v", err)
	}
}

// What the hub doesn't stop is stopped by its pod.
func TestStop(t *testing.T) {
	s := session.Session{User: "ann", Pod: "terminals--ann"}
	for name, h := range map[string]*playedHub{
		"without the hub":    nil,
		"it knows nothing":   {stopped: true},
		"it can't now":       {stop: &hub.Error{Status: 400, Message: "pending spawn"}},
		"it doesn't answer":  {stop: errors.New("connection refused")},
		"it has the pod end": {},
	} {
		var as batch.Hub
		if h != nil {
			as = h
		}
		w, client := work(t, as, pod("ann", nil))
		if name == "it has the pod end" {
			if err := client.CoreV1().Pods("ns").Delete(t.Context(), "terminals--ann", metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Stop(t.Context(), s, true); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if list, err := client.CoreV1().Pods("ns").List(t.Context(), metav1.ListOptions{}); err != nil || len(list.Items) > 0 {
			t.Errorf("%s: %d pods are left (%v)", name, len(list.Items), err)
		}
		if err := w.Stop(t.Context(), s, true); err != nil {
			t.Errorf("%s, once more: %v", name, err)
		}
	}
	w, _ := work(t, &playedHub{stop: errors.New("connection refused")})
	if err := w.Stop(t.Context(), session.Session{User: "ann"}, true); err == nil {
		t.Error("without a pod and an answer it is said to be stopped")
	}
}
