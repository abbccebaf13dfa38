// SPDX-License-Identifier: Apache-2.0

// Package hub is a client of JupyterHub's REST API, for the few things of it
// that only the hub knows: who was active when, and what it is starting or
// stopping.
package hub

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Port of the hub in its pod.
const Port = 8081

// Client speaks to one hub.
type Client struct {
	base  string
	token string
	http  *http.Client
}

// New returns a client of the hub at a base URL, which ends in a slash
// ("https://workshop.example.com/"). The token is that of the hub's service
// `workshopctl`; it is sent in a header, and never logged or part of an error.
func New(base, token string, client *http.Client) *Client {
	return &Client{base: strings.TrimSuffix(base, "/") + "/hub/api", token: token, http: client}
}

// Through returns a client that reaches the hub by connections that dial opens
// to its port, whatever the address.
func Through(dial func(ctx context.Context, network, address string) (net.Conn, error), token string) *Client {
	transport := &http.Transport{DialContext: dial, ResponseHeaderTimeout: 30 * time.Second}
	return New("http://hub.invalid/", token, &http.Client{Transport: transport})
}

// User is a user of the hub with the server of their session.
type User struct {
	Name  string `json:"name"`
	Admin bool   `json:"admin"`
	// LastActivity of the user anywhere; zero if there was none.
	LastActivity time.Time `json:"last_activity"`
	// Servers by name; a workshop has only the one without a name.
	Servers map[string]Server `json:"servers"`
}

// Server is a session as the hub sees it.
type Server struct {
	// Ready is true once the session answers.
	Ready bool `json:"ready"`
	// Pending is "spawn" or "stop" while the hub is at it.
	Pending      string    `json:"pending"`
	Started      time.Time `json:"started"`
	LastActivity time.Time `json:"last_activity"`
}

// pageSize is the most that the hub gives at once.
const pageSize = 200

// Active returns the users who have a session that is not stopped, page by
// page.
func (c *Client) Active(ctx context.Context) ([]User, error) {
	return c.users(ctx, url.Values{"state": {"active"}})
}

// Users returns all users that the hub knows, page by page.
func (c *Client) Users(ctx context.Context) ([]User, error) {
	return c.users(ctx, url.Values{})
}

func (c *Client) users(ctx context.Context, query url.Values) ([]User, error) {
	var users []User
	for offset := 0; ; {
		var page struct {
			Items      []User `json:"items"`
			Pagination struct {
				Next *struct {
					Offset int `json:"offset"`
				} `json:"next"`
			} `json:"_pagination"`
		}
		query.Set("limit", fmt.Sprint(pageSize))
		query.Set("offset", fmt.Sprint(offset))
		if _, err := c.do(ctx, http.MethodGet, "/users?"+query.Encode(), &page); err != nil {
			return nil, fmt.Errorf("list the hub's users: %w", err)
		}
		users = append(users, page.Items...)
		next := page.Pagination.Next
		if next == nil || next.Offset <= offset {
			return users, nil
		}
		offset = next.Offset
	}
}

// Add makes users that the hub doesn't know yet, in one request, and returns
// those that it made: the hub may spell their names otherwise. If it knows all
// of them, that is none. A name that can't be a user's is an *Error with status
// 400, and then nobody was made.
func (c *Client) Add(ctx context.Context, names ...string) ([]User, error) {
	body, err := json.Marshal(map[string]any{"usernames": names})
	if err != nil {
		return nil, err
	}
	var made []User
	answer, err := c.Do(ctx, Request{Method: http.MethodPost, Path: "/users", Body: body})
	var e *Error
	switch {
	case errors.As(err, &e) && e.Status == http.StatusConflict:
		return nil, nil
	case err == nil:
		err = json.Unmarshal(answer, &made)
	}
	if err != nil {
		return nil, fmt.Errorf("have the hub make users: %w", err)
	}
	return made, nil
}

// Delete has the hub forget a user and stop their session. done is false if the
// hub stops it still: ask again once that is over. One that the hub doesn't
// know is no error.
func (c *Client) Delete(ctx context.Context, name string) (done bool, err error) {
	if _, err := c.do(ctx, http.MethodDelete, userPath(name), nil); err != nil {
		var e *Error
		switch {
		case errors.As(err, &e) && e.Status == http.StatusNotFound:
			return true, nil
		case errors.As(err, &e) && e.Status == http.StatusBadRequest && strings.Contains(e.Message, "process of stopping"):
			return false, nil
		}
		return false, fmt.Errorf("delete user %s: %w", name, err)
	}
	return true, nil
}

// User returns one user. A user that the hub doesn't know is an *Error with
// status 404.
func (c *Client) User(ctx context.Context, name string) (User, error) {
	var user User
	if _, err := c.do(ctx, http.MethodGet, userPath(name), &user); err != nil {
		return user, fmt.Errorf("ask the hub for user %s: %w", name, err)
	}
	return user, nil
}

// Start has the hub start a user's session. It returns once the hub has begun;
// one that runs already is no error.
func (c *Client) Start(ctx context.Context, name string) error {
	if _, err := c.do(ctx, http.MethodPost, userPath(name)+"/server", nil); err != nil {
		var e *Error
		if errors.As(err, &e) && e.Status == http.StatusBadRequest && strings.Contains(e.Message, "already running") {
			return nil
		}
		return fmt.Errorf("start the session of %s: %w", name, err)
	}
	return nil
}

