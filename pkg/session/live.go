// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/workshopctl/workshopctl/pkg/hub"
)

// Live keeps up with the pods of a workshop's sessions by one list and then one
// watch, however many sessions there are. Of each pod it keeps what a Session
// says. A watch that breaks is renewed.
type Live struct {
	query Query

	mu      sync.Mutex
	pods    map[types.UID]Session
	at      string // resource version
	changed chan struct{}
}

// again is how soon a watch that broke is renewed.
const again = time.Second

// NewLive lists the sessions, and knows of no change after that before Run.
func NewLive(ctx context.Context, q Query) (*Live, error) {
	l := &Live{query: q, changed: make(chan struct{})}
	return l, l.list(ctx)
}

func (l *Live) list(ctx context.Context) error {
	var pods map[types.UID]Session
	at, err := pages(func() { pods = map[types.UID]Session{} }, func(options metav1.ListOptions) (metav1.ListMeta, error) {
		list, err := l.query.Client.CoreV1().Pods(l.query.Namespace).List(ctx, options)
		if err != nil {
			return metav1.ListMeta{}, err
		}
		for i := range list.Items {
			pods[list.Items[i].UID] = FromPod(&list.Items[i])
		}
		return list.ListMeta, nil
	}, metav1.ListOptions{LabelSelector: Selector(l.query.Names)})
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pods, l.at = pods, at
	l.signal()
	return nil
}

// Run follows the changes until the context ends, and returns its error; or
// that of the API server, where it says that the caller may not watch.
func (l *Live) Run(ctx context.Context) error {
	for {
		err := l.follow(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		switch {
		case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
			return err
		case apierrors.IsResourceExpired(err), apierrors.IsGone(err):
			err = l.list(ctx)
		}
		if err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(again):
		}
	}
}

// follow watches until the watch ends, without an error if it did so in good
// order.
func (l *Live) follow(ctx context.Context) error {
	w, err := l.query.Client.CoreV1().Pods(l.query.Namespace).Watch(ctx, metav1.ListOptions{
		LabelSelector: Selector(l.query.Names), ResourceVersion: l.at, AllowWatchBookmarks: true,
	})
	if err != nil {
		return err
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case event, open := <-w.ResultChan():
			if !open {
				return nil
			}
			if event.Type == watch.Error {
				return apierrors.FromObject(event.Object)
			}
			if pod, ok := event.Object.(*corev1.Pod); ok {
				l.take(event.Type, pod)
			}
		}
	}
}

func (l *Live) take(kind watch.EventType, pod *corev1.Pod) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = pod.ResourceVersion
	switch kind {
	case watch.Added, watch.Modified:
		now := FromPod(pod)
		if was, known := l.pods[pod.UID]; known && was == now {
			return
		}
		l.pods[pod.UID] = now
	case watch.Deleted:
		delete(l.pods, pod.UID)
	default: // a bookmark
		return
	}
	l.signal()
}

// signal wakes everybody who waits.
func (l *Live) signal() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// Pods are the sessions as far as their pods know them, and what is closed at
// the next change of them.
func (l *Live) Pods() ([]Session, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Values(l.pods)), l.changed
}

// Of are the sessions of one user, as Pods.
func (l *Live) Of(user string) ([]Session, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []Session
	for _, s := range l.pods {
		if s.User == user {
			list = append(list, s)
		}
	}
	return list, l.changed
}

// Gone waits until the pod of that name is, or is another than the one that
// was there when Gone was called.
func (l *Live) Gone(ctx context.Context, pod string) error {
	l.mu.Lock()
	var before []types.UID
	for uid, s := range l.pods {
		if s.Pod == pod {
			before = append(before, uid)
		}
	}
	l.mu.Unlock()
	for {
		l.mu.Lock()
		there := slices.ContainsFunc(before, func(uid types.UID) bool {
			_, there := l.pods[uid]
			return there
		})
		changed := l.changed
		l.mu.Unlock()
		if !there {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// Follow shows the sessions, and again after each change of them, until the
// context ends or show fails. The hub, which tells nobody of activity by
// itself, is asked every so often; changes of pods are shown at once.
func (q Query) Follow(ctx context.Context, every time.Duration, show func(Overview) error) error {
	live, err := NewLive(ctx, q)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- live.Run(ctx) }()

	type answer struct {
		users []hub.User
		err   error
	}
	answers := make(chan answer, 1)
	ask := func() {
		go func() {
			users, err := active(ctx, q.Connect)
			answers <- answer{users, err}
		}()
	}
	var hubKnows answer
	tick := time.NewTimer(every)
	defer tick.Stop()
	first := q.Connect != nil
	if first {
		ask()
	}
	for {
		pods, changed := live.Pods()
		if !first {
			list := join(pods, known(q.Connect != nil, hubKnows.users, hubKnows.err), time.Now())
			if err := show(Overview{Sessions: list, HubError: hubKnows.err}); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-ended:
			return err
		case <-changed:
		case hubKnows = <-answers:
			first = false
			tick.Reset(every)
		case <-tick.C:
			if q.Connect != nil {
				ask()
			}
		}
	}
}
