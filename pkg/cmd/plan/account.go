// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"context"
	"errors"
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/workshopctl/workshopctl/pkg/apply"
	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/preflight"
	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/render"
)

// account renders what an account needs that runs the hub.
func (p *Plan) account() ([]*unstructured.Unstructured, error) {
	return render.Account(render.Input{Spec: p.Spec, Namespace: p.Namespace, Version: p.version, Capabilities: p.Capabilities})
}

// renderAccount renders what an administrator prepares.
func (p *Plan) renderAccount() error {
	objects, err := p.account()
	if err != nil {
		return p.failed(err)
	}
	p.Objects = objects
	return nil
}

// withoutRoles says to who may not even look at Roles how to do without.
func (p *Plan) withoutRoles(err error) error {
	var rights *apply.RightsError
	if !errors.As(err, &rights) || rights.Ref.Group() != rbacv1.GroupName {
		return err
	}
	return fault.Hint(p.failed(fmt.Errorf("you lack the right to make a Role and a RoleBinding in namespace %s, which the hub's account needs; nothing was written", p.Namespace)),
		"Ask an administrator of the cluster to bind you to the ClusterRole admin in the namespace.\n"+
			"Or "+preflight.AccountRemedy(p.Namespace, p.Spec, p.Capabilities.Route)+".")
}

// checkAccount refuses an account that this deploy would take away.
func (p *Plan) checkAccount(ctx context.Context, c *factory.Cluster) error {
	ref := record.Ref{APIVersion: "v1", Kind: "ServiceAccount", Name: p.Spec.ServiceAccount}
	if p.Spec.ServiceAccount == "" || len(record.Without([]record.Ref{ref}, p.Record.Inventory)) > 0 {
		return nil
	}
	live, err := c.Apply().Read(ctx, []record.Ref{ref})
	if err != nil || live[ref] == nil || live.CheckOwnership(p.Names()) != nil {
		return err
	}
	return fault.Hint(p.failed(fmt.Errorf("the account %s is the workshop's own, and goes away when another one is named", p.Spec.ServiceAccount)),
		"Leave --service-account out; or have an administrator take the account over first, by applying the output of: workshopctl render --admin --workshop "+p.Spec.Name+" -n "+p.Namespace)
}
