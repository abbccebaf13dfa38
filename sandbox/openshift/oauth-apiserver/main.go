// SPDX-License-Identifier: Apache-2.0

// Command oauth-apiserver serves OpenShift's API groups oauth and user behind
// a kube-apiserver, and tells that by token reviews whose an OAuth token is.
// It is OpenShift's own program. It is ready when /readyz (https) says so.
//
// The flags that a sandbox needs, of those that --help lists:
//
//	--kubeconfig FILE                 a cluster admin's access to the kube-apiserver
//	--authentication-kubeconfig FILE  the same file
//	--authorization-kubeconfig FILE   the same file
//	--etcd-servers URL[,URL]          where objects are kept, below the prefix openshift.io
//	--bind-address IP                 where it listens
//	--secure-port PORT
//	--tls-cert-file FILE              its certificate
//	--tls-private-key-file FILE       and the key
//	--api-audiences URL               audience of the tokens: that of the kube-apiserver
//
// kube-apiserver reaches it as webhook for token reviews at
// /apis/oauth.openshift.io/v1/tokenreviews.
package main

import (
	"os"
	"time"

	oauthapiserver "github.com/openshift/oauth-apiserver/pkg/cmd/oauth-apiserver"
	"github.com/spf13/cobra"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/component-base/cli"
)

// shutdownTimeout is for watches, which end by themselves only when who
// watches goes away.
const shutdownTimeout = 2 * time.Second

func main() {
	os.Exit(cli.Run(newCommand(genericapiserver.SetupSignalHandler())))
}

// newCommand is OpenShift's own but for the end of its servers.
func newCommand(stop <-chan struct{}) *cobra.Command {
	o := oauthapiserver.NewOAuthAPIServerOptions(os.Stdout)
	cmd := &cobra.Command{
		Use: "oauth-apiserver", Short: "OpenShift's API groups oauth and user",
		Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := o.Validate(args); err != nil {
				return err
			}
			return run(o, stop)
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func run(o *oauthapiserver.OAuthAPIServerOptions, stop <-chan struct{}) error {
	config, err := o.NewOAuthAPIServerConfig()
	if err != nil {
		return err
	}
	completed := config.Complete()
	server, err := completed.New(genericapiserver.NewEmptyDelegate())
	if err != nil {
		return err
	}
	server.GenericAPIServer.ShutdownTimeout = shutdownTimeout
	prepared := server.GenericAPIServer.PrepareRun()
	// What it aggregates are the schemas of servers that have been prepared.
	if err := completed.WithOpenAPIAggregationController(prepared.GenericAPIServer, completed.GenericConfig.OpenAPIConfig); err != nil {
		return err
	}
	if err := completed.WithOpenAPIV3AggregationController(prepared.GenericAPIServer); err != nil {
		return err
	}
	return prepared.Run(stop)
}
