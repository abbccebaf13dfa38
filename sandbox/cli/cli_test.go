// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/workshopctl/workshopctl/sandbox/host"
	"github.com/workshopctl/workshopctl/sandbox/node"
)

func TestUsage(t *testing.T) {
	for _, tc := range []struct {
		args   []string
		status int
		stderr string
	}{
		{[]string{"bogus"}, exitUsage, `there is no command "bogus"`},
		{[]string{"up", "extra"}, exitUsage, "no arguments"},
		{[]string{"up", "--simulated-nodes", "3"}, exitUsage, "add --control-plane"},
		{[]string{"up", "--control-plane", "--simulated-nodes", "-1"}, exitUsage, "must be the number of nodes, not -1"},
		{[]string{"up", "--control-plane", "--openshift", "--simulated-nodes", "3"}, exitUsage, "exclude each other"},
		{[]string{"up", "--bogus"}, exitUsage, "unknown flag: --bogus; see: workshop-sandbox up --help"},
		{[]string{"status", "--name", "Not/A/Name"}, exitUsage, "can't be a sandbox's name"},
		{[]string{"status", "-o", "xml"}, exitUsage, `no output format "xml"`},
		{[]string{"env", "--name", "never-started"}, exitFailed, "workshop-sandbox up --name never-started"},
		{[]string{"load-image", "x"}, exitUsage, "SRC and REF"},
		{[]string{"load-image", "x", "y:1", "--name", "never-started"}, exitFailed, "no registry running"},
		{[]string{"load-image", "x", "y:1", "--to", "p/y:1"}, exitUsage, "SRC with --to"},
		{[]string{"load-image", "x", "--to", "y:1"}, exitUsage, `"y:1" is not PROJECT/NAME:TAG`},
		{[]string{"load-image", "x", "--to", "p/y", "--name", "never-started"}, exitFailed, "no registry running"},
		{[]string{"logs", "--name", "never-started"}, exitFailed, "has no logs"},
		{[]string{"down", "--all", "--name", "x"}, exitUsage, "exclude each other"},
		{[]string{"status", "--name", "never-started"}, exitFailed, ""},
		{[]string{"--help"}, 0, ""},
	} {
		t.Run(strings.Join(tc.args, " "), func(t *testing.T) {
			var out, errOut bytes.Buffer
			status := Main(append([]string{"workshop-sandbox"}, tc.args...), Streams{&out, &errOut})
			if status != tc.status || !strings.Contains(errOut.String(), tc.stderr) {
				t.Errorf("exit status %d, want %d; stderr %q, want %q", status, tc.status, errOut.String(), tc.stderr)
			}
		})
	}
}

func TestPorts(t *testing.T) {
	o := &upOptions{ports: node.Ports{HTTPS: 443}, fixed: map[string]bool{"https-port": true}}
	wanted := o.wanted(node.Ports{API: 7001, HTTP: 7002, HTTPS: 7003})
	if want := (node.Ports{API: 7001, HTTP: 7002, HTTPS: 443}); wanted != want {
		t.Errorf("wanted %+v, want those of last time but for the flag's: %+v", wanted, want)
	}
	var list []string
	for _, p := range o.portList(wanted, node.Config{}) {
		list = append(list, strconv.Itoa(p.Number)+map[bool]string{true: " fixed"}[p.Fixed])
	}
	if got := strings.Join(list, ", "); got != "7001, 7002, 443 fixed, 0" {
		t.Error(got)
	}
	for openshift, want := range map[bool]string{false: "6443", true: "6443, 8080, 8443"} {
		list = nil
		for _, p := range new(upOptions).portList(node.Ports{}, node.Config{ControlPlane: true, OpenShift: openshift}) {
			list = append(list, strconv.Itoa(p.Number))
		}
		if got := strings.Join(list, ", "); got != want {
			t.Errorf("a control plane has ports %s, and should have %s (OpenShift: %v)", got, want, openshift)
		}
	}
}

func TestChooseImages(t *testing.T) {
	for _, test := range []struct {
		openshift bool
		images    []string
		want      string
	}{
		{false, []string{"none"}, ""},
		{false, []string{"ash:1"}, "pause:1 ash:1"},
		{true, []string{"ash:1"}, "pause:1 deployer ash:1"},
		{true, []string{"none"}, ""},
		{true, allImages, "deployer cli:latest " + strings.Join(allImages, " ")},
		{false, allImages, strings.Join(allImages, " ")},
	} {
		o := &upOptions{openshift: test.openshift, images: test.images}
		o.chooseImages()
		if got := strings.Join(o.images, " "); got != test.want {
			t.Errorf("%v (OpenShift: %v): got %s, want %s", test.images, test.openshift, got, test.want)
		}
	}
}

func TestBusyPortsAreToldUpFront(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	busy := l.Addr().(*net.TCPAddr).Port
	dirs, err := host.NewDirs("never-started")
	if err != nil {
		t.Fatal(err)
	}
	o := &upOptions{ports: node.Ports{API: busy, HTTPS: 10250}, fixed: map[string]bool{"api-port": true, "https-port": true}}
	problems := o.busyPorts(t.Context(), dirs)
	if len(problems) != 2 || !strings.Contains(problems[0].Error(), "--api-port") || !strings.Contains(problems[1].Error(), "kubelet") {
		t.Errorf("got %v", problems)
	}
}

func TestQuote(t *testing.T) {
	if got := quote(`it's`); got != `'it'\''s'` {
		t.Error(got)
	}
}
