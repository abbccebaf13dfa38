// SPDX-License-Identifier: Apache-2.0

// Package testsession is an API server with a workshop whose sessions' containers
// are directories of this machine: what is run in one by pods/exec is a process
// here, the gateway's program among them. So whatever runs programs in sessions
// is tested from the command line to the gateway without a cluster.
package testsession

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/creack/pty"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/workshopctl/workshopctl/pkg/inside"
	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/session"
	"github.com/workshopctl/workshopctl/pkg/terminal"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Namespace of the workshop, whose name is the default one.
const Namespace = "training"

const asGateway = "TEST_AS_GATEWAY"

// Main is a package's TestMain: the test's program is the gateway's, too.
func Main(m *testing.M) int {
	if os.Getenv(asGateway) == "" {
		return m.Run()
	}
	err := terminal.Run(context.Background(), os.Args[1:], "0.0.0", os.Stdin, os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, terminal.ErrUsage) && !errors.Is(err, terminal.ErrTold) {
		fmt.Fprintln(os.Stderr, "workshop-terminal:", err)
	}
	return terminal.ExitCode(err)
}

// Server is the API server.
type Server struct {
	Config     *rest.Config
	Kubeconfig string // a file
	// Objects is what it serves.
	Objects kubernetes.Interface

	t    *testing.T
	http *httptest.Server

	mu       sync.Mutex
	sessions map[string]*Session // by pod
	logs     map[string][]string // by pod/container
	runs     map[string]int      // of a container, by the same
	grown    *sync.Cond
	most     int // programs at one time
	now      int
}

// Session is one of the workshop's.
type Session struct {
	User, Pod string
	Home      string // its directory
	// Env is its container's environment.
	Env []string
	// Gateway runs the gateway's program; nil is this version's.
	Gateway func(ctx context.Context, args []string) *exec.Cmd
	// Refuses is what the API server says to whoever wants to run something.
	Refuses *metav1.Status
}

// New starts one, for the time of the test.
func New(t *testing.T) *Server {
	t.Helper()
	s := &Server{t: t, Objects: fake.NewClientset(), sessions: map[string]*Session{}, logs: map[string][]string{}, runs: map[string]int{}}
	s.grown = sync.NewCond(&s.mu)
	s.http = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(func() {
		s.http.CloseClientConnections()
		s.http.Close()
	})
	s.Config = &rest.Config{Host: s.http.URL}
	store := record.NewStore(s.Objects, Namespace, "v0.0.1")
	spec := workshop.Spec{Name: workshop.DefaultName}.WithDefaults(workshop.Images{})
	r := record.New()
	r.Spec = spec
	if err := store.Save(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: s.http.URL}
	config.Contexts["c"] = &clientcmdapi.Context{Cluster: "c", Namespace: Namespace}
	config.CurrentContext = "c"
	s.Kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, s.Kubeconfig); err != nil {
		t.Fatal(err)
	}
	return s
}

// Sessions runs programs in the sessions.
func (s *Server) Sessions() inside.Sessions {
	client, err := kubernetes.NewForConfig(s.Config)
	if err != nil {
		s.t.Fatal(err)
	}
	return inside.Sessions{Config: s.Config, Client: client, Namespace: Namespace}
}

// Add adds the running session of a user; change may make it another one.
func (s *Server) Add(user string, change func(*corev1.Pod)) *Session {
	s.t.Helper()
	n := workshop.Names(workshop.DefaultName)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: string(n) + "--" + strings.ToLower(strings.NewReplacer(":", "-", "@", "-", "/", "-", ".", "-").Replace(user)), Namespace: Namespace,
			Labels: n.Selector(workshop.ComponentSession), Annotations: map[string]string{workshop.UsernameAnnotation: user},
		},
		Spec: corev1.PodSpec{
			InitContainers: []corev1.Container{{Name: "gateway"}, {Name: "seed"}},
			Containers:     []corev1.Container{{Name: session.Container, Image: "terminal:1"}},
		},
		Status: corev1.PodStatus{
			Phase:      corev1.PodRunning,
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			InitContainerStatuses: []corev1.ContainerStatus{
				{Name: "gateway", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}},
				{Name: "seed", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}},
			},
			ContainerStatuses: []corev1.ContainerStatus{{Name: session.Container, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}},
		},
	}
	if change != nil {
		change(pod)
	}
	if _, err := s.Objects.CoreV1().Pods(Namespace).Create(s.t.Context(), pod, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	home := s.t.TempDir()
	one := &Session{User: user, Pod: pod.Name, Home: home, Env: []string{
		"HOME=" + home, "PATH=" + os.Getenv("PATH"), "SHELL=/bin/sh", "JUPYTERHUB_USER=" + user, "JUPYTERHUB_API_TOKEN=secret",
		// Sockets without a file are the whole machine's.
		fmt.Sprintf("JUPYTERHUB_SERVICE_PREFIX=/user/%s-%d/", user, os.Getpid()),
	}}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[pod.Name] = one
	return one
}

