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

	oauthapiserver "github.com/openshift/oauth-apiserver/pkg/cmd/oauth-apiserver"
	"k8s.io/component-base/cli"
)

func main() {
	os.Exit(cli.Run(oauthapiserver.NewOAuthAPIServerCommand("oauth-apiserver", os.Stdout)))
}
