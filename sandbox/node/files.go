// SPDX-License-Identifier: Apache-2.0

package node

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/workshopctl/workshopctl/sandbox/host"
	"github.com/workshopctl/workshopctl/sandbox/imagestream"
)

// Prepare writes certificates, kubeconfigs and configuration. Certificates
// and keys that exist are kept.
func Prepare(cfg Config, dirs host.Dirs) error {
	n := node{cfg, dirs}
	for _, dir := range []string{"pki", "etc", "log", "bin", "cni", "certs.d", "host/lib", "host/log"} {
		if err := os.MkdirAll(n.state(dir), 0o755); err != nil {
			return err
		}
	}
	if err := n.preparePKI(); err != nil {
		return fmt.Errorf("make the sandbox's certificates: %w", err)
	}
	files := n.files()
	if n.OpenShift {
		more, err := n.openshiftFiles()
		if err != nil {
			return err
		}
		maps.Copy(files, more)
	}
	for path, content := range files {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := host.WriteFile(path, []byte(content), 0o600); err != nil {
			return err
		}
	}
	// kube is kubectl when called by that name.
	kubectl := n.state("bin", "kubectl")
	if err := os.Remove(kubectl); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Symlink(n.Programs.Kube, kubectl); err != nil || !n.OpenShift {
		return err
	}
	return host.WriteFile(n.state("bin", "oc"), []byte(n.oc()), 0o755)
}

