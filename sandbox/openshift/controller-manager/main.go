// SPDX-License-Identifier: Apache-2.0

// Command controller-manager runs the controllers of OpenShift that a workshop
// meets: DeploymentConfigs and their deployer pods, image triggers and imports,
// the service accounts builder and deployer with the default role bindings of
// each namespace, the finalizer of projects, and the UID ranges of namespaces.
//
// It is ready (plain http, /healthz) when it has read all objects that its
// controllers look after. Its flags:
//
//	--kubeconfig FILE                  a cluster admin's access to the kube-apiserver
//	--deployer-image IMAGE             image of deployer pods, with openshift-deploy as its entrypoint
//	--registry-host HOST:PORT          the internal registry that image streams name
//	--healthz-bind-address IP:PORT     where it says that it is ready (127.0.0.1:10258)
//	-v LEVEL                           of the log
package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/klog/v2"
)

// options are the flags.
type options struct {
	kubeconfig     string
	deployerImage  string
	registryHost   string
	healthzAddress string
}

func main() {
	var o options
	flag.StringVar(&o.kubeconfig, "kubeconfig", "", "a cluster admin's access to the kube-apiserver")
	flag.StringVar(&o.deployerImage, "deployer-image", "", "image of deployer pods")
	flag.StringVar(&o.registryHost, "registry-host", "", "HOST:PORT of the internal registry")
	flag.StringVar(&o.healthzAddress, "healthz-bind-address", "127.0.0.1:10258", "IP:PORT of /healthz, plain http")
	klog.InitFlags(nil)
	flag.Parse()
	if err := start(o); err != nil {
		fmt.Fprintln(os.Stderr, "controller-manager:", err)
		os.Exit(1)
	}
}

// start runs the controllers until a signal comes.
func start(o options) error {
	if err := o.validate(); err != nil {
		return err
	}
	c, err := newControllers(o)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", o.healthzAddress)
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		if waiting := c.unsynced(); waiting != "" {
			http.Error(w, "still reads "+waiting, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	go func() { failed <- http.Serve(listener, mux) }()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	stop := make(chan struct{})
	ended := make(chan struct{})
	go func() { defer close(ended); c.run(stop) }()
	select {
	case err = <-failed:
	case <-signals:
	}
	close(stop)
	<-ended
	return err
}

func (o options) validate() error {
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	for name, value := range map[string]string{"kubeconfig": o.kubeconfig, "deployer-image": o.deployerImage, "registry-host": o.registryHost, "healthz-bind-address": o.healthzAddress} {
		if value == "" {
			return errors.New("--" + name + " is needed")
		}
	}
	return nil
}
