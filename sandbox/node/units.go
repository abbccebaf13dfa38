// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/workshopctl/workshopctl/sandbox/host"
	"github.com/workshopctl/workshopctl/sandbox/ingress"
	"github.com/workshopctl/workshopctl/sandbox/storage"
	"github.com/workshopctl/workshopctl/sandbox/supervise"
)

// Names of the units, which are those of their logs too.
const (
	unitEtcd              = "etcd"
	unitAPIServer         = "kube-apiserver"
	unitControllerManager = "kube-controller-manager"
	unitScheduler         = "kube-scheduler"
	unitContainerd        = "containerd"
	unitKubelet           = "kubelet"
	unitKubeProxy         = "kube-proxy"
	unitCoreDNS           = "coredns"
	unitPrivateRegistry   = "registry-private"
	unitIngress           = "ingress"
	unitStorage           = "storage"
	unitKWOK              = "kwok"
	unitSimulatedNodes    = "simulated-nodes"
	unitSimulatedSessions = "simulated-sessions"
)

// Registry is the unit that images are pushed to.
const Registry = "registry"

const etcdURL = "http://127.0.0.1:2379"

// units are the programs of the sandbox in the order that they need each
// other.
func (n node) units() []supervise.Unit {
	units := []supervise.Unit{
		n.program(unitEtcd, nil, healthy(etcdURL+"/health"), "etcd",
			"--data-dir="+n.etcdDir(), "--listen-client-urls="+etcdURL, "--advertise-client-urls="+etcdURL,
			"--listen-peer-urls=http://127.0.0.1:2380", "--log-level=warn",
			// A crash of the machine may cost the sandbox; waiting for its disk at each write costs all the time.
			"--unsafe-no-fsync"),
		n.program(unitAPIServer, []string{unitEtcd}, healthy(fmt.Sprintf("https://%s:%d/readyz", Address, apiPort)), n.apiServer()...),
		n.program(unitControllerManager, []string{unitAPIServer}, n.controllersWork, n.Programs.Kube, "kube-controller-manager",
			"--kubeconfig="+n.etc("controller-manager.kubeconfig"), "--service-account-private-key-file="+n.pki("service-accounts.key"), "--root-ca-file="+n.pki("ca-bundle.crt"),
			"--use-service-account-credentials", "--leader-elect=false", "--bind-address=127.0.0.1",
			// Each controller asks for an account when it starts; at the default rate that takes five seconds for all.
			"--kube-api-qps=200", "--kube-api-burst=400"),
	}
	if n.OpenShift {
		units = append(units, n.openshiftUnits()...)
	}
	if n.HasIngress() {
		after := unitAPIServer
		if n.OpenShift {
			after = unitBootstrap // which has the API server know Routes
		}
		units = append(units,
			supervise.Unit{Name: unitIngress, After: []string{after}, Task: n.ingress, Ready: answers("tcp", net.JoinHostPort(Address, strconv.Itoa(n.Ports.HTTPS)))})
	}
	if n.SimulatedNodes > 0 {
		units = append(units, n.simulatedUnits()...)
	}
	if n.ControlPlane {
		return units
	}
	return append(units,
		n.scheduler(),
		n.program(unitContainerd, nil, answers("unix", runtimeSocket), "containerd", "--config", n.etc("containerd.toml")),
		n.program(unitKubelet, []string{unitContainerd, unitAPIServer}, healthy("http://127.0.0.1:10248/healthz"), n.Programs.Kube, "kubelet",
			"--config="+n.etc("kubelet.yaml"), "--kubeconfig="+n.etc("node.kubeconfig"), "--hostname-override="+n.Name, "--node-ip="+Address),
		n.program(unitKubeProxy, []string{unitAPIServer}, healthy("http://127.0.0.1:10256/livez"), n.Programs.Kube, "kube-proxy", "--config="+n.etc("kube-proxy.yaml")),
		n.program(unitCoreDNS, []string{unitAPIServer}, resolves("kubernetes.default.svc.cluster.local"), n.Programs.DNS, "-conf", n.etc("Corefile")),
		n.program(Registry, nil, answers("tcp", net.JoinHostPort(Address, strconv.Itoa(registryPort))), n.Programs.Registry,
			"--addr", net.JoinHostPort(Address, strconv.Itoa(registryPort)), "--root", n.state("registry")),
		// The same images behind a login.
		n.program(unitPrivateRegistry, nil, answers("tcp", net.JoinHostPort(Address, strconv.Itoa(privateRegistryPort))), n.Programs.Registry,
			"--addr", net.JoinHostPort(Address, strconv.Itoa(privateRegistryPort)), "--root", n.state("registry"), "--htpasswd-user", registryUser, "--htpasswd-password-file", n.etc("registry-password")),
		supervise.Unit{Name: unitStorage, After: []string{unitAPIServer}, Task: n.storage},
	)
}

