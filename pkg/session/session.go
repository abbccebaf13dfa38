// SPDX-License-Identifier: Apache-2.0

// Package session says which sessions a workshop has, by joining what the
// cluster knows (pods, volumes) with what only the hub knows (activity). It
// does without the hub when that doesn't answer.
package session

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"

	"github.com/workshopctl/workshopctl/pkg/hub"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// State of a session, in one word.
type State string

// The states.
const (
	Starting State = "starting"
	Running  State = "running"
	// Idle runs, but nobody has done anything in it for IdleAfter.
	Idle     State = "idle"
	Stopping State = "stopping"
	// Failed will not get ready by itself.
	Failed State = "failed"
	// Orphaned is a pod that the hub knows nothing of: nobody can reach it,
	// and nobody will stop it.
	Orphaned State = "orphaned"
	// Stopped is no session: its user may start one again. A list has those
	// only where they are asked for.
	Stopped State = "stopped"
)

// IdleAfter is how long nobody must have done anything for a session to be
// called idle. The hub hears of activity up to a minute late.
const IdleAfter = 10 * time.Minute

// settled is how old a pod must be to be called orphaned: the hub's answer and
// the cluster's are not of the same instant.
const settled = time.Minute

// Session of one attendee.
type Session struct {
	User string `json:"user"`
	// State: starting, running, idle, stopping, failed, orphaned, stopped.
	State State `json:"state"`
	// Reason says more, where the state alone doesn't.
	Reason string `json:"reason,omitempty"`
	// Created is when the pod was.
	Created time.Time `json:"created,omitzero"`
	// LastActivity as the hub knows it.
	LastActivity time.Time `json:"lastActivity,omitzero"`
	// KeepUntil is until when somebody has asked to keep the session.
	KeepUntil time.Time `json:"keepUntil,omitzero"`
	// CulledAt is when the hub stops the session if nobody does anything in it
	// until then.
	CulledAt time.Time `json:"culledAt,omitzero"`
	// Image that it runs, as its pod asks for it.
	Image string `json:"image,omitempty"`
	// ImageStreamTag that the image was found by, with its project.
	ImageStreamTag string `json:"imageStreamTag,omitempty"`
	// Digest of the image, as the pod asks for it or its node has pulled it.
	Digest string `json:"digest,omitempty"`
	Node   string `json:"node,omitempty"`
	Pod    string `json:"pod,omitempty"`
	Volume string `json:"volume,omitempty"`
	// URL of the session, which its attendee and the hub's admins may open.
	URL string `json:"url,omitempty"`
}

// Volume of an attendee, whether they have a session or not.
type Volume struct {
	Name string `json:"name"`
	User string `json:"user"`
	// Size that was asked for.
	Size string `json:"size"`
	// Phase: Pending, Bound or Lost.
	Phase   string    `json:"phase"`
	Created time.Time `json:"created,omitzero"`
}

// Overview of a workshop's sessions.
type Overview struct {
	Sessions []Session `json:"sessions"`
	Volumes  []Volume  `json:"volumes"`
	// HubError is why the hub's part is missing, nil if it isn't.
	HubError error `json:"-"`
}

// Hub is the part of hub.Client that a list of sessions needs.
type Hub interface {
	Active(context.Context) ([]hub.User, error)
}

// List reads the sessions and volumes of a workshop: one request for each 250
// pods and each 250 claims, and to the hub one for each 200 sessions. connect
// reaches the hub; nil leaves it out.
func List(ctx context.Context, client kubernetes.Interface, namespace string, n workshop.Names, connect func(context.Context) (Hub, error)) (Overview, error) {
	return Query{Client: client, Namespace: namespace, Names: n, Connect: connect, Volumes: true}.Read(ctx)
}

// Query says what to read of a workshop.
type Query struct {
	Client    kubernetes.Interface
	Namespace string
	Names     workshop.Names
	// Connect reaches the hub; nil leaves it out.
	Connect func(context.Context) (Hub, error)
	// Volumes are read, too.
	Volumes bool
}

