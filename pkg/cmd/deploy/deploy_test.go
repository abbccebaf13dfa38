// SPDX-License-Identifier: Apache-2.0

package deploy_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/workshopctl/workshopctl/pkg/cmd/choice"
	"github.com/workshopctl/workshopctl/pkg/cmd/deploy"
	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/output"
	"github.com/workshopctl/workshopctl/pkg/cmd/plan"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

func options(t *testing.T, stdin string, args ...string) (*deploy.Options, error) {
	t.Helper()
	streams, in, _, _ := genericiooptions.NewTestIOStreams()
	in.WriteString(stdin)
	f := factory.New([]string{"workshopctl"}, streams, factory.Build{})
	var got *deploy.Options
	cmd := deploy.NewCommand(f, func(_ context.Context, _ *factory.Factory, o *deploy.Options) error {
		got = o
		return nil
	})
	cmd.SetArgs(args)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	return got, cmd.ExecuteContext(t.Context())
}

func TestOptions(t *testing.T) {
	defaults := deploy.Options{
		Name: "terminals", DryRun: "none", Carry: plan.Options{Wait: true, TimeoutOptions: factory.TimeoutOptions{Timeout: 5 * time.Minute}},
		Change: choice.Change{Values: map[string]string{}, Env: map[string]string{}},
	}
	for name, test := range map[string]struct {
		args  []string
		stdin string
		want  func(*deploy.Options)
	}{
		"nothing":           {want: func(*deploy.Options) {}},
		"a name":            {args: []string{"class"}, want: func(o *deploy.Options) { o.Name = "class" }},
		"the file's name":   {args: []string{"-f", "-"}, stdin: "name: class", want: func(o *deploy.Options) { o.Name, o.Change.Replace = "class", &workshop.Spec{Name: "class"} }},
		"no wait":           {args: []string{"--wait=false"}, want: func(o *deploy.Options) { o.Carry.Wait = false }},
		"timeout":           {args: []string{"--timeout", "30s"}, want: func(o *deploy.Options) { o.Carry.Timeout = 30 * time.Second }},
		"no image check":    {args: []string{"--skip-image-check"}, want: func(o *deploy.Options) { o.Carry.SkipImageCheck = true }},
		"dry run":           {args: []string{"--dry-run", "server"}, want: func(o *deploy.Options) { o.DryRun = "server" }},
		"an empty value":    {args: []string{"--tls-secret", ""}, want: func(o *deploy.Options) { o.Change.Values["tls-secret"] = "" }},
		"values of a flag":  {args: []string{"--host=w.example.com"}, want: func(o *deploy.Options) { o.Change.Values["host"] = "w.example.com" }},
		"environment":       {args: []string{"--env", "A=1", "--env", "B-"}, want: func(o *deploy.Options) { o.Change.Env["A"] = "1"; o.Change.RemoveEnv = []string{"B"} }},
		"commas in a value": {args: []string{"--env", "A=1,B=2"}, want: func(o *deploy.Options) { o.Change.Env["A"] = "1,B=2" }},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := options(t, test.stdin, test.args...)
			if err != nil {
				t.Fatal(err)
			}
			want := defaults
			want.Change.Values, want.Change.Env = map[string]string{}, map[string]string{}
			test.want(&want)
			if diff := cmp.Diff(want, *got, cmpopts.IgnoreTypes(output.Format{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBadOptions(t *testing.T) {
	for args, want := range map[string]string{
		"--dry-run maybe": "none, client, server",
		"--timeout -1s":   "more than 0",
		"-o wide":         "no format",
		"--env X":         "NAME=VALUE",
		"a--b":            "--",
		"a b":             `"b"`,
	} {
		_, err := options(t, "", strings.Fields(args)...)
		if err == nil || !strings.Contains(err.Error(), want) || fault.Code(err) != fault.BadUsage {
			t.Errorf("%s: code %d, error %v; want %q", args, fault.Code(err), err, want)
		}
	}
}
