// SPDX-License-Identifier: Apache-2.0

// Package livecopy keeps copies of some objects of the cluster up to date by
// list and watch, and signals that something has changed. Watches that break
// are renewed, also over a restart of the API server.
//
// It is client-go's Reflector with three differences from its informers: the
// first list is a consistent read, never an older state out of the API
// server's cache; rights that are missing end the wait instead of being
// retried for ever; and nothing is logged.
package livecopy

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// Object is what can be copied: every API type, and unstructured objects.
type Object interface {
	runtime.Object
	metav1.Object
}

// Client lists and watches one kind: the typed clients of client-go, with L
// their list type, and those of the dynamic client.
type Client[L runtime.Object] interface {
	List(ctx context.Context, opts metav1.ListOptions) (L, error)
	Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error)
}

// Set holds copies of several kinds.
type Set struct {
	changed chan struct{}

	mu    sync.Mutex
	kinds []*kind
	err   error
}

// New returns an empty Set.
func New() *Set { return &Set{changed: make(chan struct{}, 1)} }

// kind is one kind's copy, and the store that its reflector writes to.
type kind struct {
	cache.Store
	set      *Set
	source   *cache.ListWatch
	example  runtime.Object
	optional bool

	// stop ends the reflector.
	stop context.CancelFunc

	synced, denied bool // under set.mu
}

// Copy is the copy of one kind's objects.
type Copy[T Object] struct{ kind *kind }

// Add has the set copy those objects of a kind that the options select.
// An optional kind is given up without an error when the caller lacks the
// right to read it. Add everything before Run. example is an empty T.
func Add[T Object, L runtime.Object](s *Set, client Client[L], example T, selection metav1.ListOptions, optional bool) *Copy[T] {
	k := &kind{Store: cache.NewStore(cache.MetaNamespaceKeyFunc), set: s, example: example, optional: optional, stop: func() {}}
	k.source = &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector, o.FieldSelector = selection.LabelSelector, selection.FieldSelector
			// The reflector asks for "0", any state that the API server has
			// in its cache, at first.
			o.ResourceVersion, o.ResourceVersionMatch = "", ""
			list, err := client.List(ctx, o)
			return list, s.judge(ctx, k, err)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector, o.FieldSelector = selection.LabelSelector, selection.FieldSelector
			w, err := client.Watch(ctx, o)
			return w, s.judge(ctx, k, err)
		},
	}
	s.kinds = append(s.kinds, k)
	return &Copy[T]{kind: k}
}

// judge tells errors that will pass from those that won't.
func (s *Set) judge(ctx context.Context, k *kind, err error) error {
	if err == nil || ctx.Err() != nil || (!apierrors.IsForbidden(err) && !apierrors.IsUnauthorized(err)) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if k.optional {
		k.denied = true
		k.stop()
	} else if s.err == nil {
		s.err = err
	}
	s.signal()
	return err
}

// Run keeps the copies until the context ends; it returns at once.
func (s *Set) Run(ctx context.Context) {
	// The reflector would log each broken watch to stderr.
	quiet := logr.Discard()
	ctx = klog.NewContext(ctx, quiet)
	for _, k := range s.kinds {
		reflector := cache.NewReflectorWithOptions(plainList{k.source}, k.example, k, cache.ReflectorOptions{
			Logger:  &quiet,
			Backoff: &wait.Backoff{Duration: 500 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 5, Cap: 8 * time.Second},
		})
		var watching context.Context
		watching, k.stop = context.WithCancel(ctx)
		go reflector.RunWithContext(watching)
	}
}

// Once makes the copies by one list a kind, all at once, and watches nothing.
func (s *Set) Once(ctx context.Context) error {
	var group errgroup.Group
	for _, k := range s.kinds {
		group.Go(func() error {
			list, err := k.source.ListWithContext(ctx, metav1.ListOptions{})
			if err != nil {
				if s.denied(k) {
					return nil
				}
				return err
			}
			items, err := meta.ExtractList(list)
			if err != nil {
				return err
			}
			objects := make([]any, len(items))
			for i := range items {
				objects[i] = items[i]
			}
			return k.Replace(objects, "")
		})
	}
	return group.Wait()
}

func (s *Set) denied(k *kind) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return k.denied
}

// plainList has the reflector list and then watch, instead of getting the
// list out of the watch: only a list can be a consistent read on every server.
type plainList struct{ *cache.ListWatch }

// IsWatchListSemanticsUnSupported is asked for by client-go.
func (plainList) IsWatchListSemanticsUnSupported() bool { return true }

// Changed is ready after each change of the copies, of Synced or Err. Several
// changes may come as one.
func (s *Set) Changed() <-chan struct{} { return s.changed }

// Synced is true once every kind was listed or given up.
func (s *Set) Synced() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !slices.ContainsFunc(s.kinds, func(k *kind) bool { return !k.synced && !k.denied })
}

// Err is the API server's refusal of a kind that isn't optional.
func (s *Set) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *Set) signal() {
	select {
	case s.changed <- struct{}{}:
	default: // the last signal hasn't been taken yet
	}
}

// Items returns the objects, by name. They must not be changed.
func (c *Copy[T]) Items() []T {
	list := c.kind.List()
	items := make([]T, 0, len(list))
	for _, o := range list {
		if item, ok := o.(T); ok {
			items = append(items, item)
		}
	}
	slices.SortFunc(items, func(a, b T) int {
		return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})
	return items
}

// Known is false for a kind that the caller may not read.
func (c *Copy[T]) Known() bool {
	c.kind.set.mu.Lock()
	defer c.kind.set.mu.Unlock()
	return c.kind.synced
}

// The reflector's side of a kind.

func (k *kind) Add(o any) error    { return k.then(k.Store.Add(o)) }
func (k *kind) Update(o any) error { return k.then(k.Store.Update(o)) }
func (k *kind) Delete(o any) error { return k.then(k.Store.Delete(o)) }

func (k *kind) Replace(list []any, resourceVersion string) error {
	err := k.Store.Replace(list, resourceVersion)
	k.set.mu.Lock()
	k.synced, k.denied = true, false
	k.set.mu.Unlock()
	return k.then(err)
}

func (k *kind) then(err error) error {
	k.set.signal()
	return err
}
