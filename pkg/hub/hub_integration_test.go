// SPDX-License-Identifier: Apache-2.0

//go:build integration

package hub_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/workshopctl/workshopctl/pkg/hub"
	"github.com/workshopctl/workshopctl/test/testhub"
)

const (
	token = "0123456789abcdef0123456789abcdef"
	maker = "fedcba9876543210fedcba9876543210"
)

// start runs a hub until the test ends, and returns its URL.
func start(t *testing.T, version string, env ...string) string {
	t.Helper()
	python := filepath.Join(testhub.Install(t, version), "bin", "python")
	config, err := filepath.Abs(filepath.Join("testdata", "jupyterhub_config.py"))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var log bytes.Buffer
	cmd := exec.Command(python, "-m", "jupyterhub", "--config="+config)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), env...), "TEST_DIR="+dir, "TEST_HUB="+base, "TEST_TOKEN="+token, "TEST_MAKER="+maker)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
		if t.Failed() {
			t.Logf("the hub's log:\n%s", log.String())
		}
	})
	client := hub.New(base, token, http.DefaultClient)
	eventually(t, func(ctx context.Context) error {
		select {
		case <-ended:
			t.Fatal("the hub has ended")
		default:
		}
		_, err := client.Version(ctx)
		return err
	})
	return base
}

// eventually waits until there is no error any more.
func eventually(t *testing.T, condition func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := condition(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-tick.C:
		}
	}
}

// add makes users.
func add(t *testing.T, base string, names ...string) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"usernames": names})
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequest(http.MethodPost, base+"/hub/api/users", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "token "+maker)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusCreated {
		answer, _ := io.ReadAll(response.Body)
		t.Fatalf("make users: %s %s", response.Status, answer)
	}
}

func names(users []hub.User) []string {
	var list []string
	for _, u := range users {
		list = append(list, u.Name)
	}
	slices.Sort(list)
	return list
}

func TestWithJupyterHub(t *testing.T) {
	for _, version := range testhub.Versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			base := start(t, version)
			ctx := t.Context()
			client := hub.New(base+"/", token, http.DefaultClient)

			if got, err := client.Version(ctx); err != nil || got != version {
				t.Errorf("version %q, %v", got, err)
			}

			// Names that have to be escaped on the way.
			awkward := []string{"jane.doe@example.com", "ünï", "a b", "100%", "x?y#z"}
			add(t, base, append(awkward, "hopeless", "never-started")...)
			if users, err := client.Active(ctx); err != nil || len(users) != 0 {
				t.Errorf("before any session: %v, %v", users, err)
			}
			for _, name := range awkward {
				if err := client.Start(ctx, name); err != nil {
					t.Fatal(err)
				}
			}
			for _, name := range awkward {
				if err := client.Ready(ctx, name); err != nil {
					t.Errorf("%s doesn't get ready: %v", name, err)
				}
			}
			eventually(t, func(ctx context.Context) error {
				users, err := client.Active(ctx)
				if err != nil {
					return err
				}
				if len(users) != len(awkward) {
					return fmt.Errorf("active: %v", names(users))
				}
				for _, u := range users {
					if s := u.Servers[""]; !s.Ready || s.Pending != "" || s.Started.IsZero() || s.LastActivity.IsZero() {
						return fmt.Errorf("%s: %+v", u.Name, s)
					}
				}
				return nil
			})
			if err := client.Start(ctx, awkward[0]); err != nil {
				t.Errorf("start what runs: %v", err)
			}
			for _, name := range awkward {
				if _, err := client.Stop(ctx, name); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, func(ctx context.Context) error {
				users, err := client.Active(ctx)
				if err == nil && len(users) > 0 {
					err = fmt.Errorf("still active: %v", names(users))
				}
				return err
			})
			if done, err := client.Stop(ctx, awkward[0]); err != nil || !done {
				t.Errorf("stop what doesn't run: %v, %v", done, err)
			}

			// A session that can't start is no session afterwards.
			if err := client.Start(ctx, "hopeless"); err != nil {
				var e *hub.Error
				if !errors.As(err, &e) || e.Status != http.StatusInternalServerError {
					t.Errorf("start what can't: %v", err)
				}
			}
			var failed *hub.FailedError
			if err := client.Ready(ctx, "hopeless"); !errors.As(err, &failed) || failed.Message != "no room" {
				t.Errorf("wait for what can't start: %v", err)
			}
			eventually(t, func(ctx context.Context) error {
				u, err := client.User(ctx, "hopeless")
				if err == nil && len(u.Servers) > 0 {
					err = fmt.Errorf("%+v", u.Servers)
				}
				return err
			})

			var unknown *hub.Error
			if _, err := client.User(ctx, "nobody"); !errors.As(err, &unknown) || unknown.Status != http.StatusNotFound {
				t.Errorf("unknown user: %v", err)
			}

			ended, cancel := context.WithCancel(ctx)
			cancel()
			if err := client.Ready(ended, awkward[0]); !errors.Is(err, context.Canceled) {
				t.Errorf("wait no longer: %v", err)
			}

			// Neither a refused token nor an address with one shows it.
			wrong := hub.New(base, "wrong-token", http.DefaultClient)
			if _, err := wrong.Active(ctx); err == nil || strings.Contains(err.Error(), "wrong-token") {
				t.Errorf("wrong token: %v", err)
			}
		})
	}
}

