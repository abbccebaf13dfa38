// SPDX-License-Identifier: Apache-2.0

// Command openshift-apiserver serves OpenShift's API groups apps,
// authorization, image, project, route and template behind a kube-apiserver,
// and gives the cluster OpenShift's own roles: admin, edit, view,
// self-provisioner, system:deployer and the like.
//
// It is ready (https, /readyz) when the roles are there. Its flags:
//
//	--kubeconfig FILE                 a cluster admin's access to the kube-apiserver
//	--etcd-servers URL[,URL]          where objects are kept, below the prefix openshift.io
//	--bind-address IP                 where it listens (127.0.0.1)
//	--secure-port PORT                (8444)
//	--tls-cert-file FILE              its certificate
//	--tls-private-key-file FILE       and the key
//	--route-domain DOMAIN             a Route without a host gets NAME-NAMESPACE.DOMAIN
//	--registry-host HOST:PORT         the internal registry that image streams name
//	--project-request-template NS/NAME  Template of new projects (OpenShift's built-in one)
//	-v LEVEL                          of the log
package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"

	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/klog/v2"
)

// options are the flags.
type options struct {
	kubeconfig      string
	etcdServers     string
	bindAddress     string
	securePort      int
	certFile        string
	keyFile         string
	routeDomain     string
	registryHost    string
	projectTemplate string
}

func main() {
	var o options
	flag.StringVar(&o.kubeconfig, "kubeconfig", "", "a cluster admin's access to the kube-apiserver")
	flag.StringVar(&o.etcdServers, "etcd-servers", "", "URL of etcd, or several with commas between them")
	flag.StringVar(&o.bindAddress, "bind-address", "127.0.0.1", "IP address to listen on")
	flag.IntVar(&o.securePort, "secure-port", 8444, "port to listen on, https")
	flag.StringVar(&o.certFile, "tls-cert-file", "", "certificate to serve with")
	flag.StringVar(&o.keyFile, "tls-private-key-file", "", "key of that certificate")
	flag.StringVar(&o.routeDomain, "route-domain", "", "domain of Routes that name no host")
	flag.StringVar(&o.registryHost, "registry-host", "", "HOST:PORT of the internal registry")
	flag.StringVar(&o.projectTemplate, "project-request-template", "", "NAMESPACE/NAME of the Template of new projects instead of the built-in one")
	klog.InitFlags(nil)
	flag.Parse()
	if err := run(o, genericapiserver.SetupSignalHandler()); err != nil {
		fmt.Fprintln(os.Stderr, "openshift-apiserver:", err)
		os.Exit(1)
	}
}

func (o options) validate() error {
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	for name, value := range map[string]string{
		"kubeconfig": o.kubeconfig, "etcd-servers": o.etcdServers, "tls-cert-file": o.certFile, "tls-private-key-file": o.keyFile,
		"route-domain": o.routeDomain, "registry-host": o.registryHost,
	} {
		if value == "" {
			return errors.New("--" + name + " is needed")
		}
	}
	if net.ParseIP(o.bindAddress) == nil {
		return fmt.Errorf("--bind-address %q is no IP address", o.bindAddress)
	}
	if t := o.projectTemplate; t != "" && strings.Count(t, "/") != 1 {
		return fmt.Errorf("--project-request-template %q is not of the form NAMESPACE/NAME", t)
	}
	return nil
}
