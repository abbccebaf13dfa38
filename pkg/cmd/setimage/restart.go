// SPDX-License-Identifier: Apache-2.0

package setimage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/plan"
	"github.com/workshopctl/workshopctl/pkg/hub"
	"github.com/workshopctl/workshopctl/pkg/rollout"
	"github.com/workshopctl/workshopctl/pkg/session"
)

// atOnce is how many sessions are started anew at the same time: a class of
// forty must not meet the nodes in one instant.
const atOnce = 8

const goOn = "The image is set; the same command again goes on with the sessions that still have another one."

// restart stops sessions, has the hub start them again, and waits until they
// are ready.
func restart(ctx context.Context, f *factory.Factory, c *factory.Cluster, p *plan.Plan, list []session.Session, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	client, closeHub, err := c.Hub(ctx, p.Spec)
	if err != nil {
		return fault.Hint(fmt.Errorf("start sessions anew: %w", err), goOn)
	}
	defer closeHub()
	say := f.Progress()
	say.Step("Starting %s anew", sessions(len(list)))
	errs := make([]error, len(list))
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i, s := range list {
		group.Go(func() error {
			errs[i] = one(ctx, c, client, s)
			if errs[i] == nil {
				say.Mark("%s", s.User)
			}
			return nil
		})
	}
	_ = group.Wait()
	err = outcome(list, errs)
	say.Stop(err)
	if err != nil {
		return fault.Hint(err, goOn)
	}
	say.Done("Started %s anew with %s", sessions(len(list)), p.Spec.Image())
	return nil
}

// outcome says which sessions failed and why. Those that nobody waits for any
// more are one line.
func outcome(list []session.Session, errs []error) error {
	var (
		failed []error
		late   []session.Session
		ended  error
	)
	for i, err := range errs {
		switch {
		case err == nil:
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
			late, ended = append(late, list[i]), err
		default:
			failed = append(failed, fmt.Errorf("session of %s: %w", list[i].User, err))
		}
	}
	if len(failed) > 0 {
		failed = slices.Insert(failed, 0, fmt.Errorf("%d of %s did not get ready", len(failed), sessions(len(list))))
	}
	switch {
	case errors.Is(ended, context.Canceled):
		failed = append(failed, fmt.Errorf("not ready yet: %s: interrupted: %w", users(late), context.Canceled))
	case ended != nil:
		failed = append(failed, fmt.Errorf("not ready yet: %s: %w", users(late), context.DeadlineExceeded))
	}
	return errors.Join(failed...)
}

func one(ctx context.Context, c *factory.Cluster, client *hub.Client, s session.Session) error {
	done, err := client.Stop(ctx, s.User)
	if err != nil {
		return err
	}
	if !done {
		if err := gone(ctx, c, s.Pod); err != nil {
			return fmt.Errorf("stop it: %w", err)
		}
	}
	// The hub notices the end of the pod a moment after the cluster does.
	for {
		err := client.Start(ctx, s.User)
		var answer *hub.Error
		if err == nil {
			return ready(ctx, c, client, s)
		}
		if !errors.As(err, &answer) || answer.Status != 400 && answer.Status != 503 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// ready waits until a session's new pod is ready and the hub lets its attendee
// in. Why a pod doesn't get ready the cluster says, and long before the hub
// gives up; why there is none only the hub can say.
func ready(ctx context.Context, c *factory.Cluster, client *hub.Client, s session.Session) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	verdicts := make(chan error, 2)
	go func() { verdicts <- rollout.WaitSession(ctx, c.Kubernetes, c.Namespace, s.Pod, nil) }()
	go func() { verdicts <- client.Ready(ctx, s.User) }()
	for range cap(verdicts) {
		if err := <-verdicts; err != nil {
			return err
		}
	}
	return nil
}

// gone waits until a pod is.
func gone(ctx context.Context, c *factory.Cluster, pod string) error {
	pods := c.Kubernetes.CoreV1().Pods(c.Namespace)
	options := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, pod).String()}
	for {
		list, err := pods.List(ctx, options)
		if err != nil {
			return err
		}
		if len(list.Items) == 0 {
			return nil
		}
		options.ResourceVersion = list.ResourceVersion
		w, err := pods.Watch(ctx, options)
		options.ResourceVersion = ""
		if apierrors.IsResourceExpired(err) {
			continue
		}
		if err != nil {
			return err
		}
		for event := range w.ResultChan() {
			if _, isPod := event.Object.(*corev1.Pod); isPod && event.Type == watch.Deleted {
				w.Stop()
				return nil
			}
		}
		w.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}