// TestTokens: a token may what was asked for, within what its user and the one
// who makes it may, until it is revoked.
func TestTokens(t *testing.T) {
	for _, version := range testhub.Versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			base := start(t, version, "TEST_ADMIN=trainer")
			ctx := t.Context()
			client := hub.New(base, token, http.DefaultClient)
			add(t, base, "jane", "joe")

			self, err := client.Self(ctx)
			if err != nil || self.Kind != "service" || self.Name != "workshopctl" || !slices.Contains(self.Scopes, "tokens") {
				t.Errorf("%+v, %v", self, err)
			}
			var refused *hub.Error
			if _, err := client.Do(ctx, hub.Request{Method: http.MethodGet, Path: "groups"}); !errors.As(err, &refused) || refused.Status != http.StatusForbidden {
				t.Errorf("the command line's own token reads groups: %v", err)
			}

			tok, err := client.NewToken(ctx, "trainer", []string{"list:users", "read:servers"}, time.Hour, "a dashboard")
			if err != nil {
				t.Fatal(err)
			}
			if left := time.Until(tok.Expires); tok.ID == "" || tok.Note != "a dashboard" || left <= 0 || left > time.Hour+time.Minute {
				t.Errorf("%+v", tok)
			}
			script := hub.New(base, tok.Secret, http.DefaultClient)
			list, err := script.All(ctx, hub.Request{Method: http.MethodGet, Path: "/users?limit=1"})
			var users []hub.User
			if err != nil || json.Unmarshal(list, &users) != nil || !slices.Equal(names(users), []string{"jane", "joe", "trainer"}) {
				t.Errorf("%s, %v", list, err)
			}
			if _, err := script.Do(ctx, hub.Request{Method: http.MethodDelete, Path: "users/joe"}); !errors.As(err, &refused) || refused.Status != http.StatusForbidden {
				t.Errorf("it may more than was asked for: %v", err)
			}
			if self, err := script.Self(ctx); err != nil || self.Kind != "user" || self.Name != "trainer" || slices.Contains(self.Scopes, "admin:users") {
				t.Errorf("%+v, %v", self, err)
			}
			if _, err := client.NewToken(ctx, "jane", []string{"admin:users"}, time.Hour, ""); !errors.As(err, &refused) || refused.Status != http.StatusBadRequest {
				t.Errorf("it may more than its user: %v", err)
			}
			if _, err := client.NewToken(ctx, "nobody", []string{"list:users"}, time.Hour, ""); !errors.As(err, &refused) || refused.Status != http.StatusForbidden {
				t.Errorf("of nobody: %v", err)
			}

			tokens, err := client.Tokens(ctx, "trainer")
			if err != nil || len(tokens) != 1 || tokens[0].ID != tok.ID || tokens[0].Secret != "" {
				t.Errorf("%+v, %v", tokens, err)
			}
			if err := client.Revoke(ctx, "trainer", tok.ID); err != nil {
				t.Fatal(err)
			}
			if _, err := script.Self(ctx); !errors.As(err, &refused) || refused.Status != http.StatusForbidden {
				t.Errorf("a revoked token: %v", err)
			}
		})
	}
}

