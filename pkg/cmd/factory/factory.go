// SPDX-License-Identifier: Apache-2.0

// Package factory gives commands what they share: streams, the cluster's
// clients, the person's defaults. Everything is made when it is first asked
// for, so that commands which need no cluster touch no network and no
// kubeconfig.
package factory

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	appsclient "github.com/openshift/client-go/apps/clientset/versioned/typed/apps/v1"
	routeclient "github.com/openshift/client-go/route/clientset/versioned/typed/route/v1"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/workshopctl/workshopctl/pkg/apply"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/progress"
	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/rollout"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Build says which build of the program this is.
type Build struct {
	Version, Commit, Date string
	// GatewayImage that was published with this build; empty in a build from a
	// checkout.
	GatewayImage string
}

// Factory is what commands are made from.
type Factory struct {
	genericiooptions.IOStreams
	Build Build
	// Name of the program as the person typed it: "workshopctl", "oc workshop".
	Name string
	// Commands are the names of the program's commands, for Reword.
	Commands []string
	// CommandLine that was typed, for the history.
	CommandLine []string
	// ConfigFlags are kubectl's flags for the cluster, user and namespace.
	ConfigFlags *genericclioptions.ConfigFlags

	config func() (*rest.Config, error)
	client func() (*http.Client, error)
}

// New returns a Factory for a run of the program.
func New(args []string, streams genericiooptions.IOStreams, build Build) *Factory {
	f := &Factory{IOStreams: streams, Build: build, ConfigFlags: genericclioptions.NewConfigFlags(true)}
	f.Name = displayName(args)
	if len(args) > 0 {
		f.CommandLine = append([]string{f.Name}, args[1:]...)
	}
	f.config = sync.OnceValues(f.loadConfig)
	f.client = sync.OnceValues(func() (*http.Client, error) {
		config, err := f.config()
		if err != nil {
			return nil, err
		}
		return rest.HTTPClientFor(config)
	})
	return f
}

// displayName is what the person typed to get here: kubectl runs its plugins
// as kubectl-workshop, oc as oc-workshop.
func displayName(args []string) string {
	if len(args) == 0 {
		return Program
	}
	base := strings.TrimSuffix(filepath.Base(args[0]), ".exe")
	for _, host := range []string{"kubectl", "oc"} {
		if base == host+"-workshop" {
			return host + " workshop"
		}
	}
	return Program
}

// Program is the program's own name. Texts for people use it in front of a
// command, and Reword replaces it.
const Program = "workshopctl"

var command = regexp.MustCompile(`\b` + Program + ` (--)?[a-z-]+`)

// Reword puts the program's name as the person typed it into a text that
// speaks of the program's commands.
func (f *Factory) Reword(text string) string {
	if f.Name == Program {
		return text
	}
	return command.ReplaceAllStringFunc(text, func(s string) string {
		_, word, _ := strings.Cut(s, " ")
		if !strings.HasPrefix(word, "--") && !slices.Contains(f.Commands, word) {
			return s // the program itself is meant
		}
		return f.Name + " " + word
	})
}

// Say writes a line for people to stderr.
func (f *Factory) Say(format string, args ...any) {
	_, _ = fmt.Fprintln(f.ErrOut, f.Reword(fmt.Sprintf(format, args...)))
}

// On are the flags that a command in a hint needs to be about the same
// workshop as this one.
func (f *Factory) On(name string) string {
	flags := ""
	if name != workshop.DefaultName {
		flags += " --workshop " + name
	}
	return flags + f.Where()
}

// Where are the flags that a command in a hint needs to be about the same
// namespace as this one.
func (f *Factory) Where() string {
	flags := ""
	if ns := f.ConfigFlags.Namespace; ns != nil && *ns != "" {
		flags += " -n " + *ns
	}
	if context := f.ConfigFlags.Context; context != nil && *context != "" {
		flags += " --context " + *context
	}
	return flags
}

// Progress returns a Progress on stderr.
func (f *Factory) Progress() *progress.Progress { return progress.New(f.ErrOut, f.Reword) }