func (n node) preparePKI() error {
	dir := n.state("pki")
	cluster, err := loadAuthority(dir, "ca", "workshop-sandbox "+n.Name+" cluster")
	if err != nil {
		return err
	}
	ingress, err := loadAuthority(dir, "ingress-ca", "workshop-sandbox "+n.Name+" ingress")
	if err != nil {
		return err
	}
	leaves := map[string]leaf{
		"apiserver": {commonName: "kube-apiserver", addresses: []string{"127.0.0.1", Address, apiService},
			names: []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"}},
		"kubelet":            {commonName: n.Name, addresses: []string{Address}, names: []string{n.Name}},
		"apiserver-kubelet":  {commonName: "kube-apiserver", organizations: []string{"system:masters"}, client: true},
		"admin":              {commonName: "admin", organizations: []string{"system:masters"}, client: true},
		"controller-manager": {commonName: "system:kube-controller-manager", client: true},
		"scheduler":          {commonName: "system:kube-scheduler", client: true},
		"node":               {commonName: "system:node:" + n.Name, organizations: []string{"system:nodes"}, client: true},
		"proxy":              {commonName: "system:kube-proxy", client: true},
		Trainer:              {commonName: Trainer, client: true},
	}
	for name, l := range leaves {
		if err := cluster.issue(dir, name, l); err != nil {
			return err
		}
	}
	if n.OpenShift {
		if err := n.issueOpenShift(cluster, ingress); err != nil {
			return err
		}
	}
	// A wildcard stands for one label only.
	if err := ingress.issue(dir, "ingress", leaf{commonName: "*." + n.Domain(), names: []string{"*." + n.Domain(), n.Domain(), "*." + n.AppsDomain()}}); err != nil {
		return err
	}
	// HAProxy wants certificate and key in one file.
	if err := join(n.pki("ingress.pem"), n.pki("ingress.crt"), n.pki("ingress.key")); err != nil {
		return err
	}
	// Pods find both authorities in kube-root-ca.crt, as they do on OpenShift:
	// a hub that asks for its own public URL needs no more.
	if err := join(n.pki("ca-bundle.crt"), n.pki("ca.crt"), n.pki("ingress-ca.crt")); err != nil {
		return err
	}
	if _, err := os.Stat(n.pki("service-accounts.pub")); err == nil {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	if err := writeKey(n.pki("service-accounts.key"), key); err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	return host.WriteFile(n.pki("service-accounts.pub"), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o644)
}

// join writes the files one after the other into path.
func join(path string, files ...string) error {
	var all []byte
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		all = append(all, data...)
	}
	return host.WriteFile(path, all, 0o600)
}

// files returns the configuration, content by path.
func (n node) files() map[string]string {
	inside := fmt.Sprintf("https://%s:%d", Address, apiPort)
	files := map[string]string{
		n.dirs.Kubeconfig():                    n.kubeconfig("admin", n.outside(), metav1.NamespaceDefault),
		n.etc("admin.kubeconfig"):              n.kubeconfig("admin", inside, metav1.NamespaceDefault),
		n.etc("controller-manager.kubeconfig"): n.kubeconfig("controller-manager", inside, metav1.NamespaceDefault),
	}
	if n.SimulatedNodes > 0 {
		files[n.etc("scheduler.kubeconfig")] = n.kubeconfig("scheduler", inside, metav1.NamespaceDefault)
		files[n.etc("kwok.yaml")] = kwok
	}
	if n.ControlPlane {
		return files
	}
	for _, name := range []string{"scheduler", "node", "proxy"} {
		files[n.etc(name+".kubeconfig")] = n.kubeconfig(name, inside, metav1.NamespaceDefault)
	}
	files[n.dirs.TrainerKubeconfig()] = n.kubeconfig(Trainer, n.outside(), TrainerNamespace)
	files[n.etc("containerd.toml")] = n.containerd()
	files[n.state("cni", "10-sandbox.conflist")] = cni
	files[n.etc("kubelet.yaml")] = n.kubelet()
	files[n.etc("kube-proxy.yaml")] = n.kubeProxy()
	files[n.etc("Corefile")] = n.corefile()
	files[n.etc("resolv.conf")] = "nameserver " + Address + "\n"
	files[n.etc("registry-password")] = registryPassword + "\n"
	// Image streams name their images in OpenShift's own registry.
	for name, port := range map[string]int{RegistryHost: registryPort, PrivateRegistryHost: privateRegistryPort, imagestream.Registry: registryPort} {
		files[n.state("certs.d", name, "hosts.toml")] = registryHosts(port)
	}
	return files
}

// outside is the API server's URL on the host.
func (n node) outside() string { return fmt.Sprintf("https://127.0.0.1:%d", n.Ports.API) }

// encoded is a file of the PKI as kubeconfigs hold it, so that they work when
// copied elsewhere.
func (n node) encoded(file string) string {
	data, err := os.ReadFile(n.pki(file))
	if err != nil {
		return "" // preparePKI wrote it just now
	}
	return base64.StdEncoding.EncodeToString(data)
}

// kubeconfig is for somebody with a certificate of that name.
func (n node) kubeconfig(name, server, namespace string) string {
	return n.kubeconfigWith(server, namespace, fmt.Sprintf("client-certificate-data: %s\n    client-key-data: %s", n.encoded(name+".crt"), n.encoded(name+".key")))
}

// kubeconfigWith is for somebody with these credentials. On OpenShift clients
// meet the ingress' authority, too: oc login asks the OAuth server.
func (n node) kubeconfigWith(server, namespace, user string) string {
	ca := "ca.crt"
	if n.OpenShift {
		ca = "ca-bundle.crt"
	}
	return fill(map[string]string{"NAME": "sandbox-" + n.Name, "SERVER": server, "NAMESPACE": namespace, "CA": n.encoded(ca), "USER": user}, `apiVersion: v1
kind: Config
clusters:
- name: $NAME
  cluster:
    server: $SERVER
    certificate-authority-data: $CA
users:
- name: $NAME
  user:
    $USER
contexts:
- name: $NAME
  context:
    cluster: $NAME
    user: $NAME
    namespace: $NAMESPACE
current-context: $NAME
`)
}

// fill puts values in the place of $NAME.
func fill(values map[string]string, text string) string {
	return os.Expand(text, func(name string) string { return values[name] })
}

// containerd's configuration. OOM scores stay as they are, for a container's
// can't be lowered by a sandbox inside a container; the registries are those
// of certs.d, and any other has no route.
func (n node) containerd() string {
	return fill(map[string]string{"STATE": n.dirs.State, "PAUSE": RegistryHost + "/workshop/pause:1", "SOCKET": runtimeSocket}, `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
oom_score = 0
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]

[grpc]
  address = "$SOCKET"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE"
  restrict_oom_score_adj = true

  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "$STATE/certs.d"

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$STATE/cni"

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
`)
}

func registryHosts(port int) string {
	url := fmt.Sprintf("http://%s:%d", Address, port)
	return fmt.Sprintf("server = %q\n\n[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", url, url)
}

// cni connects each pod by a pair of interfaces of its own. With a bridge, a
// request to the address of a pod that was just deleted once hung for 38 s.
// Addresses are kept under /run: no pod outlives it.
const cni = `{
  "cniVersion": "0.4.0",
  "name": "sandbox",
  "plugins": [
    {
      "type": "ptp",
      "ipMasq": false,
      "ipam": {
        "type": "host-local",
        "dataDir": "/run/cni",
        "ranges": [[{"subnet": "` + podRange + `"}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
`

// kubelet's configuration. It must run on a nearly full disk, with swap, and
// under the version of control groups that the machine has.
func (n node) kubelet() string {
	return fill(map[string]string{"CGROUP": n.dirs.Cgroup(), "PKI": n.state("pki"), "RESOLV": n.etc("resolv.conf"), "ADDRESS": Address, "SOCKET": runtimeSocket}, `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $ADDRESS
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $PKI/ca.crt}
authorization: {mode: Webhook}
tlsCertFile: $PKI/kubelet.crt
tlsPrivateKeyFile: $PKI/kubelet.key
cgroupDriver: cgroupfs
cgroupRoot: $CGROUP
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
clusterDomain: cluster.local
clusterDNS: [$ADDRESS]
resolvConf: $RESOLV
containerRuntimeEndpoint: unix://$SOCKET
maxPods: 250
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}
imageGCHighThresholdPercent: 100
serializeImagePulls: false
maxParallelImagePulls: 3
`)
}

func (n node) kubeProxy() string {
	return fill(map[string]string{"KUBECONFIG": n.etc("proxy.kubeconfig"), "NAME": n.Name, "PODS": podRange, "ADDRESS": Address}, `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $KUBECONFIG}
mode: iptables
hostnameOverride: $NAME
clusterCIDR: $PODS
bindAddress: $ADDRESS
iptables: {localhostNodePorts: false, minSyncPeriod: 0s, syncPeriod: 30s}
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
`)
}

// corefile answers the cluster's names, and those of the ingress with the
// node's address as browsers on the host answer them with loopback. All
// others don't exist: there is no way out of the sandbox, and a program that
// tries is told so at once.
func (n node) corefile() string {
	return fill(map[string]string{"DOMAIN": n.Domain(), "ADDRESS": Address, "KUBECONFIG": n.etc("admin.kubeconfig") + " sandbox-" + n.Name}, `cluster.local:53 in-addr.arpa:53 {
  bind $ADDRESS
  errors
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $KUBECONFIG
    ttl 5
  }
}
$DOMAIN:53 {
  bind $ADDRESS
  errors
  template IN A {
    answer "{{ .Name }} 5 IN A $ADDRESS"
  }
  template ANY ANY {
    rcode NOERROR
  }
}
.:53 {
  bind $ADDRESS
  errors
  template ANY ANY {
    rcode NXDOMAIN
  }
}
`)
}
