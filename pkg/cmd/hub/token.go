// SPDX-License-Identifier: Apache-2.0

package hubcmd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/output"
	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/hub"
	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// scopes that scripts have a use for, for completion. The hub knows them all.
var scopes = []string{
	"list:users", "read:users", "read:users:activity", "read:servers", "servers", "start:servers", "delete:servers",
	"access:servers", "admin:users", "delete:users", "groups", "tokens", "read:tokens", "read:hub", "read:metrics", "proxy",
}

// TokenOptions of `hub token`.
type TokenOptions struct {
	factory.WorkshopOptions
	User     string
	Scopes   []string
	Duration time.Duration
	Note     string
	Format   output.Format
}

const userUsage = "`NAME` of the user whose token it is (default the first of the workshop's admins)"

func newToken(f *factory.Factory, runs Runs) *cobra.Command {
	o := &TokenOptions{}
	cmd := &cobra.Command{
		Use:   "token --scopes SCOPE,…",
		Short: "Make a token of the hub's API for a script",
		Long: `Makes a token of JupyterHub's REST API and prints it. It is shown this once.

The token belongs to a user, an admin unless --user names another one, and may do
what its scopes say, which can't be more than its user may. It ends after its
duration, when it is revoked, and with its user.`,
		Example: `  # A dashboard that counts sessions
  workshopctl hub token --scopes list:users,read:servers --duration 12h --note dashboard

  # For what the workshop's own token may not do
  export WORKSHOPCTL_HUB_TOKEN=$(workshopctl hub token --user trainer --scopes admin:groups --duration 15m)
  workshopctl hub api POST groups/table-1`,
		Args: factory.Args(),
		RunE: factory.RunE(f, o, runs.Token, MakeToken),
	}
	o.AddFlags(f, cmd)
	cmd.Flags().StringVar(&o.User, "user", "", userUsage)
	_ = cmd.RegisterFlagCompletionFunc("user", f.CompleteUsers)
	cmd.Flags().StringSliceVar(&o.Scopes, "scopes", nil, "What the token may do, `SCOPE,SCOPE…`; https://jupyterhub.readthedocs.io/en/stable/rbac/scopes.html lists them")
	_ = cmd.RegisterFlagCompletionFunc("scopes", cobra.FixedCompletions(scopes, cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().DurationVar(&o.Duration, "duration", 24*time.Hour, "How long it is good, as a `TIME`")
	cmd.Flags().StringVar(&o.Note, "note", "made by workshopctl", "`TEXT` that says what it is for")
	o.Format.AddFlag(cmd, output.JSON, output.YAML)
	cmd.AddCommand(newTokenList(f, runs.List), newTokenRevoke(f, runs.Revoke))
	return cmd
}

// Validate checks what can be checked without the cluster.
func (o *TokenOptions) Validate() error {
	if len(o.Scopes) == 0 {
		return fault.Usage("--scopes: say what the token may do, such as list:users,read:servers")
	}
	for _, s := range o.Scopes {
		if s == "" || strings.ContainsAny(s, " \t") {
			return fault.Usage("--scopes: %q is no scope; write them with commas between them and no spaces", s)
		}
	}
	if o.Duration < time.Minute {
		return fault.Usage("--duration: must be at least 1m")
	}
	return errors.Join(o.WorkshopOptions.Validate(), o.Format.Validate())
}

// owner is the user that is meant.
func owner(spec workshop.Spec, named string) (string, error) {
	switch {
	case named == "" && len(spec.AdminUsers) == 0:
		return "", &fault.Error{
			Code: fault.BadUsage, Err: fmt.Errorf("workshop %s has no admin whose token it could be", spec.Name),
			Hint: "Name a user with --user, or make an admin: workshopctl deploy --admin-users NAME",
		}
	case named == "":
		named = spec.AdminUsers[0]
	}
	return spec.UserName(named), nil
}

// connectFor reaches the workshop's hub, for what is about a user's tokens.
func connectFor(ctx context.Context, f *factory.Factory, o *factory.WorkshopOptions, named string) (r *record.Record, client *hub.Client, user string, end func(), err error) {
	if r, client, end, err = connect(ctx, f, o); err != nil {
		return nil, nil, "", nil, err
	}
	if user, err = owner(r.Spec, named); err != nil {
		end()
		return nil, nil, "", nil, err
	}
	return r, client, user, end, nil
}

// Token is what `hub token -o json` prints, and each of `hub token list -o json`.
type Token struct {
	// ID names it for `hub token revoke`.
	ID string `json:"id"`
	// User it belongs to.
	User string `json:"user"`
	// Note says what it is for.
	Note string `json:"note"`
	// Scopes say what it may do, those that others bring with them included.
	Scopes  []string  `json:"scopes"`
	Created time.Time `json:"created,omitzero"`
	// Expires is when it ends; nothing means never.
	Expires time.Time `json:"expires,omitzero"`
	// LastActivity is when it was last used.
	LastActivity time.Time `json:"lastActivity,omitzero"`
	// Token itself, when it is made.
	Token string `json:"token,omitempty"`
}

func shown(t hub.Token, user string) Token {
	slices.Sort(t.Scopes)
	return Token{ID: t.ID, User: user, Note: t.Note, Scopes: t.Scopes, Created: t.Created, Expires: t.Expires, LastActivity: t.LastActivity, Token: t.Secret}
}

// known adds what to do where the hub doesn't know the user.
func known(ctx context.Context, client *hub.Client, user string, err error) error {
	var e *hub.Error
	if !errors.As(err, &e) || e.Status != http.StatusNotFound && e.Status != http.StatusForbidden {
		return err
	}
	if _, missing := client.User(ctx, user); errors.As(missing, &e) && e.Status == http.StatusNotFound {
		return fault.Hint(fmt.Errorf("the hub knows no user %s", user), "It knows those who have logged in, and the admins. `workshopctl hub api users --paginate` lists them.")
	}
	return explained(ctx, client, err)
}

// MakeToken makes a token and prints it.
func MakeToken(ctx context.Context, f *factory.Factory, o *TokenOptions) error {
	r, client, user, end, err := connectFor(ctx, f, &o.WorkshopOptions, o.User)
	if err != nil {
		return err
	}
	defer end()
	made, err := client.NewToken(ctx, user, o.Scopes, o.Duration, o.Note)
	var e *hub.Error
	if errors.As(err, &e) && e.Status == http.StatusBadRequest {
		return &fault.Error{Code: fault.BadUsage, Err: err, Hint: "A token may do no more than its user: --user names another one."}
	}
	if err != nil {
		return known(ctx, client, user, err)
	}
	t := shown(made, user)
	if o.Format.Machine() {
		return o.Format.Print(f.Out, t, nil, nil)
	}
	f.Say("Token %s of %s, good until %s. Revoke it earlier: workshopctl hub token revoke %s%s", t.ID, user, t.Expires.Local().Format("2006-01-02 15:04"), t.ID, whose(o.User)+f.On(r.Spec.Name))
	_, err = fmt.Fprintln(f.Out, explain.Clean(t.Token))
	return err
}

func whose(user string) string {
	if user == "" {
		return ""
	}
	return " --user " + user
}

// ListOptions of `hub token list`.
type ListOptions struct {
	factory.WorkshopOptions
	User   string
	Format output.Format
}

func newTokenList(f *factory.Factory, run factory.Run[*ListOptions]) *cobra.Command {
	o := &ListOptions{}
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the tokens of a user",
		Long:    "Lists the tokens of a user, those of their session and their browsers among them. The tokens themselves are known to nobody.",
		Example: `  workshopctl hub token list
  workshopctl hub token list --user jane -o json`,
		Args: factory.Args(),
		RunE: factory.RunE(f, o, run, ListTokens),
	}
	o.AddFlags(f, cmd)
	cmd.Flags().StringVar(&o.User, "user", "", userUsage)
	_ = cmd.RegisterFlagCompletionFunc("user", f.CompleteUsers)
	o.Format.AddFlag(cmd, output.JSON, output.YAML, output.Name, output.JSONPath)
	return cmd
}

// Validate checks what can be checked without the cluster.
func (o *ListOptions) Validate() error {
	return errors.Join(o.WorkshopOptions.Validate(), o.Format.Validate())
}

// ListTokens lists the tokens of a user.
func ListTokens(ctx context.Context, f *factory.Factory, o *ListOptions) error {
	_, client, user, end, err := connectFor(ctx, f, &o.WorkshopOptions, o.User)
	if err != nil {
		return err
	}
	defer end()
	tokens, err := client.Tokens(ctx, user)
	if err != nil {
		return known(ctx, client, user, err)
	}
	items, names := []Token{}, []string{}
	for _, t := range tokens {
		items = append(items, shown(t, user))
		names = append(names, "token/"+t.ID)
	}
	return o.Format.Print(f.Out, map[string]any{"items": items}, names, func(bool) error {
		if len(items) == 0 {
			f.Say("%s has no tokens.", user)
			return nil
		}
		t := output.Table{Header: []string{"ID", "NOTE", "AGE", "LAST USED", "GOOD UNTIL", "SCOPES"}}
		for _, i := range items {
			until := "for ever"
			if !i.Expires.IsZero() {
				until = i.Expires.Local().Format("2006-01-02 15:04")
			}
			t.Add(i.ID, i.Note, output.Age(i.Created), output.Age(i.LastActivity), until, strings.Join(i.Scopes, ","))
		}
		return t.Write(f.Out)
	})
}

// RevokeOptions of `hub token revoke`.
type RevokeOptions struct {
	factory.WorkshopOptions
	User string
	ID   string
}

func newTokenRevoke(f *factory.Factory, run factory.Run[*RevokeOptions]) *cobra.Command {
	o := &RevokeOptions{}
	do := factory.RunE(f, o, run, RevokeToken)
	cmd := &cobra.Command{
		Use:     "revoke ID",
		Short:   "End a token of a user",
		Long:    "Ends a token at once. That of a session ends the terminal that has it, too.",
		Example: `  workshopctl hub token revoke a12`,
		Args:    factory.Args("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.ID = args[0]
			return do(cmd, args)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.AddFlags(f, cmd)
	cmd.Flags().StringVar(&o.User, "user", "", userUsage)
	_ = cmd.RegisterFlagCompletionFunc("user", f.CompleteUsers)
	return cmd
}

// Validate checks what can be checked without the cluster.
func (o *RevokeOptions) Validate() error {
	if o.ID == "" || strings.ContainsAny(o.ID, "/?# ") {
		return fault.Usage("%q is no token's ID; `workshopctl hub token list` shows them", o.ID)
	}
	return o.WorkshopOptions.Validate()
}

// RevokeToken ends a token.
func RevokeToken(ctx context.Context, f *factory.Factory, o *RevokeOptions) error {
	_, client, user, end, err := connectFor(ctx, f, &o.WorkshopOptions, o.User)
	if err != nil {
		return err
	}
	defer end()
	if err := client.Revoke(ctx, user, o.ID); err != nil {
		return known(ctx, client, user, err)
	}
	f.Say("Token %s of %s is revoked.", o.ID, user)
	return nil
}
