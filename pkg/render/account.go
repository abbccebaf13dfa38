// SPDX-License-Identifier: Apache-2.0

package render

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// managedByAdmin marks what an administrator applies. It isn't
// workshop.ManagedBy: workshopctl neither changes nor deletes what it doesn't
// manage, and people who need an administrator to make these objects can't
// have them made anew.
const managedByAdmin = "admin"

// Account renders what an administrator prepares for people who can't make a
// Role: the account that the Spec names, or else the one that the workshop
// would have, with its Role and RoleBinding. Deployed with that account as
// Spec.ServiceAccount, the workshop needs nothing of the kind.
func Account(in Input) ([]*unstructured.Unstructured, error) {
	own, account := workshop.Names(in.Spec.Name).HubPart(), in.Spec.Account()
	in.Spec.ServiceAccount = ""
	if in.Spec.Expose == workshop.ExposeIngress && in.Spec.Host == "" {
		in.Spec.Expose = workshop.ExposeNone // the host may be chosen later
	}
	all, err := Objects(in)
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	for _, o := range all {
		switch o.GetKind() {
		case "RoleBinding":
			for _, subject := range o.Object["subjects"].([]any) { // by the template
				subject.(map[string]any)["name"] = account
			}
			if err := unstructured.SetNestedField(o.Object, account, "roleRef", "name"); err != nil {
				return nil, err
			}
		case "ServiceAccount", "Role":
		default:
			continue
		}
		if o.GetName() == own {
			o.SetName(account)
		}
		labels := o.GetLabels()
		labels[workshop.LabelManagedBy] = managedByAdmin
		o.SetLabels(labels)
		objects = append(objects, o)
	}
	return objects, nil
}
