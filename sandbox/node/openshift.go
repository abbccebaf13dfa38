// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"crypto/sha1" //nolint:gosec // the passwords are published
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/workshopctl/workshopctl/sandbox/bootstrap"
	"github.com/workshopctl/workshopctl/sandbox/host"
	"github.com/workshopctl/workshopctl/sandbox/imagestream"
	"github.com/workshopctl/workshopctl/sandbox/supervise"
)

// Names of OpenShift's units.
const (
	unitOpenShiftAPIServer  = "openshift-apiserver"
	unitOAuthAPIServer      = "oauth-apiserver"
	unitOAuthServer         = "oauth-server"
	unitOpenShiftController = "openshift-controller-manager"
	unitBootstrap           = "bootstrap"
)

// users of the OAuth server and their passwords, which are no secret: the
// sandbox is reached from its own machine only.
var users = [][2]string{
	{"user1", "openshift"}, {"user2", "openshift"}, {"user3", "openshift"}, {"user4", "openshift"}, {"user5", "openshift"},
	{bootstrap.Trainer, "trainer"}, {bootstrap.Admin, "admin"},
}

// AppsDomain is what Routes without a host of their own get a name under.
func (c Config) AppsDomain() string { return "apps." + c.Domain() }

func (c Config) oauthHost() string { return "oauth-openshift." + c.AppsDomain() }

// OAuthURL is where the OAuth server is reached, inside and from the host.
func (c Config) OAuthURL() string {
	return "https://" + net.JoinHostPort(c.oauthHost(), strconv.Itoa(c.Ports.HTTPS))
}

// deployerImage is one of oc, and its tag is what oc's directory in the cache
// is called after the name.
func (n node) deployerImage() string {
	_, hash, _ := strings.Cut(filepath.Base(filepath.Dir(n.Programs.OC)), "-")
	return RegistryHost + "/workshop/deployer:" + hash
}

// openshiftAuthentication is what the API server needs to ask OpenShift's
// servers: it asks for groups by a certificate that they trust to speak for
// users, and the OAuth API for whose a token is.
func (n node) openshiftAuthentication() []string {
	return []string{
		"--requestheader-client-ca-file=" + n.pki("front-proxy-ca.crt"), "--requestheader-allowed-names=" + frontProxy,
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group", "--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + n.pki("front-proxy.crt"), "--proxy-client-key-file=" + n.pki("front-proxy.key"),
		"--authentication-token-webhook-config-file=" + n.etc("oauth-webhook.kubeconfig"), "--authentication-token-webhook-version=v1", "--authentication-token-webhook-cache-ttl=5s",
		"--oauth-metadata-file=" + n.etc("oauth-metadata.json"),
	}
}

const frontProxy = "front-proxy"

func (n node) openshiftUnits() []supervise.Unit {
	kubeconfig := n.etc("admin.kubeconfig")
	return []supervise.Unit{
		n.program(unitOpenShiftAPIServer, []string{unitAPIServer}, healthy(local(openshiftPort)), n.Programs.OpenShiftAPIServer,
			"--kubeconfig="+kubeconfig, "--etcd-servers="+etcdURL, "--bind-address=127.0.0.1", "--secure-port="+strconv.Itoa(openshiftPort),
			"--tls-cert-file="+n.pki("openshift-apiserver.crt"), "--tls-private-key-file="+n.pki("openshift-apiserver.key"),
			"--route-domain="+n.AppsDomain(), "--registry-host="+imagestream.Registry),
		n.program(unitOAuthAPIServer, []string{unitAPIServer}, healthy(local(oauthAPIPort)), n.Programs.OAuthAPIServer,
			"--kubeconfig="+kubeconfig, "--authentication-kubeconfig="+kubeconfig, "--authorization-kubeconfig="+kubeconfig,
			"--etcd-servers="+etcdURL, "--bind-address=127.0.0.1", "--secure-port="+strconv.Itoa(oauthAPIPort),
			"--tls-cert-file="+n.pki("oauth-apiserver.crt"), "--tls-private-key-file="+n.pki("oauth-apiserver.key"),
			"--api-audiences="+serviceAccountIssuer),
		n.bootstrapUnit(),
		n.program(unitOAuthServer, []string{unitBootstrap}, n.loginWorks, n.Programs.OAuthServer,
			"--kubeconfig="+kubeconfig, "--bind-address="+Address, "--secure-port="+strconv.Itoa(oauthPort),
			"--tls-cert-file="+n.pki("oauth-server.crt"), "--tls-private-key-file="+n.pki("oauth-server.key"),
			"--public-url="+n.OAuthURL(), "--public-ca-file="+n.pki("ingress-ca.crt"), "--htpasswd-file="+n.etc("htpasswd")),
		n.program(unitOpenShiftController, []string{unitBootstrap}, n.podsAdmitted, n.Programs.OpenShiftControllerManager,
			"--kubeconfig="+kubeconfig, "--deployer-image="+n.deployerImage(), "--registry-host="+imagestream.Registry,
			"--healthz-bind-address=127.0.0.1:"+strconv.Itoa(openshiftControllerPort)),
	}
}

