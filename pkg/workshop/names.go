// SPDX-License-Identifier: Apache-2.0

package workshop

// MaxNameLength of a workshop's name in characters. Services, whose names are
// DNS labels, must stay below 64 (NAME-proxy-api), as must a host's first part
// (NAME-NAMESPACE, checked on its own). A session's pod and claim are called
// NAME--SLUG, with a slug of at most 46 characters (KubeSpawner), which is well
// below the 253 that their names may have; the host name inside such a pod is
// cut to 63.
const MaxNameLength = 40

// Names of the objects of the workshop of that name. What belongs to a
// session is called NAME--SLUG; since a workshop's name holds no "--", no
// session's object can meet one of these.
type Names string

// Hub is the Deployment or DeploymentConfig with the hub. It carries the
// workshop's bare name, because `oc set env dc/terminals TERMINAL_IMAGE=…` is
// what people know from 2018.
func (n Names) Hub() string { return string(n) }

// Ingress (or Route) that browsers come in by.
func (n Names) Ingress() string { return string(n) }

// HubPart is the hub's Service, ServiceAccount, Role, RoleBinding, Secret,
// ConfigMap, NetworkPolicy and the claim of its database.
func (n Names) HubPart() string { return string(n) + "-hub" }

// Proxy is the proxy's Deployment or DeploymentConfig, the Service of its public port and its
// NetworkPolicy.
func (n Names) Proxy() string { return string(n) + "-proxy" }

// ProxyAPI is the Service that the hub sets routes through.
func (n Names) ProxyAPI() string { return string(n) + "-proxy-api" }

// Session is the NetworkPolicy of the sessions' pods.
func (n Names) Session() string { return string(n) + "-session" }

// Users is the Secret with the passwords that attendees have of their own, as
// hashes. `workshopctl users` makes it, and no deploy touches it.
func (n Names) Users() string { return string(n) + "-users" }

// Record is the ConfigMap with the Spec, the inventory and the history.
func (n Names) Record() string { return string(n) + "-workshop" }

// SessionPrefix starts the name of every object of a session.
func (n Names) SessionPrefix() string { return string(n) + "--" }

// Labels that every object of a workshop carries (the first is the 2018
// template's, the others are those that Kubernetes recommends).
const (
	LabelApp       = "app"
	LabelName      = "app.kubernetes.io/name"
	LabelInstance  = "app.kubernetes.io/instance"
	LabelComponent = "app.kubernetes.io/component"
	LabelPartOf    = "app.kubernetes.io/part-of"
	LabelManagedBy = "app.kubernetes.io/managed-by"
	LabelVersion   = "app.kubernetes.io/version"
)

// ManagedBy is the value of LabelManagedBy on what workshopctl applies, and
// its field manager.
const ManagedBy = "workshopctl"

// Component is the part of a workshop that an object belongs to.
type Component string

// The components of a workshop.
const (
	ComponentHub     Component = "hub"
	ComponentProxy   Component = "proxy"
	ComponentSession Component = "session"
	ComponentRecord  Component = "record"
	// ComponentDeployer is the pod that carries out one rollout of a
	// DeploymentConfig.
	ComponentDeployer Component = "deployer"
)

// Selector returns the labels that find the pods of a component.
func (n Names) Selector(c Component) map[string]string {
	return map[string]string{LabelApp: string(n), LabelComponent: string(c)}
}

// Labels returns the labels of an object of a component, without the version:
// that one changes with the CLI, and a pod template that held it would be
// rolled out anew by every upgrade.
func (n Names) Labels(c Component) map[string]string {
	return map[string]string{
		LabelApp:       string(n),
		LabelName:      "workshop",
		LabelInstance:  string(n),
		LabelComponent: string(c),
		LabelPartOf:    ManagedBy,
		LabelManagedBy: ManagedBy,
	}
}

// The environment variables of the hub's container that say which image new
// sessions run (ImageOf).
const (
	EnvTerminalImage = "TERMINAL_IMAGE"
	EnvImageStream   = "IMAGE_STREAM"
)

// ImageStreamTagAnnotation on a session's pod names the image stream tag that
// its image was found by, as PROJECT/NAME:TAG.
const ImageStreamTagAnnotation = "workshopctl.io/image-stream-tag"

// UsernameAnnotation holds the true user name on a session's pod and claim
// (set by KubeSpawner).
const UsernameAnnotation = "hub.jupyter.org/username"

// KeepUntilAnnotation on a session's pod says how long the session is kept,
// whoever uses it or not (RFC 3339, UTC). What isn't a time means nothing.
const KeepUntilAnnotation = "workshopctl.io/keep-until"

// SecretPasswords is the key of the Secret Names.Users: a JSON object of bcrypt
// hashes by user name.
const SecretPasswords = "passwords.json" // #nosec G101 -- a key's name

// Keys of the Secret Names.HubPart.
const (
	SecretProxyToken    = "CONFIGPROXY_AUTH_TOKEN" // #nosec G101 -- a key's name
	SecretCookie        = "COOKIE_SECRET"
	SecretCrypt         = "CRYPT_KEY"
	SecretAPIToken      = "WORKSHOPCTL_API_TOKEN" // #nosec G101 -- a key's name
	SecretUserPassword  = "USER_PASSWORD"         // #nosec G101 -- a key's name
	SecretAdminPassword = "ADMIN_PASSWORD"        // #nosec G101 -- a key's name
	// SecretOIDCClient is there only if the client's secret was given to deploy.
	SecretOIDCClient = "OIDC_CLIENT_SECRET" // #nosec G101 -- a key's name
)