// Ready waits until a user's session, which the hub is starting, is ready. The
// error is a *FailedError if it won't be.
func (c *Client) Ready(ctx context.Context, name string) error {
	for {
		decided, err := c.follow(ctx, name)
		if decided || err != nil {
			if err != nil {
				err = fmt.Errorf("wait for the session of %s: %w", name, err)
			}
			return err
		}
		// The hub, or what leads to it, has ended the answer early.
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// FailedError is why the hub could not start a session, in its own words.
type FailedError struct{ Message string }

func (e *FailedError) Error() string { return e.Message }

// follow reads what the hub says of a start, until it says how that ended.
func (c *Client) follow(ctx context.Context, name string) (decided bool, err error) {
	response, err := c.send(ctx, http.MethodGet, userPath(name)+"/server/progress", "text/event-stream")
	if err != nil {
		return false, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode >= 300 {
		body, _ := io.ReadAll(io.LimitReader(response.Body, 1<<20))
		return false, answered(response, body)
	}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data:")
		if !ok {
			continue
		}
		var event struct {
			Ready   bool   `json:"ready"`
			Failed  bool   `json:"failed"`
			Message string `json:"message"`
		}
		if err := json.Unmarshal([]byte(data), &event); err != nil {
			return false, fmt.Errorf("the answer is none of JupyterHub's API: %w", err)
		}
		switch {
		case event.Ready:
			return true, nil
		case event.Failed:
			return true, &FailedError{Message: strings.TrimPrefix(event.Message, "Spawn failed: ")}
		}
	}
	return false, ctx.Err()
}

// Stop has the hub stop a user's session. done is false if the hub is still
// stopping it. One that doesn't run is no error.
func (c *Client) Stop(ctx context.Context, name string) (done bool, err error) {
	status, err := c.do(ctx, http.MethodDelete, userPath(name)+"/server", nil)
	if err != nil {
		var e *Error
		if errors.As(err, &e) && (e.Status == http.StatusNotFound || e.Status == http.StatusBadRequest && strings.Contains(e.Message, "not running")) {
			return true, nil
		}
		return false, fmt.Errorf("stop the session of %s: %w", name, err)
	}
	return status == http.StatusNoContent, nil
}

// Version returns JupyterHub's version. It needs no token's rights.
func (c *Client) Version(ctx context.Context) (string, error) {
	var answer struct {
		Version string `json:"version"`
	}
	if _, err := c.do(ctx, http.MethodGet, "/", &answer); err != nil {
		return "", fmt.Errorf("ask the hub for its version: %w", err)
	}
	return answer.Version, nil
}

// Error is the hub's answer to what it didn't do.
type Error struct {
	// Status of HTTP.
	Status int
	// Message of the hub.
	Message string
	// RetryAfter is how long the hub wants to be left alone, 0 if it doesn't say.
	RetryAfter time.Duration
}

// Busy says whether the hub has too much to start at the moment and will take
// the same request later.
func (e *Error) Busy() bool { return e.Status == http.StatusTooManyRequests && e.RetryAfter > 0 }

// Full says whether the workshop has as many sessions as it may have. The hub
// answers that like Busy, but can't say when a session will end.
func (e *Error) Full() bool { return e.Status == http.StatusTooManyRequests && e.RetryAfter == 0 }

func (e *Error) Error() string {
	switch {
	case e.Status == http.StatusForbidden && strings.Contains(e.Message, "current scopes"):
		return "the hub doesn't let us do that (403): it was deployed by an earlier workshopctl, and `workshopctl deploy` brings it up to date"
	case e.Status == http.StatusForbidden:
		return "the hub refuses our token (403): its Secret may be newer than the hub; restart the hub"
	}
	return fmt.Sprintf("the hub answers %d: %s", e.Status, e.Message)
}

func userPath(name string) string { return "/users/" + url.PathEscape(name) }

// send returns the hub's answer, whatever it is.
func (c *Client) send(ctx context.Context, method, path, accept string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "token "+c.token)
	request.Header.Set("Accept", accept)
	response, err := c.http.Do(request)
	if err != nil {
		return nil, errors.Unwrap(err) // what failed, without an address that means nothing
	}
	return response, nil
}

// answered is the error that an answer is.
func answered(response *http.Response, body []byte) *Error {
	var answer struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.Message == "" {
		answer.Message = http.StatusText(response.StatusCode)
	}
	seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
	return &Error{Status: response.StatusCode, Message: answer.Message, RetryAfter: time.Duration(seconds) * time.Second}
}

func (c *Client) do(ctx context.Context, method, path string, into any) (status int, err error) {
	// Lists are paged only for those who ask so.
	response, err := c.send(ctx, method, path, "application/jupyterhub-pagination+json, application/json")
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return response.StatusCode, err
	}
	if response.StatusCode >= 300 {
		return response.StatusCode, answered(response, body)
	}
	if into == nil || len(bytes.TrimSpace(body)) == 0 {
		return response.StatusCode, nil
	}
	if err := json.Unmarshal(body, into); err != nil {
		return response.StatusCode, fmt.Errorf("the answer is none of JupyterHub's API: %w", err)
	}
	return response.StatusCode, nil
}