// local is where a server on the loopback address says that it is ready.
func local(port int) string { return fmt.Sprintf("https://127.0.0.1:%d/readyz", port) }

// bootstrapUnit makes what the cluster has from the start, at each start.
func (n node) bootstrapUnit() supervise.Unit {
	b := bootstrap.New(bootstrap.Config{
		Address: Address, OpenShiftPort: openshiftPort, OAuthAPIPort: oauthAPIPort, OAuthPort: oauthPort, RegistryPort: registryPort,
		OAuthHost: n.oauthHost(), OAuthURL: n.OAuthURL(), CA: n.pki("ca.crt"),
		ServersReady: func(ctx context.Context) error {
			// The roles that it makes take it longer than to answer.
			return errors.Join(healthy(local(openshiftPort)+"?exclude=poststarthook/bootstrap-roles")(ctx), healthy(local(oauthAPIPort))(ctx))
		},
		CLI: n.pretendedCLI(),
	})
	return supervise.Unit{
		Name: unitBootstrap, After: []string{unitAPIServer},
		Task: func(ctx context.Context, out io.Writer) error {
			token, err := os.ReadFile(n.etc("trainer-token"))
			if err != nil {
				return err
			}
			rc, err := clientcmd.BuildConfigFromFlags("", n.etc("admin.kubeconfig"))
			if err != nil {
				return err
			}
			return b.Run(ctx, rc, string(token), logger(out))
		},
		Ready: b.Ready,
	}
}

// loginWorks asks the OAuth server by the URL that users have.
func (n node) loginWorks(ctx context.Context) error {
	if err := healthy(fmt.Sprintf("https://%s/healthz", net.JoinHostPort(Address, strconv.Itoa(oauthPort))))(ctx); err != nil {
		return err
	}
	authority, err := os.ReadFile(n.dirs.CA())
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(Address, strconv.Itoa(n.Ports.HTTPS)))
		},
	}}
	return ask(ctx, client, n.OAuthURL()+"/healthz")
}

// pretendedCLI is an image for the tag that is else pushed, where no pod runs.
func (n node) pretendedCLI() v1.Image {
	if !n.ControlPlane {
		return nil
	}
	return empty.Image
}

// TagCLI points the image stream that everybody may use to the image, which
// the registry has.
func TagCLI(ctx context.Context, dirs host.Dirs, img v1.Image) error {
	rc, err := clientcmd.BuildConfigFromFlags("", dirs.Kubeconfig())
	if err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(rc)
	if err != nil {
		return err
	}
	_, err = imagestream.Set(ctx, client, bootstrap.CLI, img)
	return err
}

// podsAdmitted tries what takes all of it: an account, the range of users that
// the controllers give to each namespace, and the constraints, which the API
// server learns of a moment after they were made.
func (n node) podsAdmitted(ctx context.Context) error {
	client, err := n.client()
	if err != nil {
		return err
	}
	if err := healthy("http://127.0.0.1:" + strconv.Itoa(openshiftControllerPort) + "/healthz")(ctx); err != nil {
		return err
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "try-"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "try", Image: "none"}}}}
	_, err = client.CoreV1().Pods(metav1.NamespaceDefault).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	return err
}

