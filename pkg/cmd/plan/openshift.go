// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/workshopctl/workshopctl/pkg/apply"
	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// possible refuses what the cluster lacks the kinds for, and what can't be
// done to a workshop that is deployed.
func (p *Plan) possible(f *factory.Factory) error {
	var err error
	switch was, is := p.Record.Spec.Workload.GroupVersionKind(), p.Spec.Workload.GroupVersionKind(); {
	case p.Spec.Expose == workshop.ExposeRoute && !p.Capabilities.Route:
		err = fault.Hint(fault.Usage("the cluster has no routes (route.openshift.io)"),
			"Choose another way in: --expose ingress, or --expose none.")
	case p.Spec.Workload == workshop.WorkloadDeploymentConfig && !p.Capabilities.DeploymentConfig:
		err = fault.Hint(fault.Usage("the cluster has no deployment configs (apps.openshift.io); OpenShift can be installed without them"),
			"Deployments do the same: --workload deployment, which is the default.")
	case !p.First && was != is:
		name := p.Spec.Name
		err = fault.Refuse(fmt.Sprintf("Make the workshop anew. Attendees' volumes stay; their sessions end, and passwords change.\n"+
			"  workshopctl rollout history%s --revision %d > workshop.yaml\n"+
			"  workshopctl delete %s%s\n"+
			"  workshopctl deploy%s -f workshop.yaml --workload %s",
			f.On(name), p.Record.Revision(), name, f.Where(), f.Where(), p.Spec.Workload),
			"hub and proxy run as objects of kind %s, which can't become %ss while the workshop is deployed", was.Kind, is.Kind)
	}
	if err != nil {
		return p.failed(err)
	}
	return nil
}

// findHost finds out which host the workshop's Route has, or is going to have,
// where nobody has chosen one: the hub needs to know it when it starts.
func (p *Plan) findHost(ctx context.Context, client *apply.Client) error {
	if p.Spec.Expose != workshop.ExposeRoute || !p.Spec.HostAssigned {
		return nil
	}
	host, chosen, err := client.RouteHost(ctx, p.Names(), p.Objects, p.Live)
	if err != nil {
		return err
	}
	if host == "" {
		p.Spec.Host = ""
		return nil
	}
	if chosen {
		p.Notes = append(p.Notes, fmt.Sprintf("The route keeps its host %s, which was chosen for it. To have the cluster assign one, delete the route first (kubectl -n %s delete route %s) and deploy again.", host, p.Namespace, p.Names().Ingress()))
		p.Spec.HostAssigned = false
	}
	p.Spec.Host = p.withPort(host)
	return nil
}

// makeRoute makes the Route before everything else where no dry run has told
// its host, and renders the rest with it: a hub that doesn't know its address
// would have to start twice.
func (p *Plan) makeRoute(ctx context.Context, client *apply.Client, o apply.Options) error {
	if p.Spec.Expose != workshop.ExposeRoute || p.Spec.Host != "" || o.DryRun {
		return nil
	}
	i := slices.IndexFunc(p.Objects, func(o *unstructured.Unstructured) bool { return o.GetKind() == "Route" })
	route, secret := p.Objects[i:i+1], p.secret()
	if _, err := client.Apply(ctx, route, p.Live, o); err != nil {
		return err
	}
	made, err := client.Read(ctx, record.RefsOf(route))
	if err != nil {
		return err
	}
	host, _, err := client.RouteHost(ctx, p.Names(), route, made)
	if err != nil {
		return err
	}
	p.Spec.Host = p.withPort(host)
	p.Record.Amend(p.Spec)
	return p.render(secret)
}

// withPort adds to a Route's host the port that browsers use, which a Route
// says nothing of: the one that is known already, or that of the domain in the
// person's configuration. Most clusters use 443, and so need none.
func (p *Plan) withPort(host string) string {
	if known, port := workshop.SplitHost(p.Spec.Host); known == host && port != "" {
		return p.Spec.Host
	}
	if domain, port := workshop.SplitHost(p.domain); port != "" && strings.HasSuffix(host, "."+domain) {
		return host + ":" + port
	}
	return host
}
