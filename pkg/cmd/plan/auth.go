// SPDX-License-Identifier: Apache-2.0

package plan

import "github.com/workshopctl/workshopctl/pkg/workshop"

// bestAuth is the login of a workshop for which none was chosen: with the
// cluster's own accounts where that is possible. It says what falls away where
// one could expect it.
func (p *Plan) bestAuth(spec workshop.Spec) workshop.Auth {
	switch {
	case p.Capabilities.OAuth && spec.Expose != workshop.ExposeNone:
		return workshop.AuthOpenShift
	case p.Capabilities.OAuth:
		p.Notes = append(p.Notes, "Attendees log in with a password that all share: for the cluster's own login the workshop would need an address, and --expose none gives it none.")
	case p.Capabilities.Route:
		p.Notes = append(p.Notes, "Attendees log in with a password that all share: this cluster has no OAuth server (it may use an external identity provider), so they can't use their accounts of the cluster.")
	}
	return workshop.AuthPassword
}
