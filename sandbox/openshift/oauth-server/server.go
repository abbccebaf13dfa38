// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"time"

	oauthv1 "github.com/openshift/api/oauth/v1"
	osinv1 "github.com/openshift/api/osin/v1"
	oauthclient "github.com/openshift/client-go/oauth/clientset/versioned/typed/oauth/v1"
	"github.com/openshift/library-go/pkg/oauth/oauthdiscovery"
	"github.com/openshift/oauth-server/pkg/oauthserver"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authentication/user"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog"
)

// providerName is that of the login, which identities begin with.
const providerName = "htpasswd"

// run serves until stop is closed.
func run(o options, stop <-chan struct{}) error {
	if err := o.validate(); err != nil {
		return err
	}
	client, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return fmt.Errorf("read the kubeconfig %s: %w", o.kubeconfig, err)
	}
	client.QPS, client.Burst = 100, 200 // a login is a dozen requests, and a room logs in at once
	generic, err := o.genericConfig()
	if err != nil {
		return err
	}
	config, err := oauthserver.NewOAuthServerConfig(o.oauthConfig(), client, generic)
	if err != nil {
		return err
	}
	extra := &config.ExtraOAuthConfig
	extra.OAuthAccessTokenClient = accessTokens{extra.OAuthAccessTokenClient}
	extra.OAuthAuthorizeTokenClient = authorizeTokens{extra.OAuthAuthorizeTokenClient}
	secret, err := randomHex()
	if err != nil {
		return err
	}
	kube := extra.KubeClient
	extra.KubeClient = clientWithSecret{kube, secret}
	chain := config.GenericConfig.BuildHandlerChainFunc
	config.GenericConfig.BuildHandlerChainFunc = func(h http.Handler, c *genericapiserver.Config) http.Handler {
		return withBoundTokens(reviewer{kube.AuthenticationV1().TokenReviews()}, secret, withPrefix(chain(h, c)))
	}
	server, err := config.Complete().New(genericapiserver.NewEmptyDelegate())
	if err != nil {
		return err
	}
	if err := server.GenericAPIServer.AddPostStartHook("oauth-clients", func(hook genericapiserver.PostStartHookContext) error {
		return ensureClients(extra.OAuthClientClient, o.publicURL, hook.StopCh)
	}); err != nil {
		return err
	}
	return server.GenericAPIServer.PrepareRun().Run(stop)
}

func (o options) genericConfig() (*genericapiserver.RecommendedConfig, error) {
	c := genericapiserver.NewRecommendedConfig(serializer.NewCodecFactory(runtime.NewScheme()))
	serving := genericoptions.NewSecureServingOptions().WithLoopback()
	serving.BindAddress, serving.BindPort = net.ParseIP(o.bindAddress), o.securePort
	serving.ServerCert.CertKey = genericoptions.CertKey{CertFile: o.certFile, KeyFile: o.keyFile}
	if err := serving.ApplyTo(&c.SecureServing, &c.LoopbackClientConfig); err != nil {
		return nil, err
	}
	authentication := genericoptions.NewDelegatingAuthenticationOptions()
	authentication.RemoteKubeConfigFile = o.kubeconfig
	if err := authentication.ApplyTo(&c.Authentication, c.SecureServing, nil); err != nil {
		return nil, err
	}
	authorization := genericoptions.NewDelegatingAuthorizationOptions().
		WithAlwaysAllowPaths("/healthz", "/healthz/", "/livez", "/readyz", "/oauth/*", "/login", "/login/*", "/logout", "/logout/").
		WithAlwaysAllowGroups(user.SystemPrivilegedGroup)
	authorization.RemoteKubeConfigFile = o.kubeconfig
	return c, authorization.ApplyTo(&c.Authorization)
}

func (o options) oauthConfig() osinv1.OAuthConfig {
	return osinv1.OAuthConfig{
		MasterCA: &o.publicCAFile, MasterURL: o.publicURL, MasterPublicURL: o.publicURL, AssetPublicURL: o.publicURL, LoginURL: o.publicURL,
		IdentityProviders: []osinv1.IdentityProvider{{
			Name: providerName, UseAsChallenger: true, UseAsLogin: true, MappingMethod: "claim",
			Provider: runtime.RawExtension{Object: &osinv1.HTPasswdPasswordIdentityProvider{File: o.htpasswdFile}},
		}},
		GrantConfig:   osinv1.GrantConfig{Method: osinv1.GrantHandlerAuto, ServiceAccountMethod: osinv1.GrantHandlerType(o.accountGrant)},
		SessionConfig: &osinv1.SessionConfig{SessionName: "ssn", SessionMaxAgeSeconds: 300},
		TokenConfig:   osinv1.TokenConfig{AuthorizeTokenMaxAgeSeconds: 300, AccessTokenMaxAgeSeconds: 86400},
	}
}

// ensureClients makes the OAuthClients of `oc login` and of the page that
// shows a token, as OpenShift's installation does. It tries until the API is
// there.
func ensureClients(clients oauthclient.OAuthClientInterface, publicURL string, stop <-chan struct{}) error {
	secret, err := randomHex()
	if err != nil {
		return err
	}
	want := []oauthv1.OAuthClient{
		{
			ObjectMeta:            metav1.ObjectMeta{Name: "openshift-challenging-client"},
			RespondWithChallenges: true,
			GrantMethod:           oauthv1.GrantHandlerAuto,
			RedirectURIs:          []string{oauthdiscovery.OpenShiftOAuthTokenImplicitURL(publicURL)},
		},
		{
			ObjectMeta:   metav1.ObjectMeta{Name: "openshift-browser-client"},
			Secret:       secret,
			GrantMethod:  oauthv1.GrantHandlerAuto,
			RedirectURIs: []string{oauthdiscovery.OpenShiftOAuthTokenDisplayURL(publicURL)},
		},
	}
	return wait.PollImmediateUntil(250*time.Millisecond, func() (bool, error) {
		for i := range want {
			if err := ensureClient(clients, want[i].DeepCopy()); err != nil {
				klog.V(1).Infof("make OAuthClient %s, to be tried again: %v", want[i].Name, err)
				return false, nil
			}
		}
		return true, nil
	}, stop)
}

func ensureClient(clients oauthclient.OAuthClientInterface, want *oauthv1.OAuthClient) error {
	_, err := clients.Create(want)
	if !errors.IsAlreadyExists(err) {
		return err
	}
	there, err := clients.Get(want.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	want.ObjectMeta = there.ObjectMeta
	_, err = clients.Update(want)
	return err
}

func randomHex() (string, error) {
	b := make([]byte, 32)
	if _, err := rand.Read(b); err != nil {
		return "", err
	}
	return hex.EncodeToString(b), nil
}