// Read reads pods, claims and the hub's users side by side.
func (q Query) Read(ctx context.Context) (Overview, error) {
	var (
		pods   []Session
		claims []Volume
		users  []hub.User
		hubErr error
	)
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		pods, _, err = q.pods(groupCtx)
		return err
	})
	if q.Volumes {
		group.Go(func() (err error) {
			claims, err = q.volumes(groupCtx)
			return err
		})
	}
	if q.Connect != nil {
		group.Go(func() error {
			users, hubErr = active(groupCtx, q.Connect)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return Overview{}, err
	}
	return Overview{Sessions: join(pods, known(q.Connect != nil, users, hubErr), time.Now()), Volumes: claims, HubError: hubErr}, nil
}

// known are the hub's users, nil if they aren't known.
func known(asked bool, users []hub.User, err error) []hub.User {
	if !asked || err != nil {
		return nil
	}
	return slices.Concat([]hub.User{}, users)
}

func active(ctx context.Context, connect func(context.Context) (Hub, error)) ([]hub.User, error) {
	h, err := connect(ctx)
	if err != nil {
		return nil, err
	}
	return h.Active(ctx)
}

// page is how many objects are read at once. What is needed of a page is taken
// from it before the next is asked for, so that a large class doesn't have to
// fit into memory: kubectl has 500, which takes a third more of it here.
const page = 250

// pages hands the options for each page of a list to read, which returns the
// list's own metadata. A list that was overtaken by too many changes between
// two of its pages is begun anew, in one piece.
func pages(begin func(), read func(metav1.ListOptions) (metav1.ListMeta, error), options metav1.ListOptions) (resourceVersion string, err error) {
	options.Limit = page
	begin()
	for {
		list, err := read(options)
		if apierrors.IsResourceExpired(err) && options.Continue != "" {
			options.Limit, options.Continue = 0, ""
			begin()
			continue
		}
		if err != nil {
			return "", err
		}
		if list.Continue == "" {
			return list.ResourceVersion, nil
		}
		options.Continue = list.Continue
	}
}

// pods reads the sessions as far as their pods know them.
func (q Query) pods(ctx context.Context) (list []Session, resourceVersion string, err error) {
	resourceVersion, err = pages(func() { list = nil }, func(options metav1.ListOptions) (metav1.ListMeta, error) {
		pods, err := q.Client.CoreV1().Pods(q.Namespace).List(ctx, options)
		if err != nil {
			return metav1.ListMeta{}, err
		}
		for i := range pods.Items {
			list = append(list, FromPod(&pods.Items[i]))
		}
		return pods.ListMeta, nil
	}, metav1.ListOptions{LabelSelector: Selector(q.Names)})
	return list, resourceVersion, err
}

// volumes reads the volumes. Their claims are small: without size and phase,
// by metadata alone, they would be hardly less.
func (q Query) volumes(ctx context.Context) ([]Volume, error) {
	var list []Volume
	_, err := pages(func() { list = []Volume{} }, func(options metav1.ListOptions) (metav1.ListMeta, error) {
		claims, err := q.Client.CoreV1().PersistentVolumeClaims(q.Namespace).List(ctx, options)
		if err != nil {
			return metav1.ListMeta{}, err
		}
		for i := range claims.Items {
			list = append(list, volume(&claims.Items[i]))
		}
		return claims.ListMeta, nil
	}, metav1.ListOptions{LabelSelector: Selector(q.Names)})
	slices.SortFunc(list, func(a, b Volume) int { return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Name, b.Name)) })
	return list, err
}

func volume(c *corev1.PersistentVolumeClaim) Volume {
	size := c.Spec.Resources.Requests[corev1.ResourceStorage]
	return Volume{
		Name: c.Name, User: c.Annotations[workshop.UsernameAnnotation], Size: size.String(),
		Phase: string(c.Status.Phase), Created: c.CreationTimestamp.UTC(),
	}
}

// Selector finds the pods and claims of a workshop's sessions.
func Selector(n workshop.Names) string {
	return labels.FormatLabels(n.Selector(workshop.ComponentSession))
}

// Join makes sessions of pods and of the hub's active users, which are nil if
// the hub didn't answer. They come sorted by user.
func Join(pods []corev1.Pod, users []hub.User, now time.Time) []Session {
	var list []Session
	for i := range pods {
		list = append(list, FromPod(&pods[i]))
	}
	return join(list, users, now)
}

// Known says of sessions that were read without the hub what it says of them;
// users are its active ones.
func Known(pods []Session, users []hub.User) []Session { return join(pods, users, time.Now()) }

