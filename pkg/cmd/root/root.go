// SPDX-License-Identifier: Apache-2.0

// Package root puts the commands together and runs them.
package root

import (
	"context"
	"flag"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/klog/v2"

	"github.com/workshopctl/workshopctl/pkg/cmd/completion"
	"github.com/workshopctl/workshopctl/pkg/cmd/delete"
	"github.com/workshopctl/workshopctl/pkg/cmd/deploy"
	"github.com/workshopctl/workshopctl/pkg/cmd/diff"
	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	hubcmd "github.com/workshopctl/workshopctl/pkg/cmd/hub"
	"github.com/workshopctl/workshopctl/pkg/cmd/list"
	"github.com/workshopctl/workshopctl/pkg/cmd/mirror"
	"github.com/workshopctl/workshopctl/pkg/cmd/render"
	"github.com/workshopctl/workshopctl/pkg/cmd/rollout"
	"github.com/workshopctl/workshopctl/pkg/cmd/sessions"
	"github.com/workshopctl/workshopctl/pkg/cmd/setimage"
	"github.com/workshopctl/workshopctl/pkg/cmd/status"
	"github.com/workshopctl/workshopctl/pkg/cmd/template"
	"github.com/workshopctl/workshopctl/pkg/cmd/url"
	"github.com/workshopctl/workshopctl/pkg/cmd/users"
	"github.com/workshopctl/workshopctl/pkg/cmd/version"
)

// Main runs the program and returns its exit code. The first Ctrl-C ends what
// the command is doing in good order, a second one ends the program.
func Main(args []string, streams genericiooptions.IOStreams, build factory.Build) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	f := factory.New(args, streams, version.Unlinked(build))
	cmd := NewCommand(f)
	if len(args) > 0 {
		cmd.SetArgs(args[1:])
	}
	err := cmd.ExecuteContext(ctx)
	fault.Write(streams.ErrOut, err, f.Reword)
	return fault.Code(err)
}

// The groups of commands in the help of the program.
const (
	groupWorkshop = "workshop"
	groupAttend   = "attend"
	groupFiles    = "files"
	groupOther    = "other"
)

// NewCommand returns the program's command with all others below it.
func NewCommand(f *factory.Factory) *cobra.Command {
	root := &cobra.Command{
		Use:   factory.Program,
		Short: "Multi-user workshops with a terminal in the browser, on your Kubernetes namespace",
		Long: `Multi-user workshops with a terminal in the browser, on your Kubernetes namespace.

Every attendee opens the same URL, logs in, and has a terminal of their own whose
files last. You need one namespace and no cluster-admin rights.`,
		Example: `  workshopctl deploy --terminal-image registry.example.com/team/my-terminal:v1 --host workshop.example.com
  workshopctl url
  workshopctl delete terminals`,
		Annotations:       map[string]string{cobra.CommandDisplayNameAnnotation: f.Name},
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	factory.Group(root)
	root.SetIn(f.In)
	root.SetOut(f.Out)
	root.SetErr(f.ErrOut)
	root.SetFlagErrorFunc(factory.FlagError)

	f.ConfigFlags.AddFlags(root.PersistentFlags())
	verbosity := root.PersistentFlags().IntP("v", "v", 0, "How much the Kubernetes client tells of what it does, 0 to 9; 6 shows its requests")
	root.PersistentPreRun = func(*cobra.Command, []string) { logging(*verbosity) }
	completeGlobals(f, root)

	root.AddGroup(
		&cobra.Group{ID: groupWorkshop, Title: "Workshops:"},
		&cobra.Group{ID: groupAttend, Title: "Attendees:"},
		&cobra.Group{ID: groupFiles, Title: "Files and changes:"},
		&cobra.Group{ID: groupOther, Title: "Other:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(groupWorkshop,
		deploy.NewCommand(f, nil),
		url.NewCommand(f, nil),
		status.NewCommand(f, nil),
		setimage.NewCommand(f, nil),
		rollout.NewCommand(f, rollout.Runs{}),
		list.NewCommand(f, nil),
		delete.NewCommand(f, nil),
	)
	add(groupAttend,
		sessions.NewCommand(f, sessions.Runs{}),
		sessions.NewLogs(f, nil),
		users.NewCommand(f, users.Runs{}),
		hubcmd.NewCommand(f, hubcmd.Runs{}),
	)
	add(groupFiles,
		diff.NewCommand(f, nil),
		render.NewCommand(f, nil),
		template.NewCommand(f, nil),
		mirror.NewCommand(f, mirror.Runs{}),
	)
	add(groupOther,
		completion.NewCommand(f, nil),
		newOptions(),
		version.NewCommand(f, nil),
	)
	root.SetHelpCommandGroupID(groupOther)
	for _, c := range root.Commands() {
		f.Commands = append(f.Commands, c.Name())
	}
	help(f, root)
	return root
}

// logging sets what the Kubernetes client tells on stderr. Without -v it is
// nothing: what matters of it comes back as an error.
func logging(verbosity int) {
	if verbosity <= 0 {
		klog.SetLogger(logr.Discard())
		return
	}
	flags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(flags)
	_ = flags.Set("v", strconv.Itoa(verbosity))
}
