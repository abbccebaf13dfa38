// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Request is one of any kind.
type Request struct {
	Method string
	// Path below /hub/api, with its query; it may be written with /hub/api, and
	// with or without a slash at its beginning.
	Path   string
	Header http.Header
	Body   []byte
}

// acceptPages asks for lists page by page.
const acceptPages = "application/jupyterhub-pagination+json"

// below is the path of a request as the client wants it.
func below(path string) (string, error) {
	u, err := url.Parse(path)
	switch {
	case err != nil:
		return "", fmt.Errorf("%q is no path: %w", path, errors.Unwrap(err))
	case u.Scheme != "" || u.Host != "" || u.Fragment != "":
		return "", fmt.Errorf("%q is no path of the hub's API; write it like /users or /users/jane?include_stopped_servers", path)
	}
	path = "/" + strings.TrimLeft(path, "/")
	if rest, ok := strings.CutPrefix(path, "/hub/api"); ok && (rest == "" || rest[0] == '/' || rest[0] == '?') {
		path = rest
	}
	if path == "" || path[0] == '?' {
		path = "/" + path
	}
	return path, nil
}

// CheckPath says whether a Request's path can be one.
func CheckPath(path string) error {
	_, err := below(path)
	return err
}

// Do sends a request, and returns what the hub answers to it. What it refuses is
// an *Error.
func (c *Client) Do(ctx context.Context, r Request) ([]byte, error) {
	path, err := below(r.Path)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, c.base+path, bytes.NewReader(r.Body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	if len(r.Body) > 0 {
		request.Header.Set("Content-Type", "application/json")
	}
	for name, values := range r.Header {
		request.Header[name] = values
	}
	request.Header.Set("Authorization", "token "+c.token)
	response, err := c.http.Do(request)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // what failed, without an address that means nothing
		}
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= 300 {
		return nil, answered(response, body)
	}
	return body, nil
}

// page of a list.
type page struct {
	Items      []json.RawMessage `json:"items"`
	Pagination *struct {
		Offset int `json:"offset"`
		Next   *struct {
			Offset int `json:"offset"`
		} `json:"next"`
	} `json:"_pagination"`
}

// pageOf is the page that an answer is; nil if it is none.
func pageOf(answer []byte) *page {
	var p page
	if json.Unmarshal(answer, &p) != nil || p.Pagination == nil {
		return nil
	}
	return &p
}

// All asks for a list, page by page, and returns it as one. What is no list is
// returned as it is.
func (c *Client) All(ctx context.Context, r Request) ([]byte, error) {
	path, err := below(r.Path)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(path)
	if err != nil {
		return nil, err
	}
	query := u.Query()
	if !query.Has("limit") {
		query.Set("limit", strconv.Itoa(pageSize))
	}
	r.Header = r.Header.Clone()
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set("Accept", acceptPages)
	items := []json.RawMessage{}
	for {
		u.RawQuery = query.Encode()
		r.Path = u.String()
		body, err := c.Do(ctx, r)
		if err != nil {
			return nil, err
		}
		page := pageOf(body)
		if page == nil {
			return body, nil
		}
		items = append(items, page.Items...)
		next := page.Pagination.Next
		if next == nil || next.Offset <= page.Pagination.Offset {
			return json.Marshal(items)
		}
		query.Set("offset", strconv.Itoa(next.Offset))
	}
}

// Self is who a token belongs to, and what it may.
type Self struct {
	Kind   string   `json:"kind"` // "service" or "user"
	Name   string   `json:"name"`
	Scopes []string `json:"scopes"`
}

// Self asks the hub who the client is. An *Error with status 403 says that the
// hub doesn't know its token.
func (c *Client) Self(ctx context.Context) (Self, error) {
	var self Self
	if _, err := c.do(ctx, http.MethodGet, "/user", &self); err != nil {
		return self, fmt.Errorf("ask the hub whose token this is: %w", err)
	}
	return self, nil
}
