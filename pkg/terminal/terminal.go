// SPDX-License-Identifier: Apache-2.0

// Package terminal is workshop-terminal, the gateway that runs in every
// session's pod: it puts itself and the attendee's files in place (install,
// seed), then lets the attendee in through the hub and gives the browser a
// terminal (serve).
package terminal

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/workshopctl/workshopctl/pkg/terminal/hubauth"
	"github.com/workshopctl/workshopctl/pkg/terminal/local"
	"github.com/workshopctl/workshopctl/pkg/terminal/process"
	"github.com/workshopctl/workshopctl/pkg/terminal/seed"
	"github.com/workshopctl/workshopctl/pkg/terminal/server"
	"github.com/workshopctl/workshopctl/pkg/terminal/shell"
	"github.com/workshopctl/workshopctl/pkg/terminal/startup"
	"github.com/workshopctl/workshopctl/pkg/terminal/wire"
)

const usage = `workshop-terminal is the gateway of a workshop's sessions. JupyterHub starts it.

Usage:
  workshop-terminal install DIR     copy itself into DIR
  workshop-terminal seed SRC DST    fill the volume at DST from SRC, once
  workshop-terminal serve           let the attendee in, and show a terminal
  workshop-terminal attach [--shell N] [--write]
                                    show the attendee's shell here, too; ends with its input
  workshop-terminal shell [--term T [--true-colour]] [-- COMMAND [ARG...]]
                                    run a shell beside the attendee's, or a command, with its environment
  workshop-terminal message [--for TIME] TEXT
                                    show a message on the session's pages
  workshop-terminal pack PATH       send a file or folder to stdout, for sessions cp
  workshop-terminal unpack [--name NAME] PATH
                                    put what comes from there into its place
  workshop-terminal version         print the version
`

// ErrUsage says that the arguments make no command; it has been told why.
var ErrUsage = errors.New("wrong usage")

// ErrTold says that a command has failed, and has told why.
var ErrTold = errors.New("failed")

// Run does what args (without the program's name) say.
func Run(ctx context.Context, args []string, version string, stdin io.Reader, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return ErrUsage
	}
	switch name, rest := args[0], args[1:]; {
	case name == "install" && len(rest) == 1:
		return seed.Install(rest[0])
	case name == "seed" && len(rest) == 2:
		return seed.Seed(rest[0], rest[1], func(format string, args ...any) {
			fmt.Fprintf(stderr, "seed: %s\n", plain(fmt.Sprintf(format, args...)))
		})
	case name == "attach":
		return attach(ctx, rest, stdin, stdout, stderr)
	case name == "shell":
		return beside(rest, stderr)
	case name == "message":
		return message(ctx, rest, stdout, stderr)
	case name == "pack":
		return pack(ctx, rest, stdout, stderr)
	case name == "unpack":
		return unpack(ctx, rest, stdin, stdout, stderr)
	case name == "serve":
		return serve(ctx, rest, version, stdout, stderr)
	case name == "version" && len(rest) == 0:
		fmt.Fprintln(stdout, version)
		return nil
	case name == "help" || name == "-h" || name == "--help":
		fmt.Fprint(stdout, usage)
		return nil
	}
	fmt.Fprint(stderr, usage)
	return ErrUsage
}

// attach joins a shell of the session in whose container it runs.
func attach(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("attach", flag.ContinueOnError)
	flags.SetOutput(stderr)
	number := flags.Int("shell", shell.First, "number of the shell")
	write := flags.Bool("write", false, "type into it, too")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil || flags.NArg() > 0 {
		return ErrUsage
	}
	return local.Attach(ctx, local.Options{
		Address: local.Address(os.Getenv("JUPYTERHUB_SERVICE_PREFIX")), Shell: *number, Write: *write, In: stdin, Out: stdout, Events: stderr,
	})
}

// message has the gateway show one.
func message(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("message", flag.ContinueOnError)
	flags.SetOutput(stderr)
	fresh := flags.Duration("for", 0, "how long it is shown to pages that come")
	if err := flags.Parse(args); err != nil || flags.NArg() != 1 {
		return ErrUsage
	}
	hide()
	told, err := local.Message(ctx, local.Address(os.Getenv("JUPYTERHUB_SERVICE_PREFIX")), wire.News{Text: flags.Arg(0), Fresh: int(fresh.Seconds())})
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(told)
}

// beside becomes a shell, or a command, as the attendee has it. The hub's
// variables go no further.
func beside(args []string, stderr io.Writer) error {
	flags := flag.NewFlagSet("shell", flag.ContinueOnError)
	flags.SetOutput(stderr)
	term := flags.String("term", "", "kind of the terminal; the page's without it")
	trueColour := flags.Bool("true-colour", false, "that terminal has 16 million colours")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return ErrUsage
	}
	hide()
	machine := startup.Machine{Environ: os.Environ(), UID: os.Getuid()}
	setup, err := machine.Look(os.Getenv("JUPYTERHUB_USER"))
	if err != nil && !errors.Is(err, startup.ErrNoShell) { // a command needs none
		return err
	}
	// The gateway has told of what goes wrong here.
	_ = machine.Trust(&setup)
	return machine.Seen(setup, *term, *trueColour).Become(flags.Args())
}

