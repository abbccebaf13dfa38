// SPDX-License-Identifier: Apache-2.0

// Package hubcmd is the command `hub` with api and token.
package hubcmd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/hub"
	"github.com/workshopctl/workshopctl/pkg/record"
)

// Runs are what the commands run; nil fields stand for the real ones.
type Runs struct {
	API    factory.Run[*APIOptions]
	Token  factory.Run[*TokenOptions]
	List   factory.Run[*ListOptions]
	Revoke factory.Run[*RevokeOptions]
}

// NewCommand returns the command. A test may put its own runs in place.
func NewCommand(f *factory.Factory, runs Runs) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hub",
		Short: "The hub's own API, and tokens of it for scripts",
		Long: `Speaks to JupyterHub's REST API, for what no other command does, and makes tokens
with which scripts do so themselves.`,
		Example: `  workshopctl hub api users --paginate -q '{.items[*].name}'
  workshopctl hub token --scopes list:users,read:users:activity --duration 8h`,
	}
	factory.Group(cmd)
	cmd.AddCommand(newAPI(f, runs.API), newToken(f, runs))
	return cmd
}

// tokenVariable has another token than the workshop's own.
const tokenVariable = "WORKSHOPCTL_HUB_TOKEN" // #nosec G101 -- a variable's name

// connect reaches the workshop's hub, with the token of the variable if there is
// one.
func connect(ctx context.Context, f *factory.Factory, o *factory.WorkshopOptions) (*record.Record, *hub.Client, func(), error) {
	c, r, err := o.Load(ctx, f)
	if err != nil {
		return nil, nil, nil, err
	}
	if token := os.Getenv(tokenVariable); token != "" {
		client, end, err := c.HubAs(ctx, r.Spec, token)
		return r, client, end, err
	}
	client, end, err := c.Hub(ctx, r.Spec)
	return r, client, end, err
}

// explained says more of what the hub refuses.
func explained(ctx context.Context, client *hub.Client, err error) error {
	var e *hub.Error
	if !errors.As(err, &e) || e.Status != http.StatusForbidden {
		return err
	}
	self, unknown := client.Self(ctx)
	if unknown != nil && os.Getenv(tokenVariable) != "" {
		return fault.Hint(errors.New("the hub refuses the token in "+tokenVariable+" (403)"),
			"It may have expired or been revoked, or be another workshop's. `workshopctl hub token` makes one.")
	}
	if unknown != nil {
		return err
	}
	whose := "The workshop's own token"
	more := "What takes more is done with a token of somebody who may do that:\n" +
		"  export " + tokenVariable + "=$(workshopctl hub token --user ADMIN --scopes SCOPE,… --duration 1h)"
	if self.Kind == "user" {
		whose, more = "This token of "+self.Name, "`workshopctl hub token --scopes …` makes one that may do more, if its user may."
	}
	return fault.Hint(fmt.Errorf("the hub refuses that (403): %s", e.Message),
		fmt.Sprintf("%s may: %s.\n%s", whose, strings.Join(self.Scopes, ", "), more))
}
