// SPDX-License-Identifier: Apache-2.0

// Package bootstrap makes, on an API server that speaks OpenShift, what every
// OpenShift cluster has from the start and the sandbox' own users need: API
// groups, roles, the route of the login page, the trainer's project and token.
//
// All of it is in manifests/. What is there already stays as somebody has
// changed it, but for the objects that name ports and certificates.
package bootstrap

import (
	"bytes"
	"context"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/workshopctl/workshopctl/sandbox/imagestream"
)

//go:embed manifests
var manifests embed.FS

// Users beside user1 … user5, who have no rights before they make a project.
const (
	// Project is the one that Trainer is admin of.
	Project = "workshop"
	Trainer = "trainer"
	Admin   = "admin" // of the cluster
)

// IdentityProvider is the name of the OAuth server's only one.
const IdentityProvider = "htpasswd"

// CLI is the image that everybody may use: a terminal with oc.
var CLI = imagestream.Tag{Project: "openshift", Name: "cli", Tag: "latest"}

// Config says what differs from sandbox to sandbox.
type Config struct {
	// Address is the node's.
	Address string
	// Ports of the aggregated API servers, the OAuth server and the registry.
	OpenShiftPort, OAuthAPIPort, OAuthPort, RegistryPort int
	// OAuthHost is the OAuth server's name, OAuthURL how clients reach it.
	OAuthHost, OAuthURL string
	// CA is the file of the authority that signed the API servers'
	// certificates.
	CA string
	// ServersReady says whether the aggregated API servers answer.
	ServersReady func(ctx context.Context) error
	// CLI is what the tag openshift/cli:latest stands for where no image is
	// pushed, as no pod runs. Nil where one is.
	CLI v1.Image
}

// Bootstrap is one run.
type Bootstrap struct {
	cfg Config

	mu  sync.Mutex
	err error // why it isn't done yet
}

// New returns a Bootstrap that hasn't begun.
func New(cfg Config) *Bootstrap { return &Bootstrap{cfg: cfg, err: errors.New("it hasn't begun")} }

// Ready says whether it is done, and if not, what it waits for.
func (b *Bootstrap) Ready(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

func (b *Bootstrap) set(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

// Run makes everything, and the token one of the trainer's, and then waits for
// ctx to end. Log receives a line for each step.
func (b *Bootstrap) Run(ctx context.Context, rc *rest.Config, token string, log func(format string, args ...any)) error {
	rc = rest.CopyConfig(rc)
	rc.QPS, rc.Burst = 200, 400 // nobody else has work for the API server yet
	client, err := dynamic.NewForConfig(rc)
	if err != nil {
		return err
	}
	c := cluster{client: client, values: b.cfg.values()}
	rights, err := newRights(rc, token)
	if err != nil {
		return err
	}
	start := time.Now()
	for _, step := range []struct {
		name string
		do   func(ctx context.Context) error
	}{
		{"namespaces and roles", func(ctx context.Context) error { return c.create(ctx, "cluster.yaml") }},
		{"OpenShift's API servers", b.until(b.cfg.ServersReady)},
		// Written anew each time: the API server looks at once whether a
		// group that was changed is there, and else with growing pauses.
		{"API groups", func(ctx context.Context) error { return c.replace(ctx, "apis.yaml") }},
		{"API groups that answer", b.until(c.groupsAvailable)},
		{"the login page's route and image streams", func(ctx context.Context) error { return c.replace(ctx, "openshift.yaml") }},
		{"the trainer's token", func(ctx context.Context) error { return c.token(ctx, token) }},
		{"the image stream of oc", func(ctx context.Context) error { return b.pretendCLI(ctx, client) }},
		{"the trainer's rights", b.until(rights.granted)},
	} {
		b.set(errors.New("making " + step.name))
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("make %s: %w", step.name, err)
		}
		log("%s: done after %.1fs", step.name, time.Since(start).Seconds())
	}
	b.set(nil)
	<-ctx.Done()
	return nil
}

// until makes a step of a condition. It has no time limit of its own: whoever
// waits for the sandbox has one, and is told the last answer.
func (b *Bootstrap) until(condition func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		return wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
			err := condition(ctx)
			if err != nil {
				b.set(err)
			}
			return err == nil, nil
		})
	}
}

func (b *Bootstrap) pretendCLI(ctx context.Context, client dynamic.Interface) error {
	if b.cfg.CLI == nil {
		return nil
	}
	_, err := imagestream.Set(ctx, client, CLI, b.cfg.CLI)
	return err
}

