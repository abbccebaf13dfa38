// SPDX-License-Identifier: Apache-2.0

package session

import "net/url"

// Rules of a workshop that say where its sessions are and when they end.
type Rules struct {
	// URL of the workshop; empty if it has none of its own.
	URL string
	Culling
}

// Apply gives sessions their URLs and says when they end, as far as that is
// known: without the hub it isn't.
func (r Rules) Apply(list []Session) {
	for i := range list {
		s := &list[i]
		s.URL = r.Address(s.User)
		if (s.State == Running || s.State == Idle) && !s.LastActivity.IsZero() {
			s.CulledAt = r.End(s.Created, s.LastActivity, s.KeepUntil).At
		}
	}
}

// Address is that of a user's session.
func (r Rules) Address(user string) string {
	if r.URL == "" {
		return ""
	}
	return r.URL + "user/" + url.PathEscape(user) + "/"
}
