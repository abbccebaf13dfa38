// SPDX-License-Identifier: Apache-2.0

// Package plan is what deploy, set-image, rollout undo, diff and render have
// in common: it finds out what a workshop is to be (Make, which writes
// nothing) and carries it out (Carry).
package plan

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/workshopctl/workshopctl/pkg/apply"
	"github.com/workshopctl/workshopctl/pkg/capability"
	"github.com/workshopctl/workshopctl/pkg/cmd/choice"
	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/image"
	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/render"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Request says what is wanted of a workshop.
type Request struct {
	// Verb that the person used, which errors start with.
	Verb string
	// Name of the workshop.
	Name string
	// Record of the workshop if the caller has loaded it already.
	Record *record.Record
	// Change to make to the Spec.
	Change choice.Change
	// Spec to go back to, in place of a Change.
	Spec *workshop.Spec
	// Secret has new values of the workshop's Secret; the others stay.
	Secret map[string][]byte
	// ExistingSecret, see render.Input.
	ExistingSecret string
	// Account plans only what an administrator prepares (render.Account), which
	// takes no right to read what there is.
	Account bool

	// export plans a Template, whose images may be given when it is processed.
	export bool
}

// Plan is a workshop as it is to be, and what there is of it.
type Plan struct {
	Namespace string
	verb      string
	// Record as loaded, or a new one.
	Record *record.Record
	// Spec that is wanted, complete and valid.
	Spec workshop.Spec
	// First is true if the workshop isn't deployed yet.
	First        bool
	Capabilities capability.Set
	// Objects as rendered, in the order of application.
	Objects []*unstructured.Unstructured
	// Live is what exists of them.
	Live apply.Live
	// Image that new sessions get now, and who set it if it wasn't workshopctl.
	Image        workshop.Image
	ImageManager string
	// Session is the image of a session that would start now with the Spec,
	// and SessionErr why there is none.
	Session    image.Session
	SessionErr error
	// Unrecorded is true if the workshop exists without a record: it was applied
	// by other means than deploy.
	Unrecorded bool
	// TakeImage is true if the person named a terminal image.
	TakeImage bool
	// Notes for the person.
	Notes []string

	version, existingSecret string
	// domain that the person's configuration names.
	domain string
}

// failed says in an error what was tried.
func (p *Plan) failed(err error) error { return fmt.Errorf("%s %s: %w", p.verb, p.Spec.Name, err) }

// Names of the workshop's objects.
func (p *Plan) Names() workshop.Names { return workshop.Names(p.Spec.Name) }

