// SPDX-License-Identifier: Apache-2.0

package session_test

import (
	"testing"
	"time"

	"github.com/workshopctl/workshopctl/pkg/session"
)

func TestApply(t *testing.T) {
	started := now.Add(-time.Hour)
	list := []session.Session{
		{User: "jane doe@example.com", State: session.Running, Created: started, LastActivity: now},
		{User: "kept", State: session.Idle, Created: started, LastActivity: now, KeepUntil: now.Add(3 * time.Hour)},
		{User: "stopping", State: session.Stopping, Created: started, LastActivity: now},
		{User: "unknown", State: session.Running, Created: started},
	}
	session.Rules{URL: "https://w.example.com/", Culling: session.Culling{IdleTimeout: time.Hour}}.Apply(list)
	if list[0].URL != "https://w.example.com/user/jane%20doe@example.com/" {
		t.Error(list[0].URL)
	}
	for i, want := range []time.Time{now.Add(time.Hour), now.Add(3 * time.Hour), {}, {}} {
		if !list[i].CulledAt.Equal(want) {
			t.Errorf("%s: culled at %v, want %v", list[i].User, list[i].CulledAt, want)
		}
	}
	session.Rules{}.Apply(list)
	if list[0].URL != "" {
		t.Errorf("a workshop without an address has %s", list[0].URL)
	}
}