// hide keeps other programs of the same user from this one's environment, which
// holds the server's token. Where that isn't possible they can read it, and it
// opens no more than this session.
func hide() { _ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }

// ExitCode is the program's, for what Run returned.
func ExitCode(err error) int {
	var run *startup.RunError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, ErrUsage):
		return 2
	case errors.As(err, &run):
		return run.Code
	case errors.Is(err, errPartly):
		return 3
	}
	return 1
}

func serve(ctx context.Context, args []string, version string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	flags.SetOutput(stderr)
	every := flags.Duration("check-every", time.Minute, "how often users are checked at the hub, and activity is reported")
	keepAlive := flags.Duration("keep-alive", 30*time.Second, "how often an idle websocket carries a frame")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return ErrUsage
	}
	config, err := hubauth.FromEnvironment(os.Getenv)
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	scrollback, err := scrollbackSize(os.Getenv)
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	hide()
	// Volumes and images rely on the group, which all of a pod's programs share.
	syscall.Umask(0o002)

	logger := log.New(stdout, "", log.LstdFlags|log.LUTC)
	logf := func(format string, args ...any) { logger.Print(plain(fmt.Sprintf(format, args...))) }
	listener, err := listen(ctx, config.Listen)
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	// The port stays taken until the last moment. The attendee may stop this
	// process, and what another program served in its place would be on the hub's
	// origin, whoever looks at it.
	if tcp, ok := listener.(*net.TCPListener); ok {
		held, err := tcp.File()
		if err != nil {
			return fmt.Errorf("serve: %w", err)
		}
		defer func() { _ = held.Close() }()
	}
	reaper, err := process.NewReaper()
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	go reaper.Run(ctx)

	uploads, err := uploadLimit(os.Getenv)
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	life, err := lifeOf(os.Getenv)
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	options := server.Options{
		Files:  server.Files{Root: startup.AppRoot, Limit: uploads},
		Config: config, Version: version, Workshop: workshopName(os.Getenv), CheckEvery: *every, KeepAlive: *keepAlive, Logf: logf,
		Life: life, FilesLost: os.Getenv("WORKSHOP_FILES") == "lost",
	}
	machine := startup.Machine{Environ: os.Environ(), UID: os.Getuid()}
	setup, err := machine.Look(config.User)
	options.Files.Home = setup.Home
	if untrusted := machine.Trust(&setup); untrusted != nil {
		logf("%v", untrusted)
	}
	if kubeconfig, unnamed := machine.NameCluster(setup); unnamed != nil {
		logf("%v", unnamed)
	} else if kubeconfig != "" {
		logf("kubeconfig %s names the cluster", kubeconfig)
	}
	if err != nil {
		logf("no terminal: %v", err)
		options.Problem = "Nothing can be run in a terminal here: " + err.Error() + ". Whoever made the workshop must choose another terminal image."
	} else {
		logf("shell %s, home %s, working directory %s", setup.Shell.Path, setup.Home, setup.Dir)
		options.Shells = shell.NewSet(shell.Config{
			Command: func() (*exec.Cmd, error) { return setup.Command() }, Reaper: reaper, Logf: logf, Scrollback: scrollback,
		})
	}
	// What is wrong here is the workshop's fault; its attendees still have their
	// terminals.
	if options.Ports, err = server.ParsePorts(os.Getenv("WORKSHOP_PORTS"), portOf(listener)); err != nil {
		logf("no web apps: %v", err)
	}
	if options.Notes, err = server.ParseNotes(os.Getenv("WORKSHOP_NOTES_PATH"), os.Getenv("WORKSHOP_NOTES_URL"), os.Getenv("WORKSHOP_NOTES_ORIGINS")); err != nil {
		logf("no notes: %v", err)
	}
	srv, err := server.New(options)
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	// Without it the session works, but for trainers who want to watch.
	if watch, err := local.Listen(ctx, local.Address(config.Prefix)); err != nil {
		logf("nobody can watch: %v", err)
	} else {
		go func() {
			if err := srv.ServeLocal(ctx, watch); err != nil {
				logf("nobody can watch any more: %v", err)
			}
		}()
	}
	go tellUse(ctx, srv, logf)
	go start(ctx, machine, setup, reaper, options.Shells, logf)
	logf("workshop-terminal %s serves %s on %s", version, config.Prefix, listener.Addr())
	err = srv.Serve(ctx, listener)
	if options.Shells != nil {
		logf("stopping: what runs in shells is hung up")
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		options.Shells.Shutdown(ending)
	}
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// tellUse logs what the gateway itself takes whenever it gets SIGUSR1: what is
// still in use after a collection, so that two such lines can be compared.
func tellUse(ctx context.Context, srv *server.Server, logf func(string, ...any)) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	defer signal.Stop(asked)
	for {
		select {
		case <-asked:
		case <-ctx.Done():
			return
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		logf("in use: %d goroutines, %d KiB of memory, %d websockets", runtime.NumGoroutine(), m.HeapAlloc>>10, srv.Sockets())
	}
}

