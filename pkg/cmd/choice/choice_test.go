// SPDX-License-Identifier: Apache-2.0

package choice

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// parse is what the flags of a command line say.
func parse(t *testing.T, stdin string, args ...string) (Change, error) {
	t.Helper()
	var flags Flags
	cmd := &cobra.Command{}
	flags.AddTo(cmd)
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return flags.ToChange(cmd.Flags(), strings.NewReader(stdin))
}

func TestApply(t *testing.T) {
	deployed := workshop.Spec{
		Registry: "r.example/team",
		Name:     "class", TerminalImage: "t:1", GatewayImage: "g:1", HubImage: "h:1",
		Expose: workshop.ExposeIngress, Host: "class.example.com", TLSSecret: "default",
		Env: map[string]string{"A": "1", "B": "2"}, AdminUsers: []string{"ann"}, IdleTimeout: "4h",
	}
	for name, test := range map[string]struct {
		args  []string
		file  string
		first bool
		// route says that the workshop has a Route with an assigned host.
		route bool
		want  func(*workshop.Spec)
	}{
		"nothing": {want: func(*workshop.Spec) {}},
		"only what flags name": {
			args: []string{"--terminal-image", "t:2", "--memory-limit", "1Gi"},
			want: func(s *workshop.Spec) { s.TerminalImage, s.Resources.MemoryLimit = "t:2", "1Gi" },
		},
		"an image stream in place of an image": {
			args: []string{"--image-stream", "openshift/cli"},
			want: func(s *workshop.Spec) { s.TerminalImage, s.ImageStream = "", "openshift/cli" },
		},
		"an image stream from a file": {
			file: "imageStream: my-terminal",
			want: func(s *workshop.Spec) {
				*s = workshop.Spec{Registry: s.Registry, Name: s.Name, ImageStream: "my-terminal", GatewayImage: s.GatewayImage, Expose: s.Expose, Host: s.Host, TLSSecret: s.TLSSecret}
			},
		},
		"an image in place of the file's image stream": {
			file: "imageStream: my-terminal",
			args: []string{"--terminal-image", "t:3"},
			want: func(s *workshop.Spec) {
				*s = workshop.Spec{Registry: s.Registry, Name: s.Name, TerminalImage: "t:3", GatewayImage: s.GatewayImage, Expose: s.Expose, Host: s.Host, TLSSecret: s.TLSSecret}
			},
		},
		"lists": {
			args: []string{"--admin-users", "bob, carl", "--allowed-users", "d"},
			want: func(s *workshop.Spec) { s.AdminUsers, s.AllowedUsers = []string{"bob", "carl"}, []string{"d"} },
		},
		"an empty list": {
			args: []string{"--admin-users", ""},
			want: func(s *workshop.Spec) { s.AdminUsers = nil },
		},
		"environment, one by one": {
			args: []string{"--env", "A=x=y", "--env", "B-", "--env", "C="},
			want: func(s *workshop.Spec) { s.Env = map[string]string{"A": "x=y", "C": ""} },
		},
		"no way in has no host": {
			args: []string{"--expose", "none"},
			want: func(s *workshop.Spec) { s.Expose, s.Host, s.TLSSecret = workshop.ExposeNone, "", "" },
		},
		"a file replaces all that has a default": {
			file: "idleTimeout: 1h",
			want: func(s *workshop.Spec) {
				*s = workshop.Spec{Registry: s.Registry, Name: s.Name, TerminalImage: s.TerminalImage, GatewayImage: s.GatewayImage, Expose: s.Expose, Host: s.Host, TLSSecret: s.TLSSecret, IdleTimeout: "1h"}
			},
		},
		"a file's host comes without the old one's certificate": {
			file: "host: new.example.com",
			want: func(s *workshop.Spec) {
				*s = workshop.Spec{Registry: s.Registry, Name: s.Name, TerminalImage: s.TerminalImage, GatewayImage: s.GatewayImage, Expose: s.Expose, Host: "new.example.com"}
			},
		},
		"a host of one's own in place of the assigned one": {
			route: true,
			args:  []string{"--host", "new.example.com"},
			want:  func(s *workshop.Spec) { s.Host, s.HostAssigned = "new.example.com", false },
		},
		"a file's host in place of the assigned one": {
			route: true,
			file:  "host: new.example.com",
			want: func(s *workshop.Spec) {
				*s = workshop.Spec{Name: s.Name, TerminalImage: s.TerminalImage, GatewayImage: s.GatewayImage, Registry: s.Registry, Expose: s.Expose, Host: "new.example.com"}
			},
		},
		"a file that was printed has the assigned host": {
			route: true,
			file:  "host: old.example.com\nhostAssigned: true",
			want: func(s *workshop.Spec) {
				*s = workshop.Spec{Name: s.Name, TerminalImage: s.TerminalImage, GatewayImage: s.GatewayImage, Registry: s.Registry, Expose: s.Expose, Host: "old.example.com", HostAssigned: true}
			},
		},
		"an assigned host is a route's alone": {
			route: true,
			args:  []string{"--expose", "ingress"},
			want:  func(s *workshop.Spec) { s.Expose, s.Host, s.HostAssigned = workshop.ExposeIngress, "", false },
		},
		"a file without a host keeps the assigned one": {
			route: true,
			file:  "idleTimeout: 1h",
			want: func(s *workshop.Spec) {
				*s = workshop.Spec{Name: s.Name, TerminalImage: s.TerminalImage, GatewayImage: s.GatewayImage, Registry: s.Registry, Expose: s.Expose, Host: s.Host, HostAssigned: true, IdleTimeout: "1h"}
			},
		},
		"a file without a way in": {
			file: "expose: none",
			want: func(s *workshop.Spec) {
				*s = workshop.Spec{Registry: s.Registry, Name: s.Name, TerminalImage: s.TerminalImage, GatewayImage: s.GatewayImage, Expose: workshop.ExposeNone}
			},
		},
		"flags beside a file": {
			file: "terminalImage: t:3\nidleTimeout: 1h",
			args: []string{"--idle-timeout", "2h"},
			want: func(s *workshop.Spec) {
				*s = workshop.Spec{Registry: s.Registry, Name: s.Name, TerminalImage: "t:3", GatewayImage: s.GatewayImage, Expose: s.Expose, Host: s.Host, TLSSecret: s.TLSSecret, IdleTimeout: "2h"}
			},
		},
		"a file over the defaults of a first deploy": {
			first: true,
			file:  "adminUsers: [zoe]",
			want:  func(s *workshop.Spec) { s.AdminUsers = []string{"zoe"} },
		},
	} {
		t.Run(name, func(t *testing.T) {
			args := test.args
			if test.file != "" {
				args = append(args, "-f", "-")
			}
			change, err := parse(t, test.file, args...)
			if err != nil {
				t.Fatal(err)
			}
			want := deployed
			if test.route {
				want.Expose, want.HostAssigned, want.TLSSecret = workshop.ExposeRoute, true, ""
			}
			got, err := change.Apply(want, !test.first)
			if err != nil {
				t.Fatal(err)
			}
			test.want(&want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if deployed.Env["A"] != "1" || len(deployed.Env) != 2 {
		t.Errorf("the deployed Spec was changed: %v", deployed.Env)
	}
}

func TestNamesTerminalImage(t *testing.T) {
	for _, test := range []struct {
		args []string
		file string
		want bool
	}{
		{nil, "", false},
		{[]string{"--idle-timeout", "1h"}, "", false},
		{[]string{"--terminal-image", "t:1"}, "", true},
		{[]string{"-f", "-"}, "idleTimeout: 1h", false},
		{[]string{"-f", "-"}, "terminalImage: t:1", true},
		{[]string{"--image-stream", "t:1"}, "", true},
		{[]string{"-f", "-"}, "imageStream: t:1", true},
	} {
		change, err := parse(t, test.file, test.args...)
		if err != nil {
			t.Fatal(err)
		}
		if got := change.NamesTerminalImage(); got != test.want {
			t.Errorf("%v with file %q: %v", test.args, test.file, got)
		}
	}
}

// Only one of the two flags can say what sessions run.
func TestOneImage(t *testing.T) {
	if _, err := parse(t, "", "--terminal-image", "t:1", "--image-stream", "t:1"); err == nil || !strings.Contains(err.Error(), "leave one of them out") {
		t.Errorf("%v", err)
	}
}

// Every setting has a field of the Spec that exists, and sets it.
func TestSettings(t *testing.T) {
	fields := map[string]bool{}
	for _, f := range workshop.Fields() {
		fields[f] = true
	}
	for _, s := range settings() {
		if !fields[s.field] {
			t.Errorf("--%s is about %s, which a workshop doesn't have", s.flag, s.field)
		}
		var before, after workshop.Spec
		value := "x"
		if s.number {
			value = "7"
		}
		s.set(&after, value)
		if cmp.Equal(before, after) {
			t.Errorf("--%s sets nothing", s.flag)
		}
	}
}

func TestExplain(t *testing.T) {
	change, err := parse(t, "", "--storage-size", "1Gx")
	if err != nil {
		t.Fatal(err)
	}
	flag := &workshop.FieldError{Field: "storage.size", Value: "1Gx", Problem: "is no quantity"}
	field := &workshop.FieldError{Field: "auth", Problem: "is unknown"}
	if got, want := change.Explain(errors.Join(flag, field)).Error(), "--storage-size \"1Gx\" is no quantity\nauth is unknown"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDefaults(t *testing.T) {
	for name, test := range map[string]struct {
		file string
		env  map[string]string
		want Defaults
		err  string
	}{
		"none": {},
		"file": {
			file: "domain: apps.example.com\nadmin-users: [ann, bob]\nauth: anonymous\nidle-timeout: 90m\nstorage-size: 0\n",
			want: Defaults{Domain: "apps.example.com", Spec: workshop.Spec{AdminUsers: []string{"ann", "bob"}, Auth: workshop.AuthAnonymous, IdleTimeout: "90m", Storage: workshop.Storage{Size: "0"}}},
		},
		"environment over file": {
			file: "hub-image: h:1\nproxy-image: p:1\n",
			env:  map[string]string{"WORKSHOPCTL_HUB_IMAGE": "h:2", "WORKSHOPCTL_ADMIN_USERS": "ann, bob", "WORKSHOPCTL_TEST_KUBECONFIG": "x"},
			want: Defaults{Spec: workshop.Spec{HubImage: "h:2", ProxyImage: "p:1", AdminUsers: []string{"ann", "bob"}}},
		},
		"a host is one workshop's alone": {file: "host: x.example.com\n", err: `no key "host"`},
		"two images":                     {file: "image-stream: x\n", env: map[string]string{"WORKSHOPCTL_TERMINAL_IMAGE": "y"}, err: "leave one of them out"},
		"unknown":                        {file: "domian: x\n", err: "did you mean domain?"},
		"a map":                          {file: "auth: {kind: x}\n", err: "auth"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			t.Setenv("XDG_CONFIG_HOME", dir)
			for k, v := range test.env {
				t.Setenv(k, v)
			}
			if test.file != "" {
				if err := os.MkdirAll(filepath.Join(dir, "workshopctl"), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, "workshopctl", "config.yaml"), []byte(test.file), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got, err := LoadDefaults()
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("error %v, want %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
