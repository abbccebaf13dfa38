// SPDX-License-Identifier: Apache-2.0

package batch

import (
	"context"
	"sync"
	"time"
)

// room is how many sessions the hub lets start at the same time, as far as its
// answers tell. It sends away who comes when it has no room, each for another
// 30 to 60 seconds, so that a class of browsers doesn't come back in one
// instant. Who starts the whole class knows better when to come: whenever one
// of theirs has started, another may. Beside that, one of them looks now and
// then whether there is room for more.
type room struct {
	mu      sync.Mutex
	turn    chan struct{}
	changed chan struct{}
	// starting are those whom the hub has taken and who aren't ready.
	starting map[string]bool
	asking   int
	// limited is true once the hub has sent somebody away, and limit how many
	// it is known to take.
	limited bool
	limit   int
	// again is when one more than that may be tried, pause how long that is put
	// off if it fails, and trying that somebody is at it.
	again  time.Time
	pause  time.Duration
	trying bool
}

// enter waits until the user's start may be asked for, in the order in which
// they come. extra is true if that is one more than the hub is known to take.
func (r *room) enter(ctx context.Context, user string) (extra bool, err error) {
	r.mu.Lock()
	if r.turn == nil {
		r.turn, r.changed, r.starting = make(chan struct{}, 1), make(chan struct{}), map[string]bool{}
	}
	delete(r.starting, user) // whoever asks again isn't
	r.mu.Unlock()
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		r.mu.Lock()
		wait, changed := time.Until(r.again), r.changed
		free := !r.limited || r.asking+len(r.starting) < r.limit
		extra := !free && !r.trying && wait <= 0
		if free || extra {
			r.asking++
			r.trying = r.trying || extra
			r.mu.Unlock()
			return extra, nil
		}
		r.mu.Unlock()
		timer := time.NewTimer(max(wait, 0))
		timeout := timer.C
		if wait <= 0 {
			timeout = nil // the one who tries decides
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timeout:
		}
		timer.Stop()
	}
}

// taken says that the hub has begun to start a user's session.
func (r *room) taken(user string, extra bool, pause time.Duration) {
	r.answered(extra, func() {
		r.starting[user] = true
		r.limit = max(r.limit, len(r.starting))
		if extra { // there may be room for yet another
			r.again, r.pause = time.Now(), pause
		}
	})
}

// refused says that the hub has sent one away, and for how long.
func (r *room) refused(extra bool, pause, longest time.Duration) {
	r.answered(extra, func() {
		switch {
		case extra:
			r.pause *= 2
		case !r.limited || len(r.starting) < r.limit: // others come to the hub, too
			r.limited, r.limit, r.pause = true, len(r.starting), pause
		}
		r.again = time.Now().Add(min(r.pause, longest))
	})
}

// unanswered says that it isn't known whether there is room.
func (r *room) unanswered(extra bool) { r.answered(extra, func() {}) }

func (r *room) answered(extra bool, change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asking--
	r.trying = r.trying && !extra
	change()
	r.signal()
}

// left says that a user's session isn't starting any more.
func (r *room) left(user string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.starting[user] {
		delete(r.starting, user)
		r.signal()
	}
}

func (r *room) signal() {
	close(r.changed)
	r.changed = make(chan struct{})
}