// issueOpenShift makes the certificates of OpenShift's servers.
func (n node) issueOpenShift(cluster, ingress *authority) error {
	dir := n.state("pki")
	front, err := loadAuthority(dir, "front-proxy-ca", "workshop-sandbox "+n.Name+" front proxy")
	if err != nil {
		return err
	}
	serving := func(service string) leaf {
		return leaf{commonName: service, names: []string{service, "localhost"}, addresses: []string{"127.0.0.1"}}
	}
	return errors.Join(
		front.issue(dir, "front-proxy", leaf{commonName: frontProxy, client: true}),
		// The API server asks for these names.
		cluster.issue(dir, "openshift-apiserver", serving("api.openshift-apiserver.svc")),
		cluster.issue(dir, "oauth-apiserver", serving("api.openshift-oauth-apiserver.svc")),
		ingress.issue(dir, "oauth-server", leaf{commonName: n.oauthHost(), names: []string{n.oauthHost()}}))
}

// openshiftFiles returns OpenShift's configuration, content by path.
func (n node) openshiftFiles() (map[string]string, error) {
	token, err := n.trainerToken()
	if err != nil {
		return nil, err
	}
	metadata, err := n.oauthMetadata()
	if err != nil {
		return nil, err
	}
	hosts, err := n.hosts()
	if err != nil {
		return nil, err
	}
	return map[string]string{
		n.etc("hosts"):               hosts,
		n.etc("trainer-token"):       token,
		n.dirs.TrainerKubeconfig():   n.kubeconfigWith(n.outside(), TrainerNamespace, "token: "+token),
		n.etc("oauth-metadata.json"): metadata,
		n.etc("htpasswd"):            htpasswd(),
		n.etc("oauth-webhook.kubeconfig"): n.kubeconfig("apiserver-kubelet",
			fmt.Sprintf("https://localhost:%d/apis/oauth.openshift.io/v1/tokenreviews", oauthAPIPort), metav1.NamespaceDefault),
	}, nil
}

// trainerToken is made once and outlives restarts.
func (n node) trainerToken() (string, error) {
	token, err := os.ReadFile(n.etc("trainer-token"))
	if errors.Is(err, os.ErrNotExist) {
		return bootstrap.NewToken(), nil
	}
	return string(token), err
}

// oauthMetadata is what a client that knows only the API server is told, by
// RFC 8414.
func (n node) oauthMetadata() (string, error) {
	data, err := json.MarshalIndent(map[string]any{
		"issuer":                           n.OAuthURL(),
		"authorization_endpoint":           n.OAuthURL() + "/oauth/authorize",
		"token_endpoint":                   n.OAuthURL() + "/oauth/token",
		"scopes_supported":                 []string{"user:check-access", "user:full", "user:info", "user:list-projects", "user:list-scoped-projects"},
		"response_types_supported":         []string{"code", "token"},
		"grant_types_supported":            []string{"authorization_code", "implicit"},
		"code_challenge_methods_supported": []string{"plain", "S256"},
	}, "", "  ")
	return string(data) + "\n", err
}

// htpasswd in its oldest form but one, as nobody has to be kept out.
func htpasswd() string {
	var b strings.Builder
	for _, user := range users {
		sum := sha1.Sum([]byte(user[1])) //nolint:gosec // see above
		fmt.Fprintf(&b, "%s:{SHA}%s\n", user[0], base64.StdEncoding.EncodeToString(sum[:]))
	}
	return b.String()
}

// oc is the command on the host. It logs in at the OAuth server, whose name
// browsers take for this machine, as all names under localhost, and not every
// resolver does: so it has a list of hosts of its own.
func (n node) oc() string {
	return fill(map[string]string{"OC": n.Programs.OC, "HOSTS": n.etc("hosts"), "0": "$0", "@": "$@", "ID": "$(id -u)"}, `#!/bin/sh
[ "$ID" = 0 ] || exec $OC "$@"
exec unshare --mount sh -c 'mount --bind "$0" /etc/hosts && exec "$@"' $HOSTS $OC "$@"
`)
}

// hosts is the host's list with one more name.
func (n node) hosts() (string, error) {
	data, err := os.ReadFile("/etc/hosts")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	return strings.TrimRight(string(data), "\n") + "\n127.0.0.1 " + n.oauthHost() + "\n", nil
}
