// SPDX-License-Identifier: Apache-2.0

package hubcmd

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/hub"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// asked is the request that a command line stands for.
func asked(t *testing.T, stdin string, args ...string) (method, path, body string, header map[string][]string, err error) {
	t.Helper()
	streams, in, _, _ := genericiooptions.NewTestIOStreams()
	in.WriteString(stdin)
	f := factory.New([]string{"workshopctl"}, streams, factory.Build{})
	cmd := NewCommand(f, Runs{API: func(_ context.Context, f *factory.Factory, o *APIOptions) error {
		r, err := o.request(f.In)
		method, path, body, header = r.Method, r.Path, string(r.Body), r.Header
		return err
	}})
	cmd.SetArgs(append([]string{"api"}, args...))
	cmd.SetOut(&bytes.Buffer{})
	cmd.SetErr(&bytes.Buffer{})
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	err = cmd.Execute()
	return method, path, body, header, err
}

func TestRequest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "body.json")
	if err := os.WriteFile(file, []byte(`{"a": 1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args               []string
		stdin              string
		method, path, body string
	}{
		"a path":           {args: []string{"users"}, method: "GET", path: "users"},
		"a method":         {args: []string{"delete", "/users/jane/server"}, method: "DELETE", path: "/users/jane/server"},
		"fields":           {args: []string{"users/jane/tokens", "-f", "note=x=y", "-F", "expires_in=60"}, method: "POST", path: "users/jane/tokens", body: `{"expires_in":60,"note":"x=y"}`},
		"text that counts": {args: []string{"p", "-f", "a=60", "-F", "b=true", "-F", "c=null", "-F", "d=1.5", "-F", "e=x", "-F", "f=007"}, method: "POST", path: "p", body: `{"a":"60","b":true,"c":null,"d":1.5,"e":"x","f":"007"}`},
		"lists":            {args: []string{"p", "-f", "scopes[]=list:users", "-f", "scopes[]=servers", "-F", "a[b][c]=1", "-F", "a[b][d][]=2"}, method: "POST", path: "p", body: `{"a":{"b":{"c":1,"d":[2]}},"scopes":["list:users","servers"]}`},
		"a file's content": {args: []string{"p", "-F", "note=@" + file}, method: "POST", path: "p", body: `{"note":"{\"a\": 1}"}`},
		"stdin's content":  {args: []string{"p", "-F", "note=@-"}, stdin: "hello", method: "POST", path: "p", body: `{"note":"hello"}`},
		"fields of a list": {args: []string{"GET", "users", "-f", "state=active", "-F", "limit=3"}, method: "GET", path: "users?limit=3&state=active"},
		"more of a query":  {args: []string{"GET", "users?state=active", "-f", "name_filter=a b"}, method: "GET", path: "users?state=active&name_filter=a+b"},
		"input":            {args: []string{"PATCH", "users/jane", "--input", file}, method: "PATCH", path: "users/jane", body: `{"a": 1}`},
		"input of stdin":   {args: []string{"users", "--input", "-"}, stdin: "{}", method: "POST", path: "users", body: "{}"},
	} {
		t.Run(name, func(t *testing.T) {
			method, path, body, _, err := asked(t, test.stdin, test.args...)
			if err != nil || method != test.method || path != test.path || body != test.body {
				t.Errorf("%s %s %s, %v; want %s %s %s", method, path, body, err, test.method, test.path, test.body)
			}
		})
	}
	_, _, _, header, err := asked(t, "", "users", "-H", "Accept: application/jupyterhub-pagination+json", "-H", "X-A:b")
	if err != nil || cmp.Diff(map[string][]string{"Accept": {"application/jupyterhub-pagination+json"}, "X-A": {"b"}}, header) != "" {
		t.Errorf("%v, %v", header, err)
	}
}

func TestRequestRefused(t *testing.T) {
	for want, args := range map[string][]string{
		"needs PATH":                               {},
		"there is no method FETCH":                 {"fetch", "users"},
		`"https://example.com/" is no path`:        {"https://example.com/"},
		`"//example.com/users" is no path`:         {"//example.com/users"},
		"--paginate is for lists":                  {"POST", "users", "--paginate"},
		"--input and fields both":                  {"users", "--input", "-", "-f", "a=b"},
		"a GET has no body":                        {"GET", "users", "--input", "-"},
		"write NAME:VALUE":                         {"users", "-H", "x"},
		"can be read by others on this machine":    {"users", "-H", "authorization: token x"},
		"not a JSONPath":                           {"users", "-q", "{.items["},
		"write KEY=VALUE":                          {"users", "-f", "note"},
		`"a[][b]" is no key`:                       {"users", "-f", "a[][b]=1"},
		`"[a]" is no key`:                          {"users", "-f", "[a]=1"},
		"a is there twice":                         {"users", "-f", "a=1", "-f", "a=2"},
		"a[b] is there twice, and not of one kind": {"users", "-f", "a[]=1", "-f", "a[b]=2"},
		"no such file or directory":                {"users", "-F", "a=@/nowhere"},
		`takes no argument "more"`:                 {"GET", "users", "more"},
	} {
		if _, _, _, _, err := asked(t, "", args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", args, err, want)
		}
	}
}

func TestFind(t *testing.T) {
	for name, test := range map[string]struct{ query, answer, want string }{
		"of an object":   {"{.name}", `{"name": "jane"}`, "jane\n"},
		"without braces": {".name", `{"name": "jane"}`, "jane\n"},
		"of a list":      {"{.items[*].name}", `[{"name": "ann"}, {"name": "bob"}]`, "ann bob\n"},
		"lines":          {`{range .items[*]}{.name}{"\n"}{end}`, `[{"name": "ann"}, {"name": "bob"}]`, "ann\nbob\n"},
		"nothing":        {"{.x}", `{}`, ""},
	} {
		var out bytes.Buffer
		var list []json.RawMessage
		err := find(&out, test.query, []byte(test.answer), json.Unmarshal([]byte(test.answer), &list) == nil)
		if err != nil || out.String() != test.want {
			t.Errorf("%s: %q, %v; want %q", name, out.String(), err, test.want)
		}
	}
}

func TestOwner(t *testing.T) {
	spec := workshop.Spec{Name: "class", Auth: workshop.AuthPassword, AdminUsers: []string{"Trainer", "ann"}}
	for named, want := range map[string]string{"": "trainer", "Bob": "bob"} {
		if got, err := owner(spec, named); err != nil || got != want {
			t.Errorf("%q: %q, %v", named, got, err)
		}
	}
	spec.Auth = workshop.AuthOIDC // names are in lower case there, too
	if got, err := owner(spec, ""); err != nil || got != "trainer" {
		t.Errorf("%q, %v", got, err)
	}
	spec.Auth = workshop.AuthOpenShift
	if got, err := owner(spec, ""); err != nil || got != "Trainer" {
		t.Errorf("%q, %v", got, err)
	}
	spec.AdminUsers = nil
	if _, err := owner(spec, ""); err == nil || !strings.Contains(err.Error(), "has no admin") {
		t.Errorf("%v", err)
	}
	if got, err := owner(spec, "jane"); err != nil || got != "jane" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestTokenFlags(t *testing.T) {
	parse := func(args ...string) (got *TokenOptions, err error) {
		f := factory.New([]string{"workshopctl"}, genericiooptions.NewTestIOStreamsDiscard(), factory.Build{})
		cmd := NewCommand(f, Runs{Token: func(_ context.Context, _ *factory.Factory, o *TokenOptions) error {
			got = o
			return nil
		}})
		cmd.SetArgs(append([]string{"token"}, args...))
		cmd.SilenceUsage, cmd.SilenceErrors = true, true
		err = cmd.Execute()
		return got, err
	}
	o, err := parse("--scopes", "list:users,access:servers!user=jane", "--duration", "8h", "--user", "jane", "--note", "x")
	if err != nil || len(o.Scopes) != 2 || o.Duration != 8*time.Hour || o.User != "jane" || o.Note != "x" {
		t.Errorf("%+v, %v", o, err)
	}
	for want, args := range map[string][]string{
		"--scopes: say what the token may do": {},
		`"" is no scope`:                      {"--scopes", "a,,b"},
		`" b" is no scope`:                    {"--scopes", "a, b"},
		"--duration: must be at least 1m":     {"--scopes", "a", "--duration", "1s"},
		"there is no format":                  {"--scopes", "a", "-o", "name"},
		`takes no argument "jane"`:            {"jane", "--scopes", "a"},
	} {
		if _, err := parse(args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", args, err, want)
		}
	}
}

// What is refused says what the token may, and what to do for more.
func TestRefusedSaysWhy(t *testing.T) {
	var self string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hub/api/user" && self != "" {
			_, _ = io.WriteString(w, self)
			return
		}
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"status": 403, "message": "requires any of [admin:users]"}`)
	}))
	defer server.Close()
	client := hub.New(server.URL, "secret", server.Client())
	for name, test := range map[string]struct {
		self, variable string
		want           []string
	}{
		"the workshop's": {`{"kind": "service", "name": "workshopctl", "scopes": ["list:users", "servers"]}`, "", []string{
			"the hub refuses that (403): requires any of [admin:users]", "The workshop's own token may: list:users, servers.", "WORKSHOPCTL_HUB_TOKEN=$(workshopctl hub token --user ADMIN",
		}},
		"a user's": {`{"kind": "user", "name": "trainer", "scopes": ["list:users"]}`, "secret", []string{"requires any of", "This token of trainer may: list:users."}},
		"expired":  {"", "secret", []string{"refuses the token in WORKSHOPCTL_HUB_TOKEN (403)", "expired or been revoked"}},
		"unknown":  {"", "", []string{"its Secret may be newer than the hub"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(tokenVariable, test.variable)
			self = test.self
			_, err := client.Do(t.Context(), hub.Request{Method: http.MethodDelete, Path: "users/jane"})
			var out bytes.Buffer
			fault.Write(&out, explained(t.Context(), client, err), func(s string) string { return s })
			for _, words := range test.want {
				if !strings.Contains(out.String(), words) {
					t.Errorf("no %q in %s", words, out.String())
				}
			}
			if strings.Contains(out.String(), "secret") {
				t.Errorf("it shows the token: %s", out.String())
			}
		})
	}
}
