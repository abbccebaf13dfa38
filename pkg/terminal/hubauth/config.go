// SPDX-License-Identifier: Apache-2.0

// Package hubauth lets the gateway's owner in, and nobody else: it is a client
// of JupyterHub's API and its OAuth provider.
//
// A browser without a session goes to the hub, which sends it back with a code
// (RFC 6749 with PKCE S256, RFC 7636); the gateway trades the code for a token of
// that user and keeps it. The browser gets a random session number in a
// cookie of its own: the token is in no page, URL, cookie or log line. What the
// user may do is asked of the hub again at each page, at each websocket and
// every minute of an open one, so that a logout counts at once.
package hubauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Config is what the hub tells its server in the environment.
type Config struct {
	Listen       string // host:port
	Prefix       string // path of the session, as the hub spells it: /user/jane/
	API          string // URL of the hub's API, without a slash at the end
	Token        string // the server's own API token, and its OAuth client secret
	ClientID     string
	Callback     string // path, or URL where the session has a host of its own
	AccessScopes []string
	User, Server string // names; Server is empty for a user's default server
	ActivityURL  string
	HubHome      string // URL or path of the hub's home page
	Authorize    string // URL or path where a login starts
	PublicURL    *url.URL
	// OwnHost is set where no other session has the same host, and its URL is
	// https: cookies can be bound to the host then.
	OwnHost bool
}

// Isolated says whether the session has another host than the hub, as browsers
// know them. That the hub names its own says nothing: it does where it knows its
// URL.
func (c Config) Isolated() bool {
	hub, err := url.Parse(c.HubHome)
	return err == nil && c.PublicURL != nil && hub.Hostname() != "" && c.PublicURL.Hostname() != "" &&
		!strings.EqualFold(hub.Hostname(), c.PublicURL.Hostname())
}

// CallbackPath is where the hub sends browsers back to, as it is compared with
// a request's path.
func (c Config) CallbackPath() string {
	u, err := url.Parse(c.Callback)
	if err != nil {
		return c.Callback
	}
	return u.Path
}

// FromEnvironment reads the hub's variables.
func FromEnvironment(getenv func(string) string) (Config, error) {
	var missing []string
	need := func(name string) string {
		v := getenv(name)
		if v == "" {
			missing = append(missing, name)
		}
		return v
	}
	c := Config{
		Prefix:      need("JUPYTERHUB_SERVICE_PREFIX"),
		API:         strings.TrimSuffix(need("JUPYTERHUB_API_URL"), "/"),
		Token:       need("JUPYTERHUB_API_TOKEN"),
		ClientID:    need("JUPYTERHUB_CLIENT_ID"),
		User:        need("JUPYTERHUB_USER"),
		Server:      getenv("JUPYTERHUB_SERVER_NAME"),
		Callback:    getenv("JUPYTERHUB_OAUTH_CALLBACK_URL"),
		ActivityURL: getenv("JUPYTERHUB_ACTIVITY_URL"),
		OwnHost:     getenv("JUPYTERHUB_COOKIE_HOST_PREFIX_ENABLED") == "1",
	}
	service := need("JUPYTERHUB_SERVICE_URL")
	scopes := need("JUPYTERHUB_OAUTH_ACCESS_SCOPES")
	if len(missing) > 0 {
		return c, fmt.Errorf("%s not set: `serve` is started by JupyterHub, which sets it", strings.Join(missing, ", "))
	}
	u, err := url.Parse(service)
	if err != nil {
		return c, fmt.Errorf("JUPYTERHUB_SERVICE_URL: %w", err)
	}
	if u.Scheme != "http" || u.Port() == "" {
		return c, fmt.Errorf("JUPYTERHUB_SERVICE_URL is %s: only http with a port is served (turn internal_ssl off)", service)
	}
	c.Listen = u.Host
	if err := json.Unmarshal([]byte(scopes), &c.AccessScopes); err != nil {
		return c, fmt.Errorf("JUPYTERHUB_OAUTH_ACCESS_SCOPES: %w", err)
	}
	if len(c.AccessScopes) == 0 {
		return c, errors.New("JUPYTERHUB_OAUTH_ACCESS_SCOPES lists no scope: nobody could be let in")
	}
	if !strings.HasPrefix(c.Prefix, "/") || !strings.HasSuffix(c.Prefix, "/") {
		return c, fmt.Errorf("JUPYTERHUB_SERVICE_PREFIX %q doesn't start and end with a slash", c.Prefix)
	}
	if c.Callback == "" {
		c.Callback = c.Prefix + "oauth_callback"
	}
	if c.ActivityURL == "" {
		c.ActivityURL = c.API + "/users/" + url.PathEscape(c.User) + "/activity"
	}
	base := getenv("JUPYTERHUB_BASE_URL")
	if base == "" {
		base = "/"
	}
	hub := getenv("JUPYTERHUB_HOST") + strings.TrimSuffix(base, "/") + "/hub/"
	c.HubHome, c.Authorize = hub+"home", hub+"api/oauth2/authorize"
	if p := getenv("JUPYTERHUB_PUBLIC_URL"); p != "" {
		if c.PublicURL, err = url.Parse(p); err != nil {
			return c, fmt.Errorf("JUPYTERHUB_PUBLIC_URL: %w", err)
		}
	}
	return c, nil
}