// Users are made and forgotten, by both versions and with no right to more.
func TestUsers(t *testing.T) {
	for _, version := range testhub.Versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			base := start(t, version)
			ctx := t.Context()
			client := hub.New(base, token, http.DefaultClient)
			made, err := client.Add(ctx, "Ann", "bob@example.com")
			if err != nil || !slices.Equal(names(made), []string{"ann", "bob@example.com"}) {
				t.Fatalf("made %v, %v", names(made), err)
			}
			if made, err := client.Add(ctx, "ann", "carl"); err != nil || !slices.Equal(names(made), []string{"carl"}) {
				t.Errorf("made one of two: %v, %v", names(made), err)
			}
			if made, err := client.Add(ctx, "ann"); err != nil || len(made) > 0 {
				t.Errorf("made none: %v, %v", names(made), err)
			}
			var answer *hub.Error
			if _, err := client.Add(ctx, "dora", ""); !errors.As(err, &answer) || answer.Status != http.StatusBadRequest {
				t.Errorf("made what can't be: %v", err)
			}
			if all, err := client.Users(ctx); err != nil || !slices.Equal(names(all), []string{"ann", "bob@example.com", "carl"}) {
				t.Errorf("all are %v, %v", names(all), err)
			}
			if user, err := client.User(ctx, "ann"); err != nil || user.Admin {
				t.Errorf("%+v, %v", user, err)
			}
			// What the token can't do: make an admin.
			body := strings.NewReader(`{"admin": true}`)
			request, err := http.NewRequest(http.MethodPatch, base+"/hub/api/users/ann", body)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", "token "+token)
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if response.StatusCode != http.StatusForbidden {
				t.Errorf("the command line's token made an admin: %s", response.Status)
			}

			// One whose session runs is forgotten with it.
			if err := client.Start(ctx, "ann"); err != nil {
				t.Fatal(err)
			}
			if err := client.Ready(ctx, "ann"); err != nil {
				t.Fatal(err)
			}
			eventually(t, func(ctx context.Context) error {
				done, err := client.Delete(ctx, "ann")
				if err == nil && !done {
					err = errors.New("the hub is stopping the session still")
				}
				return err
			})
			if done, err := client.Delete(ctx, "ann"); err != nil || !done {
				t.Errorf("once more: %v, %v", done, err)
			}
			if all, err := client.Users(ctx); err != nil || !slices.Equal(names(all), []string{"bob@example.com", "carl"}) {
				t.Errorf("left are %v, %v", names(all), err)
			}
		})
	}
}

// A hub that has too much to start says when to come again; one that is full
// can't.
func TestLimits(t *testing.T) {
	for _, version := range testhub.Versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			var answer *hub.Error
			client := hub.New(start(t, version, "TEST_SPAWN_LIMIT=1"), token, http.DefaultClient)
			if _, err := client.Add(t.Context(), "slow", "bob"); err != nil {
				t.Fatal(err)
			}
			if err := client.Start(t.Context(), "slow"); err != nil {
				t.Fatal(err)
			}
			if err := client.Start(t.Context(), "bob"); !errors.As(err, &answer) || !answer.Busy() || answer.Full() || answer.RetryAfter < time.Second {
				t.Errorf("busy: %v, %+v", err, answer)
			}

			client = hub.New(start(t, version, "TEST_SERVER_LIMIT=1"), token, http.DefaultClient)
			if _, err := client.Add(t.Context(), "ann", "bob"); err != nil {
				t.Fatal(err)
			}
			if err := client.Start(t.Context(), "ann"); err != nil {
				t.Fatal(err)
			}
			if err := client.Ready(t.Context(), "ann"); err != nil {
				t.Fatal(err)
			}
			if err := client.Start(t.Context(), "bob"); !errors.As(err, &answer) || !answer.Full() || answer.Busy() {
				t.Errorf("full: %v, %+v", err, answer)
			}
			// One that runs already has its place.
			if err := client.Start(t.Context(), "ann"); err != nil {
				t.Errorf("full, for one who is in: %v", err)
			}
		})
	}
}

// The hub gives at most a page at once; who comes later is not forgotten.
func TestPages(t *testing.T) {
	base := start(t, testhub.Versions[0])
	var all []string
	for i := range 450 {
		all = append(all, fmt.Sprintf("user%03d", i))
	}
	for some := range slices.Chunk(all, 100) {
		add(t, base, some...)
	}
	requests := 0
	transport := counting{http.DefaultTransport, &requests}
	client := hub.New(base, token, &http.Client{Transport: transport})
	// Sessions of 450 users are too many for a test; everybody will do.
	got, err := client.Active(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(names(got), all) {
		t.Errorf("%d users of %d", len(got), len(all))
	}
	if requests != 3 {
		t.Errorf("%d requests, want 3", requests)
	}
}

// counting counts requests, and asks for all users instead of the active ones.
type counting struct {
	next     http.RoundTripper
	requests *int
}

func (c counting) RoundTrip(r *http.Request) (*http.Response, error) {
	*c.requests++
	r = r.Clone(r.Context())
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	query.Del("state")
	r.URL.RawQuery = query.Encode()
	return c.next.RoundTrip(r)
}

// A hub that isn't there.
func TestNoHub(t *testing.T) {
	client := hub.Through(func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no pod") }, token)
	_, err := client.Active(t.Context())
	if err == nil || !strings.Contains(err.Error(), "no pod") || strings.Contains(err.Error(), "invalid") {
		t.Errorf("%v", err)
	}
}
