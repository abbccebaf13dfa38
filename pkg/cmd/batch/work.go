// SPDX-License-Identifier: Apache-2.0

package batch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/workshopctl/workshopctl/pkg/hub"
	"github.com/workshopctl/workshopctl/pkg/rollout"
	"github.com/workshopctl/workshopctl/pkg/session"
)

// Hub is the part of hub.Client that starts and stops sessions.
type Hub interface {
	Start(ctx context.Context, user string) error
	Ready(ctx context.Context, user string) error
	Stop(ctx context.Context, user string) (done bool, err error)
}

// Work starts and stops single sessions.
type Work struct {
	Client    kubernetes.Interface
	Namespace string
	// Hub is nil while it doesn't answer.
	Hub Hub
	// Live has the sessions' pods.
	Live *session.Live
	// Pause before something is tried again; it doubles up to what the hub
	// asks for. 0 means a second.
	Pause time.Duration

	room room
}

// FullError says that the workshop has as many sessions as it may have.
type FullError struct{}

func (FullError) Error() string {
	return "the workshop is full: it has as many sessions as it may have at once"
}

// Start has the hub start a user's session, and returns once it has begun. A
// hub that is busy, restarting or still stopping the last session is asked
// again; one that has no room for more sessions is a FullError. The session
// takes up room at a busy hub until Ready has waited for it.
func (w *Work) Start(ctx context.Context, user string) error {
	pause := w.pause()
	var refusal error
	for {
		extra, err := w.room.enter(ctx, user)
		if err != nil {
			return waited(err, refusal)
		}
		err = w.Hub.Start(ctx, user)
		var answer *hub.Error
		answers := errors.As(err, &answer)
		switch {
		case err == nil:
			w.room.taken(user, extra, w.pause())
			return nil
		case answers && answer.Busy():
			w.room.refused(extra, w.pause(), answer.RetryAfter)
			refusal = err
			continue
		}
		w.room.unanswered(extra)
		longest := time.Minute
		switch {
		case !answers: // it may be restarting
		case answer.Full():
			return FullError{}
		// The hub notices the end of a pod a moment after the cluster does.
		case answer.Status == http.StatusBadRequest, answer.Status == http.StatusServiceUnavailable:
			longest = w.pause()
		default:
			return err
		}
		if waitErr := sleep(ctx, min(pause, longest)); waitErr != nil {
			return waited(waitErr, err)
		}
		pause *= 2
	}
}

// waited is the end of a wait, with what was waited for.
func waited(end, why error) error {
	if why == nil {
		return end
	}
	return fmt.Errorf("%w (%w)", end, why)
}

func (w *Work) pause() time.Duration {
	if w.Pause > 0 {
		return w.Pause
	}
	return time.Second
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Ready waits until a user's session is ready and the hub lets its attendee
// in. Why a pod doesn't get ready the cluster says, and long before the hub
// gives up; why there is none only the hub can say.
func (w *Work) Ready(ctx context.Context, user string) error {
	defer w.room.left(user)
	outer := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// A pod that has failed already is that of an earlier session: the hub
	// replaces it.
	earlier := map[time.Time]bool{}
	list, _ := w.Live.Of(user)
	for _, s := range list {
		earlier[s.Created] = s.State == session.Failed
	}
	ready, failed := make(chan error, 1), make(chan error, 1)
	go func() { ready <- w.hubReady(ctx, user) }()
	go func() { failed <- w.podFailed(ctx, user, earlier) }()
	for {
		select {
		case err := <-ready:
			if outer.Err() != nil {
				return w.missing(outer, user)
			}
			return err
		case err := <-failed:
			if outer.Err() != nil {
				return w.missing(outer, user)
			}
			return err
		}
	}
}

// missing is the end of a wait, with what the session was waiting for.
func (w *Work) missing(ctx context.Context, user string) error {
	list, _ := w.Live.Of(user)
	for _, s := range list {
		if s.State != session.Stopping && s.Reason != "" {
			return fmt.Errorf("%w (%s)", ctx.Err(), s.Reason)
		}
	}
	return ctx.Err()
}

// hubReady asks the hub, and again if it goes away meanwhile: a hub that was
// restarted may have forgotten that it was starting the session.
func (w *Work) hubReady(ctx context.Context, user string) error {
	for {
		err := w.Hub.Ready(ctx, user)
		var (
			answer *hub.Error
			failed *hub.FailedError
		)
		if err == nil || ctx.Err() != nil || errors.As(err, &failed) || errors.As(err, &answer) && answer.Status < 500 {
			return err
		}
		if err := sleep(ctx, w.pause()); err != nil {
			return err
		}
		if err := w.Start(ctx, user); err != nil {
			return err
		}
	}
}

// podFailed returns when the pod won't get ready by itself, with the reason.
// Pods of earlier sessions, by when they were created, don't count.
func (w *Work) podFailed(ctx context.Context, user string, earlier map[time.Time]bool) error {
	for {
		list, changed := w.Live.Of(user)
		for _, s := range list {
			if s.State != session.Failed || earlier[s.Created] {
				continue
			}
			// The cluster is given the time that its rules give it.
			if err := rollout.WaitSession(ctx, w.Client, w.Namespace, s.Pod, nil); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// Stop ends a session and waits until it is gone, unless wait is false. What
// the hub doesn't know or can't stop now, and everything while it is down, is
// stopped by the deletion of the pod.
func (w *Work) Stop(ctx context.Context, s session.Session, wait bool) error {
	stopping := false
	if w.Hub != nil {
		done, err := w.Hub.Stop(ctx, s.User)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && s.Pod == "":
			return err
		}
		stopping = err == nil && !done
	}
	if s.Pod == "" {
		return nil
	}
	if !stopping {
		err := w.Client.CoreV1().Pods(w.Namespace).Delete(ctx, s.Pod, metav1.DeleteOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("delete pod %s: %w", s.Pod, err)
		}
	}
	if !wait {
		return nil
	}
	return w.Live.Gone(ctx, s.Pod)
}

// Restart stops a session and starts it again, and waits until it is ready
// unless wait is false.
func (w *Work) Restart(ctx context.Context, s session.Session, wait bool) error {
	if err := w.Stop(ctx, s, true); err != nil {
		return fmt.Errorf("stop it: %w", err)
	}
	if err := w.Start(ctx, s.User); err != nil || !wait {
		return err
	}
	return w.Ready(ctx, s.User)
}
