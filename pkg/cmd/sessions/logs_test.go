// SPDX-License-Identifier: Apache-2.0

package sessions_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/sessions"
	"github.com/workshopctl/workshopctl/pkg/workshop"
	"github.com/workshopctl/workshopctl/test/testsession"
)

func TestLogs(t *testing.T) {
	c := newClass(t, "jane", "hub")
	c.Log("terminals--jane", "gateway", "installed")
	c.Log("terminals--jane", "seed", "seed: 3 files", "more")
	c.Log("terminals--jane", "notebook", "serves \x1b[31mred", "setup: done")
	c.Log("terminals--jane", "notebook/previous", "it crashed")
	for _, step := range []string{"gateway", "seed"} {
		c.Log("terminals--hub", step)
	}
	c.Log("terminals--hub", "notebook", "the session of a user called hub")
	c.Add("joe", func(p *corev1.Pod) {
		starting(p)
		p.Status.InitContainerStatuses = []corev1.ContainerStatus{
			{Name: "gateway", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}},
			{Name: "seed", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}},
		}
	})
	c.Log("terminals--joe", "gateway")
	c.Log("terminals--joe", "seed", "seed: 3 files")
	whole := "gateway: installed\nseed: 3 files\nseed: more\nserves red\nsetup: done\n"
	for _, test := range []struct {
		args   string
		stdout string
		stderr string
		code   int
	}{
		{args: "logs jane", stdout: whole},
		{args: "sessions logs JANE", stdout: whole},
		{args: "logs session/hub", stdout: "the session of a user called hub\n"},
		{args: "sessions logs hub", stdout: "the session of a user called hub\n"},
		{args: "logs jane -c seed", stdout: "seed: 3 files\nmore\n"},
		{args: "logs jane --tail 1", stdout: "setup: done\n"},
		{args: "logs jane --previous", stdout: "it crashed\n"},
		{args: "logs jane -c notebook --timestamps", stdout: "2026-11-24T12:00:00.000000000Z serves red\n2026-11-24T12:00:00.000000000Z setup: done\n"},
		{args: "logs joe", stdout: "seed: 3 files\n", stderr: "notebook has not started: ImagePullBackOff: no such image\n"},
		{args: "logs jane -c nope", stderr: "Error: log of jane: the pod has no container \"nope\"; choose one of gateway, seed, notebook\n", code: 2},
		{args: "logs hub", stderr: "Error: the hub of workshop terminals has no pod\n`workshopctl status` says why.\n", code: 1},
	} {
		code, out, errOut := c.run("", strings.Fields(test.args)...)
		if test.args == "logs jane -c seed" { // the step that was asked for needs no name
			out = strings.ReplaceAll(out, "seed: more", "more")
		}
		if code != test.code || out != test.stdout || errOut != test.stderr {
			t.Errorf("%s: %d %q %q", test.args, code, out, errOut)
		}
	}
	code, out, errOut := c.run("", "logs", "--all")
	if code != 1 || !strings.Contains(out, "jane | serves red\njane | setup: done\n") || !strings.Contains(out, "hub  | the session of a user called hub\n") || !strings.Contains(errOut, "2 of 3 read; failed: joe (") {
		t.Errorf("%d %q %q", code, out, errOut)
	}
}

// TestLogsFollow: with hub and proxy, -f goes on in the next pod; a session's log
// begins before it has started, and ends with it.
func TestLogsFollow(t *testing.T) {
	c := newClass(t)
	pods := c.Objects.CoreV1().Pods(testsession.Namespace)
	follow := func(o *sessions.LogsOptions) (out, errOut *syncBuffer, ended chan error, stop func()) {
		out, errOut, ended = &syncBuffer{}, &syncBuffer{}, make(chan error, 1)
		f := factory.New([]string{"workshopctl"}, genericiooptions.IOStreams{In: strings.NewReader(""), Out: out, ErrOut: errOut}, factory.Build{})
		ctx, cancel := context.WithCancel(t.Context())
		t.Cleanup(cancel)
		o.Follow, o.Tail = true, -1
		go func() { ended <- sessions.Logs(ctx, f, o) }()
		return out, errOut, ended, cancel
	}
	hub := func(name string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Namespace: testsession.Namespace, Labels: workshop.Names("terminals").Selector(workshop.ComponentHub)},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "hub"}}},
			Status:     corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{Name: "hub", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}},
		}
	}
	must := func(_ *corev1.Pod, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(pods.Create(t.Context(), hub("hub-1"), metav1.CreateOptions{}))
	c.Log("hub-1", "hub", "one")
	out, errOut, ended, stop := follow(&sessions.LogsOptions{Component: workshop.ComponentHub})
	out.until(t, "one\n")
	c.Log("hub-1", "hub", "two")
	out.until(t, "two\n")
	// Its container starts again, then another pod comes.
	again := hub("hub-1")
	again.Status.ContainerStatuses[0].RestartCount = 1
	c.Restart("hub-1", "hub", "three")
	must(pods.Update(t.Context(), again, metav1.UpdateOptions{}))
	out.until(t, "three\n")
	c.Log("hub-1", "hub", testsession.End)
	c.Log("hub-2", "hub", "four")
	must(pods.Create(t.Context(), hub("hub-2"), metav1.CreateOptions{}))
	if err := pods.Delete(t.Context(), "hub-1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	out.until(t, "four\n")
	if said := errOut.text(); said != "The pod hub-1 has ended; what follows is the next one's.\n" {
		t.Errorf("%q", said)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Ctrl-C is no failure: %v", err)
	}

	joe := c.Add("joe", func(p *corev1.Pod) {
		starting(p)
		p.UID = "joe"
	})
	out, errOut, ended, _ = follow(&sessions.LogsOptions{User: "joe"})
	errOut.until(t, "gateway has not started: ImagePullBackOff: no such image\n")
	for _, step := range []string{"gateway", "seed"} {
		c.Log(joe.Pod, step, "done", testsession.End)
	}
	c.Log(joe.Pod, "notebook", "serves")
	p, err := pods.Get(t.Context(), joe.Pod, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	done := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}
	p.Status = corev1.PodStatus{Phase: corev1.PodRunning, InitContainerStatuses: []corev1.ContainerStatus{{Name: "gateway", State: done}, {Name: "seed", State: done}},
		ContainerStatuses: []corev1.ContainerStatus{{Name: "notebook", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}}
	must(pods.Update(t.Context(), p, metav1.UpdateOptions{}))
	out.until(t, "gateway: done\nseed: done\nserves\n")
	c.Log(joe.Pod, "notebook", "stopping", testsession.End)
	if err := pods.Delete(t.Context(), joe.Pod, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil || !strings.Contains(errOut.text(), "The session of joe has ended.\n") || !strings.HasSuffix(out.text(), "serves\nstopping\n") {
		t.Errorf("%v %q %q", err, out.text(), errOut.text())
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
	on chan struct{}
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.on != nil {
		close(s.on)
		s.on = nil
	}
	return s.b.Write(p)
}

func (s *syncBuffer) text() string { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }

func (s *syncBuffer) until(t *testing.T, text string) {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		s.mu.Lock()
		if strings.Contains(s.b.String(), text) {
			s.mu.Unlock()
			return
		}
		if s.on == nil {
			s.on = make(chan struct{})
		}
		on := s.on
		s.mu.Unlock()
		select {
		case <-on:
		case <-late:
			t.Fatalf("no %q: %q", text, s.text())
		}
	}
}
