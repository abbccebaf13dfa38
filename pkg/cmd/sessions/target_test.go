// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/session"
)

// said is an error with its hint, as a person reads it.
func said(err error) string {
	var b strings.Builder
	fault.Write(&b, err, func(s string) string { return s })
	return b.String()
}

func TestTargetOfTheCommandLine(t *testing.T) {
	for line, want := range map[string]string{
		"":                 "x needs the name of a USER, --all or --idle DURATION",
		"ann":              "",
		"ann bob":          "",
		"--all":            "",
		"--idle 30m":       "",
		"ann --all":        "use one of them",
		"--all --idle 30m": "use one of them",
		"ann --idle 1h":    "use one of them",
		"--idle 0s":        "must be at least 1m",
		"--idle -1h":       "must be at least 1m",
		"--all=false":      "x needs",
		"ann  ":            "the name of a USER is empty",
	} {
		f := factory.New([]string{"workshopctl"}, genericiooptions.NewTestIOStreamsDiscard(), factory.Build{})
		var target Target
		cmd := &cobra.Command{Use: "x", SilenceErrors: true, SilenceUsage: true}
		target.addTo(f, cmd, "Stop")
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			target.read(cmd, args)
			return target.Validate()
		}
		cmd.SetArgs(slices.DeleteFunc(strings.Split(line, " "), func(s string) bool { return s == "" && line != "ann  " }))
		err := cmd.Execute()
		switch {
		case want == "" && err != nil, want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: %v, want %q", line, err, want)
		case err != nil && fault.Code(err) != fault.BadUsage:
			t.Errorf("%q: exit code %d", line, fault.Code(err))
		}
	}
}

func TestPick(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	class := []session.Session{
		{User: "ann", State: session.Running, Pod: "1", LastActivity: ago(5 * time.Minute)},
		{User: "bob", State: session.Stopping, Pod: "2", LastActivity: ago(time.Hour)},
		{User: "bob", State: session.Starting, Pod: "3"},
		{User: "carl", State: session.Idle, Pod: "4", LastActivity: ago(30 * time.Minute)},
		{User: "dora", State: session.Idle, Pod: "5", LastActivity: ago(29 * time.Minute)},
		{User: "Eve", State: session.Running, Pod: "6"},
		{User: "Zoe", State: session.Running, Pod: "7"},
		{User: "zoe", State: session.Running, Pod: "8"},
	}
	down := errors.New("no answer")
	for name, test := range map[string]struct {
		target Target
		hub    error
		want   string // pods
		err    string
		code   int
	}{
		"one":                    {target: Target{Users: []string{"ann"}}, want: "1"},
		"in the list's order":    {target: Target{Users: []string{"carl", "ann"}}, want: "1 4"},
		"twice":                  {target: Target{Users: []string{"ann", "ann", "ANN"}}, want: "1"},
		"the pod that stays":     {target: Target{Users: []string{"bob"}}, want: "3"},
		"spelled otherwise":      {target: Target{Users: []string{"eve"}}, want: "6"},
		"two alike, one exactly": {target: Target{Users: []string{"zoe"}}, want: "8"},
		"two alike":              {target: Target{Users: []string{"ZOE"}}, err: "ZOE could be any of Zoe, zoe", code: fault.BadUsage},
		"nobody":                 {target: Target{Users: []string{"anm"}}, err: "anm has no session in workshop terminals; did you mean ann?", code: fault.Failed},
		"somebody of nobody":     {target: Target{Users: []string{"ann", "xaver"}}, err: "xaver has no session", code: fault.Failed},
		"several of nobody":      {target: Target{Users: []string{"xaver", "yorick"}}, err: "yorick has no session", code: fault.Failed},
		"all":                    {target: Target{All: true}, want: "1 3 4 5 6 7 8"},
		"all without the hub":    {target: Target{All: true}, hub: down, want: "1 3 4 5 6 7 8"},
		"idle":                   {target: Target{Idle: 30 * time.Minute}, want: "4"},
		"less idle":              {target: Target{Idle: 5 * time.Minute}, want: "1 4 5"},
		"idle without the hub":   {target: Target{Idle: time.Hour}, hub: down, err: "find out who is idle: no answer", code: fault.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := test.target.Pick(session.Overview{Sessions: class, HubError: test.hub}, "terminals", now)
			var pods []string
			for _, s := range got {
				pods = append(pods, s.Pod)
			}
			if strings.Join(pods, " ") != test.want {
				t.Errorf("picked %v, want %s", pods, test.want)
			}
			if (err != nil) != (test.err != "") || err != nil && (!strings.Contains(said(err), test.err) || fault.Code(err) != test.code) {
				t.Errorf("error %v (code %d), want %q", err, fault.Code(err), test.err)
			}
		})
	}
}
