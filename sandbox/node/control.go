// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/workshopctl/workshopctl/sandbox/host"
	"github.com/workshopctl/workshopctl/sandbox/supervise"
)

// Status is how a sandbox is.
type Status struct {
	// Config is what runs, or, if nothing does, what ran last.
	Config
	Running bool `json:"running"`
	Healthy bool `json:"healthy"`
	// PID of the sandbox's first process on the host.
	PID     int       `json:"pid,omitempty"`
	Started time.Time `json:"started,omitzero"`
	// Node is "Ready", or why it isn't.
	Node  string             `json:"node,omitempty"`
	Units []supervise.Status `json:"units,omitempty"`
}

type supervisor struct {
	*supervise.Supervisor
	started time.Time
	apply   func(units []supervise.Unit)
	stop    context.CancelFunc

	mu   sync.Mutex
	node node // replaced by a reload
}

func (s *supervisor) current() node {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.node
}

// serve answers on the control socket until ctx ends.
func (s *supervisor) serve(ctx context.Context) error {
	socket := s.current().dirs.Socket()
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", socket)
	if err != nil {
		return err
	}
	if err := os.Chmod(socket, 0o600); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.status(r.Context()))
	})
	mux.HandleFunc("POST /reload", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		cfg, err := LoadConfig(s.node.dirs.ConfigFile())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		s.node.Config = cfg
		s.apply(s.node.units())
	})
	mux.HandleFunc("POST /stop", func(http.ResponseWriter, *http.Request) { s.stop() })
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (s *supervisor) status(ctx context.Context) Status {
	n := s.current()
	status := Status{Config: n.Config, Running: true, Started: s.started, Healthy: true}
	node := make(chan string, 1)
	go func() { node <- n.ready(ctx, s.started) }()
	status.Units = s.Status(ctx)
	for _, u := range status.Units {
		status.Healthy = status.Healthy && u.State == supervise.Ready
	}
	status.Node = <-node
	status.Healthy = status.Healthy && (n.ControlPlane || status.Node == nodeReady)
	return status
}

const nodeReady = "Ready"

// ready says whether the node is ready. What it said in an earlier life of the
// sandbox, before it was started, doesn't count.
func (n node) ready(ctx context.Context, started time.Time) string {
	if n.ControlPlane {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	client, err := n.client()
	if err != nil {
		return err.Error()
	}
	object, err := client.CoreV1().Nodes().Get(ctx, n.Name, metav1.GetOptions{})
	if err != nil {
		return err.Error()
	}
	for _, c := range object.Status.Conditions {
		if c.Type != corev1.NodeReady {
			continue
		}
		if c.LastHeartbeatTime.Time.Before(started.Truncate(time.Second)) {
			return "the kubelet hasn't reported since the start"
		}
		if c.Status != corev1.ConditionTrue {
			return c.Message
		}
		pods, err := client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + n.Name})
		if err != nil {
			return err.Error()
		}
		if stale := fromBefore(pods.Items, started); stale > 0 {
			return fmt.Sprintf("the kubelet hasn't looked after %d pods of the last run yet", stale)
		}
		return nodeReady
	}
	return "the kubelet hasn't reported yet"
}

// fromBefore counts the pods whose status says that a container runs since
// before the start. None does, but until the kubelet has said so, whoever
// waits for such a pod or its Deployment would be told that it is ready.
func fromBefore(pods []corev1.Pod, started time.Time) int {
	n := 0
	for _, pod := range pods {
		if slices.ContainsFunc(pod.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool {
			return c.State.Running != nil && c.State.Running.StartedAt.Time.Before(started.Truncate(time.Second))
		}) {
			n++
		}
	}
	return n
}

// Client talks to the supervisor of a sandbox.
type Client struct {
	dirs host.Dirs
	http *http.Client
}

// NewClient returns a client; it connects at the first call.
func NewClient(dirs host.Dirs) *Client {
	return &Client{dirs, &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", dirs.Socket())
		},
	}}}
}

// Status asks how the sandbox is. It is no error if it isn't running.
func (c *Client) Status(ctx context.Context) (Status, error) {
	cfg, err := LoadConfig(c.dirs.ConfigFile())
	if err != nil {
		return Status{}, err
	}
	cfg.Name = c.dirs.Name
	down := Status{Config: cfg}
	process, err := host.LoadProcess(c.dirs.ProcessFile())
	if err != nil {
		return Status{}, err
	}
	if !process.Alive() {
		return down, nil
	}
	body, err := c.call(ctx, http.MethodGet, "status")
	if err != nil {
		down.Running, down.PID, down.Node = true, process.PID, "the supervisor doesn't answer: "+err.Error()
		return down, nil //nolint:nilerr // the status says it
	}
	var status Status
	if err := json.Unmarshal(body, &status); err != nil {
		return Status{}, err
	}
	status.PID = process.PID
	return status, nil
}

// Reload makes the supervisor restart what is different in the Config on disk.
func (c *Client) Reload(ctx context.Context) error {
	_, err := c.call(ctx, http.MethodPost, "reload")
	return err
}

// Stop asks the supervisor to end the pods and programs, and itself. It
// doesn't wait for that.
func (c *Client) Stop(ctx context.Context) error {
	_, err := c.call(ctx, http.MethodPost, "stop")
	return err
}

func (c *Client) call(ctx context.Context, method, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://sandbox/"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("the supervisor answers %s: %s", resp.Status, strings.TrimSpace(string(body)))
	}
	return body, err
}
