// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/hub"
	"github.com/workshopctl/workshopctl/pkg/session"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// playedUsers is a hub that makes users as it is told to.
type playedUsers struct {
	known []string
	// call is how it spells a new name.
	call   func(string) string
	refuse error
	asked  [][]string
}

func (h *playedUsers) Users(context.Context) ([]hub.User, error) {
	var list []hub.User
	for _, name := range h.known {
		list = append(list, hub.User{Name: name})
	}
	return list, nil
}

func (h *playedUsers) Add(_ context.Context, names ...string) ([]hub.User, error) {
	h.asked = append(h.asked, names)
	if h.refuse != nil {
		return nil, h.refuse
	}
	var made []hub.User
	for _, name := range names {
		if name = h.call(name); !slices.Contains(h.known, name) {
			made = append(made, hub.User{Name: name})
		}
	}
	return made, nil
}

func TestEnroll(t *testing.T) {
	same := func(s string) string { return s }
	many := make([]string, 250)
	for i := range many {
		many[i] = "user" + string(rune('a'+i/26)) + string(rune('a'+i%26))
	}
	for name, test := range map[string]struct {
		hub      playedUsers
		names    []string
		want     []string
		made     int
		requests int
		code     int
	}{
		"all known":          {playedUsers{known: []string{"ann", "bob"}}, []string{"bob", "ann"}, []string{"bob", "ann"}, 0, 0, fault.OK},
		"known otherwise":    {playedUsers{known: []string{"ann"}}, []string{"Ann"}, []string{"ann"}, 0, 0, fault.OK},
		"one of two":         {playedUsers{known: []string{"Ann", "ann"}}, []string{"ANN"}, nil, 0, 0, fault.BadUsage},
		"new":                {playedUsers{known: []string{"ann"}, call: same}, []string{"ann", "bob", "carl"}, []string{"ann", "bob", "carl"}, 2, 1, fault.OK},
		"new, in lower case": {playedUsers{call: strings.ToLower}, []string{"Ann", "Bob"}, []string{"ann", "bob"}, 2, 1, fault.OK},
		"called otherwise":   {playedUsers{call: func(s string) string { return "x-" + s }}, []string{"ann", "bob"}, []string{"x-ann", "x-bob"}, 2, 1, fault.OK},
		"twice the same":     {playedUsers{known: []string{"ann"}, call: same}, []string{"ann", "ANN"}, []string{"ann"}, 0, 0, fault.OK},
		"no name of a user":  {playedUsers{refuse: &hub.Error{Status: 400, Message: "Invalid username: x"}}, []string{"x"}, nil, 0, 1, fault.BadUsage},
		"a class":            {playedUsers{call: same}, many, many, 250, 3, fault.OK},
	} {
		got, made, err := enroll(t.Context(), &test.hub, test.names)
		if !slices.Equal(got, test.want) || made != test.made || len(test.hub.asked) != test.requests || fault.Code(err) != test.code {
			t.Errorf("%s: %v, %d made, %d requests, %v", name, got, made, len(test.hub.asked), err)
		}
	}
}

func TestNotAllowed(t *testing.T) {
	spec := workshop.Spec{AllowedUsers: []string{"ann"}, AdminUsers: []string{"trainer"}}
	if got := notAllowed(spec, []string{"Ann", "bob", "trainer"}); !slices.Equal(got, []string{"bob"}) {
		t.Error(got)
	}
	if got := notAllowed(workshop.Spec{}, []string{"bob"}); got != nil {
		t.Error(got)
	}
}

