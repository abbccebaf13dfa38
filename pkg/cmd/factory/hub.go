// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"fmt"
	"net/http"
	"strings"
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

// Sessions lists the sessions and volumes of a workshop.
func (c *Cluster) Sessions(ctx context.Context, spec workshop.Spec) (session.Overview, error) {
	closeHub := func() {}
	defer func() { closeHub() }()
	return session.List(ctx, c.Kubernetes, c.Namespace, workshop.Names(spec.Name), func(ctx context.Context) (session.Hub, error) {
		ctx, cancel := context.WithTimeout(ctx, hubTime)
		defer cancel()
		client, end, err := c.Hub(ctx, spec)
		if err != nil {
			return nil, err
		}
		closeHub = end
		return patient{client}, nil
	})
}

// patient is a hub that doesn't keep a list waiting.
type patient struct{ hub session.Hub }

func (p patient) Active(ctx context.Context) ([]hub.User, error) {
	ctx, cancel := context.WithTimeout(ctx, hubTime)
	defer cancel()
	return p.hub.Active(ctx)
}

// SameUser compares names of users as people do who don't care about case. With
// the cluster's accounts, names that differ in it alone are two users.
func SameUser(a, b string) bool { return strings.EqualFold(a, b) }
