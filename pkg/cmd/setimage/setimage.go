// SPDX-License-Identifier: Apache-2.0

// Package setimage is the command `set-image`.
package setimage

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/pkg/cmd/ask"
	"github.com/workshopctl/workshopctl/pkg/cmd/choice"
	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/output"
	"github.com/workshopctl/workshopctl/pkg/cmd/plan"
	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/session"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Values of --restart.
const (
	restartNone = "none"
	restartIdle = "idle"
	restartAll  = "all"
)

// Options of the command.
type Options struct {
	factory.WorkshopOptions
	Image workshop.Image
	// Restart is which running sessions get the image at once.
	Restart string
	Yes     bool
	plan.Options
}

// NewCommand returns the command. A test may put its own run in place.
func NewCommand(f *factory.Factory, run factory.Run[*Options]) *cobra.Command {
	o := &Options{Options: plan.Options{Wait: true}}
	do := factory.RunE(f, o, run, Run)
	cmd := &cobra.Command{
		Use:   "set-image [IMAGE]",
		Short: "Change the image of new sessions; running ones go on undisturbed",
		Long: `Changes the image that new sessions run, and waits until the hub has it. Running
sessions and their terminals are not disturbed: they get the image when they are
started anew. --restart starts some of them anew at once, and waits until they are
ready.

A name without a slash is that of an image stream, if the project has one of that
name: sessions then run what its tag has when they start, so that "oc tag" alone
gives new sessions another image. --image-stream says so outright, and reaches the
image streams of other projects.`,
		Example: `  workshopctl set-image registry.example.com/team/my-terminal:v2

  # A tag of an image stream of this project, or of another one
  workshopctl set-image my-terminal:v2
  workshopctl set-image --image-stream images/my-terminal:v2

  # And start those sessions anew that nobody is using
  workshopctl set-image registry.example.com/team/my-terminal:v2 --restart idle`,
		Args: factory.Args("[IMAGE]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.Image.Name = args[0]
			}
			return do(cmd, args)
		},
	}
	cmd.ValidArgsFunction = completeImages(f, &o.Workshop)
	o.WorkshopOptions.AddFlags(f, cmd)
	cmd.Flags().StringVar(&o.Image.Stream, choice.FlagImageStream, "", "Image stream tag, `[PROJECT/]NAME[:TAG]`, in place of IMAGE")
	_ = cmd.RegisterFlagCompletionFunc(choice.FlagImageStream, f.CompleteStreamTags)
	factory.StringFlag(cmd, &o.Restart, "restart", restartNone, "Which running sessions to start anew with the image: none, idle or all. What runs in their terminals is lost, files stay",
		restartNone, restartIdle, restartAll)
	cmd.Flags().BoolVarP(&o.Yes, "yes", "y", false, "Don't ask before sessions are started anew")
	o.Options.AddFlags(cmd)
	return cmd
}

// Validate checks what can be checked without the cluster.
func (o *Options) Validate() error {
	switch {
	case o.Image == workshop.Image{}:
		return fault.Usage("set-image needs IMAGE, or an image stream tag with --%s", choice.FlagImageStream)
	case o.Image.Name != "" && o.Image.Stream != "":
		return fault.Usage("IMAGE and --%s both say which image sessions run; leave one of them out", choice.FlagImageStream)
	}
	switch o.Restart {
	case restartNone, restartIdle, restartAll:
	default:
		return fault.Usage("--restart: choose one of none, idle, all, not %q", o.Restart)
	}
	return errors.Join(o.WorkshopOptions.Validate(), o.Options.Validate())
}

// Run changes the image.
func Run(ctx context.Context, f *factory.Factory, o *Options) error {
	c, record, err := o.Load(ctx, f)
	if err != nil {
		return err
	}
	name := record.Spec.Name
	change := choice.Change{Values: map[string]string{choice.FlagTerminalImage: o.Image.Name}}
	if o.Image.Name == "" {
		change.Values = map[string]string{choice.FlagImageStream: o.Image.Stream}
	}
	p, err := plan.Make(ctx, f, c, plan.Request{Verb: "set-image", Name: name, Record: record, Change: change})
	if err != nil {
		return err
	}
	var affected []session.Session
	if o.Restart != restartNone {
		if p.SessionErr != nil { // they would not come back
			return fmt.Errorf("set-image %s: %w", name, p.SessionErr)
		}
		if affected, err = toRestart(ctx, c, p, o); err != nil {
			return err
		}
		if len(affected) > 0 {
			q := fmt.Sprintf("Start %s of %s anew? What runs in their terminals is lost.", sessions(len(affected)), users(affected))
			if err := ask.Confirm(ctx, f, o.Yes, q); err != nil {
				return err
			}
		}
	}
	say := f.Progress()
	if _, err := plan.Carry(ctx, f, c, p, o.Options, say); err != nil {
		return err
	}
	f.Say("New sessions run %s.", says(p))
	switch {
	case len(affected) > 0:
		return restart(ctx, f, c, p, affected, o.Timeout)
	case o.Restart == restartNone && !p.ForgetsSessions():
		f.Say("Running sessions keep their image until they are started anew.")
	}
	return nil
}

// says is what new sessions run.
func says(p *plan.Plan) string {
	named := p.Spec.Image().String()
	switch {
	case p.SessionErr != nil:
		return named + ", once it is there"
	case p.Session.Tag == nil:
		return named
	}
	return fmt.Sprintf("what image stream tag %s has when they start, now %s", named, p.Session.Short())
}

// completeImages completes image stream tags of the project, and the images
// that the workshop has had.
func completeImages(f *factory.Factory, name *string) factory.Complete {
	history := f.CompleteRecord(name, func(r *record.Record) []string {
		var images []string
		for _, revision := range slices.Backward(r.History) {
			if image := revision.Spec.TerminalImage; image != "" && !slices.Contains(images, image) {
				images = append(images, image)
			}
		}
		return images
	})
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		tags, _ := f.CompleteStreamTags(cmd, args, word)
		images, directive := history(cmd, args, word)
		images = slices.DeleteFunc(images, func(image string) bool { return slices.Contains(tags, image) })
		return slices.Concat(tags, images), directive
	}
}

// toRestart lists the running sessions that have another image.
func toRestart(ctx context.Context, c *factory.Cluster, p *plan.Plan, o *Options) ([]session.Session, error) {
	overview, err := c.Sessions(ctx, p.Spec)
	if err != nil {
		return nil, err
	}
	if overview.HubError != nil {
		return nil, fault.Hint(fmt.Errorf("find out which sessions are %s: %w", o.Restart, overview.HubError), "Without --restart, set-image needs no running hub.")
	}
	var out []session.Session
	for _, s := range overview.Sessions {
		if s.Image != p.Session.Reference && (s.State == session.Idle || o.Restart == restartAll && s.State == session.Running) {
			out = append(out, s)
		}
	}
	return out, nil
}

func sessions(n int) string { return output.Count(n, "running session") }

func users(list []session.Session) string {
	names := make([]string, len(list))
	for i, s := range list {
		names[i] = s.User
	}
	return output.Some(names)
}
