// SPDX-License-Identifier: Apache-2.0

package status

import (
	"testing"

	"github.com/workshopctl/workshopctl/pkg/session"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

func TestSessionsLine(t *testing.T) {
	by := func(running, idle, orphaned int) map[session.State]int {
		return map[session.State]int{session.Running: running, session.Idle: idle, session.Orphaned: orphaned}
	}
	for want, s := range map[string]Sessions{
		"none":                                {},
		"0 of 40":                             {Limit: 40},
		"36 running, 2 idle":                  {Total: 38, ByState: by(36, 2, 0)},
		"38 of 40: 36 running, 2 idle":        {Total: 38, Limit: 40, ByState: by(36, 2, 0)},
		"40 of 40, which is full: 40 running": {Total: 40, Limit: 40, ByState: by(40, 0, 0)},
		"38 of 40: 38 running, 2 orphaned":    {Total: 40, Limit: 40, ByState: by(38, 0, 2)},
		"41 of 40, which is full: 41 running; 3 with another image than new ones get": {Total: 41, Limit: 40, ByState: by(41, 0, 0), OtherImage: 3},
	} {
		if got := s.line(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestStopped(t *testing.T) {
	for want, spec := range map[string]workshop.Spec{
		"sessions run until somebody stops them":                                          {IdleTimeout: "0", MaxAge: "0"},
		"sessions are stopped when nobody has used them for 2h":                           {IdleTimeout: "2h"},
		"sessions are stopped 8h after they started":                                      {IdleTimeout: "0", MaxAge: "8h"},
		"sessions are stopped when nobody has used them for 2h, or 8h after they started": {IdleTimeout: "2h", MaxAge: "8h"},
	} {
		if got := stopped(spec); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestAdminPage(t *testing.T) {
	admins := workshop.Spec{Auth: workshop.AuthPassword, AdminUsers: []string{"ann"}}
	for want, s := range map[string]Status{
		"": {Spec: workshop.Spec{Auth: workshop.AuthAnonymous}, AdminURL: "x"},
		"for nobody; workshopctl deploy --admin-users NAME makes an admin": {AdminURL: "x"},
		"hub/admin below the address of workshopctl url --forward":         {Spec: admins},
		"https://a/hub/admin": {Spec: admins, AdminURL: "https://a/hub/admin"},
	} {
		if got := adminPage(s); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
