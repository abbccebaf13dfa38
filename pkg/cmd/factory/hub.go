// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/workshopctl/workshopctl/pkg/capability"
	"github.com/workshopctl/workshopctl/pkg/forward"
	"github.com/workshopctl/workshopctl/pkg/hub"
	"github.com/workshopctl/workshopctl/pkg/image"
	"github.com/workshopctl/workshopctl/pkg/session"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// hubTime is how long the hub gets to answer those who can do without.
const hubTime = 10 * time.Second

// Hub connects to a workshop's hub: through the API server, or at its URL
// where the person may not do that. Close ends the connection.
func (c *Cluster) Hub(ctx context.Context, spec workshop.Spec) (client *hub.Client, closeHub func(), err error) {
	n := workshop.Names(spec.Name)
	secret, err := c.Kubernetes.CoreV1().Secrets(c.Namespace).Get(ctx, n.HubPart(), metav1.GetOptions{})
	if err != nil {
		return nil, nil, fmt.Errorf("read the hub's token: %w", err)
	}
	token := string(secret.Data[workshop.SecretAPIToken])
	if token == "" {
		return nil, nil, fmt.Errorf("secret %s has no key %s", n.HubPart(), workshop.SecretAPIToken)
	}
	return c.HubAs(ctx, spec, token)
}

// HubAs is Hub with another token than the workshop's own.
func (c *Cluster) HubAs(ctx context.Context, spec workshop.Spec, token string) (client *hub.Client, closeHub func(), err error) {
	dialer := forward.New(c.Config, c.Kubernetes, c.Namespace, workshop.Names(spec.Name), workshop.ComponentHub, hub.Port)
	conn, err := dialer.Dial(ctx)
	switch {
	case err == nil:
		_ = conn.Close()
		return hub.Through(dialer.DialContext, token), dialer.Close, nil
	case apierrors.IsForbidden(err) && spec.URL() != "":
		return hub.New(spec.URL(), token, http.DefaultClient), func() {}, nil
	}
	return nil, nil, err
}

// SessionImage finds out what a session of a workshop would run that starts
// now.
func (c *Cluster) SessionImage(ctx context.Context, i workshop.Image) (image.Session, error) {
	if _, _, mayBeTag := i.StreamTag(); !mayBeTag {
		return image.Named(i.Name), nil
	}
	has, err := capability.Discover(ctx, c.Kubernetes.Discovery().RESTClient())
	switch {
	case err != nil:
		return image.Session{}, err
	case !has.Image && i.Name != "":
		return image.Named(i.Name), nil
	}
	return image.NewStreams(c.Dynamic, c.Namespace).Session(ctx, i)
}

// Rules that a workshop's sessions live by.
func Rules(spec workshop.Spec) session.Rules {
	return session.Rules{URL: spec.URL(), Culling: session.CullingOf(spec)}
}

// SessionQuery is the question which sessions a workshop has. closeHub ends
// the connection that asking has opened.
func (c *Cluster) SessionQuery(spec workshop.Spec) (query session.Query, closeHub func()) {
	h := &patient{cluster: c, spec: spec}
	return session.Query{Client: c.Kubernetes, Namespace: c.Namespace, Names: workshop.Names(spec.Name), Connect: h.connect}, h.close
}

// Sessions lists the sessions and volumes of a workshop.
func (c *Cluster) Sessions(ctx context.Context, spec workshop.Spec) (session.Overview, error) {
	query, closeHub := c.SessionQuery(spec)
	defer closeHub()
	query.Volumes = true
	overview, err := query.Read(ctx)
	Rules(spec).Apply(overview.Sessions)
	return overview, err
}

// patient is a hub that doesn't keep a list waiting. One connection serves all
// questions, until one fails.
type patient struct {
	cluster *Cluster
	spec    workshop.Spec

	mu     sync.Mutex
	client *hub.Client // nil where there is no connection
	end    func()
}

func (p *patient) connect(ctx context.Context) (session.Hub, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.client == nil {
		ctx, cancel := context.WithTimeout(ctx, hubTime)
		defer cancel()
		client, end, err := p.cluster.Hub(ctx, p.spec)
		if err != nil {
			return nil, err
		}
		p.client, p.end = client, end
	}
	return asked{p, p.client}, nil
}

// asked is one question.
type asked struct {
	patient *patient
	client  *hub.Client
}

func (a asked) Active(ctx context.Context) ([]hub.User, error) {
	ctx, cancel := context.WithTimeout(ctx, hubTime)
	defer cancel()
	users, err := a.client.Active(ctx)
	if err != nil {
		a.patient.close()
	}
	return users, err
}

func (p *patient) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.client != nil {
		p.end()
		p.client = nil
	}
}

// SameUser compares names of users as people do who don't care about case. With
// the cluster's accounts, names that differ in it alone are two users.
func SameUser(a, b string) bool { return strings.EqualFold(a, b) }
