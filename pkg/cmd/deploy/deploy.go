// SPDX-License-Identifier: Apache-2.0

// Package deploy is the command `deploy`.
package deploy

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/pkg/apply"
	"github.com/workshopctl/workshopctl/pkg/cmd/choice"
	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/output"
	"github.com/workshopctl/workshopctl/pkg/cmd/plan"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Values of --dry-run.
const (
	dryRunNone   = "none"
	dryRunClient = "client"
	dryRunServer = "server"
)

// Flags of the command.
type Flags struct {
	workshop choice.Flags
	dryRun   string
	carry    plan.Options
	format   output.Format
}

// Options are what the flags say.
type Options struct {
	// Name of the workshop.
	Name   string
	Change choice.Change
	// DryRun is none, client or server.
	DryRun string
	Carry  plan.Options
	Format output.Format
}

// NewCommand returns the command. A test may put its own run in place.
func NewCommand(f *factory.Factory, run factory.Run[*Options]) *cobra.Command {
	if run == nil {
		run = Run
	}
	flags := &Flags{}
	cmd := &cobra.Command{
		Use:   "deploy [NAME]",
		Short: "Deploy a workshop, or change a deployed one; prints its URL",
		Long: `Deploys a workshop to your namespace, waits until it is ready, and prints its URL.
The workshop is called NAME, or "` + workshop.DefaultName + `".

What you choose is kept in the cluster. A later deploy changes only what its flags
name; -f FILE replaces all of it, but for images without a default, the way in and
the kind of workload where the file leaves them out. Running sessions are not disturbed: they keep their image
and settings until they are started anew. Passwords stay as they are.

Defaults for workshops that are deployed for the first time come from
~/.config/workshopctl/config.yaml and from WORKSHOPCTL_* in the environment, with
the names of the flags (terminal-image: …, WORKSHOPCTL_TERMINAL_IMAGE) and "domain",
under which hosts of ingresses are named NAME-NAMESPACE.DOMAIN.

Before anything is written, a short-lived pod finds out whether the cluster can
pull the terminal image, and objects of the same names that aren't the workshop's
are refused.`,
		Example: `  # The first time
  workshopctl deploy --terminal-image registry.example.com/team/my-terminal:v1 --host workshop.example.com

  # Let idle sessions live longer, and give them more memory
  workshopctl deploy --idle-timeout 4h --memory-limit 1Gi

  # Pages of the terminal image beside the terminal, and attendees' own web apps
  workshopctl deploy --notes-path /opt/workshop/notes --port web=8080

  # All choices in one file
  workshopctl deploy -f workshop.yaml

  # What would it be?
  workshopctl deploy -f workshop.yaml --dry-run=client -o yaml

  # Logins at an OpenID Connect provider
  workshopctl deploy --auth oidc --oidc-issuer https://login.example.com/realms/class \
    --oidc-client-id workshop --oidc-client-secret-file secret.txt

  # In a script: the URL alone is on stdout
  url=$(workshopctl deploy class --auth anonymous --timeout 10m)`,
		Args:              factory.Args("[NAME]"),
		ValidArgsFunction: f.CompleteWorkshops,
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := flags.ToOptions(f, cmd, args)
			if err != nil {
				return err
			}
			if err := o.Validate(); err != nil {
				return err
			}
			return run(cmd.Context(), f, o)
		},
	}
	flags.workshop.AddTo(cmd)
	fs := cmd.Flags()
	factory.StringFlag(cmd, &flags.dryRun, "dry-run", dryRunNone, "`none|client|server`: print the objects (client), or let the API server check them (server)",
		dryRunNone, dryRunClient, dryRunServer)
	fs.BoolVar(&flags.carry.Wait, "wait", true, "Wait until the workshop is ready")
	flags.carry.AddFlags(cmd)
	fs.BoolVar(&flags.carry.TakeOwnership, "take-ownership", false, "Take over a workshop of this name that was applied from a Template or a file, and overwrite what is different about it")
	flags.format.AddFlag(cmd, output.JSON, output.YAML, output.Name)
	return cmd
}

// ToOptions reads flags and arguments.
func (flags *Flags) ToOptions(f *factory.Factory, cmd *cobra.Command, args []string) (*Options, error) {
	change, err := flags.workshop.ToChange(cmd.Flags(), f.In)
	if err != nil {
		return nil, err
	}
	arg := ""
	if len(args) > 0 {
		arg = args[0]
	}
	name, err := plan.NameOf(arg, change)
	if err != nil {
		return nil, err
	}
	if name == "" {
		name = workshop.DefaultName
	}
	return &Options{
		Name: name, Change: change, DryRun: flags.dryRun, Carry: flags.carry, Format: flags.format,
	}, nil
}

