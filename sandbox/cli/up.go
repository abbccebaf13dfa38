// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/sandbox/build"
	"github.com/workshopctl/workshopctl/sandbox/host"
	"github.com/workshopctl/workshopctl/sandbox/image"
	"github.com/workshopctl/workshopctl/sandbox/node"
	"github.com/workshopctl/workshopctl/sandbox/supervise"
)

type upOptions struct {
	streams      Streams
	name         string
	source       string
	controlPlane bool
	openshift    bool
	simulated    int // nodes
	images       []string
	cli          image.Built // image of the stream openshift/cli, once it is pushed
	timeout      time.Duration
	ports        node.Ports
	fixed        map[string]bool // flags that were given
	start        time.Time
	printing     sync.Mutex
}

// Ports that the first sandbox of a machine gets; others get free ones.
var defaultPorts = node.Ports{API: 6443, HTTP: 8080, HTTPS: 8443}

var allImages = []string{image.Pause, image.Terminal1, image.Terminal2, image.Ash, image.Gateway, image.Proxy, image.Hub5, image.Hub6}

func newUp(streams Streams) *cobra.Command {
	o := &upOptions{streams: streams}
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start a sandbox, or bring it up to date",
		Long: `Start a sandbox, and wait until it works. What is running already stays; what
has changed in the checkout since is built and replaced. The first time, it
compiles Kubernetes and builds images: some fifteen minutes on two processors,
kept in ~/.cache/workshop-sandbox.`,
		Example: `  workshop-sandbox up
  eval "$(workshop-sandbox env)"
  kubectl get nodes`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.fixed = map[string]bool{}
			for _, flag := range []string{"api-port", "http-port", "https-port", "registry-port", "openshift", "simulated-nodes"} {
				o.fixed[flag] = cmd.Flags().Changed(flag)
			}
			if err := o.validate(); err != nil {
				return err
			}
			return o.run(cmd.Context())
		},
	}
	nameFlag(cmd, &o.name)
	f := cmd.Flags()
	f.StringVar(&o.source, "source", "", "checkout of workshopctl to build from (default: $WORKSHOP_SANDBOX_SOURCE, else the one around the working directory or this program)")
	f.BoolVar(&o.controlPlane, "control-plane", false, "start only etcd, the API server and its controllers, empty, for tests")
	f.BoolVar(&o.openshift, "openshift", false, "speak OpenShift: its API groups, login, routes, image streams and security context constraints")
	f.IntVar(&o.simulated, "simulated-nodes", 0, fmt.Sprintf("with --control-plane: have this many nodes where pods get ready and nothing runs, each with room for %d", node.SimulatedPods))
	f.StringSliceVar(&o.images, "images", allImages, "images to have in the registry, or none")
	f.DurationVar(&o.timeout, "timeout", 5*time.Minute, "how long it may take to become ready, after all is built")
	f.IntVar(&o.ports.API, "api-port", 0, "port of 127.0.0.1 for the API server (default: the last one, 6443, or a free one)")
	f.IntVar(&o.ports.HTTP, "http-port", 0, "port for the ingress, http (default: the last one, 8080, or a free one)")
	f.IntVar(&o.ports.HTTPS, "https-port", 0, "port for the ingress, https (default: the last one, 8443, or a free one)")
	f.IntVar(&o.ports.Registry, "registry-port", 0, "port for the registry (default: the last one, or a free one)")
	// A detached sandbox is what there is; scripts may say so.
	f.Bool("detach", true, "leave it running in the background")
	_ = f.MarkHidden("detach")
	return cmd
}

// validate checks what can be checked without looking at the machine.
func (o *upOptions) validate() error {
	switch {
	case o.simulated < 0:
		return usageError{fmt.Errorf("--simulated-nodes: must be the number of nodes, not %d", o.simulated)}
	case o.simulated > 0 && !o.controlPlane:
		return usageError{errors.New("--simulated-nodes: a whole sandbox has a real node; add --control-plane")}
	case o.simulated > 0 && o.openshift:
		return usageError{errors.New("--simulated-nodes and --openshift exclude each other")}
	}
	return nil
}

