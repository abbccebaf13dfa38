// SPDX-License-Identifier: Apache-2.0

package node

import (
	"crypto/x509"
	"flag"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/workshopctl/workshopctl/sandbox/host"
)

var update = flag.Bool("update", false, "write the golden files anew")

func testNode(dir string, controlPlane bool) node {
	return node{
		Config{Name: "demo", Executable: "0123456789abcdef", ControlPlane: controlPlane, Ports: Ports{API: 6443, HTTP: 8080, HTTPS: 8443, Registry: 40000}, Programs: Programs{Kube: "/cache/kube", DNS: "/cache/dns", Registry: "/cache/registry"}},
		host.Dirs{Name: "demo", State: filepath.Join(dir, "state"), Run: filepath.Join(dir, "run")},
	}
}

func openshiftNode(dir string, controlPlane bool) node {
	n := testNode(dir, controlPlane)
	n.OpenShift = true
	p := &n.Programs
	p.KubeAPIServer, p.OpenShiftAPIServer, p.OAuthAPIServer, p.OAuthServer = "/cache/kube-apiserver", "/cache/openshift-apiserver", "/cache/oauth-apiserver", "/cache/oauth-server"
	p.OpenShiftControllerManager, p.OC = "/cache/controller-manager", "/cache/oc-0123/oc"
	return n
}

func simulatedNode(dir string) node {
	n := testNode(dir, true)
	n.SimulatedNodes, n.Programs.KWOK = 10, "/cache/kwok"
	return n
}

// The configuration and command lines of every program, as they are now.
func TestGolden(t *testing.T) {
	for name, n := range map[string]node{
		"node": testNode("", false), "control-plane": testNode("", true),
		"openshift": openshiftNode("", false), "openshift-control-plane": openshiftNode("", true),
		"simulated": simulatedNode(""),
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			files := n.files()
			if n.OpenShift {
				more, err := n.openshiftFiles()
				if err != nil {
					t.Fatal(err)
				}
				maps.Copy(files, more)
			}
			for _, path := range slices.Sorted(maps.Keys(files)) {
				if strings.HasSuffix(path, "kubeconfig") || strings.HasSuffix(path, "token") || strings.HasSuffix(path, "hosts") {
					continue // made up anew, or this machine's
				}
				b.WriteString("==> " + path + " <==\n" + files[path] + "\n")
			}
			if n.OpenShift {
				b.WriteString("==> oc <==\n" + n.oc() + "\n")
			}
			for _, u := range n.units() {
				b.WriteString("==> " + u.Name + ", after " + strings.Join(u.After, ", ") + " <==\n" + strings.Join(u.Args, "\n  ") + "\n\n")
			}
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if b.String() != string(want) {
				t.Errorf("not as in %s; if that's right, write it by -update. Now:\n%s", golden, b.String())
			}
		})
	}
}