// Log adds lines to a container's log.
func (s *Server) Log(pod, container string, lines ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logs[pod+"/"+container] = append(s.logs[pod+"/"+container], lines...)
	s.grown.Broadcast()
}

// Most is how many programs have run at one time.
func (s *Server) Most() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.most
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/api/v1/namespaces/"+Namespace+"/"), "/")
	options := metav1.ListOptions{LabelSelector: r.URL.Query().Get("labelSelector"), FieldSelector: r.URL.Query().Get("fieldSelector")}
	ctx := r.Context()
	client := s.Objects.CoreV1()
	var (
		object  runtime.Object
		err     error
		watcher watch.Interface
	)
	watching := r.URL.Query().Get("watch") != ""
	switch {
	case len(parts) == 3 && parts[2] == "exec":
		s.exec(w, r, parts[1])
		return
	case len(parts) == 3 && parts[2] == "log":
		s.log(w, r, parts[1])
		return
	case parts[0] == "pods" && len(parts) == 1 && watching:
		watcher, err = client.Pods(Namespace).Watch(ctx, options)
	case parts[0] == "pods" && len(parts) == 1:
		object, err = client.Pods(Namespace).List(ctx, options)
	case parts[0] == "pods" && len(parts) == 2:
		object, err = client.Pods(Namespace).Get(ctx, parts[1], metav1.GetOptions{})
	case parts[0] == "persistentvolumeclaims" && len(parts) == 1:
		object, err = client.PersistentVolumeClaims(Namespace).List(ctx, options)
	case parts[0] == "configmaps" && len(parts) == 1:
		object, err = client.ConfigMaps(Namespace).List(ctx, options)
	case parts[0] == "configmaps" && len(parts) == 2:
		object, err = client.ConfigMaps(Namespace).Get(ctx, parts[1], metav1.GetOptions{})
	default:
		refuse(w, &metav1.Status{Status: metav1.StatusFailure, Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound, Message: "not served: " + r.URL.Path})
		return
	}
	if err != nil {
		refuse(w, &metav1.Status{Status: metav1.StatusFailure, Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound, Message: err.Error()})
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if watcher == nil {
		_ = json.NewEncoder(w).Encode(kinded(object))
		return
	}
	defer watcher.Stop()
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	for {
		select {
		case e := <-watcher.ResultChan():
			_ = json.NewEncoder(w).Encode(map[string]any{"type": e.Type, "object": kinded(e.Object)})
			w.(http.Flusher).Flush()
		case <-ctx.Done():
			return
		}
	}
}

// kinded adds what typed objects leave out.
func kinded(o runtime.Object) runtime.Object {
	switch o := o.(type) {
	case *corev1.Pod:
		o.Kind, o.APIVersion = "Pod", "v1"
	case *corev1.PodList:
		o.Kind, o.APIVersion = "PodList", "v1"
		o.ResourceVersion = "1"
	case *corev1.ConfigMap:
		o.Kind, o.APIVersion = "ConfigMap", "v1"
	case *corev1.ConfigMapList:
		o.Kind, o.APIVersion = "ConfigMapList", "v1"
	case *corev1.PersistentVolumeClaimList:
		o.Kind, o.APIVersion = "PersistentVolumeClaimList", "v1"
	}
	return o
}

func refuse(w http.ResponseWriter, status *metav1.Status) {
	status.Kind, status.APIVersion = "Status", "v1"
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(int(status.Code))
	_ = json.NewEncoder(w).Encode(status)
}

// log answers as a node does: what there is, and more with follow, until the
// client has had enough or the pod has gone.
func (s *Server) log(w http.ResponseWriter, r *http.Request, pod string) {
	q := r.URL.Query()
	key := pod + "/" + q.Get("container")
	if q.Get("previous") == "true" {
		key += "/previous"
	}
	stop := context.AfterFunc(r.Context(), func() { s.mu.Lock(); s.grown.Broadcast(); s.mu.Unlock() })
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	lines, there := s.logs[key]
	if !there {
		refuse(w, &metav1.Status{Status: metav1.StatusFailure, Code: http.StatusBadRequest, Reason: metav1.StatusReasonBadRequest, Message: fmt.Sprintf("container %q in pod %q is waiting to start", q.Get("container"), pod)})
		return
	}
	shown := 0
	if n := 0; q.Get("tailLines") != "" {
		_, _ = fmt.Sscan(q.Get("tailLines"), &n)
		shown = max(0, len(lines)-n)
	}
	w.WriteHeader(http.StatusOK)
	for run := s.runs[key]; run == s.runs[key]; {
		lines = s.logs[key]
		for _, l := range lines[min(shown, len(lines)):] {
			if l == End {
				return
			}
			if q.Get("timestamps") == "true" {
				l = "2026-11-24T12:00:00.000000000Z " + l
			}
			_, _ = io.WriteString(w, l+"\n")
		}
		shown = len(lines)
		w.(http.Flusher).Flush()
		if q.Get("follow") != "true" || r.Context().Err() != nil {
			return
		}
		s.grown.Wait()
	}
}

