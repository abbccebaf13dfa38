// SPDX-License-Identifier: Apache-2.0

package inside

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/workshopctl/workshopctl/pkg/transfer"
)

// endTime is how long a program has to end and say why.
const endTime = time.Second

// readyTime is how long one has to say that it is ready.
const readyTime = 30 * time.Second

// partly is the exit code of a gateway that has sent all that it could read.
const partly = 3

// Upload sends a file or folder of this machine into a session, to a place as
// its attendee would write it. name is what it is called there, if that is a
// folder.
func (s Sessions) Upload(ctx context.Context, pod, source, place, name string, o transfer.SendOptions) (transfer.Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	from, to := io.Pipe()
	var (
		sent    transfer.Result
		sendErr error
		sending sync.WaitGroup
	)
	answer, said := heard{at: "\n", heard: make(chan struct{})}, heard{at: "workshop-terminal: ", heard: make(chan struct{})}
	late := time.NewTimer(readyTime)
	defer late.Stop()
	sending.Go(func() {
		select {
		case <-answer.heard: // it is ready
		case <-late.C:
			sendErr = errSilent
			cancel()
			return
		case <-ctx.Done():
			sendErr = errEnded
			return
		}
		sent, sendErr = transfer.Send(ctx, to, source, o)
		if sendErr != nil && !errors.Is(sendErr, errEnded) && !errors.Is(sendErr, io.ErrClosedPipe) {
			cancel()
		}
		_ = to.Close()
	})
	go func() { // what has failed there needs no more of it
		select {
		case <-said.heard:
			_ = to.CloseWithError(io.EOF)
		case <-ctx.Done():
		}
	}()
	args := []string{"unpack"}
	if name != "" {
		args = append(args, "--name", name)
	}
	err := s.RunGateway(ctx, pod, Program{Args: append(args, "--", place), In: from, Out: &answer, ErrOut: &said})
	_ = from.CloseWithError(errEnded)
	cancel()
	sending.Wait()
	switch {
	case sendErr != nil && !errors.Is(sendErr, errEnded) && !errors.Is(sendErr, io.ErrClosedPipe) && !errors.Is(sendErr, context.Canceled):
		return sent, sendErr
	case err != nil:
		return sent, told(err, said.text())
	}
	var came transfer.Result
	_, last, _ := strings.Cut(answer.text(), "\n")
	if json.Unmarshal([]byte(last), &came) != nil || came.Sum != sent.Sum || sent.Sum == "" {
		return sent, errUnsure
	}
	sent.Path = came.Path
	tellLeftOut(said.text(), o.LeftOut)
	sent.LeftOut += came.LeftOut
	return sent, nil
}

// Download gets a file or folder of a session to a place on this machine.
func (s Sessions) Download(ctx context.Context, pod, source, place string, o transfer.ReceiveOptions) (transfer.Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	from, to := io.Pipe()
	var (
		said   limited
		runErr error
	)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runErr = s.RunGateway(ctx, pod, Program{Args: []string{"pack", "--", source}, Out: to, ErrOut: &said})
		_ = to.Close()
	}()
	came, err := transfer.Receive(ctx, from, place, o)
	_ = from.CloseWithError(errEnded)
	if err != nil {
		// A program that has ended too early is about to say why. One that goes on
		// is left.
		late := time.NewTimer(endTime)
		defer late.Stop()
		select {
		case <-ended:
		case <-late.C:
		}
		cancel()
	}
	<-ended
	var exit *ExitError
	switch {
	case err == nil && errors.As(runErr, &exit) && exit.Code == partly:
		tellLeftOut(said.text(), o.LeftOut)
		came.LeftOut += max(1, strings.Count(said.text(), leftOut))
		return came, nil
	case err == nil: // it is here and whole, whatever the other end says
		return came, nil
	case errors.Is(err, transfer.ErrBroken) && runErr != nil && !errors.Is(runErr, context.Canceled):
		return came, told(runErr, said.text())
	}
	return came, err
}

var (
	errEnded  = errors.New("the other end has ended")
	errSilent = errors.New("the session doesn't answer")
	errUnsure = errors.New("the session doesn't confirm what it was sent; look there before you rely on it")
)

// told is the error of a gateway's program in its own words.
func told(err error, said string) error {
	var exit *ExitError
	if !errors.As(err, &exit) {
		return err
	}
	lines := strings.Split(strings.TrimSpace(said), "\n")
	if last := strings.TrimPrefix(lines[len(lines)-1], "workshop-terminal: "); last != "" {
		return errors.New(last)
	}
	return fmt.Errorf("the session's end of it failed: %w", err)
}

// leftOut begins the gateway's lines about what it has left out.
const leftOut = "left out: "

func tellLeftOut(said string, tell func(name, why string)) {
	for line := range strings.Lines(said) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), leftOut); ok && tell != nil {
			name, why, _ := strings.Cut(text, ": ")
			tell(name, why)
		}
	}
}

// heard is limited that tells when a text is in what was said.
type heard struct {
	limited
	at    string
	heard chan struct{}
	once  sync.Once
}

func (h *heard) Write(p []byte) (int, error) {
	n, err := h.limited.Write(p)
	if strings.Contains(h.text(), h.at) {
		h.once.Do(func() { close(h.heard) })
	}
	return n, err
}

// limited keeps a little of what a session's end says.
type limited struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *limited) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	const most = 64 << 10
	l.b.Write(p[:min(len(p), max(0, most-l.b.Len()))])
	return len(p), nil
}

func (l *limited) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
