// SPDX-License-Identifier: Apache-2.0

// Command kube-apiserver is Kubernetes' own, with what OpenShift adds to it:
// admission by security context constraints, the check of OAuth tokens'
// scopes, requests about projects authorized in the namespace of that name,
// and GET /.well-known/oauth-authorization-server.
//
// It makes the ten standard security context constraints, everybody's right to
// use restricted-v2 among them, and isn't ready before they are there.
//
// Its flags are Kubernetes', and
//
//	--oauth-metadata-file FILE  the JSON that /.well-known/oauth-authorization-server answers
//
// OpenShift's tokens and API groups need these of Kubernetes':
//
//	--authentication-token-webhook-config-file FILE  kubeconfig of oauth-apiserver's
//	                            /apis/oauth.openshift.io/v1/tokenreviews
//	--authentication-token-webhook-version=v1
//	--requestheader-client-ca-file, --requestheader-allowed-names,
//	--requestheader-username-headers, --requestheader-group-headers,
//	--requestheader-extra-headers-prefix, --proxy-client-cert-file and
//	--proxy-client-key-file     by which aggregated servers know who asks
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/openshift/library-go/pkg/apiserver/apiserverconfig"
	"github.com/spf13/cobra"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apiserver/pkg/authorization/union"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/component-base/cli"
	// Metrics of the client and version of the component, as the upstream
	// program's main imports them.
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
)

func main() {
	os.Exit(cli.Run(newCommand(genericapiserver.SetupSignalContext())))
}

func newCommand(ctx context.Context) *cobra.Command {
	o := options.NewServerRunOptions()
	scc := newSCCAdmission()
	scc.register(o.Admission.GenericAdmission)
	var metadataFile string
	cmd := &cobra.Command{
		Use: "kube-apiserver", Short: "Kubernetes' API server with OpenShift's additions",
		Args: cobra.NoArgs, SilenceUsage: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			return o.GenericServerRunOptions.ComponentGlobalsRegistry.Set()
		},
		RunE: func(*cobra.Command, []string) error {
			metadata, err := readMetadata(metadataFile)
			if err != nil {
				return err
			}
			return run(ctx, o, scc, metadata)
		},
	}
	for _, f := range o.Flags().FlagSets {
		cmd.Flags().AddFlagSet(f)
	}
	cmd.Flags().StringVar(&metadataFile, "oauth-metadata-file", "", "The JSON that /.well-known/oauth-authorization-server answers.")
	return cmd
}

// readMetadata returns nothing if there is no file.
func readMetadata(file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	metadata, err := os.ReadFile(file)
	if err == nil && !json.Valid(metadata) {
		err = errors.New("it is no JSON")
	}
	if err != nil {
		return nil, fmt.Errorf("read the OAuth metadata %s: %w", file, err)
	}
	return metadata, nil
}

// run serves until ctx ends.
func run(ctx context.Context, o *options.ServerRunOptions, scc *sccAdmission, metadata []byte) error {
	completed, err := o.Complete(ctx)
	if err != nil {
		return err
	}
	if errs := completed.Validate(); len(errs) != 0 {
		return utilerrors.NewAggregate(errs)
	}
	config, err := app.NewConfig(completed)
	if err != nil {
		return err
	}
	controlPlane := &config.KubeAPIs.ControlPlane
	scopes := scopeCheck{controlPlane.VersionedInformers.Rbac().V1().ClusterRoles().Lister()}
	for _, generic := range []*genericapiserver.Config{controlPlane.Generic, &config.Aggregator.GenericConfig.Config, &config.ApiExtensions.GenericConfig.Config} {
		generic.Authorization.Authorizer = union.New(scopes, generic.Authorization.Authorizer)
		// A user's right on a project lies in the namespace of that name.
		generic.RequestInfoResolver = apiserverconfig.OpenshiftRequestInfoResolver()
	}
	// A token without the scope has no right to use a constraint either.
	scc.authorizeBy(controlPlane.Generic.Authorization.Authorizer)
	if err := scc.connect(controlPlane.Generic.LoopbackClientConfig); err != nil {
		return err
	}
	ready, err := config.Complete()
	if err != nil {
		return err
	}
	server, err := app.CreateServerChain(ready)
	if err != nil {
		return err
	}
	if metadata != nil {
		server.GenericAPIServer.Handler.NonGoRestfulMux.HandleFunc("/.well-known/oauth-authorization-server", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(metadata)
		})
	}
	if err := server.GenericAPIServer.AddPostStartHook("security-context-constraints", func(hook genericapiserver.PostStartHookContext) error {
		return scc.start(hook)
	}); err != nil {
		return err
	}
	prepared, err := server.PrepareRun()
	if err != nil {
		return err
	}
	return prepared.Run(ctx)
}