// step prints a line of progress with the time since the start.
func (o *upOptions) step(format string, args ...any) {
	o.printing.Lock()
	defer o.printing.Unlock()
	fmt.Fprintf(o.streams.Err, "%6.1fs  %s\n", time.Since(o.start).Seconds(), fmt.Sprintf(format, args...))
}

func (o *upOptions) run(ctx context.Context) error {
	o.start = time.Now()
	dirs, err := dirsOf(o.name)
	if err != nil {
		return err
	}
	last, err := node.LoadConfig(dirs.ConfigFile())
	if err != nil {
		return err
	}
	if o.simulated > 0 && last.OpenShift {
		return usageError{fmt.Errorf("sandbox %s speaks OpenShift, and --simulated-nodes is for one that doesn't: take it down first, with: %s down --name %s", o.name, filepath.Base(os.Args[0]), o.name)}
	}
	if last.OpenShift && !o.openshift {
		if o.fixed["openshift"] {
			return usageError{fmt.Errorf("sandbox %s speaks OpenShift, and objects in it need that: take it down first, with: %s down --name %s", o.name, filepath.Base(os.Args[0]), o.name)}
		}
		o.openshift = true
	}
	o.chooseImages()
	src, srcErr := source(o.source)
	cache, cacheErr := host.CacheDir()
	more := append(o.busyPorts(ctx, dirs), srcErr, cacheErr)
	if err := host.Preflight(host.ThisMachine(), o.need(dirs, cache), more...); err != nil {
		return err
	}
	lock, err := host.Acquire(dirs.Lock, strings.Join(append([]string{filepath.Base(os.Args[0])}, os.Args[1:]...), " "))
	if err != nil {
		return fmt.Errorf("start sandbox %s: %w", o.name, err)
	}
	defer lock.Release()
	if err := o.up(ctx, dirs, src, cache); err != nil {
		err = fmt.Errorf("start sandbox %s: %w", o.name, err)
		if _, statErr := os.Stat(dirs.Logs()); statErr == nil {
			err = fmt.Errorf("%w\nLook closer with: %s logs --name %s", err, os.Args[0], o.name)
		}
		return err
	}
	return nil
}

// chooseImages adds those without which no pod runs, and no DeploymentConfig
// gets any.
func (o *upOptions) chooseImages() {
	if len(o.images) == 1 && o.images[0] == "none" {
		o.images = nil
		return
	}
	add := func(names ...string) {
		for _, name := range names {
			if !slices.Contains(o.images, name) {
				o.images = append([]string{name}, o.images...)
			}
		}
	}
	if o.openshift {
		if slices.Equal(o.images, allImages) {
			add(image.CLI)
		}
		add(image.Deployer)
	}
	add(image.Pause)
}

// need: figures are what a first run was seen to take, and some more.
func (o *upOptions) need(dirs host.Dirs, cache string) host.Need {
	need := host.Need{Programs: host.ControlPlanePrograms, GoTool: true, Disk: map[string]uint64{dirs.State: 500e6}}
	if o.openshift {
		need.Programs = slices.Concat(need.Programs, host.IngressPrograms)
	}
	if o.controlPlane {
		return need
	}
	need.Disk[dirs.State] = 5e9
	need.Programs = slices.Concat(host.ControlPlanePrograms, host.IngressPrograms, host.NodePrograms)
	if len(o.images) > 0 {
		need.Programs = append(need.Programs, host.BuildPrograms...)
	}
	if _, err := os.Stat(filepath.Join(cache, "programs")); err != nil {
		need.Disk[cache] = 10e9
	}
	return need
}

