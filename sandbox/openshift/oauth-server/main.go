// SPDX-License-Identifier: Apache-2.0

// Command oauth-server is OpenShift's login: the page that asks for name and
// password, the page that asks to approve a client, and the OAuth endpoints
// below /oauth. Users are those of a htpasswd file, and service accounts may
// be OAuth clients.
//
// The server's code is the Go module github.com/openshift/oauth-server of
// 2019, which has no licence file. It is fetched and compiled on the machine
// of who asks for a sandbox with OpenShift, and shipped nowhere.
//
// It is ready when /readyz (https) says so: by then it has seen to the
// OAuthClients that `oc login` and the token page need. Its flags:
//
//	--kubeconfig FILE            a cluster admin's access to the kube-apiserver
//	--public-url URL             where browsers and clients reach this server
//	--public-ca-file FILE        authorities that vouch for what answers there
//	--bind-address IP            where it listens (0.0.0.0)
//	--secure-port PORT           (8447)
//	--tls-cert-file FILE         its certificate
//	--tls-private-key-file FILE  and the key
//	--htpasswd-file FILE         users and passwords, read again when it changes
//	--account-grant prompt|auto  ask the user before a service account learns who they are (prompt)
//	-v LEVEL                     of the log
package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"

	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/klog"
)

// options are the flags.
type options struct {
	kubeconfig   string
	publicURL    string
	publicCAFile string
	bindAddress  string
	securePort   int
	certFile     string
	keyFile      string
	htpasswdFile string
	accountGrant string
	arguments    []string
}

func main() {
	var o options
	// Of its own: the modules below fill the common set with flags of theirs.
	flags := flag.NewFlagSet("oauth-server", flag.ExitOnError)
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "a cluster admin's access to the kube-apiserver")
	flags.StringVar(&o.publicURL, "public-url", "", "where browsers and clients reach this server")
	flags.StringVar(&o.publicCAFile, "public-ca-file", "", "authorities that vouch for what answers at the public URL")
	flags.StringVar(&o.bindAddress, "bind-address", "0.0.0.0", "IP address to listen on")
	flags.IntVar(&o.securePort, "secure-port", 8447, "port to listen on, https")
	flags.StringVar(&o.certFile, "tls-cert-file", "", "certificate to serve with")
	flags.StringVar(&o.keyFile, "tls-private-key-file", "", "key of that certificate")
	flags.StringVar(&o.htpasswdFile, "htpasswd-file", "", "users and passwords")
	flags.StringVar(&o.accountGrant, "account-grant", "prompt", "prompt or auto: ask the user before a service account learns who they are")
	klog.InitFlags(flags)
	_ = flags.Parse(os.Args[1:]) // it exits at an error
	o.arguments = flags.Args()
	if err := run(o, genericapiserver.SetupSignalHandler()); err != nil {
		fmt.Fprintln(os.Stderr, "oauth-server:", err)
		os.Exit(1)
	}
}

func (o options) validate() error {
	if len(o.arguments) > 0 {
		return fmt.Errorf("unexpected argument %q", o.arguments[0])
	}
	for name, value := range map[string]string{
		"kubeconfig": o.kubeconfig, "public-url": o.publicURL, "public-ca-file": o.publicCAFile,
		"tls-cert-file": o.certFile, "tls-private-key-file": o.keyFile, "htpasswd-file": o.htpasswdFile,
	} {
		if value == "" {
			return errors.New("--" + name + " is needed")
		}
	}
	if u, err := url.Parse(o.publicURL); err != nil || u.Scheme != "https" || u.Host == "" || u.Path != "" {
		return fmt.Errorf("--public-url %q is not of the form https://HOST[:PORT]", o.publicURL)
	}
	if net.ParseIP(o.bindAddress) == nil {
		return fmt.Errorf("--bind-address %q is no IP address", o.bindAddress)
	}
	if o.accountGrant != "prompt" && o.accountGrant != "auto" {
		return fmt.Errorf("--account-grant %q is neither prompt nor auto", o.accountGrant)
	}
	return nil
}