func join(pods []Session, users []hub.User, now time.Time) []Session {
	servers := map[string]hub.Server{}
	for _, u := range users {
		if s, ok := u.Servers[""]; ok {
			servers[u.Name] = s
		}
	}
	sessions := []Session{}
	seen := map[string]bool{}
	for _, s := range pods {
		server, known := servers[s.User]
		if known {
			seen[s.User] = true
			s.LastActivity = server.LastActivity
		}
		switch {
		case known && server.Pending == "stop" && s.State != Failed:
			s.State = Stopping
		case known && s.State == Running && !server.LastActivity.IsZero() && now.Sub(server.LastActivity) >= IdleAfter:
			s.State = Idle
		case users != nil && !known && s.State != Stopping && now.Sub(s.Created) >= settled:
			s.State, s.Reason = Orphaned, "the hub doesn't know this session"
		}
		sessions = append(sessions, s)
	}
	for user, server := range servers {
		if seen[user] {
			continue
		}
		s := Session{User: user, LastActivity: server.LastActivity}
		switch {
		case server.Pending == "stop":
			s.State = Stopping
		case server.Ready:
			s.State, s.Reason = Failed, "its pod is gone; the hub finds out within a minute"
		default:
			s.State, s.Reason = Starting, "the hub is making its pod"
		}
		sessions = append(sessions, s)
	}
	slices.SortFunc(sessions, func(a, b Session) int {
		return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Pod, b.Pod))
	})
	return sessions
}

// FromPod is a session as far as its pod knows it.
func FromPod(p *corev1.Pod) Session {
	s := Session{User: p.Annotations[workshop.UsernameAnnotation], Pod: p.Name, Node: p.Spec.NodeName, Created: p.CreationTimestamp.UTC()}
	for _, c := range p.Spec.Containers {
		if c.Name == Container {
			s.Image = c.Image
			_, s.Digest, _ = strings.Cut(c.Image, "@")
		}
	}
	for _, c := range p.Status.ContainerStatuses {
		// The node may know the image by another digest than the pod asks for:
		// one of those in an index, for each kind of processor.
		if _, digest, ok := strings.Cut(c.ImageID, "@"); ok && c.Name == Container && s.Digest == "" {
			s.Digest = digest
		}
	}
	s.ImageStreamTag = p.Annotations[workshop.ImageStreamTagAnnotation]
	s.KeepUntil = KeepUntil(p)
	for _, v := range p.Spec.Volumes {
		if v.PersistentVolumeClaim != nil {
			s.Volume = v.PersistentVolumeClaim.ClaimName
		}
	}
	s.State, s.Reason = state(p)
	return s
}

// Container that an attendee works in, as KubeSpawner calls it.
const Container = "notebook"

// hopeless are reasons of waiting containers that seldom go away by themselves.
var hopeless = map[string]bool{
	"CrashLoopBackOff": true, "ImagePullBackOff": true, "ErrImagePull": true, "InvalidImageName": true,
	"CreateContainerConfigError": true, "CreateContainerError": true, "RunContainerError": true,
}

func state(p *corev1.Pod) (State, string) {
	if p.DeletionTimestamp != nil {
		return Stopping, ""
	}
	if p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded {
		return Failed, cmp.Or(because(p.Status.Reason, p.Status.Message), ended(p), "its container has ended")
	}
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if w := c.State.Waiting; w != nil && hopeless[w.Reason] {
			return Failed, because(w.Reason, w.Message)
		}
	}
	for _, c := range p.Status.Conditions {
		switch {
		case c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue:
			return Running, ""
		case c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse:
			return Starting, because(c.Reason, c.Message)
		}
	}
	for _, c := range p.Status.InitContainerStatuses {
		if c.State.Terminated == nil || c.State.Terminated.ExitCode != 0 {
			return Starting, preparing(c)
		}
	}
	for _, c := range p.Status.ContainerStatuses {
		if c.State.Waiting != nil {
			return Starting, because(c.State.Waiting.Reason, c.State.Waiting.Message)
		}
	}
	return Starting, ""
}

// preparing says what an init container is there for.
func preparing(c corev1.ContainerStatus) string {
	switch {
	case c.State.Waiting != nil && c.State.Waiting.Reason != "PodInitializing":
		return because(c.State.Waiting.Reason, c.State.Waiting.Message)
	case c.Name == "gateway":
		return "copying the terminal server"
	case c.Name == "seed":
		return "filling the volume"
	}
	return "preparing: " + c.Name
}

// ended says how the containers of a pod did.
func ended(p *corev1.Pod) string {
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if t := c.State.Terminated; t != nil && (t.ExitCode != 0 || c.Name == Container) {
			return because(t.Reason, t.Message)
		}
	}
	return ""
}

func because(reason, message string) string {
	return strings.TrimPrefix(strings.TrimSuffix(reason+": "+message, ": "), ": ")
}