// up does two things at the same time, as each has its waits: it builds the
// programs and starts the sandbox, and it builds the images and pushes them
// once there is a registry. A failure of either stops the other.
func (o *upOptions) up(ctx context.Context, dirs host.Dirs, src, cache string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var work sync.WaitGroup
	ready := ready{registry: make(chan string, 1), programs: make(chan node.Programs, 1)}
	work.Go(func() {
		if err := o.startSandbox(ctx, dirs, src, cache, ready); err != nil {
			cancel(err) // the first cause is kept
		}
	})
	if !o.controlPlane && len(o.images) > 0 {
		work.Go(func() {
			if err := o.loadImages(ctx, dirs, src, cache, ready); err != nil {
				cancel(err)
			}
		})
	}
	work.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	switch {
	case o.openshift && o.cli.Ref != "":
		if err := tagCLI(ctx, dirs, o.cli); err != nil {
			return err
		}
	case !o.openshift && !o.controlPlane: // bootstrap does it for OpenShift
		if err := node.EnsureTrainer(ctx, dirs); err != nil {
			return fmt.Errorf("give the trainer a namespace: %w", err)
		}
	}
	o.summary(dirs)
	return nil
}

// tagCLI points the image stream that everybody may use to the image.
func tagCLI(ctx context.Context, dirs host.Dirs, built image.Built) error {
	img, err := layoutImage(built.Layout)
	if err != nil {
		return err
	}
	return node.TagCLI(ctx, dirs, img)
}

// ready is what the images wait for.
type ready struct {
	programs chan node.Programs // once they are compiled
	registry chan string        // its address, once it answers
}

