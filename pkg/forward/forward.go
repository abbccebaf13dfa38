// SPDX-License-Identifier: Apache-2.0

// Package forward opens connections to a port of a workshop's pod through the
// API server, as `kubectl port-forward` does, so that whoever may use the
// cluster reaches the workshop without any way in from outside.
package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Dialer opens connections to one port of the ready pod of a component. It
// keeps one stream to the API server for all of them, and renews it when it
// breaks or the pod is replaced.
type Dialer struct {
	config    *rest.Config
	client    kubernetes.Interface
	namespace string
	selector  string
	what      string
	port      int

	mu      sync.Mutex
	conn    httpstream.Connection
	request int
}

// New returns a Dialer to a port of a workshop's component. It sends nothing
// before the first Dial.
func New(config *rest.Config, client kubernetes.Interface, namespace string, n workshop.Names, component workshop.Component, port int) *Dialer {
	return &Dialer{
		config: config, client: client, namespace: namespace, port: port,
		selector: labels.FormatLabels(n.Selector(component)),
		what:     fmt.Sprintf("%s of workshop %s", component, n),
	}
}

// connectTime is how long the API server gets to reach the pod's node.
const connectTime = 10 * time.Second

// NoPodError says that there is no ready pod to connect to.
type NoPodError struct{ What string }

func (e *NoPodError) Error() string { return "the " + e.What + " has no ready pod" }

// Dial opens a connection.
func (d *Dialer) Dial(ctx context.Context) (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn != nil {
		select {
		case <-d.conn.CloseChan():
			d.conn = nil
		default:
		}
	}
	if d.conn == nil {
		if err := d.connect(ctx); err != nil {
			return nil, err
		}
	}
	stream, err := d.open()
	if err != nil {
		// The connection has died without telling.
		_ = d.conn.Close()
		if err := d.connect(ctx); err != nil {
			return nil, err
		}
		return d.open()
	}
	return stream, nil
}

// DialContext is Dial for an http.Transport; network and address don't matter.
func (d *Dialer) DialContext(ctx context.Context, _, _ string) (net.Conn, error) { return d.Dial(ctx) }

// Close ends all connections.
func (d *Dialer) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn != nil {
		_ = d.conn.Close()
		d.conn = nil
	}
}

// connect reaches the pod. New clusters want the streams in a websocket, older
// ones and some proxies know only SPDY.
func (d *Dialer) connect(ctx context.Context) error {
	d.conn = nil
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	pod, err := d.pod(ctx)
	if err != nil {
		return err
	}
	url := d.client.CoreV1().RESTClient().Post().Resource("pods").Namespace(d.namespace).Name(pod).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(d.config)
	if err != nil {
		return err
	}
	plain := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, url)
	tunnel, err := portforward.NewSPDYOverWebsocketDialerForStreaming(url, d.config)
	if err != nil {
		return err
	}
	dialer := portforward.NewFallbackDialerForStreaming(tunnel, plain, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	// The dialers know no context.
	type answer struct {
		conn httpstream.Connection
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		conn, protocol, err := dialer.Dial(portforward.PortForwardProtocolV1Name)
		if err == nil && protocol != portforward.PortForwardProtocolV1Name {
			_ = conn.Close()
			err = fmt.Errorf("the API server speaks %q", protocol)
		}
		done <- answer{conn, err}
	}()
	select {
	case a := <-done:
		if a.err != nil {
			return fmt.Errorf("port-forward to pod %s: %w", pod, a.err)
		}
		d.conn = a.conn
		return nil
	case <-ctx.Done():
		go func() {
			if a := <-done; a.err == nil {
				_ = a.conn.Close()
			}
		}()
		return fmt.Errorf("port-forward to pod %s: %w", pod, ctx.Err())
	}
}