func portOf(l net.Listener) int {
	if a, ok := l.Addr().(*net.TCPAddr); ok {
		return a.Port
	}
	return 0
}

// listen opens the port that the hub will ask. A host without a name, or ::, is
// IPv4 and IPv6, where the kernel has both.
func listen(ctx context.Context, address string) (net.Listener, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", address)
	if host, port, splitErr := net.SplitHostPort(address); err != nil && splitErr == nil && host == "::" && errors.Is(err, syscall.EAFNOSUPPORT) {
		return config.Listen(ctx, "tcp", net.JoinHostPort("0.0.0.0", port))
	}
	return l, err
}

// start runs the image's scripts, then the first shell.
func start(ctx context.Context, machine startup.Machine, setup startup.Setup, reaper *process.Reaper, shells *shell.Set, logf func(string, ...any)) {
	say := func(string, ...any) {}
	if shells != nil {
		say = shells.Get(shell.First).Say
	}
	for _, hook := range machine.Hooks() {
		name := startup.HookName(hook)
		logf("%s starts", hook)
		say("[Preparing your session: %s is running. Press Enter not to wait for it.]", plain(name))
		last := ""
		err := startup.RunHook(ctx, hook, setup, reaper, func(line string) {
			last = plain(line)
			logf("%s: %s", name, last)
		})
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			logf("%v", err)
			say("[%s failed: %v. It last printed: %s]", plain(name), plain(err.Error()), last)
			continue
		}
		logf("%s is done", hook)
	}
	if shells != nil {
		if err := shells.Get(shell.First).Start(); err != nil {
			logf("%v", err)
		}
	}
}

// scrollbackSize is how much output of a shell is kept for pages that come, as
// the workshop wants it.
func scrollbackSize(getenv func(string) string) (int, error) {
	const name, most = "WORKSHOP_SCROLLBACK", 64 << 20
	text := getenv(name)
	if text == "" {
		return shell.DefaultScrollback, nil
	}
	bytes, err := strconv.Atoi(text)
	if err != nil || bytes < shell.MinScrollback || bytes > most {
		return 0, fmt.Errorf("%s is %q; it must be a number of bytes between %d and %d", name, text, shell.MinScrollback, most)
	}
	return bytes, nil
}

// defaultUploadLimit is the size of uploads where the hub says nothing of it.
const defaultUploadLimit = 100 << 20

// uploadLimit is how many bytes a file may have that is uploaded; 0: none may be.
func uploadLimit(getenv func(string) string) (int64, error) {
	const name = "WORKSHOP_UPLOAD_LIMIT"
	text := getenv(name)
	if text == "" {
		return defaultUploadLimit, nil
	}
	bytes, err := strconv.ParseInt(text, 10, 64)
	if err != nil || bytes < 0 {
		return 0, fmt.Errorf("%s is %q; it must be a number of bytes", name, text)
	}
	return bytes, nil
}

// lifeOf is how long the session lives, as far as the hub has said.
func lifeOf(getenv func(string) string) (life server.Life, err error) {
	if life.IdleTimeout, err = seconds(getenv, "WORKSHOP_IDLE_TIMEOUT"); err != nil {
		return life, err
	}
	if life.MaxAge, err = seconds(getenv, "WORKSHOP_MAX_AGE"); err != nil {
		return life, err
	}
	if life.MaxAge > 0 {
		const name = "WORKSHOP_STARTED"
		if life.Started, err = time.Parse(time.RFC3339, getenv(name)); err != nil {
			return life, fmt.Errorf("%s is %q; it must be a time like %s", name, getenv(name), time.RFC3339)
		}
	}
	if file := getenv("WORKSHOP_KEEP_UNTIL_FILE"); file != "" {
		life.Kept = func() time.Time { return keptUntil(file) }
	}
	return life, nil
}

// keptUntil reads the pod's annotation, which Kubernetes writes into a file. What
// is no time means nothing, as it does to the hub.
func keptUntil(file string) time.Time {
	content, err := os.ReadFile(file)
	if err != nil {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, strings.TrimSpace(string(content)))
	if err != nil {
		return time.Time{}
	}
	return t
}

// seconds is a time that a variable has; 0 where it has none.
func seconds(getenv func(string) string, name string) (time.Duration, error) {
	text := getenv(name)
	if text == "" {
		return 0, nil
	}
	seconds, err := strconv.ParseInt(text, 10, 32)
	if err != nil || seconds < 0 {
		return 0, fmt.Errorf("%s is %q; it must be a number of seconds", name, text)
	}
	return time.Duration(seconds) * time.Second, nil
}

func workshopName(getenv func(string) string) string {
	if name := getenv("WORKSHOP_NAME"); name != "" {
		return name
	}
	return "Workshop"
}

// plain makes one line of text of s: what users write must not forge lines of
// the log, nor steer the terminal of those who read it.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r < 0x20, r >= 0x7f && r < 0xa0, r == 0x2028, r == 0x2029, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}