// loadImages brings the images into the registry and notes their names.
func (o *upOptions) loadImages(ctx context.Context, dirs host.Dirs, src, cache string, ready ready) error {
	opts := image.Options{Source: src, CacheDir: filepath.Join(cache, "images"), Log: o.step}
	ofPrograms, others := image.OfPrograms(o.images)
	images, err := image.Build(ctx, opts, others)
	if err != nil {
		return err
	}
	if len(ofPrograms) > 0 {
		select {
		case programs := <-ready.programs:
			opts.Programs = map[string]string{"oc": programs.OC}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		more, err := image.Build(ctx, opts, ofPrograms)
		if err != nil {
			return err
		}
		images = append(images, more...)
	}
	var addr string
	select {
	case addr = <-ready.registry:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	refs := make([]string, 0, len(images))
	for _, b := range images {
		if err := image.Push(ctx, b, addr); err != nil {
			return fmt.Errorf("push %s: %w", b.Ref, err)
		}
		refs = append(refs, b.Ref)
		if b.Name == image.CLI {
			o.cli = b
		}
	}
	o.step("%d images are in the registry", len(images))
	data, err := json.Marshal(refs)
	if err != nil {
		return err
	}
	return host.WriteFile(dirs.ImagesFile(), data, 0o644)
}

// startSandbox builds the programs, starts the sandbox and waits for it.
func (o *upOptions) startSandbox(ctx context.Context, dirs host.Dirs, src, cache string, ready ready) error {
	client := node.NewClient(dirs)
	status, err := client.Status(ctx)
	if err != nil {
		return err
	}
	old := status.Config
	// A running sandbox may have more than was asked for.
	controlPlane := o.controlPlane && (old.ControlPlane || !status.Running)
	if o.simulated > 0 && !controlPlane {
		return usageError{fmt.Errorf("it has a real node already, which simulated ones can't join: take it down first, with: %s down --name %s", filepath.Base(os.Args[0]), o.name)}
	}
	if controlPlane && status.Running && !o.fixed["simulated-nodes"] {
		o.simulated = old.SimulatedNodes
	}
	cfg, err := o.config(ctx, src, cache, controlPlane)
	if err != nil {
		return err
	}
	ready.programs <- cfg.Programs
	cfg.Ports = o.wanted(old.Ports)
	if status.Running {
		switch {
		case cfg == old && status.Healthy:
			o.step("%s is running and healthy", o.name)
			ready.registry <- registryAddress(status.Ports)
			return nil
		case cfg == old && status.Units != nil:
			o.step("%s is running and not healthy yet", o.name)
			return o.wait(ctx, dirs, client, ready.registry)
		case status.Units != nil && cfg.Executable == old.Executable && cfg.ControlPlane == old.ControlPlane && cfg.OpenShift == old.OpenShift && cfg.SimulatedNodes == old.SimulatedNodes && cfg.Ports == old.Ports:
			o.step("%s is running; restarting what has changed", o.name)
			if err := cfg.Save(dirs.ConfigFile()); err != nil {
				return err
			}
			if err := prepare(cfg, dirs); err != nil {
				return err
			}
			if err := client.Reload(ctx); err != nil {
				return err
			}
			return o.wait(ctx, dirs, client, ready.registry)
		}
		o.step("%s is running and has changed; restarting it", o.name)
	}
	if err := stop(ctx, dirs, status.Running); err != nil {
		return err
	}
	if err := o.spawn(ctx, dirs, cfg, old.Ports); err != nil {
		return err
	}
	return o.wait(ctx, dirs, client, ready.registry)
}

// config says what should run, and builds what that needs.
func (o *upOptions) config(ctx context.Context, src, cache string, controlPlane bool) (node.Config, error) {
	cfg := node.Config{Name: o.name, ControlPlane: controlPlane, OpenShift: o.openshift, SimulatedNodes: o.simulated}
	exe, err := os.Executable()
	if err != nil {
		return cfg, err
	}
	if cfg.Executable, err = build.HashFile(exe); err != nil {
		return cfg, err
	}
	builder := build.Builder{Source: src, CacheDir: cache, Log: o.step}
	type needed struct {
		program build.Program
		path    *string
	}
	p := &cfg.Programs
	programs := []needed{{build.Kube, &p.Kube}}
	if !controlPlane {
		programs = append(programs, needed{build.DNS, &p.DNS}, needed{build.Registry, &p.Registry})
	}
	if o.simulated > 0 {
		programs = append(programs, needed{build.KWOK, &p.KWOK})
	}
	if o.openshift {
		programs = append(programs, needed{build.OpenShiftKubeAPIServer, &p.KubeAPIServer}, needed{build.OpenShiftAPIServer, &p.OpenShiftAPIServer},
			needed{build.OpenShiftOAuthAPIServer, &p.OAuthAPIServer}, needed{build.OpenShiftOAuthServer, &p.OAuthServer},
			needed{build.OpenShiftControllerManager, &p.OpenShiftControllerManager}, needed{build.OC, &p.OC})
	}
	for _, n := range programs {
		if *n.path, err = builder.Build(ctx, n.program); err != nil {
			return cfg, err
		}
	}
	return cfg, nil
}

// wanted are the ports given by flags, else those of last time, else 0.
func (o *upOptions) wanted(last node.Ports) node.Ports {
	first := func(numbers ...int) int {
		for _, n := range numbers {
			if n != 0 {
				return n
			}
		}
		return 0
	}
	p := node.Ports{API: first(o.ports.API, last.API)}
	if !o.controlPlane || o.openshift || last.HTTPS != 0 {
		p.HTTP, p.HTTPS = first(o.ports.HTTP, last.HTTP), first(o.ports.HTTPS, last.HTTPS)
	}
	if !o.controlPlane || last.Registry != 0 {
		p.Registry = first(o.ports.Registry, last.Registry)
	}
	return p
}

// port is one of a sandbox's, with where its number is in node.Ports.
type port struct {
	host.Port
	of func(*node.Ports) *int
}

// portList has the ports in the order of node.Ports, with the numbers wanted.
func (o *upOptions) portList(wanted node.Ports, cfg node.Config) []port {
	list := []port{
		{host.Port{Purpose: "API server", Flag: "--api-port"}, func(p *node.Ports) *int { return &p.API }},
		{host.Port{Purpose: "ingress (http)", Flag: "--http-port"}, func(p *node.Ports) *int { return &p.HTTP }},
		{host.Port{Purpose: "ingress (https)", Flag: "--https-port"}, func(p *node.Ports) *int { return &p.HTTPS }},
		{host.Port{Purpose: "registry", Flag: "--registry-port"}, func(p *node.Ports) *int { return &p.Registry }},
	}
	switch {
	case !cfg.HasIngress():
		list = list[:1]
	case cfg.ControlPlane:
		list = list[:3]
	}
	for i, p := range list {
		list[i].Fixed = o.fixed[strings.TrimPrefix(p.Flag, "--")]
		if list[i].Number = *p.of(&wanted); list[i].Number == 0 {
			list[i].Number = *p.of(&defaultPorts)
		}
	}
	return list
}

// busyPorts checks the ports that were asked for, before anything is built.
func (o *upOptions) busyPorts(ctx context.Context, dirs host.Dirs) []error {
	running := node.Ports{}
	if status, err := node.NewClient(dirs).Status(ctx); err == nil && status.Running {
		running = status.Ports
	}
	var problems []error
	for _, p := range o.portList(o.ports, node.Config{ControlPlane: o.controlPlane, OpenShift: o.openshift}) {
		if !p.Fixed || p.Number == *p.of(&running) {
			continue
		}
		if user := node.UsedInside(p.Number); user != "" && strings.HasPrefix(p.Purpose, "ingress") {
			problems = append(problems, fmt.Errorf("port %d can't be that of the %s, because the %s has it inside the sandbox: choose another by %s", p.Number, p.Purpose, user, p.Flag))
			continue
		}
		f, _, err := host.Listen(ctx, p.Port)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		f.Close()
	}
	return problems
}

// listen opens the ports and puts their numbers into the Config.
func (o *upOptions) listen(ctx context.Context, cfg *node.Config, last node.Ports) ([]*os.File, error) {
	var files []*os.File
	for _, p := range o.portList(cfg.Ports, *cfg) {
		f, number, err := host.Listen(ctx, p.Port)
		if err != nil {
			closeAll(files)
			return nil, err
		}
		if before := *p.of(&last); before != 0 && number != before && !p.Fixed {
			o.step("port %d is in use now: the %s has %d from here on", before, p.Purpose, number)
		}
		*p.of(&cfg.Ports) = number
		files = append(files, f)
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// spawn starts the sandbox's first process.
func (o *upOptions) spawn(ctx context.Context, dirs host.Dirs, cfg node.Config, last node.Ports) error {
	files, err := o.listen(ctx, &cfg, last)
	if err != nil {
		return err
	}
	defer closeAll(files)
	for _, dir := range []string{dirs.State, dirs.Run, dirs.Logs()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := cfg.Save(dirs.ConfigFile()); err != nil {
		return err
	}
	if err := prepare(cfg, dirs); err != nil {
		return err
	}
	if err := node.PrepareCgroups(dirs); err != nil {
		return err
	}
	log, err := os.OpenFile(supervise.LogFile(dirs.Logs(), supervisorLog), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	process, err := host.Spawn([]string{exe, "internal-init", o.name}, log, files)
	if err != nil {
		return err
	}
	o.step("started process %d", process.PID)
	return process.Save(dirs.ProcessFile())
}

// prepare writes what the sandbox's programs need. Who called by sudo gets the
// kubeconfigs, to use it without.
func prepare(cfg node.Config, dirs host.Dirs) error {
	if err := node.Prepare(cfg, dirs); err != nil {
		return err
	}
	uid, err := strconv.Atoi(os.Getenv("SUDO_UID"))
	if err != nil {
		return nil //nolint:nilerr // not by sudo
	}
	for _, file := range []string{dirs.Kubeconfig(), dirs.TrainerKubeconfig()} {
		if err := os.Chown(file, uid, -1); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

const supervisorLog = "supervisor"

// A program that ended this often isn't going to get ready.
const hopeless = 5

// wait returns when the sandbox is healthy, and tells what gets ready.
func (o *upOptions) wait(ctx context.Context, dirs host.Dirs, client *node.Client, registry chan<- string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("it is not ready after %s", o.timeout))
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond) // each asks every program
	defer tick.Stop()
	told, restarts := map[string]bool{}, map[string]int{}
	var last node.Status
	for {
		status, err := client.Status(ctx)
		if err == nil {
			last = status
			if !status.Running {
				return fmt.Errorf("its first process ended; the last lines of %s:\n%s", supervise.LogFile(dirs.Logs(), supervisorLog), supervise.Tail(supervise.LogFile(dirs.Logs(), supervisorLog), 10))
			}
			for _, u := range status.Units {
				if u.State == supervise.Ready && !told[u.Name] {
					told[u.Name] = true
					o.step("%s is ready", u.Name)
					if u.Name == node.Registry {
						registry <- registryAddress(status.Ports)
					}
				}
				if before, ok := restarts[u.Name]; !ok {
					restarts[u.Name] = u.Restarts
				} else if u.Restarts-before >= hopeless && u.State != supervise.Ready {
					return fmt.Errorf("%s ended %d times: %s", u.Name, u.Restarts-before, u.Error)
				}
			}
			if status.Healthy {
				if !status.ControlPlane {
					o.step("the node is Ready")
				}
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w%s", context.Cause(ctx), unready(last))
		case <-tick.C:
		}
	}
}

// unready lists what a sandbox waits for.
func unready(status node.Status) string {
	var b strings.Builder
	for _, u := range status.Units {
		if u.State != supervise.Ready {
			fmt.Fprintf(&b, "\n  %s is %s: %s", u.Name, u.State, u.Error)
		}
	}
	if status.Node != "" && status.Node != "Ready" {
		fmt.Fprintf(&b, "\n  the node: %s", status.Node)
	}
	return b.String()
}

func registryAddress(p node.Ports) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.Registry))
}

// summary says how to go on.
func (o *upOptions) summary(dirs host.Dirs) {
	cfg, err := node.LoadConfig(dirs.ConfigFile())
	if err != nil {
		return
	}
	named := ""
	if o.name != DefaultName {
		named = " --name " + o.name
	}
	self := os.Args[0]
	fmt.Fprintf(o.streams.Err, "\nSandbox %s is ready.\n", o.name)
	fmt.Fprintf(o.streams.Err, "  use it      eval \"$(%s env%s)\"\n", self, named)
	fmt.Fprintf(o.streams.Err, "  kubectl     %s --kubeconfig %s\n", filepath.Join(dirs.State, "bin", "kubectl"), dirs.Kubeconfig())
	if cfg.SimulatedNodes > 0 {
		fmt.Fprintf(o.streams.Err, "  nodes       %d simulated ones: pods get ready there, and nothing runs\n", cfg.SimulatedNodes)
	}
	if cfg.OpenShift {
		fmt.Fprintf(o.streams.Err, "  users       user1 to user5 (password openshift), trainer (trainer), admin (admin)\n  login page  %s\n", cfg.OAuthURL())
	}
	if cfg.HasIngress() {
		fmt.Fprintf(o.streams.Err, "  ingress     https://ANYTHING.%s:%d  and  http://ANYTHING.%s:%d\n", cfg.Domain(), cfg.Ports.HTTPS, cfg.Domain(), cfg.Ports.HTTP)
		fmt.Fprintf(o.streams.Err, "  its CA      %s\n", dirs.CA())
	}
	fmt.Fprintf(o.streams.Err, "  stop it     %s down%s\n", self, named)
}
