// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/output"
	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/inside"
	"github.com/workshopctl/workshopctl/pkg/session"
)

// MessageOptions of `sessions message`.
type MessageOptions struct {
	insideOptions
	Text string
	// For is how long pages that are opened later show it, too.
	For time.Duration
}

func newMessage(f *factory.Factory, run factory.Run[*MessageOptions]) *cobra.Command {
	o := &MessageOptions{}
	do := factory.RunE(f, o, run, Message)
	cmd := &cobra.Command{
		Use:   "message (" + targetUse + ") TEXT",
		Short: "Show attendees a message in their terminals",
		Long: `Shows a message above the terminal of each attendee who is meant, on every page
that they have open, until they dismiss it. Pages that are opened within --for show
it, too, unless it was dismissed in that browser. It is plain text of at most 500
characters and 10 lines.

It says who has no page open. You need the right to exec into the sessions' pods
(create and get of pods/exec), which the roles edit and admin have. Only --idle asks
the hub.`,
		Example: `  workshopctl sessions message --all "Back at 13:30. Exercise 3 is in your folder."
  workshopctl sessions message jane joe "Please push your solution." --for 1h`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.read(cmd, args[:len(args)-1])
			o.Text = args[len(args)-1]
			return do(cmd, args)
		},
	}
	o.AddFlags(f, cmd, "Tell")
	cmd.Flags().DurationVar(&o.For, "for", 15*time.Minute, "For how long pages that are opened later show it, as a `DURATION`")
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fault.Usage("%s needs TEXT", cmd.CommandPath())
		}
		return nil
	}
	return cmd
}

// Validate checks what can be checked without the cluster.
func (o *MessageOptions) Validate() error {
	o.Text = strings.TrimSpace(explain.Clean(o.Text))
	switch {
	case o.Text == "":
		return fault.Usage("the message has no text")
	case len([]rune(o.Text)) > inside.MaxMessage:
		return fault.Usage("the message has %d characters; %d are possible", len([]rune(o.Text)), inside.MaxMessage)
	case strings.Count(o.Text, "\n") >= inside.MaxMessageLines:
		return fault.Usage("the message has more than %d lines", inside.MaxMessageLines)
	case o.For < 0 || o.For > 24*time.Hour:
		return fault.Usage("--for: must be between 0s and 24h")
	}
	target := o.Target.Validate()
	if target != nil && len(o.Users) == 0 {
		target = fault.Hint(target, "The last argument is the text, those before it are users.")
	}
	return errors.Join(o.WorkshopOptions.Validate(), target, o.atOnce.Validate(), o.Format.Validate())
}

// MessageResult is whom the message has come to.
type MessageResult struct {
	User string `json:"user"`
	// Pages of this session that were open, and show it.
	Pages int    `json:"pages"`
	Error string `json:"error,omitempty"`
}

// Message shows the message.
func Message(ctx context.Context, f *factory.Factory, o *MessageOptions) error {
	c, list, err := o.meant(ctx, f)
	if err != nil || o.nobody(f, list) {
		return err
	}
	results := make([]MessageResult, len(list))
	in := within(c)
	errs := o.each(ctx, list, func(ctx context.Context, i int, s session.Session) (err error) {
		results[i].Pages, err = in.Message(ctx, s.Pod, o.Text, o.For)
		return err
	})
	var away []string
	for i, err := range errs {
		results[i].User = list[i].User
		switch {
		case err != nil:
			results[i].Error = brief(err)
		case results[i].Pages == 0:
			away = append(away, list[i].User)
		}
	}
	if len(away) > 0 && o.Format.Is("") {
		f.Say("No page is open at %s: who opens one within %s sees it then.", explain.Clean(output.Some(away)), strings.TrimSuffix(strings.TrimSuffix(o.For.String(), "0s"), "0m"))
	}
	return o.summary(f, c.Namespace, "told", usersOf(list), errs, results)
}
