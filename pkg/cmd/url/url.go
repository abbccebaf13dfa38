// SPDX-License-Identifier: Apache-2.0

// Package url is the command `url`.
package url

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/cli/browser"
	"github.com/mdp/qrterminal/v3"
	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/output"
	"github.com/workshopctl/workshopctl/pkg/cmd/plan"
	"github.com/workshopctl/workshopctl/pkg/forward"
	"github.com/workshopctl/workshopctl/pkg/rollout"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// proxyPort that the proxy listens on for browsers.
const proxyPort = 8000

// Options of the command.
type Options struct {
	factory.WorkshopOptions
	Open    bool
	QR      bool
	Forward bool
	// Port of this machine for Forward; 0 for any.
	Port   int
	Format output.Format
}

// NewCommand returns the command. A test may put its own run in place.
func NewCommand(f *factory.Factory, run factory.Run[*Options]) *cobra.Command {
	o := &Options{}
	cmd := &cobra.Command{
		Use:   "url",
		Short: "Print the URL of a workshop",
		Long: `Prints the URL that attendees open.

Where that is a route's, it is printed as soon as a router serves it; a route that
the router refuses, because its host is taken, is explained.

A workshop without a way in from outside (deployed with --expose none) has none;
--forward opens one from this machine alone, for as long as the command runs.`,
		Example: `  workshopctl url
  workshopctl url --open

  # For a slide or a phone
  workshopctl url --qr

  # Without an ingress: until Ctrl-C
  workshopctl url --forward --port 8080`,
		Args: factory.Args(),
		RunE: factory.RunE(f, o, run, Run),
	}
	o.AddFlags(f, cmd)
	cmd.Flags().BoolVar(&o.Open, "open", false, "Open it in your browser")
	cmd.Flags().BoolVar(&o.QR, "qr", false, "Draw it as a QR code as well")
	cmd.Flags().BoolVar(&o.Forward, "forward", false, "Open a way in from this machine, until Ctrl-C, and print its URL")
	cmd.Flags().IntVar(&o.Port, "port", 0, "`PORT` of this machine for --forward (default any that is free)")
	o.Format.AddFlag(cmd, output.JSON, output.YAML)
	return cmd
}

// Validate checks what can be checked without the cluster.
func (o *Options) Validate() error {
	if o.Port != 0 && !o.Forward {
		return fault.Usage("--port is of use with --forward only")
	}
	if o.Port < 0 || o.Port > 65535 {
		return fault.Usage("--port: there is no port %d", o.Port)
	}
	if o.QR && o.Format.Machine() {
		return fault.Usage("--qr and --output exclude each other")
	}
	return errors.Join(o.WorkshopOptions.Validate(), o.Format.Validate())
}

// Address is what `url -o json` prints.
type Address struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	URL       string `json:"url"`
}

// Run prints the URL.
func Run(ctx context.Context, f *factory.Factory, o *Options) error {
	c, record, err := o.Load(ctx, f)
	if err != nil {
		return err
	}
	if o.Forward {
		// The hub sends browsers that come by another address on to its own.
		if url := record.Spec.URL(); url != "" {
			return fault.Usage("workshop %s has a URL of its own, %s; --forward is for workshops deployed with --expose none", record.Spec.Name, url)
		}
		return forwardTo(ctx, f, c, record.Spec, o)
	}
	if record.Spec.Expose == workshop.ExposeRoute {
		url, err := routeURL(ctx, f, c, record.Spec)
		if err != nil {
			return fmt.Errorf("url of %s: %w", record.Spec.Name, err)
		}
		return show(f, c, record.Spec.Name, url, o)
	}
	if record.Spec.URL() == "" {
		return fault.Hint(fmt.Errorf("workshop %s is deployed with --expose none and has no URL of its own", record.Spec.Name),
			"Open a way in from this machine with: workshopctl url --forward"+f.On(record.Spec.Name))
	}
	return show(f, c, record.Spec.Name, record.Spec.URL(), o)
}

// routeURL is the URL of a Route, which is one request where a router serves
// it already. Else it waits for that, or for the reason why not.
func routeURL(ctx context.Context, f *factory.Factory, c *factory.Cluster, spec workshop.Spec) (string, error) {
	route, err := c.Rollout().Routes.Routes(c.Namespace).Get(ctx, workshop.Names(spec.Name).Ingress(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", fault.Hint(errors.New("its route does not exist"), "Make it anew with: workshopctl deploy "+spec.Name+f.Where())
	}
	if err != nil {
		return "", err
	}
	if !rollout.Admitted(route) {
		say := f.Progress()
		say.Step("Waiting for a router to serve %s", route.Spec.Host)
		err := rollout.WaitRoute(ctx, c.Rollout(), rollout.Target{Namespace: c.Namespace, Spec: spec}, nil)
		say.Stop(err)
		if err != nil {
			return "", err
		}
	}
	if host, _ := workshop.SplitHost(spec.Host); host != route.Spec.Host {
		spec.Host = route.Spec.Host // somebody has made the route anew
	}
	return spec.URL(), nil
}

func show(f *factory.Factory, c *factory.Cluster, name, url string, o *Options) error {
	err := o.Format.Print(f.Out, Address{Name: name, Namespace: c.Namespace, URL: url}, nil, func(bool) error {
		_, err := fmt.Fprintln(f.Out, url)
		return err
	})
	if err != nil {
		return err
	}
	if o.QR {
		qrterminal.GenerateHalfBlock(url, qrterminal.L, f.Out)
	}
	if o.Open {
		browser.Stdout, browser.Stderr = f.ErrOut, f.ErrOut // stdout is for the URL
		if err := browser.OpenURL(url); err != nil {
			return fault.Hint(fmt.Errorf("open a browser: %w", err), "Open the URL above by hand.")
		}
	}
	return nil
}

// forwardTo holds a way in through the API server until the context ends.
func forwardTo(ctx context.Context, f *factory.Factory, c *factory.Cluster, spec workshop.Spec, o *Options) error {
	dialer := forward.New(c.Config, c.Kubernetes, c.Namespace, workshop.Names(spec.Name), workshop.ComponentProxy, proxyPort)
	// What can't work is said now, not to the first browser.
	if err := plan.Answers(ctx, "http://localhost/", dialer.DialContext); err != nil {
		var none *forward.NoPodError
		if errors.As(err, &none) {
			return fault.Hint(err, "This says why: workshopctl status"+f.On(spec.Name))
		}
		return fault.Hint(fmt.Errorf("workshop %s does not answer: %w", spec.Name, err), "This says more: workshopctl status"+f.On(spec.Name))
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(o.Port)))
	if err != nil {
		return fault.Hint(fmt.Errorf("listen on this machine: %w", err), "Choose another --port, or none for any that is free.")
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return err
	}
	if err := show(f, c, spec.Name, "http://localhost:"+port+"/", o); err != nil {
		return err
	}
	f.Say("Only this machine reaches it, until you press Ctrl-C.")
	err = dialer.Serve(ctx, listener, func(err error) { f.Say("A connection failed: %v", err) })
	if ctx.Err() != nil {
		return nil //nolint:nilerr // Ctrl-C is the way to end it
	}
	return err
}
