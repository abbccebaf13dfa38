// SPDX-License-Identifier: Apache-2.0

//go:build integration

package render_test

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/workshopctl/workshopctl/pkg/render"
	"github.com/workshopctl/workshopctl/pkg/workshop"
	"github.com/workshopctl/workshopctl/test/testhub"
)

// lived is what became of a session, as life.py prints it.
type lived struct {
	Stopped     []string          `json:"stopped"`
	Status      *int              `json:"status"`
	Active      bool              `json:"active"`
	Used        *float64          `json:"used"`
	Environment map[string]string `json:"environment"`
	// User is when the user was active, and Found how many users the hub has
	// looked up to know.
	User  *float64 `json:"user"`
	Found int      `json:"found"`
}

func live(t *testing.T, version string, in render.Input, sessions map[string]any) (map[string]lived, []map[string]string) {
	t.Helper()
	venv := testhub.Install(t, version)
	dir, env := hubFiles(t, in, nowhere)
	wanted, err := json.Marshal(sessions)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), filepath.Join(venv, "bin", "python"), filepath.Join("testdata", "life.py"), filepath.Join(dir, "jupyterhub_config.py"), string(wanted))
	command.Env = env
	var log strings.Builder
	command.Stderr = &log
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	var answer struct {
		Sessions  map[string]lived    `json:"sessions"`
		Selectors []map[string]string `json:"selectors"`
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return answer.Sessions, answer.Selectors
}

// TestLife: at each poll a session that is kept is made to look used, but no
// later than needed, and one that is as old as it may get is stopped unless it
// is kept. What the annotation says wrongly hurts nobody.
func TestLife(t *testing.T) {
	type session = map[string]any // minutes from now
	idle := input(func(s *workshop.Spec) { s.Expose, s.IdleTimeout = workshop.ExposeNone, "1h" })
	both := input(func(s *workshop.Spec) { s.Expose, s.IdleTimeout, s.MaxAge = workshop.ExposeNone, "1h", "4h" })
	age := input(func(s *workshop.Spec) { s.Expose, s.IdleTimeout, s.MaxAge = workshop.ExposeNone, "0", "4h" })
	// A session that is kept looks used 57.5 minutes ago: the culler leaves it
	// alone for 2.5 more.
	const kept = -57.5
	cases := map[string]struct {
		in       render.Input
		sessions map[string]session
		used     map[string]float64 // the others are stopped
	}{
		"idle": {idle, map[string]session{
			"used":           {"started": -300, "used": -10},
			"overdue":        {"started": -300, "used": -70}, // the culler's
			"kept-and-used":  {"started": -300, "used": -10, "kept": 60},
			"kept":           {"started": -300, "used": -70, "kept": 60},
			"kept-and-due":   {"started": -300, "used": -59.5, "kept": 60},
			"kept-not-due":   {"started": -300, "used": -58, "kept": 60},
			"kept-shortly":   {"started": -300, "used": -70, "kept": 1},
			"kept-no-longer": {"started": -300, "used": -70, "kept": -1},
			"no-time":        {"started": -300, "used": -70, "kept": "tomorrow"},
			"no-day":         {"started": -300, "used": -70, "kept": "2099-02-30T12:00:00Z"},
			"no-zone":        {"started": -300, "used": -70, "kept": "2099-01-01T12:00:00"},
			"too-far":        {"started": -300, "used": -70, "kept": "0001-01-01T00:00:00+23:59"},
			"empty":          {"started": -300, "used": -70, "kept": ""},
			"other-zone":     {"started": -300, "used": -70, "kept": "2099-01-01T12:00:00.5+05:30"},
			"never-used":     {"started": -300, "used": nil, "kept": 60},
		}, map[string]float64{
			"used": -10, "overdue": -70, "kept-and-used": -10, "kept": kept, "kept-and-due": kept, "kept-not-due": -58, "kept-shortly": -59, "kept-no-longer": -70,
			"no-time": -70, "no-day": -70, "no-zone": -70, "too-far": -70, "empty": -70, "other-zone": kept, "never-used": kept,
		}},
		"max age": {both, map[string]session{
			"young": {"started": -239, "used": -1}, "old": {"started": -240.1, "used": -1},
			"kept": {"started": -300, "used": -1, "kept": 5}, "kept-and-idle": {"started": -300, "used": -70, "kept": 5},
			"kept-no-longer": {"started": -300, "used": -1, "kept": -1}, "no-time": {"started": -300, "used": -1, "kept": "x"},
		}, map[string]float64{"young": -1, "kept": -1, "kept-and-idle": kept}},
		"max age alone": {age, map[string]session{
			"young": {"started": -239, "used": -239}, "old": {"started": -240.1, "used": -1}, "kept": {"started": -300, "used": -299, "kept": 5},
		}, map[string]float64{"young": -239, "kept": -299}},
	}
	for _, hub := range hubs {
		for name, test := range cases {
			t.Run(name+"/"+hub.jupyterhub, func(t *testing.T) {
				t.Parallel()
				sessions := map[string]any{}
				for user, s := range test.sessions {
					sessions[user] = s
				}
				got, selectors := live(t, hub.jupyterhub, test.in, sessions)
				for user := range test.sessions {
					is, used := got[user], test.used[user]
					if used == 0 {
						// First nobody is led there any more.
						if diff := cmp.Diff([]string{"route", "pod"}, is.Stopped); diff != "" || is.Active || is.Status == nil {
							t.Errorf("%s is not stopped: %+v", user, is)
						}
						continue
					}
					if len(is.Stopped) > 0 || !is.Active || is.Status != nil || is.Used == nil || *is.Used < used-0.1 || *is.Used > used+0.1 {
						t.Errorf("%s: used at %v, stopped %v, status %v; want used at %v", user, is.Used, is.Stopped, is.Status, used)
					}
				}
				// Another workshop's sessions are not this hub's.
				want := []map[string]string{{"app": test.in.Spec.Name, "component": "session"}}
				if diff := cmp.Diff(want, selectors); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

// TestActivity: what the proxy saw of a session counts, for the session and its
// user, and the hub looks nobody up for that.
func TestActivity(t *testing.T) {
	in := input(func(s *workshop.Spec) { s.Expose, s.IdleTimeout = workshop.ExposeNone, "1h" })
	type session = map[string]any // minutes from now
	sessions := map[string]any{
		"used":       session{"started": -300, "used": -10, "seen": -2},
		"earlier":    session{"started": -300, "used": -10, "seen": -20},
		"never-used": session{"started": -300, "used": nil, "seen": -2},
		"kept":       session{"started": -300, "used": -70, "kept": 60, "seen": -65},
		"unseen":     session{"started": -300, "used": -10},
	}
	type times struct{ Session, User float64 }
	want := map[string]times{"used": {-2, -2}, "earlier": {-10, -20}, "never-used": {-2, -2}, "kept": {-57.5, -65}, "unseen": {Session: -10}}
	for _, hub := range hubs {
		t.Run(hub.jupyterhub, func(t *testing.T) {
			t.Parallel()
			got := map[string]times{}
			answer, _ := live(t, hub.jupyterhub, in, sessions)
			for user, is := range answer {
				got[user] = times{value(is.Used), value(is.User)}
				if is.Found > 0 {
					t.Errorf("the hub has looked %s up", user)
				}
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateApprox(0, 0.1)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func value(n *float64) float64 {
	if n == nil {
		return 0
	}
	return *n
}
