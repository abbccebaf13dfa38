// SPDX-License-Identifier: Apache-2.0

package hubauth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Hub is a client of the hub's API, as this server.
type Hub struct {
	config Config
	client *http.Client
}

// hubTimeout bounds each call of the hub's API.
const hubTimeout = 10 * time.Second

// maxAnswer bounds what is read of the hub's answers, in bytes. A user with
// thousands of scopes has some 100 KiB.
const maxAnswer = 4 << 20

// NewHub makes a client.
func NewHub(c Config) *Hub {
	return &Hub{config: c, client: &http.Client{
		Timeout: hubTimeout,
		// The API redirects nobody; following one could carry a token elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		// Straight to the hub, whatever proxy the image's environment names; and
		// connections that idle across a hub restart only cost an error.
		Transport: &http.Transport{Proxy: nil, MaxIdleConns: 2, IdleConnTimeout: 15 * time.Second},
	}}
}

// User is who a token stands for.
type User struct {
	Name   string   `json:"name"`
	Scopes []string `json:"scopes"`
}

// ErrDenied is the hub's word that a token or a code is not, or no longer, good.
var ErrDenied = errors.New("refused by the hub")

// Version is the hub's version.
func (h *Hub) Version(ctx context.Context) (string, error) {
	var answer struct {
		Version string `json:"version"`
	}
	err := h.call(ctx, http.MethodGet, h.config.API+"/", "", "", nil, &answer)
	return answer.Version, err
}

// UserOf asks whose token it is. [ErrDenied]: nobody's. Any other error says
// nothing about the token.
func (h *Hub) UserOf(ctx context.Context, token string) (User, error) {
	var u User
	err := h.call(ctx, http.MethodGet, h.config.API+"/user", token, "", nil, &u)
	if err == nil && u.Name == "" {
		err = errors.New("the hub's answer names no user")
	}
	return u, err
}

// Trade trades a code from a login for the user's token.
func (h *Hub) Trade(ctx context.Context, code, verifier string) (string, error) {
	form := url.Values{
		"client_id":     {h.config.ClientID},
		"client_secret": {h.config.Token},
		"grant_type":    {"authorization_code"},
		"code":          {code},
		"redirect_uri":  {h.config.Callback},
		"code_verifier": {verifier},
	}
	var answer struct {
		Token string `json:"access_token"`
	}
	err := h.call(ctx, http.MethodPost, h.config.API+"/oauth2/token", "", "application/x-www-form-urlencoded",
		[]byte(form.Encode()), &answer)
	if err == nil && answer.Token == "" {
		err = errors.New("the hub's answer holds no token")
	}
	return answer.Token, err
}

// ReportActivity tells the hub that the session was in use at the given time.
func (h *Hub) ReportActivity(ctx context.Context, at time.Time) error {
	stamp := at.UTC().Format("2006-01-02T15:04:05.000000Z")
	body, err := json.Marshal(map[string]any{
		"servers":       map[string]any{h.config.Server: map[string]string{"last_activity": stamp}},
		"last_activity": stamp,
	})
	if err != nil {
		return err
	}
	return h.call(ctx, http.MethodPost, h.config.ActivityURL, h.config.Token, "application/json", body, nil)
}

// Stop asks the hub to stop this server. It goes on while the hub does it, and
// may be gone before the hub has answered.
func (h *Hub) Stop(ctx context.Context) error {
	address := h.config.API + "/users/" + url.PathEscape(h.config.User)
	if h.config.Server == "" {
		address += "/server"
	} else {
		address += "/servers/" + url.PathEscape(h.config.Server)
	}
	return h.call(ctx, http.MethodDelete, address, h.config.Token, "", nil, nil)
}

func (h *Hub) call(ctx context.Context, method, address, token, contentType string, body []byte, into any) error {
	what := method + " " + address
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if token != "" {
		req.Header.Set("Authorization", "token "+token)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return err // it names method and URL
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case err != nil:
		return fmt.Errorf("%s: read the answer: %w", what, err)
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden,
		strings.HasSuffix(address, "/oauth2/token") && resp.StatusCode == http.StatusBadRequest:
		return fmt.Errorf("%s: %w (%s)", what, ErrDenied, resp.Status)
	case resp.StatusCode >= 300:
		return fmt.Errorf("%s: %s", what, resp.Status)
	case into == nil:
		return nil
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("%s: the answer: %w", what, err)
	}
	return nil
}
