// SPDX-License-Identifier: Apache-2.0

package batch_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/kubernetes/fake"

	"github.com/workshopctl/workshopctl/pkg/cmd/batch"
	"github.com/workshopctl/workshopctl/pkg/hub"
	"github.com/workshopctl/workshopctl/pkg/session"
)

// limitedHub starts that many at a time, each in some seconds, and sends the
// others away as JupyterHub does.
type limitedHub struct {
	mu sync.Mutex
	// limit and how many others take of it.
	limit, others int
	starting      map[string]time.Time // until when
	asked         int
	refused       int
	most          int
}

func (h *limitedHub) Start(_ context.Context, user string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.look()
	h.asked++
	if len(h.starting)+h.others >= h.limit {
		h.refused++
		return fmt.Errorf("start: %w", &hub.Error{Status: 429, Message: "Too many users trying to log in right now.", RetryAfter: time.Duration(30+rand.IntN(30)) * time.Second})
	}
	h.starting[user] = time.Now().Add(time.Duration(2000+rand.IntN(2000)) * time.Millisecond)
	h.most = max(h.most, len(h.starting))
	return nil
}

// look ends what is over.
func (h *limitedHub) look() {
	for user, end := range h.starting {
		if !time.Now().Before(end) {
			delete(h.starting, user)
		}
	}
}

func (h *limitedHub) Ready(ctx context.Context, user string) error {
	h.mu.Lock()
	wait := time.Until(h.starting[user])
	h.mu.Unlock()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait):
		return nil
	}
}

func (h *limitedHub) Stop(context.Context, string) (bool, error) { return true, nil }

// A class of 200 is started at a hub that takes eight at a time: it is kept
// busy, and asked little more than once for each. The clock is not the real one.
func TestLimitedHub(t *testing.T) {
	const size, limit = 200, 8
	const busy = size * 3 * time.Second / limit // on average, without a gap
	for name, test := range map[string]struct {
		wait    bool
		others  func(*limitedHub)
		longest time.Duration
		refused int
	}{
		"alone": {true, nil, busy * 5 / 4, 30},
		// Those who begin the class by logging in themselves take half of it for a minute.
		"beside others": {true, func(h *limitedHub) { h.among(4); h.amongAfter(time.Minute, 0) }, busy*5/4 + time.Minute/2, 100},
		// All of it, for as long as the hub says to stay away.
		"after others": {true, func(h *limitedHub) { h.among(limit); h.amongAfter(time.Minute, 0) }, busy*5/4 + 2*time.Minute, 60},
		// Nobody waits to see when there is room again.
		"without waiting": {false, nil, busy * 2, 200},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				live, err := session.NewLive(t.Context(), session.Query{Client: fake.NewClientset(), Namespace: "ns", Names: "terminals"})
				if err != nil {
					t.Fatal(err)
				}
				h := &limitedHub{limit: limit, starting: map[string]time.Time{}}
				if test.others != nil {
					test.others(h)
				}
				w := &batch.Work{Client: fake.NewClientset(), Namespace: "ns", Hub: h, Live: live}
				users := make([]string, size)
				for i := range users {
					users[i] = fmt.Sprint("user", i)
				}
				begun := time.Now()
				errs := batch.Job{AtOnce: 20}.Each(t.Context(), nil, users, func(ctx context.Context, i int) error {
					if err := w.Start(ctx, users[i]); err != nil || !test.wait {
						return err
					}
					return w.Ready(ctx, users[i])
				})
				took := time.Since(begun)
				t.Logf("%v, %d requests, %d of them refused", took, h.asked, h.refused)
				if err := errors.Join(errs...); err != nil {
					t.Error(err)
				}
				if h.most != limit {
					t.Errorf("%d at a time, not %d", h.most, limit)
				}
				if took > test.longest || h.refused > test.refused {
					t.Errorf("it took %v and %d refusals, more than %v and %d", took, h.refused, test.longest, test.refused)
				}
			})
		})
	}
}

// among says how many others there are from now on.
func (h *limitedHub) among(others int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.others = others
}

func (h *limitedHub) amongAfter(wait time.Duration, others int) {
	time.AfterFunc(wait, func() { h.among(others) })
}
