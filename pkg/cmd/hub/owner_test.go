// SPDX-License-Identifier: Apache-2.0

package hubcmd

import (
	"testing"

	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// A token's user is spelled as the hub spells them.
func TestOwner(t *testing.T) {
	for auth, want := range map[workshop.Auth]string{workshop.AuthPassword: "jane", workshop.AuthOIDC: "jane", workshop.AuthOpenShift: "Jane"} {
		spec := workshop.Spec{Auth: auth, AdminUsers: []string{"Jane"}}
		for _, named := range []string{"", "Jane"} {
			if got, err := owner(spec, named); err != nil || got != want {
				t.Errorf("%s: %q is %q, %v; want %q", auth, named, got, err, want)
			}
		}
	}
	if _, err := owner(workshop.Spec{}, ""); err == nil {
		t.Error("nobody has a token")
	}
}
