// SPDX-License-Identifier: Apache-2.0

// Package attach joins the shell of a session's attendee from outside: by
// running the gateway's own program beside it, through the API server, as
// `kubectl exec` does. Whoever may exec into the session's pod may join, and
// nobody else.
package attach

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/util/exec"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/workshopctl/workshopctl/pkg/session"
)

// gateway is the program in a session's container.
const gateway = "/opt/workshopctl/workshop-terminal"

// The ways in which a shell can't be joined.
var (
	// ErrOlder: the session's gateway is from before there was a way to join.
	ErrOlder = errors.New("the session's gateway is of an older version, which can't be joined")
	// ErrEnded: the session or the shell has ended, or can't be joined; more is
	// in the error's text.
	ErrEnded = errors.New("the shell can't be seen any more")
)

// Size is a terminal's size in characters.
type Size struct{ Columns, Rows int }

// Options of Shell.
type Options struct {
	Namespace, Pod string
	Number         int
	Write          bool
	// In is what is typed; its end ends the connection. It must not be nil.
	In  io.Reader
	Out io.Writer
	// Resized is told the terminal's size, at first before any output comes, as
	// a rule.
	Resized func(Size)
}

// Shell joins a shell until In or the shell ends, or the context does.
func Shell(ctx context.Context, config *rest.Config, client kubernetes.Interface, o Options) error {
	command := []string{gateway, "attach", "--shell", strconv.Itoa(o.Number)}
	if o.Write {
		command = append(command, "--write")
	}
	url := client.CoreV1().RESTClient().Post().Resource("pods").Namespace(o.Namespace).Name(o.Pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: session.Container, Command: command, Stdin: true, Stdout: true, Stderr: true}, scheme.ParameterCodec).URL()
	plain, err := remotecommand.NewSPDYExecutor(config, "POST", url)
	if err != nil {
		return err
	}
	websocket, err := remotecommand.NewWebSocketExecutor(config, "GET", url.String())
	if err != nil {
		return err
	}
	// New clusters want the streams in a websocket, older ones and some proxies
	// know only SPDY.
	executor, err := remotecommand.NewFallbackExecutor(websocket, plain, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	if err != nil {
		return err
	}
	events := &events{resized: o.Resized}
	err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: o.In, Stdout: o.Out, Stderr: events})
	return explained(err, events.said())
}

// explained says what an exec's end means.
func explained(err error, said string) error {
	var status exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &status) && status.ExitStatus() == 2, // its usage
		strings.Contains(err.Error(), gateway) && strings.Contains(err.Error(), "no such file"),
		strings.Contains(said, "no gateway that can be joined"):
		return ErrOlder
	case errors.As(err, &status):
		if said = strings.TrimPrefix(said, "workshop-terminal: "); said == "" {
			return ErrEnded
		}
		return fmt.Errorf("%w: %s", ErrEnded, said)
	}
	return err
}

// events takes what the gateway says beside the output: lines of JSON, and the
// text of errors.
type events struct {
	resized func(Size)

	mu   sync.Mutex
	line []byte
	text []string
}

// maxLine bounds a line: the other end is a program in the attendee's hands.
const maxLine = 4 << 10

func (e *events) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, b := range p {
		if b != '\n' {
			if len(e.line) < maxLine {
				e.line = append(e.line, b)
			}
			continue
		}
		e.take(e.line)
		e.line = e.line[:0]
	}
	return len(p), nil
}

func (e *events) take(line []byte) {
	var event struct {
		Size *struct{ Columns, Rows uint16 }
	}
	if json.Unmarshal(line, &event) != nil {
		if len(e.text) < 3 {
			e.text = append(e.text, string(line))
		}
		return
	}
	if event.Size != nil && e.resized != nil {
		e.resized(Size{int(event.Size.Columns), int(event.Size.Rows)})
	}
}

// said is what was no event: an error.
func (e *events) said() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	text := e.text
	if len(e.line) > 0 {
		text = append(text, string(e.line))
	}
	if len(text) == 0 {
		return ""
	}
	return strings.TrimSpace(text[0])
}