func (d *Dialer) pod(ctx context.Context) (string, error) {
	pods, err := d.client.CoreV1().Pods(d.namespace).List(ctx, metav1.ListOptions{LabelSelector: d.selector})
	if err != nil {
		return "", err
	}
	for _, p := range pods.Items {
		if p.DeletionTimestamp != nil {
			continue
		}
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				return p.Name, nil
			}
		}
	}
	return "", &NoPodError{What: d.what}
}

// open starts the pair of streams that carries one connection.
func (d *Dialer) open() (net.Conn, error) {
	headers := http.Header{}
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	headers.Set(corev1.PortHeader, strconv.Itoa(d.port))
	headers.Set(corev1.PortForwardRequestIDHeader, strconv.Itoa(d.request))
	d.request++
	errorStream, err := d.conn.CreateStream(headers)
	if err != nil {
		return nil, err
	}
	_ = errorStream.Close() // nothing is written to it
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := d.conn.CreateStream(headers)
	if err != nil {
		d.conn.RemoveStreams(errorStream)
		return nil, err
	}
	through := d.conn
	c := &conn{Stream: data, done: func() { d.drop(errorStream, data) }}
	go c.listen(errorStream, func() { d.forget(through) })
	return c, nil
}

// forget gives up a connection over which the pod can't be reached any more;
// the next Dial looks for another pod.
func (d *Dialer) forget(broken httpstream.Connection) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_ = broken.Close()
	if d.conn == broken {
		d.conn = nil
	}
}

func (d *Dialer) drop(streams ...httpstream.Stream) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn != nil {
		d.conn.RemoveStreams(streams...)
	}
}

// conn is a stream in the shape of a network connection. It has no deadlines:
// whoever loses patience closes it.
type conn struct {
	httpstream.Stream
	once sync.Once
	done func()

	mu      sync.Mutex
	problem error // what the kubelet said of the connection
}

// listen waits for what the kubelet says went wrong.
func (c *conn) listen(errors io.Reader, broken func()) {
	message, err := io.ReadAll(errors)
	if err == nil && len(message) == 0 {
		return
	}
	if len(message) > 0 {
		err = fmt.Errorf("port-forward: %s", message)
	}
	c.mu.Lock()
	c.problem = err
	c.mu.Unlock()
	_ = c.Reset()
	broken()
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Stream.Read(p)
	return n, c.explain(err)
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Stream.Write(p)
	return n, c.explain(err)
}

func (c *conn) explain(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.problem != nil {
		return c.problem
	}
	return err
}

func (c *conn) Close() error {
	err := c.Reset()
	c.once.Do(c.done)
	return err
}

// CloseWrite tells the other side that nothing more comes.
func (c *conn) CloseWrite() error { return c.Stream.Close() }

type address struct{}

func (address) Network() string { return "portforward" }
func (address) String() string  { return "pod" }

func (c *conn) LocalAddr() net.Addr              { return address{} }
func (c *conn) RemoteAddr() net.Addr             { return address{} }
func (c *conn) SetDeadline(time.Time) error      { return nil }
func (c *conn) SetReadDeadline(time.Time) error  { return nil }
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// Serve hands each connection that the listener accepts on to the pod, until
// the context ends. report is told of connections that could not be made, and
// may be nil.
func (d *Dialer) Serve(ctx context.Context, listener net.Listener, report func(error)) error {
	stop := context.AfterFunc(ctx, func() { _ = listener.Close(); d.Close() })
	defer stop()
	for {
		local, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return err
		}
		go func() {
			defer func() { _ = local.Close() }()
			remote, err := d.Dial(ctx)
			if err != nil {
				if report != nil && ctx.Err() == nil {
					report(err)
				}
				return
			}
			defer func() { _ = remote.Close() }()
			join(local, remote)
		}()
	}
}

// join copies both ways until both sides are done.
func join(a, b net.Conn) {
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		both.Go(func() {
			_, err := io.Copy(way[0], way[1])
			if w, ok := way[0].(interface{ CloseWrite() error }); ok && err == nil {
				_ = w.CloseWrite()
				return
			}
			_ = way[0].Close()
			_ = way[1].Close()
		})
	}
	both.Wait()
}