func (n node) scheduler(more ...string) supervise.Unit {
	args := []string{n.Programs.Kube, "kube-scheduler", "--kubeconfig=" + n.etc("scheduler.kubeconfig"), "--leader-elect=false", "--bind-address=127.0.0.1"}
	return n.program(unitScheduler, []string{unitAPIServer}, healthy("https://127.0.0.1:10259/healthz"), append(args, more...)...)
}

const serviceAccountIssuer = "https://kubernetes.default.svc.cluster.local"

// apiServer is the API server's command line.
func (n node) apiServer() []string {
	args := []string{n.Programs.Kube, "kube-apiserver"}
	if n.OpenShift {
		args = append([]string{n.Programs.KubeAPIServer}, n.openshiftAuthentication()...)
	}
	return append(args,
		"--etcd-servers="+etcdURL, "--service-cluster-ip-range="+serviceRange, "--advertise-address="+Address,
		"--secure-port="+strconv.Itoa(apiPort), "--tls-cert-file="+n.pki("apiserver.crt"), "--tls-private-key-file="+n.pki("apiserver.key"), "--client-ca-file="+n.pki("ca.crt"),
		"--service-account-issuer="+serviceAccountIssuer, "--service-account-key-file="+n.pki("service-accounts.pub"), "--service-account-signing-key-file="+n.pki("service-accounts.key"),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
		"--kubelet-client-certificate="+n.pki("apiserver-kubelet.crt"), "--kubelet-client-key="+n.pki("apiserver-kubelet.key"), "--kubelet-certificate-authority="+n.pki("ca.crt"), "--kubelet-preferred-address-types=InternalIP",
		// Debian's etcd 3.4 can't report progress, and lists by watch would wait for it.
		"--feature-gates=WatchList=false")
}

// controllersWork looks for the first thing that they make, without which no
// pod is admitted.
func (n node) controllersWork(ctx context.Context) error {
	if err := healthy("https://127.0.0.1:10257/healthz")(ctx); err != nil {
		return err
	}
	client, err := n.client()
	if err == nil {
		_, err = client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
	}
	return err
}

// client is the administrator's, inside.
func (n node) client() (*kubernetes.Clientset, error) {
	rc, err := clientcmd.BuildConfigFromFlags("", n.etc("admin.kubeconfig"))
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(rc)
}

// etcdDir: a control plane by itself is for tests, which want it empty.
func (n node) etcdDir() string {
	if n.ControlPlane {
		return "/run/etcd"
	}
	return n.state("etcd")
}

func (n node) program(name string, after []string, ready func(context.Context) error, args ...string) supervise.Unit {
	return supervise.Unit{Name: name, After: after, Ready: ready, Args: args, Env: host.Environment()}
}

func (n node) ingress(ctx context.Context, out io.Writer) error {
	rc, err := clientcmd.BuildConfigFromFlags("", n.etc("admin.kubeconfig"))
	if err != nil {
		return err
	}
	domain := ""
	if n.OpenShift {
		domain = n.AppsDomain()
	}
	return ingress.Run(ctx, rc, ingress.Config{
		Dir: filepath.Join(n.dirs.Run, "ingress"), HTTPPort: n.Ports.HTTP, HTTPSPort: n.Ports.HTTPS,
		CertPEM: n.pki("ingress.pem"), ClassName: IngressClass, Address: Address, RouteDomain: domain, Log: logger(out),
	})
}

func (n node) storage(ctx context.Context, out io.Writer) error {
	rc, err := clientcmd.BuildConfigFromFlags("", n.etc("admin.kubeconfig"))
	if err != nil {
		return err
	}
	cfg := storage.Config{Root: n.state("volumes"), NodeName: n.Name, ClassName: StorageClass, Log: logger(out)}
	if n.SimulatedNodes > 0 {
		cfg.NodeName = "" // whichever the scheduler has chosen
		rc.QPS, rc.Burst = simulatedQPS, 2*simulatedQPS
	}
	return storage.Run(ctx, rc, cfg)
}

func logger(out io.Writer) func(string, ...any) {
	return log.New(out, "", log.LstdFlags|log.Lmsgprefix).Printf
}

// The programs' own certificates are those that they made up, on loopback.
var insecure = &http.Client{Transport: &http.Transport{
	Proxy:             nil,
	TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
	DisableKeepAlives: true,
}}

// healthy asks a URL and expects 200.
func healthy(url string) func(context.Context) error {
	return func(ctx context.Context) error { return ask(ctx, insecure, url) }
}

func ask(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 2000))
		return fmt.Errorf("%s answers %s: %s", url, resp.Status, body)
	}
	return nil
}

// answers connects.
func answers(network, address string) func(context.Context) error {
	return func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// resolves asks the sandbox's own DNS server.
func resolves(name string) func(context.Context) error {
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(Address, "53"))
	}}
	return func(ctx context.Context) error {
		addresses, err := resolver.LookupHost(ctx, name+".")
		if err == nil && len(addresses) == 0 {
			err = errors.New("DNS answers without an address for " + name)
		}
		return err
	}
}
