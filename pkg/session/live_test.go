// SPDX-License-Identifier: Apache-2.0

package session_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/workshopctl/workshopctl/pkg/hub"
	"github.com/workshopctl/workshopctl/pkg/session"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// playedServer answers lists page by page, and its watches are channels.
type playedServer struct {
	*fake.Clientset
	pods    []corev1.Pod
	lists   atomic.Int32
	expire  int32 // the list that is too old to go on with
	watches chan *watch.FakeWatcher
	from    chan string
}

func newPlayedServer(pods int) *playedServer {
	s := &playedServer{Clientset: fake.NewClientset(), watches: make(chan *watch.FakeWatcher, 10), from: make(chan string, 10)}
	for i := range pods {
		p := pod(fmt.Sprintf("user%04d", i), nil)
		p.UID, p.Labels = types.UID(p.Name), workshop.Names("terminals").Labels(workshop.ComponentSession)
		s.pods = append(s.pods, p)
	}
	s.PrependReactor("list", "pods", func(a clienttesting.Action) (bool, runtime.Object, error) {
		o := a.(clienttesting.ListActionImpl).ListOptions
		n := s.lists.Add(1)
		if n == s.expire {
			return true, nil, apierrors.NewResourceExpired("the list is too old")
		}
		from := 0
		if o.Continue != "" {
			if _, err := fmt.Sscan(o.Continue, &from); err != nil {
				return true, nil, err
			}
		}
		to := len(s.pods)
		if o.Limit > 0 {
			to = min(to, from+int(o.Limit))
		}
		list := &corev1.PodList{Items: s.pods[from:to], ListMeta: metav1.ListMeta{ResourceVersion: "7"}}
		if to < len(s.pods) {
			list.Continue = fmt.Sprint(to)
		}
		return true, list, nil
	})
	s.PrependWatchReactor("pods", func(a clienttesting.Action) (bool, watch.Interface, error) {
		w := watch.NewFake()
		s.from <- a.(clienttesting.WatchActionImpl).WatchRestrictions.ResourceVersion
		s.watches <- w
		return true, w, nil
	})
	return s
}

func (s *playedServer) query() session.Query {
	return session.Query{Client: s, Namespace: "ns", Names: "terminals"}
}

// A class of 700 is read in three requests.
func TestReadPages(t *testing.T) {
	s := newPlayedServer(700)
	got, err := s.query().Read(t.Context())
	if err != nil || len(got.Sessions) != 700 || s.lists.Load() != 3 {
		t.Errorf("%d sessions in %d requests: %v", len(got.Sessions), s.lists.Load(), err)
	}
	// A list that gets too old is begun anew, and nobody is there twice.
	s = newPlayedServer(700)
	s.expire = 2
	got, err = s.query().Read(t.Context())
	if err != nil || len(got.Sessions) != 700 || s.lists.Load() != 3 {
		t.Errorf("anew: %d sessions in %d requests: %v", len(got.Sessions), s.lists.Load(), err)
	}
}

// Changes come by one watch; a broken one goes on where it ended, and only one
// that is too old costs a list.
func TestLive(t *testing.T) {
	s := newPlayedServer(2)
	live, err := session.NewLive(t.Context(), s.query())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- live.Run(ctx) }()
	wait := func(what string, condition func([]session.Session) bool) {
		t.Helper()
		limit := time.After(10 * time.Second)
		for {
			list, changed := live.Pods()
			if condition(list) {
				return
			}
			select {
			case <-changed:
			case <-limit:
				t.Fatalf("%s: %+v", what, list)
			}
		}
	}
	if from := <-s.from; from != "7" {
		t.Errorf("the watch begins at %s", from)
	}
	w := <-s.watches
	zoe := pod("zoe", nil)
	zoe.UID, zoe.ResourceVersion = "zoe", "8"
	w.Add(&zoe)
	wait("a new one", func(list []session.Session) bool { return len(list) == 3 })
	_, same := live.Pods()
	touched := zoe.DeepCopy()
	touched.ResourceVersion = "9"
	w.Modify(touched)
	w.Action(watch.Bookmark, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "10"}})
	w.Stop()
	if from := <-s.from; from != "10" {
		t.Errorf("the next watch begins at %s", from)
	}
	select {
	case <-same:
		t.Error("what changes nothing that is shown is told")
	default:
	}
	w = <-s.watches
	gone := make(chan error, 1)
	go func() { gone <- live.Gone(ctx, "terminals--zoe") }()
	w.Delete(touched)
	if err := <-gone; err != nil {
		t.Error(err)
	}
	wait("gone", func(list []session.Session) bool { return len(list) == 2 })
	if s.lists.Load() != 1 {
		t.Errorf("%d lists", s.lists.Load())
	}
	// The server has forgotten what was since.
	s.pods = s.pods[:1]
	w.Error(&metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonExpired, Code: 410})
	<-s.from
	wait("listed anew", func(list []session.Session) bool { return len(list) == 1 })
	if s.lists.Load() != 2 {
		t.Errorf("%d lists", s.lists.Load())
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestLiveMayNotWatch(t *testing.T) {
	s := newPlayedServer(1)
	s.PrependWatchReactor("pods", func(clienttesting.Action) (bool, watch.Interface, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New("no"))
	})
	live, err := session.NewLive(t.Context(), s.query())
	if err != nil {
		t.Fatal(err)
	}
	if err := live.Run(t.Context()); !apierrors.IsForbidden(err) {
		t.Error(err)
	}
}

type playedHub struct{ users []hub.User }

func (h playedHub) Active(context.Context) ([]hub.User, error) { return h.users, nil }

// The list that a watch begins with has what the hub says; a change of a pod
// then is shown without asking it.
func TestFollow(t *testing.T) {
	s := newPlayedServer(1)
	q := s.query()
	var asked atomic.Int32
	q.Connect = func(context.Context) (session.Hub, error) {
		asked.Add(1)
		return playedHub{[]hub.User{user("user0000", hub.Server{Ready: true, LastActivity: time.Now().Add(-time.Hour)})}}, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	shown := make(chan session.Overview)
	ended := make(chan error, 1)
	go func() {
		ended <- q.Follow(ctx, time.Hour, func(o session.Overview) error {
			select {
			case shown <- o:
			case <-ctx.Done():
			}
			return nil
		})
	}()
	if first := <-shown; len(first.Sessions) != 1 || first.Sessions[0].State != session.Idle {
		t.Errorf("at first: %+v", first)
	}
	<-s.from
	failed := s.pods[0].DeepCopy()
	failed.Status = corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted"}
	(<-s.watches).Modify(failed)
	if then := <-shown; then.Sessions[0].State != session.Failed {
		t.Errorf("then: %+v", then)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if asked.Load() != 1 || s.lists.Load() != 1 {
		t.Errorf("the hub was asked %d times, the cluster listed %d times", asked.Load(), s.lists.Load())
	}
}