// values are what the manifests are filled with.
func (c Config) values() map[string]string {
	ca, _ := os.ReadFile(c.CA) // without it no group becomes available, and that says why
	return map[string]string{
		"ADDRESS": c.Address, "OPENSHIFT_PORT": strconv.Itoa(c.OpenShiftPort), "OAUTH_API_PORT": strconv.Itoa(c.OAuthAPIPort),
		"OAUTH_PORT": strconv.Itoa(c.OAuthPort), "REGISTRY_PORT": strconv.Itoa(c.RegistryPort),
		"OAUTH_HOST": c.OAuthHost, "OAUTH_URL": c.OAuthURL, "CA": base64.StdEncoding.EncodeToString(ca),
		"PROJECT": Project, "TRAINER": Trainer, "ADMIN": Admin, "IDENTITY_PROVIDER": IdentityProvider,
	}
}

// cluster makes objects of manifests.
type cluster struct {
	client dynamic.Interface
	values map[string]string
}

// create makes the objects of the files that don't exist.
func (c cluster) create(ctx context.Context, files ...string) error {
	return c.each(files, func(o *unstructured.Unstructured) error { return c.ensure(ctx, o, false) })
}

// replace makes the objects and gives those that exist what the files say.
func (c cluster) replace(ctx context.Context, files ...string) error {
	return c.each(files, func(o *unstructured.Unstructured) error { return c.ensure(ctx, o, true) })
}

func (c cluster) each(files []string, do func(*unstructured.Unstructured) error) error {
	for _, file := range files {
		objects, err := c.read(file)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		for _, o := range objects {
			if err := do(o); err != nil {
				return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
			}
		}
	}
	return nil
}

// read returns the objects of a file, filled in.
func (c cluster) read(file string) ([]*unstructured.Unstructured, error) {
	data, err := manifests.ReadFile("manifests/" + file)
	if err != nil {
		return nil, err
	}
	var unknown error
	text := os.Expand(string(data), func(name string) string {
		value, ok := c.values[name]
		if !ok {
			unknown = fmt.Errorf("nothing is known for $%s", name)
		}
		return value
	})
	if unknown != nil {
		return nil, unknown
	}
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewBufferString(text), 4096)
	for {
		o := &unstructured.Unstructured{}
		if err := decoder.Decode(&o.Object); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, err
		}
		if len(o.Object) > 0 { // else it is the comment at the head of the file
			objects = append(objects, o)
		}
	}
}

// startAnnotation differs from start to start, so that an update is one.
const startAnnotation = "workshop-sandbox/started"

// ensure makes an object, or gives one that exists the same content.
func (c cluster) ensure(ctx context.Context, o *unstructured.Unstructured, replace bool) error {
	resource := c.client.Resource(resourceOf(o.GroupVersionKind()))
	var objects dynamic.ResourceInterface = resource
	if o.GetNamespace() != "" {
		objects = resource.Namespace(o.GetNamespace())
	}
	return wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		_, err := objects.Create(ctx, o, metav1.CreateOptions{})
		switch {
		case !apierrors.IsAlreadyExists(err) || !replace:
			return true, ignoreExists(err)
		}
		old, err := objects.Get(ctx, o.GetName(), metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		for field, value := range o.Object {
			if field == "metadata" {
				continue
			}
			content, ok := value.(map[string]any)
			current, _ := old.Object[field].(map[string]any)
			if !ok || current == nil {
				old.Object[field] = value
				continue
			}
			for k, v := range content { // a Service keeps its address
				current[k] = v
			}
		}
		annotations := old.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[startAnnotation] = time.Now().UTC().Format(time.RFC3339Nano)
		old.SetAnnotations(annotations)
		_, err = objects.Update(ctx, old, metav1.UpdateOptions{})
		if apierrors.IsConflict(err) {
			return false, nil
		}
		return true, err
	})
}

func ignoreExists(err error) error {
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// resourceOf is the resource of a kind: what English makes of its name.
func resourceOf(kind schema.GroupVersionKind) schema.GroupVersionResource {
	plural, _ := meta.UnsafeGuessKindToResource(kind)
	return plural
}

// groupsAvailable says whether the API server reaches all groups of apis.yaml.
func (c cluster) groupsAvailable(ctx context.Context) error {
	objects, err := c.read("apis.yaml")
	if err != nil {
		return err
	}
	for _, o := range objects {
		if o.GetKind() != "APIService" {
			continue
		}
		now, err := c.client.Resource(resourceOf(o.GroupVersionKind())).Get(ctx, o.GetName(), metav1.GetOptions{})
		if err != nil {
			return err
		}
		if err := available(now); err != nil {
			return fmt.Errorf("API group %s: %w", o.GetName(), err)
		}
	}
	return nil
}

func available(service *unstructured.Unstructured) error {
	conditions, _, err := unstructured.NestedSlice(service.Object, "status", "conditions")
	if err != nil {
		return err
	}
	for _, c := range conditions {
		condition, _ := c.(map[string]any)
		if condition["type"] != "Available" {
			continue
		}
		if condition["status"] == "True" {
			return nil
		}
		return fmt.Errorf("%v: %v", condition["reason"], condition["message"])
	}
	return errors.New("the API server hasn't looked for it yet")
}