func TestPrepareMakesCertificatesOnce(t *testing.T) {
	n := testNode(t.TempDir(), false)
	if err := Prepare(n.Config, n.dirs); err != nil {
		t.Fatal(err)
	}
	read := func(path string) []byte {
		t.Helper()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	verify := func(authority, cert, name string, usage x509.ExtKeyUsage) {
		t.Helper()
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(read(n.pki(authority)))
		c, err := x509.ParseCertificate(decode(read(n.pki(cert))))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Verify(x509.VerifyOptions{DNSName: name, Roots: pool, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			t.Errorf("%s for %q: %v", cert, name, err)
		}
	}
	for _, name := range []string{"127.0.0.1", Address, apiService, "localhost", "kubernetes.default.svc"} {
		verify("ca.crt", "apiserver.crt", name, x509.ExtKeyUsageServerAuth)
	}
	verify("ingress-ca.crt", "ingress.pem", "terminals-x.demo.localhost", x509.ExtKeyUsageServerAuth)
	verify("ca-bundle.crt", "ingress.pem", "terminals-x.demo.localhost", x509.ExtKeyUsageServerAuth)
	verify("ca.crt", "node.crt", "", x509.ExtKeyUsageClientAuth)

	kubeconfig := read(n.dirs.Kubeconfig())
	rc, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if rc.Host != "https://127.0.0.1:6443" || len(rc.CertData) == 0 || len(rc.KeyData) == 0 {
		t.Errorf("the kubeconfig is for %s", rc.Host)
	}
	info, err := os.Stat(n.dirs.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("others can read the kubeconfig: %v", info.Mode())
	}
	if err := Prepare(n.Config, n.dirs); err != nil {
		t.Fatal(err)
	}
	if string(read(n.dirs.Kubeconfig())) != string(kubeconfig) {
		t.Error("a second Prepare makes new certificates")
	}

	// The same sandbox, made one of OpenShift.
	n = openshiftNode(filepath.Dir(n.dirs.State), false)
	prepare := func() {
		t.Helper()
		if err := Prepare(n.Config, n.dirs); err != nil {
			t.Fatal(err)
		}
	}
	prepare()
	verify("ca.crt", "openshift-apiserver.crt", "api.openshift-apiserver.svc", x509.ExtKeyUsageServerAuth)
	verify("ca.crt", "oauth-apiserver.crt", "api.openshift-oauth-apiserver.svc", x509.ExtKeyUsageServerAuth)
	verify("ca-bundle.crt", "oauth-server.crt", "oauth-openshift.apps.demo.localhost", x509.ExtKeyUsageServerAuth)
	verify("ca-bundle.crt", "ingress.pem", "terminals-workshop.apps.demo.localhost", x509.ExtKeyUsageServerAuth)
	verify("front-proxy-ca.crt", "front-proxy.crt", "", x509.ExtKeyUsageClientAuth)
	trainer, err := clientcmd.RESTConfigFromKubeConfig(read(n.dirs.TrainerKubeconfig()))
	if err != nil {
		t.Fatal(err)
	}
	prepare()
	again, err := clientcmd.RESTConfigFromKubeConfig(read(n.dirs.TrainerKubeconfig()))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(trainer.BearerToken, "sha256~") || trainer.BearerToken != again.BearerToken || len(trainer.CertData) > 0 {
		t.Errorf("the trainer has the token %q, and after a restart %q", trainer.BearerToken, again.BearerToken)
	}
}

// A certificate that was made before its names were more is made anew.
func TestIssueKnowsNames(t *testing.T) {
	dir := t.TempDir()
	ca, err := loadAuthority(dir, "ca", "test")
	if err != nil {
		t.Fatal(err)
	}
	var made []string
	for _, names := range [][]string{{"a.test"}, {"a.test"}, {"a.test", "b.test"}, {"b.test"}} {
		if err := ca.issue(dir, "leaf", leaf{names: names, addresses: []string{"127.0.0.1"}}); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(dir, "leaf.crt"))
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, string(data))
	}
	if made[0] != made[1] || made[1] == made[2] || made[2] != made[3] {
		t.Error("a certificate is made anew when it needn't be, or isn't when it must")
	}
}

func TestConfigFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sandbox.json")
	if c, err := LoadConfig(path); err != nil || c != (Config{}) {
		t.Errorf("without a file: %+v, %v", c, err)
	}
	want := testNode("", false).Config
	if err := want.Save(path); err != nil {
		t.Fatal(err)
	}
	if got, err := LoadConfig(path); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
}

// What programs listen on must be known, or a user's ingress port meets it.
func TestPortsOfUnitsAreKnown(t *testing.T) {
	for _, l := range append(openshiftNode("", false).listeners(), "127.0.0.1:2379", "127.0.0.1:10257") {
		_, port, err := net.SplitHostPort(l)
		if err != nil {
			t.Fatal(err)
		}
		number, err := strconv.Atoi(port)
		if err != nil {
			t.Fatal(err)
		}
		if number != 8080 && number != 8443 && UsedInside(number) == "" {
			t.Errorf("port %d isn't in UsedInside", number)
		}
	}
}

// Bytes and the end of them get through both ways; nobody inside means closed.
func TestForward(t *testing.T) {
	inside, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	outside, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go forward(t.Context(), outside, inside.Addr().String(), t.Logf)
	go func() {
		conn, err := inside.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		// Answers only when the request is over: half-closing must get through.
		var all []byte
		buf := make([]byte, 100)
		for {
			n, err := conn.Read(buf)
			all = append(all, buf[:n]...)
			if err != nil {
				break
			}
		}
		_, _ = conn.Write(append([]byte("got "), all...))
	}()
	conn, err := net.Dial("tcp4", outside.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	n, err := conn.Read(buf)
	if err != nil || string(buf[:n]) != "got hello" {
		t.Errorf("got %q, %v", buf[:n], err)
	}
	inside.Close()
	second, err := net.Dial("tcp4", outside.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if _, err := second.Read(buf); err == nil {
		t.Error("a connection to nobody isn't closed")
	}
}

func TestFromBefore(t *testing.T) {
	start := time.Date(2026, 11, 24, 10, 0, 0, 500e6, time.UTC)
	running := func(at time.Time) corev1.Pod {
		return corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(at)}}}}}}
	}
	waiting := corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{}}}}}}
	// Times in the API have no fractions of a second.
	pods := []corev1.Pod{running(start.Add(-time.Minute)), running(start.Truncate(time.Second)), running(start.Add(time.Minute)), waiting, {}}
	if n := fromBefore(pods, start); n != 1 {
		t.Errorf("%d pods are from before, want 1", n)
	}
}