func TestKeepUntil(t *testing.T) {
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	two := session.Rules{Culling: session.Culling{IdleTimeout: 2 * time.Hour}}
	for name, test := range map[string]struct {
		rules   session.Rules
		session session.Session
		want    time.Time
	}{
		"added to what is left": {two, session.Session{LastActivity: at(-90)}, at(30 + 60)},
		"added to an extension": {two, session.Session{LastActivity: at(-90), KeepUntil: at(120)}, at(120 + 60)},
		"the culler is late":    {two, session.Session{LastActivity: at(-125)}, at(60)},
		"without the hub":       {two, session.Session{}, at(120 + 60)},
	} {
		if got := keepUntil(test.session, test.rules, time.Hour, noon); !got.Equal(test.want) || got.Location() != time.UTC {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
	// A part of a second is not written, and not taken away either.
	got := keepUntil(session.Session{LastActivity: noon.Add(time.Millisecond)}, two, time.Minute, noon)
	if want := noon.Add(2*time.Hour + time.Minute + time.Second); !got.Equal(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestOrphans(t *testing.T) {
	old := time.Now().Add(-time.Hour)
	before := session.Overview{
		Sessions: []session.Session{
			{User: "ann", State: session.Running, Pod: "ann", Created: old},
			{User: "bob", State: session.Running, Pod: "bob", Created: old},
			{User: "carl", State: session.Running, Pod: "carl", Created: old},
			{User: "new", State: session.Starting, Pod: "new", Created: time.Now()},
			{User: "ending", State: session.Stopping, Pod: "ending", Created: old},
		},
		Volumes: []session.Volume{{Name: "ann", User: "ann"}, {Name: "bob", User: "bob"}, {Name: "carl", User: "carl"}, {Name: "x"}},
	}
	users := []hub.User{{Name: "ann", Servers: map[string]hub.Server{"": {Ready: true}}}, {Name: "bob"}}
	found := orphans(before, users)
	if got := strings.Join(found.names(), " "); got != "pod/bob pod/carl persistentvolumeclaim/carl" {
		t.Error(got)
	}
	if found := orphans(session.Overview{}, nil); len(found.names()) > 0 || found.Sessions == nil || found.Volumes == nil {
		t.Errorf("of nothing: %+v", found)
	}
}

func TestPeople(t *testing.T) {
	all := people([]string{"ann", "bob"}, session.Overview{
		Sessions: []session.Session{{User: "ann"}, {User: "gone"}},
		Volumes:  []session.Volume{{Name: "1", User: "ann"}, {Name: "2", User: "left"}, {Name: "3"}},
	})
	for name, want := range map[string][3]int{"ann": {1, 1, 1}, "bob": {1, 0, 0}, "gone": {0, 1, 0}, "left": {0, 0, 1}} {
		p := all[name]
		if p == nil {
			t.Errorf("%s is missing", name)
			continue
		}
		known := 0
		if p.known {
			known = 1
		}
		if got := [3]int{known, len(p.session), len(p.volumes)}; got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if len(all) != 4 {
		t.Errorf("%d people", len(all))
	}
}

func TestWithStopped(t *testing.T) {
	got := withStopped([]session.Session{{User: "bob", State: session.Running, Volume: "b"}}, []session.Volume{
		{Name: "b", User: "bob"}, {Name: "a", User: "ann", Created: noon}, {Name: "x"},
	})
	want := []session.Session{
		{User: "ann", State: session.Stopped, Volume: "a", Created: noon},
		{User: "bob", State: session.Running, Volume: "b"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A watch has a line for what a person sees, and none for activity.
func TestChanges(t *testing.T) {
	ann := session.Session{User: "ann", Pod: "a", State: session.Running, LastActivity: noon, CulledAt: noon.Add(time.Hour)}
	bob := session.Session{User: "bob", Pod: "b", State: session.Starting}
	changed, shown := changes(nil, []session.Session{ann, bob})
	if len(changed) != 2 {
		t.Fatalf("at first: %v", changed)
	}
	ann.LastActivity, ann.CulledAt = noon.Add(time.Minute), noon.Add(time.Hour)
	if changed, shown = changes(shown, []session.Session{ann, bob}); len(changed) > 0 {
		t.Errorf("activity: %v", changed)
	}
	bob.State = session.Running
	ann.KeepUntil = noon.Add(3 * time.Hour)
	if changed, shown = changes(shown, []session.Session{ann, bob}); len(changed) != 2 {
		t.Errorf("ready and kept: %v", changed)
	}
	if changed, _ = changes(shown, []session.Session{ann}); len(changed) != 1 || changed[0].User != "bob" || changed[0].State != session.Stopped {
		t.Errorf("gone: %v", changed)
	}
}

func TestUsage(t *testing.T) {
	got, err := usageOf([]byte(`{"containers":[{"name":"notebook","usage":{"cpu":"12345678n","memory":"30000Ki"}},{"name":"x","usage":{"cpu":"250m","memory":"1Mi"}}]}`))
	if err != nil || got.CPU != "263m" || got.Memory != "30Mi" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := usageOf([]byte("<html>")); err == nil {
		t.Error("no error for what is no answer")
	}
}

// Volumes are lost only where that is said, and sessions without one are told
// apart.
func TestLost(t *testing.T) {
	with, without := session.Session{User: "ann", Pod: "a", Volume: "v"}, session.Session{User: "bob", Pod: "b"}
	if got := lost([]session.Session{with}); !strings.Contains(got, "files stay") || strings.Contains(got, "Without") {
		t.Error(got)
	}
	if got := lost([]session.Session{with, without}); !strings.Contains(got, "without their files afterwards: bob.") {
		t.Error(got)
	}
}
