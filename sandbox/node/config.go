// SPDX-License-Identifier: Apache-2.0

// Package node is what lives inside a sandbox: a node with the control plane
// of its cluster, their certificates, configuration and programs.
package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/workshopctl/workshopctl/sandbox/host"
)

// Addresses inside. Each sandbox has a network of its own, so that all use
// the same, and only reserved ranges that no pod wants to reach outside.
const (
	Address      = "10.77.0.10" // of the node: API server, ingress, DNS, registry
	podRange     = "10.78.0.0/16"
	serviceRange = "10.79.0.0/16"
	// apiService is the first address of the services, which the API server
	// takes for itself.
	apiService = "10.79.0.1"

	apiPort             = 6443
	registryPort        = 5000
	privateRegistryPort = 5001
	openshiftPort       = 6444
	oauthAPIPort        = 6445
	oauthPort           = 6447

	openshiftControllerPort = 10258
)

// UsedInside says which program has this port of the node, so that the
// ingress can't. It is empty for a port that is free.
func UsedInside(port int) string {
	return map[int]string{
		53: unitCoreDNS, 2379: unitEtcd, 2380: unitEtcd, registryPort: Registry, privateRegistryPort: unitPrivateRegistry, apiPort: unitAPIServer,
		10248: unitKubelet, 10249: unitKubeProxy, 10250: unitKubelet, 10255: unitKubelet, 10256: unitKubeProxy, openshiftPort: unitOpenShiftAPIServer, oauthAPIPort: unitOAuthAPIServer, oauthPort: unitOAuthServer,
		10257: unitControllerManager, openshiftControllerPort: unitOpenShiftController, 10259: unitScheduler,
	}[port]
}

// Registries as images name them, and the login of the second. It is no
// secret: it exists so that pulling with a login can be tried.
const (
	RegistryHost        = "registry.localhost"
	PrivateRegistryHost = "private.localhost"
	registryUser        = "trainer"
	registryPassword    = "private-registry"
)

// IngressClass and StorageClass are the defaults of the cluster.
const (
	IngressClass = "sandbox"
	StorageClass = "sandbox"
)

// Config says what runs in a sandbox. `up` writes it, the supervisor reads it.
type Config struct {
	Name string `json:"name"`
	// ControlPlane leaves out the node: only etcd, the API server and its
	// controllers run.
	ControlPlane bool `json:"controlPlane,omitempty"`
	// OpenShift adds OpenShift's own servers and controllers.
	OpenShift bool `json:"openshift,omitempty"`
	// SimulatedNodes is how many nodes a control plane has that are played by
	// KWOK: pods get ready there, and nothing runs.
	SimulatedNodes int `json:"simulatedNodes,omitempty"`
	// Ports of the host's loopback address.
	Ports Ports `json:"ports"`
	// Executable is the hash of the workshop-sandbox that supervises.
	Executable string `json:"executable"`
	// Programs are paths of what was compiled for this sandbox.
	Programs Programs `json:"programs"`
}

// Ports of a sandbox on 127.0.0.1. The ingress has the same ones inside, so
// that a URL means the same to a browser and to a pod.
type Ports struct {
	API      int `json:"api"`
	HTTP     int `json:"http,omitempty"`
	HTTPS    int `json:"https,omitempty"`
	Registry int `json:"registry,omitempty"`
}

// Programs are paths.
type Programs struct {
	Kube     string `json:"kube"`
	DNS      string `json:"dns,omitempty"`
	Registry string `json:"registry,omitempty"`
	KWOK     string `json:"kwok,omitempty"`
	// OpenShift's.
	KubeAPIServer              string `json:"kubeAPIServer,omitempty"`
	OpenShiftAPIServer         string `json:"openshiftAPIServer,omitempty"`
	OAuthAPIServer             string `json:"oauthAPIServer,omitempty"`
	OAuthServer                string `json:"oauthServer,omitempty"`
	OpenShiftControllerManager string `json:"openshiftControllerManager,omitempty"`
	OC                         string `json:"oc,omitempty"`
}

// HasIngress says whether ports of the host lead to an ingress. A control
// plane by itself has one if it speaks OpenShift, for the login page.
func (c Config) HasIngress() bool { return !c.ControlPlane || c.OpenShift }

// HasTrainer says whether there is a trainer with a namespace.
func (c Config) HasTrainer() bool { return !c.ControlPlane || c.OpenShift }

// Domain is what all names of the ingress end in.
func (c Config) Domain() string { return c.Name + ".localhost" }

// LoadConfig reads a Config. Without a file it returns an empty one.
func LoadConfig(path string) (Config, error) {
	var c Config
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	if err != nil {
		return c, fmt.Errorf("read %s: %w", path, err)
	}
	return c, nil
}

// Save writes the Config, whole or not at all.
func (c Config) Save(path string) error {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return host.WriteFile(path, append(data, '\n'), 0o644)
}

// node is a Config with the places its files are in.
type node struct {
	Config
	dirs host.Dirs
}

func (n node) state(elem ...string) string {
	return filepath.Join(append([]string{n.dirs.State}, elem...)...)
}
func (n node) pki(file string) string { return n.state("pki", file) }
func (n node) etc(file string) string { return n.state("etc", file) }

const runtimeSocket = "/run/containerd/containerd.sock"