// End as a line of a log is the container's end.
const End = "\x00end"

// The channels of v5.channel.k8s.io.
const (
	stdin = iota
	stdout
	stderr
	errorChannel
	resize
	closeChannel = 255
)

func (s *Server) exec(w http.ResponseWriter, r *http.Request, pod string) {
	s.mu.Lock()
	one := s.sessions[pod]
	s.mu.Unlock()
	switch {
	case one == nil:
		refuse(w, &metav1.Status{Status: metav1.StatusFailure, Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound, Message: fmt.Sprintf("pods %q not found", pod)})
		return
	case one.Refuses != nil:
		refuse(w, one.Refuses)
		return
	}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"v5.channel.k8s.io"}})
	if err != nil {
		return
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(1 << 20)
	s.mu.Lock()
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	k := &streams{conn: conn}
	status := k.run(r.Context(), one, r.URL.Query()["command"], r.URL.Query().Get("tty") == "true", r.URL.Query().Get("stdin") == "true")
	s.mu.Lock()
	s.now--
	s.mu.Unlock()
	status.Kind, status.APIVersion = "Status", "v1"
	body, _ := json.Marshal(status)
	_, _ = k.to(errorChannel).Write(body)
	_ = conn.Close(websocket.StatusNormalClosure, "")
}

// streams are those of one program.
type streams struct {
	conn *websocket.Conn
	mu   sync.Mutex
}

type channel struct {
	*streams
	number byte
}

func (k *streams) to(number byte) io.Writer { return channel{k, number} }

func (c channel) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for part := range bytesOf(p, 32<<10) {
		if err := c.conn.Write(context.Background(), websocket.MessageBinary, append([]byte{c.number}, part...)); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func bytesOf(p []byte, most int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(p) > 0 {
			n := min(len(p), most)
			if !yield(p[:n]) {
				return
			}
			p = p[n:]
		}
	}
}

// run runs a program in a session, and says how it ended as a node does.
func (k *streams) run(ctx context.Context, one *Session, command []string, tty, withInput bool) *metav1.Status {
	fails := func(err error) *metav1.Status {
		return &metav1.Status{Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Reason: metav1.StatusReasonInternalError, Message: "Internal error occurred: " + err.Error()}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var cmd *exec.Cmd
	switch {
	case command[0] == inside.Gateway && one.Gateway != nil:
		cmd = one.Gateway(ctx, command[1:])
	case command[0] == inside.Gateway:
		cmd = exec.CommandContext(ctx, os.Args[0], command[1:]...)
		cmd.Env = []string{asGateway + "=1"}
	default:
		cmd = exec.CommandContext(ctx, command[0], command[1:]...)
	}
	if cmd == nil {
		return fails(fmt.Errorf("exec: %q: stat %s: no such file or directory", command[0], command[0]))
	}
	cmd.Env, cmd.Dir, cmd.WaitDelay = append(cmd.Env, one.Env...), one.Home, time.Second
	var in io.WriteCloser
	var terminal *os.File
	var copied sync.WaitGroup
	if tty {
		f, err := pty.Start(cmd)
		if err != nil {
			return fails(err)
		}
		defer f.Close()
		terminal, in = f, nopCloser{f}
		copied.Go(func() { _, _ = io.Copy(k.to(stdout), f) })
	} else {
		cmd.Stdout, cmd.Stderr = k.to(stdout), k.to(stderr)
		if withInput {
			pipe, err := cmd.StdinPipe()
			if err != nil {
				return fails(err)
			}
			in = pipe
		}
		if err := cmd.Start(); err != nil {
			return fails(err)
		}
	}
	go func() {
		for {
			_, frame, err := k.conn.Read(context.Background())
			if err != nil {
				cancel()
				if in != nil {
					_ = in.Close()
				}
				return
			}
			switch {
			case len(frame) < 2:
			case frame[0] == stdin && in != nil:
				_, _ = in.Write(frame[1:])
			case frame[0] == closeChannel && frame[1] == stdin && in != nil:
				_ = in.Close()
			case frame[0] == resize && terminal != nil:
				var size struct{ Width, Height uint16 }
				if json.Unmarshal(frame[1:], &size) == nil {
					_ = pty.Setsize(terminal, &pty.Winsize{Cols: size.Width, Rows: size.Height})
				}
			}
		}
	}()
	err := cmd.Wait()
	copied.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return &metav1.Status{Status: metav1.StatusSuccess}
	case errors.As(err, &exit):
		return &metav1.Status{
			Status: metav1.StatusFailure, Reason: "NonZeroExitCode", Message: fmt.Sprintf("command terminated with non-zero exit code: %v", err),
			Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: "ExitCode", Message: fmt.Sprint(exit.ExitCode())}}},
		}
	}
	return fails(err)
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// Restart ends a container's log and begins another one.
func (s *Server) Restart(pod, container string, lines ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logs[pod+"/"+container] = lines
	s.runs[pod+"/"+container]++
	s.grown.Broadcast()
}