// Make finds out what a workshop is to be. It sends one request each for the
// record and the capabilities, and one for each object.
func Make(ctx context.Context, f *factory.Factory, c *factory.Cluster, r Request) (*Plan, error) {
	if err := workshop.ValidateName(r.Name); err != nil {
		return nil, err
	}
	p := newPlan(f, c.Namespace, r)
	p.Record, p.TakeImage = r.Record, r.Spec != nil || r.Change.NamesTerminalImage()
	group, groupCtx := errgroup.WithContext(ctx)
	if p.Record == nil {
		group.Go(func() error {
			loaded, err := f.Records(c).Load(groupCtx, r.Name)
			if factory.IsNotFound(err) {
				loaded, err = record.New(), nil
			}
			p.Record = loaded
			return err
		})
	}
	group.Go(func() (err error) {
		p.Capabilities, err = capability.Discover(groupCtx, c.Kubernetes.Discovery().RESTClient())
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	p.First = p.Record.Revision() == 0
	streams := image.NewStreams(c.Dynamic, c.Namespace)
	if err := p.choose(f, r, func() workshop.Image { return p.clusterImage(ctx, streams) }); err != nil {
		return nil, err
	}
	if err := p.possible(f); err != nil {
		return nil, err
	}
	if r.Account {
		return p, p.renderAccount()
	}

	// Which objects there are doesn't depend on what exists of them, but the
	// secrets and the image in them do.
	if err := p.render(nil); err != nil {
		return nil, err
	}
	live, err := c.Apply().Read(ctx, record.RefsOf(p.Objects))
	if err != nil {
		return nil, p.withoutRoles(err)
	}
	p.Live = live
	if err := live.CheckOwnership(p.Names()); err != nil {
		return nil, p.failed(err)
	}
	p.Unrecorded = p.First && slices.ContainsFunc(slices.Collect(maps.Keys(live)), func(r record.Ref) bool { return r.Name == p.Names().Hub() && isWorkload(r.Kind) })
	if err := p.checkAccount(ctx, c); err != nil {
		return nil, err
	}
	p.keepImage()
	if err := p.findHost(ctx, c.Apply()); err != nil {
		return nil, p.failed(err)
	}
	if p.Session, p.SessionErr = p.sessionImage(ctx, streams); p.SessionErr != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if !p.First && p.Changed() && p.ForgetsSessions() {
		p.Notes = append(p.Notes, "The hub has no volume for its database (--hub-storage-size 0): when it restarts for this change, it forgets the sessions that run, and their terminals end.")
	}
	secret := r.secret(live.Secret(p.Names()))
	if err := p.checkClientSecret(secret); err != nil {
		return nil, err
	}
	return p, p.render(secret)
}

// secret are the values of the workshop's Secret that are to be kept, and new
// ones.
func (r Request) secret(kept map[string][]byte) map[string][]byte {
	all := map[string][]byte{}
	maps.Copy(all, kept)
	maps.Copy(all, r.Secret)
	if len(r.Change.ClientSecret) > 0 {
		all[workshop.SecretOIDCClient] = r.Change.ClientSecret
	}
	return all
}

// checkClientSecret looks for the secret by which an OpenID Connect provider
// knows the workshop.
func (p *Plan) checkClientSecret(secret map[string][]byte) error {
	if p.Spec.Auth != workshop.AuthOIDC || p.Spec.OIDC.ClientSecretName != "" || p.existingSecret != "" || len(secret[workshop.SecretOIDCClient]) > 0 {
		return nil
	}
	return &fault.Error{Code: fault.BadUsage, Err: p.failed(errors.New("the provider's secret for the workshop is not known")),
		Hint: "Give it with --oidc-client-secret-file FILE, or name a Secret of your own with --oidc-secret."}
}

func newPlan(f *factory.Factory, namespace string, r Request) *Plan {
	return &Plan{Namespace: namespace, verb: r.Verb, version: f.Build.Version, existingSecret: r.ExistingSecret}
}

// Offline finds out what a workshop would be without asking a cluster: on a
// plain Kubernetes cluster, or on OpenShift where something is chosen that
// there is only there.
func Offline(f *factory.Factory, namespace string, r Request) (*Plan, error) {
	if err := workshop.ValidateName(r.Name); err != nil {
		return nil, err
	}
	p := newPlan(f, namespace, r)
	p.Record, p.First, p.Capabilities = record.New(), true, capability.Set{Ingress: true}
	if err := p.choose(f, r, func() workshop.Image { return workshop.Image{} }); err != nil {
		return nil, err
	}
	if p.Spec.Expose == workshop.ExposeRoute || p.Spec.Workload == workshop.WorkloadDeploymentConfig {
		p.Capabilities = capability.Set{Ingress: true, Route: true, OAuth: true, Image: true, Template: true, DeploymentConfig: true, SecurityContext: true}
	}
	if r.Account {
		return p, p.renderAccount()
	}
	if err := p.checkClientSecret(r.secret(nil)); err != nil {
		return nil, err
	}
	return p, p.render(r.secret(nil))
}

func isWorkload(kind string) bool { return kind == "Deployment" || kind == "DeploymentConfig" }

// clusterStream is where OpenShift keeps it.
const clusterStream = "openshift/cli:latest"

// clusterImage is the terminal image that a cluster itself has to offer: the
// one with its oc, which fits it.
func (p *Plan) clusterImage(ctx context.Context, streams *image.Streams) workshop.Image {
	cli := workshop.Image{Stream: clusterStream}
	if !p.Capabilities.Image {
		return workshop.Image{}
	}
	if _, err := streams.Session(ctx, cli); err != nil {
		return workshop.Image{} // another cluster's habit, or not for everybody
	}
	p.Notes = append(p.Notes, fmt.Sprintf("Sessions run the cluster's own command line image, %s; --%s names another one.", cli, choice.FlagTerminalImage))
	return cli
}

// sessionImage finds out what sessions will run.
func (p *Plan) sessionImage(ctx context.Context, streams *image.Streams) (image.Session, error) {
	switch {
	case p.Capabilities.Image:
		return streams.Session(ctx, p.Spec.Image())
	case p.Spec.ImageStream != "":
		return image.Session{}, &explain.Failure{Code: explain.ImageStreamNotFound, Object: "image stream " + p.Spec.ImageStream,
			Cause: "the cluster has no image streams", Remedy: "name an image with --" + choice.FlagTerminalImage}
	}
	return image.Named(p.Spec.TerminalImage), nil
}

// choose completes the Spec and checks it. clusterImage is asked for the image
// of sessions where nobody has named one.
func (p *Plan) choose(f *factory.Factory, r Request, clusterImage func() workshop.Image) error {
	images, err := image.Defaults(f.Build.GatewayImage)
	if err != nil {
		return err
	}
	defaults, err := choice.LoadDefaults()
	if err != nil {
		return err
	}
	p.domain = defaults.Domain
	if r.Spec != nil {
		p.Spec = *r.Spec
		return p.Spec.Validate()
	}
	base := p.Record.Spec
	if p.First {
		base = defaults.Spec
	}
	spec, err := r.Change.Apply(base, !p.First)
	if err != nil {
		return err
	}
	spec.Name = r.Name
	authUnchosen := spec.Auth == ""
	if (spec.Image() == workshop.Image{}) {
		spec.SetImage(clusterImage())
	}
	if !p.First {
		moveImages(&spec, p.Record.Spec.Registry, r.Change, images)
	}
	spec = spec.WithDefaults(image.CopiesIn(spec.Registry, images))
	if spec.Expose == "" {
		switch {
		case p.Capabilities.Route:
			spec.Expose = workshop.ExposeRoute
		case p.Capabilities.Ingress:
			spec.Expose = workshop.ExposeIngress
		default:
			spec.Expose = workshop.ExposeNone
		}
	}
	if authUnchosen {
		spec.Auth = p.bestAuth(spec)
	}
	if spec.Expose == workshop.ExposeNone && !r.Change.NamesHost() {
		spec.Host, spec.TLSSecret = "", ""
	}
	switch {
	case spec.Expose != workshop.ExposeRoute && spec.HostAssigned:
		spec.Host, spec.HostAssigned = "", false
	case spec.Expose == workshop.ExposeRoute && spec.Host == "":
		spec.HostAssigned = true
	}
	if spec.Expose == workshop.ExposeRoute && !r.Change.NamesTLSSecret() {
		spec.TLSSecret = "" // a default for ingresses
	}
	if r.Account {
		p.Spec = spec
		return nil // the account depends on no more than what there is of it by now
	}
	if spec.Expose == workshop.ExposeIngress && spec.Host == "" {
		p.Spec = spec
		if defaults.Domain == "" {
			return &fault.Error{Code: fault.BadUsage,
				Err:  p.failed(errors.New("an ingress needs a host name that leads to your cluster, and none is known")),
				Hint: fmt.Sprintf("Name it with --host, or put `domain: apps.example.com` into your configuration (or WORKSHOPCTL_DOMAIN) to have it called %s-%s.apps.example.com.\nWithout a host: --expose none, and `workshopctl url --forward` opens a way in from this machine.", r.Name, p.Namespace)}
		}
		spec.Host = fmt.Sprintf("%s-%s.%s", r.Name, p.Namespace, defaults.Domain)
		if spec.TLSSecret == "" {
			spec.TLSSecret = defaults.Spec.TLSSecret
		}
	}
	p.Spec = spec
	if r.export {
		spec = imagesGiven(spec)
	}
	if err := spec.Validate(); err != nil {
		return gatewayHint(spec, p.failed(r.Change.Explain(err)))
	}
	return nil
}

// moveImages has a deployed workshop take the release's images from another
// registry. Those that a person has named stay what they are.
func moveImages(spec *workshop.Spec, from string, c choice.Change, published workshop.Images) {
	if spec.Registry == from {
		return
	}
	var file workshop.Spec
	if c.Replace != nil {
		file = *c.Replace
	}
	for _, i := range []struct {
		image              *string
		flag, file, origin string
	}{
		{&spec.GatewayImage, "gateway-image", file.GatewayImage, published.Gateway},
		{&spec.HubImage, "hub-image", file.HubImage, published.Hub},
		{&spec.ProxyImage, "proxy-image", file.ProxyImage, published.Proxy},
	} {
		if c.Values[i.flag] == "" && i.file == "" {
			*i.image = image.Moved(*i.image, i.origin, from, spec.Registry)
		}
	}
}

// gatewayHint says where a gateway image comes from to those who run a build
// that has none published.
func gatewayHint(spec workshop.Spec, err error) error {
	if spec.GatewayImage != "" {
		return err
	}
	return fault.Hint(err, "This build of workshopctl has no published gateway image, which each session copies its terminal server from.\n"+
		"Push one to a registry that your cluster pulls from: make push-images REGISTRY=registry.example.com/team\n"+
		"Then name it with --gateway-image, or once for all in your configuration (gateway-image: …) or WORKSHOPCTL_GATEWAY_IMAGE.")
}

// keepImage keeps the image that new sessions get now, whoever set it, unless
// the person named another one.
func (p *Plan) keepImage() {
	p.Image, p.ImageManager = p.Live.Image(p.Names())
	switch wanted := p.Spec.Image(); {
	case p.Image == workshop.Image{} || p.Image == wanted:
	case p.TakeImage && p.ImageManager != "":
		p.Notes = append(p.Notes, fmt.Sprintf("The terminal image %s, which was set by %s, is replaced by %s.", p.Image, p.ImageManager, wanted))
	case !p.TakeImage:
		by := ""
		if p.ImageManager != "" {
			by = " (set by " + p.ImageManager + ")"
		}
		p.Notes = append(p.Notes, fmt.Sprintf("The terminal image stays %s%s; --terminal-image changes it.", p.Image, by))
		p.Spec.SetImage(p.Image)
	}
}

func (p *Plan) render(secret map[string][]byte) error {
	objects, err := render.Objects(render.Input{
		Spec:           p.Spec,
		Namespace:      p.Namespace,
		Version:        p.version,
		Capabilities:   p.Capabilities,
		Secret:         secret,
		ExistingSecret: p.existingSecret,
	})
	if err != nil {
		return p.failed(err)
	}
	p.Objects = objects
	return nil
}

// Changed says whether the Spec differs from the one that is deployed.
func (p *Plan) Changed() bool { return p.First || !reflect.DeepEqual(p.Spec, p.Record.Spec) }

// ForgetsSessions says whether a restart of the hub ends the running sessions:
// it knows them from its database alone, and the proxy drops those that it
// doesn't know.
func (p *Plan) ForgetsSessions() bool {
	for _, spec := range []workshop.Spec{p.Spec, p.Record.Spec} {
		if size, err := resource.ParseQuantity(spec.HubStorageSize); err == nil && size.IsZero() {
			return true
		}
	}
	return false
}

// Passwords are those of attendees and admins, empty where the login has none.
func (p *Plan) Passwords() (user, admin string) {
	if p.Spec.Auth != workshop.AuthPassword {
		return "", ""
	}
	secret := p.secret()
	return string(secret[workshop.SecretUserPassword]), string(secret[workshop.SecretAdminPassword])
}

// secret has the values of the workshop's Secret as rendered.
func (p *Plan) secret() map[string][]byte {
	rendered := apply.Live{}
	for _, o := range p.Objects {
		rendered[record.RefOf(o)] = o
	}
	return rendered.Secret(p.Names())
}
