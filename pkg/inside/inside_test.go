// SPDX-License-Identifier: Apache-2.0

package inside_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/workshopctl/workshopctl/pkg/inside"
	"github.com/workshopctl/workshopctl/test/testsession"
)

func TestMain(m *testing.M) { os.Exit(testsession.Main(m)) }

// older is the gateway of a session that was started before an update.
func older(ctx context.Context, _ []string) *exec.Cmd {
	return exec.CommandContext(ctx, "/bin/sh", "-c", `echo "workshop-terminal is the gateway of a workshop's sessions. JupyterHub starts it." >&2; exit 2`)
}

func TestCommand(t *testing.T) {
	server := testsession.New(t)
	current := server.Add("jane", nil)
	old := server.Add("joe", nil)
	old.Gateway = older
	none := server.Add("ann", nil)
	none.Gateway = func(context.Context, []string) *exec.Cmd { return nil }
	for _, s := range []*testsession.Session{current, old, none} {
		t.Run(s.User, func(t *testing.T) {
			run := func(in io.Reader, args ...string) (string, string, error) {
				var out, errOut bytes.Buffer
				err := server.Sessions().Command(t.Context(), s.Pod, inside.Terminal{}, inside.Program{Args: args, In: in, Out: &out, ErrOut: &errOut})
				return out.String(), errOut.String(), err
			}
			out, errOut, err := run(nil, "sh", "-c", "echo out $HOME $(pwd) [$JUPYTERHUB_API_TOKEN] $(umask); echo err >&2; exit 3")
			var exit *inside.ExitError
			if !errors.As(err, &exit) || exit.Code != 3 || out != fmt.Sprintf("out %s %s [] 0002\n", s.Home, s.Home) || errOut != "err\n" {
				t.Errorf("%v %q %q", err, out, errOut)
			}
			if out, errOut, err := run(strings.NewReader("typed"), "cat"); err != nil || out != "typed" || errOut != "" {
				t.Errorf("its input: %v %q %q", err, out, errOut)
			}
			if out, _, err := run(nil, "printf", "%s|", "a b", "$HOME", ""); err != nil || out != "a b|$HOME||" {
				t.Errorf("arguments: %v %q", err, out)
			}
			// What only looks like an older gateway is passed on.
			said := "workshop-terminal is the gateway of a workshop's sessions. Or is it?"
			if out, _, err := run(nil, "printf", "%s", said); err != nil || out != said {
				t.Errorf("%v %q", err, out)
			}
			if out, _, err := run(nil, "printf", "work"); err != nil || out != "work" {
				t.Errorf("%v %q", err, out)
			}
		})
	}
}

func TestTerminal(t *testing.T) {
	server := testsession.New(t)
	current := server.Add("jane", nil)
	old := server.Add("joe", nil)
	old.Gateway = older
	for _, s := range []*testsession.Session{current, old} {
		sizes := make(chan inside.Size)
		go func() {
			sizes <- inside.Size{Columns: 91, Rows: 17}
			sizes <- inside.Size{Columns: 92, Rows: 18}
		}()
		in, keys := io.Pipe()
		out := &screen{changed: make(chan struct{}, 1000)}
		ended := make(chan error, 1)
		go func() {
			ended <- server.Sessions().Command(t.Context(), s.Pod, inside.Terminal{Kind: "xterm"}, inside.Program{In: in, Out: out, Terminal: sizes})
		}()
		// The sizes come by another way than the keys.
		fmt.Fprint(keys, "until [ \"$(stty size)\" = '18 92' ]; do :; done; echo size is $(stty size); tty; exit 5\r")
		out.until(t, "size is 18 92")
		var exit *inside.ExitError
		if err := <-ended; !errors.As(err, &exit) || exit.Code != 5 || !strings.Contains(out.text(), "/dev/pts/") {
			t.Errorf("%s: %v %q", s.User, err, out.text())
		}
	}
}

func TestRefused(t *testing.T) {
	server := testsession.New(t)
	s := server.Add("jane", nil)
	s.Refuses = &metav1.Status{Status: metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden, Message: `pods "x" is forbidden`}
	run := func(ctx context.Context, pod string) error {
		return server.Sessions().Command(ctx, pod, inside.Terminal{}, inside.Program{Args: []string{"true"}, Out: io.Discard})
	}
	if err := run(t.Context(), s.Pod); !apierrors.IsForbidden(err) {
		t.Errorf("without the right: %v", err)
	}
	if err := run(t.Context(), "nobody"); !apierrors.IsNotFound(err) {
		t.Errorf("without a pod: %v", err)
	}
	s.Refuses = nil
	ctx, cancel := context.WithCancel(t.Context())
	out := &screen{changed: make(chan struct{}, 1000)}
	ended := make(chan error, 1)
	go func() {
		ended <- server.Sessions().Command(ctx, s.Pod, inside.Terminal{}, inside.Program{Args: []string{"sh", "-c", "echo begun; exec sleep 1000"}, Out: out})
	}()
	out.until(t, "begun")
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// screen is what has been printed so far.
type screen struct {
	mu      sync.Mutex
	b       strings.Builder
	changed chan struct{}
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
	return s.b.Write(p)
}

func (s *screen) text() string { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }

func (s *screen) until(t *testing.T, text string) {
	t.Helper()
	late := time.After(30 * time.Second)
	for !strings.Contains(s.text(), text) {
		select {
		case <-s.changed:
		case <-late:
			t.Fatalf("no %q: %q", text, s.text())
		}
	}
}