func (f *Factory) loadConfig() (*rest.Config, error) {
	// Without a kubeconfig the client library would try localhost:8080.
	raw, err := f.ConfigFlags.ToRawKubeConfigLoader().RawConfig()
	if err != nil {
		return nil, kubeconfigError(err)
	}
	if len(raw.Clusters) == 0 && *f.ConfigFlags.APIServer == "" && os.Getenv("KUBERNETES_SERVICE_HOST") == "" {
		return nil, kubeconfigError(clientcmd.ErrEmptyConfig)
	}
	config, err := f.ConfigFlags.ToRESTConfig()
	if err != nil {
		return nil, kubeconfigError(err)
	}
	config = rest.CopyConfig(config)
	// A deploy sends some twenty requests at once.
	config.QPS, config.Burst = 50, 100
	config.UserAgent = "workshopctl/" + f.Build.Version
	config.WarningHandler = rest.NewWarningWriter(f.ErrOut, rest.WarningWriterOptions{Deduplicate: true})
	return config, nil
}

// kubeconfigError says what to do about a kubeconfig that names no cluster.
func kubeconfigError(err error) error {
	if clientcmd.IsEmptyConfig(err) {
		return fault.Hint(errors.New("no cluster is configured"),
			"Log in to your cluster first, or point KUBECONFIG or --kubeconfig to a file that knows it.")
	}
	return fault.Hint(fmt.Errorf("read the kubeconfig: %w", err),
		"`kubectl config view` shows what is configured; --kubeconfig and --context choose another one.")
}

// RESTConfig returns the configuration of the cluster's client.
func (f *Factory) RESTConfig() (*rest.Config, error) { return f.config() }

// Namespace that the kubeconfig or --namespace names.
func (f *Factory) Namespace() (string, error) {
	namespace, _, err := f.ConfigFlags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return "", kubeconfigError(err)
	}
	return namespace, nil
}

// Cluster is a namespace of a cluster and the clients for it.
type Cluster struct {
	Namespace  string
	Config     *rest.Config
	Kubernetes kubernetes.Interface
	Dynamic    dynamic.Interface
	// Metadata reads names, labels and annotations of objects alone.
	Metadata metadata.Interface

	apps   appsclient.AppsV1Interface
	routes routeclient.RouteV1Interface
}

// Rollout returns the clients for what a workshop consists of.
func (c *Cluster) Rollout() rollout.Clients {
	return rollout.Clients{Kubernetes: c.Kubernetes, DeploymentConfigs: c.apps, Routes: c.routes}
}

// Cluster returns the namespace to work in and the clients for it, which share
// one connection. It sends no request.
func (f *Factory) Cluster() (*Cluster, error) {
	namespace, err := f.Namespace()
	if err != nil {
		return nil, err
	}
	config, err := f.config()
	if err != nil {
		return nil, err
	}
	client, err := f.client()
	if err != nil {
		return nil, kubeconfigError(err)
	}
	// Kubernetes' own kinds have a form that is read with a fraction of JSON's
	// time and memory: a large class has megabytes of pods.
	compact := rest.CopyConfig(config)
	compact.ContentType = runtime.ContentTypeProtobuf
	compact.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	kube, err := kubernetes.NewForConfigAndClient(compact, client)
	if err != nil {
		return nil, err
	}
	dyn, err := dynamic.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, err
	}
	meta, err := metadata.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, err
	}
	apps, err := appsclient.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, err
	}
	routes, err := routeclient.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, err
	}
	return &Cluster{Namespace: namespace, Config: config, Kubernetes: kube, Dynamic: dyn, Metadata: meta, apps: apps, routes: routes}, nil
}

// As returns a client that has a token in place of the person's credentials.
func (c *Cluster) As(token string) (kubernetes.Interface, error) {
	config := rest.AnonymousClientConfig(c.Config)
	config.BearerToken = token
	return kubernetes.NewForConfig(config)
}

// Impersonate returns a client that acts as another user, for whom who may do
// that.
func (c *Cluster) Impersonate(user string) (kubernetes.Interface, error) {
	config := rest.CopyConfig(c.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user}
	return kubernetes.NewForConfig(config)
}

// Records returns the store of the namespace's workshops.
func (f *Factory) Records(c *Cluster) *record.Store {
	return record.NewStore(c.Kubernetes, c.Namespace, f.Build.Version)
}

// Apply returns the writer into the namespace.
func (c *Cluster) Apply() *apply.Client { return apply.New(c.Dynamic, c.Namespace) }

// Complete is a command's completion of its arguments.
type Complete = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)
