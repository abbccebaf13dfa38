// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Token of the hub's API.
type Token struct {
	// ID names it; the token itself can't be guessed from it.
	ID string `json:"id"`
	// User it belongs to, who may at least what it may.
	User   string   `json:"user"`
	Note   string   `json:"note"`
	Scopes []string `json:"scopes"`
	// Created, Expires and LastActivity are zero where there is no such time.
	Created      time.Time `json:"created,omitzero"`
	Expires      time.Time `json:"expires_at,omitzero"`
	LastActivity time.Time `json:"last_activity,omitzero"`
	// Secret is there once, when it is made.
	Secret string `json:"token,omitempty"`
}

// NewToken makes a token of a user's.
func (c *Client) NewToken(ctx context.Context, user string, scopes []string, lifetime time.Duration, note string) (Token, error) {
	fail := func(err error) (Token, error) { return Token{}, fmt.Errorf("make a token of %s: %w", user, err) }
	body, err := json.Marshal(map[string]any{"scopes": scopes, "expires_in": int(lifetime / time.Second), "note": note})
	if err != nil {
		return fail(err)
	}
	answer, err := c.Do(ctx, Request{Method: http.MethodPost, Path: userPath(user) + "/tokens", Body: body})
	if err != nil {
		return fail(err)
	}
	var t Token
	if err := json.Unmarshal(answer, &t); err != nil || t.Secret == "" {
		return fail(fmt.Errorf("the answer is none of JupyterHub's API"))
	}
	return t, nil
}

// Tokens are those of a user, the ones among them that their session and their
// browsers have.
func (c *Client) Tokens(ctx context.Context, user string) ([]Token, error) {
	var answer struct {
		Tokens []Token `json:"api_tokens"`
	}
	if _, err := c.do(ctx, http.MethodGet, userPath(user)+"/tokens", &answer); err != nil {
		return nil, fmt.Errorf("list the tokens of %s: %w", user, err)
	}
	return answer.Tokens, nil
}

// Revoke ends a token of a user's.
func (c *Client) Revoke(ctx context.Context, user, id string) error {
	if _, err := c.do(ctx, http.MethodDelete, userPath(user)+"/tokens/"+url.PathEscape(id), nil); err != nil {
		return fmt.Errorf("revoke token %s of %s: %w", id, user, err)
	}
	return nil
}
