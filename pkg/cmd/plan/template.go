// SPDX-License-Identifier: Apache-2.0

package plan

import (
	templatev1 "github.com/openshift/api/template/v1"

	"github.com/workshopctl/workshopctl/pkg/capability"
	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/render"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Template exports what a workshop would be on a cluster that has all that
// OpenShift can have, without asking one.
func Template(f *factory.Factory, r Request) (t *templatev1.Template, notes []string, err error) {
	if err := workshop.ValidateName(r.Name); err != nil {
		return nil, nil, err
	}
	r.export = true
	p := &Plan{verb: r.Verb, Record: record.New(), First: true, Capabilities: capability.Set{
		Ingress: true, Route: true, OAuth: true, Image: true, Template: true, DeploymentConfig: true, SecurityContext: true,
	}}
	if err := p.choose(f, r, func() workshop.Image { return workshop.Image{Stream: clusterStream} }); err != nil {
		return nil, nil, err
	}
	t, err = render.Template(render.Input{Spec: p.Spec, Version: f.Build.Version, Capabilities: p.Capabilities, ExistingSecret: r.ExistingSecret})
	if err != nil {
		return nil, nil, p.failed(err)
	}
	return t, p.Notes, nil
}

// imagesGiven is a Spec for validation whose missing images will be given when
// its Template is processed. That of the sessions is never missing.
func imagesGiven(s workshop.Spec) workshop.Spec {
	for _, image := range []*string{&s.GatewayImage, &s.HubImage, &s.ProxyImage} {
		if *image == "" {
			*image = "given"
		}
	}
	return s
}