// Validate checks what can be checked without the cluster.
func (o *Options) Validate() error {
	switch o.DryRun {
	case dryRunNone, dryRunClient, dryRunServer:
	default:
		return fault.Usage("--dry-run: choose one of none, client, server, not %q", o.DryRun)
	}
	return errors.Join(o.Carry.Validate(), workshop.ValidateName(o.Name), o.Format.Validate())
}

// Run deploys.
func Run(ctx context.Context, f *factory.Factory, o *Options) error {
	if o.DryRun == dryRunClient {
		return dryRun(ctx, f, o)
	}
	c, err := f.Cluster()
	if err != nil {
		return err
	}
	p, err := plan.Make(ctx, f, c, plan.Request{Verb: "deploy", Name: o.Name, Change: o.Change})
	if err != nil {
		return err
	}
	return Finish(ctx, f, c, p, o)
}

// Finish carries a plan out and prints where the workshop is.
func Finish(ctx context.Context, f *factory.Factory, c *factory.Cluster, p *plan.Plan, o *Options) error {
	say := f.Progress()
	carry := o.Carry
	carry.DryRun = o.DryRun == dryRunServer
	r, err := plan.Carry(ctx, f, c, p, carry, say)
	if err != nil {
		return err
	}
	if o.DryRun == dryRunServer {
		if o.Format.Machine() {
			return printObjects(f, o, p)
		}
		table := output.Table{Header: []string{"OBJECT", "ACTION"}}
		for _, result := range r.Results {
			table.Add(result.Ref.String(), string(result.Action))
		}
		return table.Write(f.Out)
	}
	if err := o.Format.Print(f.Out, resultOf(p, r), []string{output.WorkshopName(p.Spec.Name)}, func(bool) error {
		if p.Spec.URL() == "" {
			return nil
		}
		_, err := fmt.Fprintln(f.Out, p.Spec.URL())
		return err
	}); err != nil {
		return err
	}
	howToGoOn(f, p, o.Carry.Wait)
	return nil
}

// Deployed is what `deploy -o json` prints.
type Deployed struct {
	Name      string          `json:"name"`
	Namespace string          `json:"namespace"`
	URL       string          `json:"url,omitempty"`
	Revision  int             `json:"revision"`
	Changed   bool            `json:"changed"`
	Spec      workshop.Spec   `json:"spec"`
	Objects   []DeployedEntry `json:"objects"`
}

// DeployedEntry is what happened to one object.
type DeployedEntry struct {
	APIVersion string       `json:"apiVersion"`
	Kind       string       `json:"kind"`
	Name       string       `json:"name"`
	Action     apply.Action `json:"action"`
}

func resultOf(p *plan.Plan, r plan.Result) Deployed {
	d := Deployed{Name: p.Spec.Name, Namespace: p.Namespace, URL: p.Spec.URL(), Revision: p.Record.Revision(), Changed: r.Changed, Spec: p.Spec}
	for _, o := range r.Results {
		d.Objects = append(d.Objects, DeployedEntry{APIVersion: o.Ref.APIVersion, Kind: o.Ref.Kind, Name: o.Ref.Name, Action: o.Action})
	}
	return d
}

// howToGoOn tells how to log in and what to do next.
func howToGoOn(f *factory.Factory, p *plan.Plan, waited bool) {
	flag := f.On(p.Spec.Name)
	if !waited {
		f.Say("Wait until it is ready with: workshopctl rollout status%s", flag)
	}
	if p.Spec.URL() == "" {
		f.Say("The workshop has no URL of its own. Open a way in from this machine with: workshopctl url --forward%s", flag)
	}
	switch user, _ := p.Passwords(); {
	case p.Spec.Auth == workshop.AuthOpenShift && len(p.Spec.AllowedUsers)+len(p.Spec.AllowedGroups) > 0:
		f.Say("Log in:    with an account of the cluster that is on the list")
	case p.Spec.Auth == workshop.AuthOpenShift:
		f.Say("Log in:    with any account of the cluster (--allowed-users and --allowed-groups set limits)")
	case p.Spec.Auth == workshop.AuthOIDC:
		f.Say("Log in:    with an account at %s", p.Spec.OIDC.IssuerURL)
		f.Say("           The provider must know where to send people back to (redirect URI): %s", p.Spec.CallbackURL())
	case p.Spec.Auth == workshop.AuthAnonymous:
		f.Say("Log in:    nothing to type; each browser gets a session of its own")
	case user != "":
		who := "a name of your choice"
		if len(p.Spec.AllowedUsers) > 0 {
			who = "one of the allowed names"
		}
		f.Say("Log in:    %s, password  %s", who, user)
		if len(p.Spec.AdminUsers) > 0 {
			f.Say("Admins:    their password is shown by: workshopctl status --show-passwords%s", flag)
		}
	}
	f.Say("Look:      workshopctl sessions list%s", flag)
}
