// SPDX-License-Identifier: Apache-2.0

// Package inside runs programs in the containers of sessions, through the API
// server, as `kubectl exec` does. Whoever may exec into a session's pod may do
// so, and nobody else; the hub isn't asked.
//
// What comes back comes from a container in its attendee's hands: it is not to
// be trusted.
package inside

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/util/exec"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/workshopctl/workshopctl/pkg/session"
)

// Gateway is the program of ours in a session's container.
const Gateway = "/opt/workshopctl/workshop-terminal"

// ErrOlder says that the session's gateway is from before there was a way to do
// this.
var ErrOlder = errors.New("the session's gateway is of an older version, which can't do this")

// ExitError says that a program has run and ended with another code than 0.
type ExitError struct{ Code int }

func (e *ExitError) Error() string { return fmt.Sprintf("exit code %d", e.Code) }

// Size is a terminal's size in characters.
type Size struct{ Columns, Rows int }

// Program is one to be run in a session's container.
type Program struct {
	Args []string
	// In is what it reads; nil for nothing.
	In io.Reader
	// Out and ErrOut take what it writes. With a terminal both come to Out.
	Out, ErrOut io.Writer
	// Terminal has it run on a terminal, whose sizes come from there, the first
	// one at once. Its end needn't be told.
	Terminal <-chan Size
}

// Sessions runs programs in the sessions of a namespace.
type Sessions struct {
	Config    *rest.Config
	Client    kubernetes.Interface
	Namespace string
}

// Run runs a program in a session's container until it or the context ends.
// What a program has started may outlive the context: nobody tells it.
func (s Sessions) Run(ctx context.Context, pod string, p Program) error {
	if p.ErrOut == nil {
		p.ErrOut = io.Discard
	}
	url := s.Client.CoreV1().RESTClient().Post().Resource("pods").Namespace(s.Namespace).Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{
			Container: session.Container, Command: p.Args, TTY: p.Terminal != nil,
			Stdin: p.In != nil, Stdout: true, Stderr: p.Terminal == nil,
		}, scheme.ParameterCodec).URL()
	plain, err := remotecommand.NewSPDYExecutor(s.Config, "POST", url)
	if err != nil {
		return err
	}
	websocket, err := remotecommand.NewWebSocketExecutor(s.Config, "GET", url.String())
	if err != nil {
		return err
	}
	// New clusters want the streams in a websocket, older ones and some proxies
	// know only SPDY.
	var refusal *httpstream.UpgradeFailureError
	executor, err := remotecommand.NewFallbackExecutor(websocket, plain, func(err error) bool {
		return errors.As(err, &refusal) || httpstream.IsHTTPSProxyError(err)
	})
	if err != nil {
		return err
	}
	options := remotecommand.StreamOptions{Stdin: p.In, Stdout: p.Out, Stderr: p.ErrOut}
	if p.Terminal != nil {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		options.Stderr, options.Tty, options.TerminalSizeQueue = nil, true, queue{ctx, p.Terminal}
	}
	err = executor.StreamWithContext(ctx, options)
	var status exec.ExitError
	if errors.As(err, &status) && status.Exited() {
		return &ExitError{status.ExitStatus()}
	}
	// Some may exec by one way only, so both are tried. What the API server
	// answered is known of the first alone.
	var answer *apierrors.StatusError
	if err != nil && refusal != nil && strings.HasPrefix(err.Error(), "unable to upgrade connection") && errors.As(refusal.Cause, &answer) {
		return answer
	}
	return err
}

// queue hands on a terminal's sizes.
type queue struct {
	ctx   context.Context //nolint:containedctx // the interface that takes it has none
	sizes <-chan Size
}

func (q queue) Next() *remotecommand.TerminalSize {
	select {
	case s, ok := <-q.sizes:
		if !ok {
			return nil
		}
		return &remotecommand.TerminalSize{Width: uint16(s.Columns), Height: uint16(s.Rows)}
	case <-q.ctx.Done():
		return nil
	}
}

// RunGateway runs a subcommand of the gateway's program. The error is
// [ErrOlder] where there is none of that name; nothing has been written then.
func (s Sessions) RunGateway(ctx context.Context, pod string, p Program) error {
	p.Args = append([]string{Gateway}, p.Args...)
	out, errOut := &sieve{w: p.Out}, &sieve{w: p.ErrOut}
	p.Out, p.ErrOut = out, errOut
	err := s.Run(ctx, pod, p)
	var exit *ExitError
	if err != nil && !errors.As(err, &exit) && strings.Contains(err.Error(), Gateway) && strings.Contains(err.Error(), "no such file") {
		return ErrOlder
	}
	if exit != nil && exit.Code == wrongUsage && (out.found() || errOut.found()) {
		return ErrOlder
	}
	if flushErr := errors.Join(out.flush(), errOut.flush()); err == nil {
		err = flushErr
	}
	return err
}

// An older gateway's answer to a subcommand that it doesn't know: its usage,
// which begins so, and this exit code.
const (
	usage      = "workshop-terminal is the gateway of a workshop's sessions."
	wrongUsage = 2
)

// maxUsage bounds what is taken for a usage.
const maxUsage = 8 << 10

// sieve passes on what is written, unless it begins as the gateway's usage does:
// that is held back until the exit code says what it was. On a terminal what was
// typed early comes before it, and it is shown.
type sieve struct {
	w io.Writer

	mu      sync.Mutex
	first   []byte // of what was written
	held    []byte
	passing bool
}

func (s *sieve) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.first = append(s.first, p[:min(len(p), maxUsage-len(s.first))]...)
	if !s.passing {
		s.held = append(s.held, p...)
		n := min(len(s.held), len(usage))
		if string(s.held[:n]) == usage[:n] && len(s.held) <= maxUsage {
			return len(p), nil
		}
		return len(p), s.pass()
	}
	if s.w == nil {
		return len(p), nil
	}
	return s.w.Write(p)
}

// pass hands on what was held back; the caller holds the lock.
func (s *sieve) pass() error {
	s.passing = true
	held := s.held
	s.held = nil
	if len(held) == 0 || s.w == nil {
		return nil
	}
	_, err := s.w.Write(held)
	return err
}

func (s *sieve) found() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Contains(s.first, []byte(usage))
}

func (s *sieve) flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pass()
}
