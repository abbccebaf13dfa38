// SPDX-License-Identifier: Apache-2.0

package workshop

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Auth is how attendees log in.
type Auth string

// The kinds of login. Each but AuthAnonymous asks the attendee who they are.
const (
	// AuthPassword gives everybody one shared password beside a name of
	// their choice, and admins a longer one
	// (JupyterHub's SharedPasswordAuthenticator).
	AuthPassword Auth = "password"
	// AuthAnonymous gives every browser a session of its own without asking
	// for anything. The session can't be reached again from another browser.
	AuthAnonymous Auth = "anonymous"
	// AuthOpenShift sends attendees to the login page of the cluster, where
	// the cluster has one (OpenShift's OAuth server), and takes them for who
	// they are there.
	AuthOpenShift Auth = "openshift"
	// AuthOIDC sends attendees to the login page of an OpenID Connect provider
	// (Spec.OIDC).
	AuthOIDC Auth = "oidc"
)

// Auths lists the kinds of login in the order in which help shows them.
func Auths() []Auth { return []Auth{AuthOpenShift, AuthPassword, AuthAnonymous, AuthOIDC} }

// Expose is how browsers reach the workshop from outside the cluster.
type Expose string

// The ways to reach a workshop. The empty value means the best that the
// cluster has, chosen at the first deploy and kept from then on.
const (
	// ExposeRoute makes an OpenShift Route with TLS. The cluster assigns its
	// host where none is chosen.
	ExposeRoute   Expose = "route"
	ExposeIngress Expose = "ingress"
	// ExposeNone makes no way in; `workshopctl url --forward` opens one for
	// as long as it runs.
	ExposeNone Expose = "none"
)

// Exposes lists the ways to reach a workshop in the order in which help shows
// them.
func Exposes() []Expose { return []Expose{ExposeRoute, ExposeIngress, ExposeNone} }

// Workload is the kind of object that runs hub and proxy.
type Workload string

// The kinds of workload. It can't be changed while a workshop is deployed.
const (
	WorkloadDeployment Workload = "deployment"
	// WorkloadDeploymentConfig is OpenShift's own kind, which people know from
	// 2018 and which newer clusters may lack.
	WorkloadDeploymentConfig Workload = "deploymentconfig"
)

// Workloads lists the kinds of workload in the order in which help shows them.
func Workloads() []Workload { return []Workload{WorkloadDeployment, WorkloadDeploymentConfig} }

// GroupVersionKind of the objects. A Spec that says nothing means Deployments:
// it was kept by a version that knew nothing else.
func (w Workload) GroupVersionKind() schema.GroupVersionKind {
	if w == WorkloadDeploymentConfig {
		return schema.GroupVersionKind{Group: "apps.openshift.io", Version: "v1", Kind: "DeploymentConfig"}
	}
	return schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}
}

// Values of a Spec's APIServer.
const (
	// InClusterAPIServer is where pods reach the API server.
	InClusterAPIServer = "https://kubernetes.default.svc"
	// APIServerNone means that sessions get no kubeconfig.
	APIServerNone = "none"
)

// TLSDefault as a Spec's TLSSecret stands for the certificate that the ingress
// controller has for hosts without one of their own.
const TLSDefault = "default"

// Spec is everything that a person can choose about a workshop. The zero
// value of a field means "not chosen": WithDefaults fills it in. It is kept in
// the cluster as last deployed, and is the content of a workshop file.
type Spec struct {
	// Name of the workshop, first part of every object's name: a DNS label of
	// at most MaxNameLength characters without "--".
	Name string `json:"name,omitempty"`
	// TerminalImage is the image that sessions run: an image name; or, without
	// a slash, a tag of an image stream of the workshop's project, where it has
	// one of that name.
	TerminalImage string `json:"terminalImage,omitempty"`
	// ImageStream in place of TerminalImage is a tag of an image stream,
	// [PROJECT/]NAME[:TAG]. Each session runs what the tag has when it starts.
	ImageStream string `json:"imageStream,omitempty"`
	// GatewayImage holds workshop-terminal, which each session copies in.
	GatewayImage string `json:"gatewayImage,omitempty"`
	// HubImage holds JupyterHub 5 or 6 with KubeSpawner.
	HubImage string `json:"hubImage,omitempty"`
	// ProxyImage holds configurable-http-proxy.
	ProxyImage string `json:"proxyImage,omitempty"`
	// Registry has copies of the release's images ("registry.example.com/team"),
	// which are used where GatewayImage, HubImage and ProxyImage name no
	// others. Empty means where they are published.
	Registry string `json:"registry,omitempty"`

	// Auth is how attendees log in.
	Auth Auth `json:"auth,omitempty"`
	// OIDC is the provider of AuthOIDC.
	OIDC OIDC `json:"oidc,omitzero"`
	// AdminUsers may use the hub's admin page. Names are
	// compared in lower case; with AuthOpenShift as they are, for the cluster
	// tells "Jane" from "jane".
	AdminUsers []string `json:"adminUsers,omitempty"`
	// AllowedUsers are the only ones who may log in, beside admins and
	// AllowedGroups; with neither, everybody may.
	AllowedUsers []string `json:"allowedUsers,omitempty"`
	// AdminGroups and AllowedGroups are the same for the cluster's groups of
	// users (AuthOpenShift), or those that the provider tells (AuthOIDC).
	AdminGroups   []string `json:"adminGroups,omitempty"`
	AllowedGroups []string `json:"allowedGroups,omitempty"`
	// APIServer is the address of the cluster that a kubeconfig in each
	// session names, without credentials: `oc login` then asks for user and
	// password only. Empty means InClusterAPIServer where attendees can log in
	// to the cluster with oc, and none elsewhere; APIServerNone means none.
	APIServer string `json:"apiServer,omitempty"`

	// Storage of each session.
	Storage Storage `json:"storage,omitzero"`
	// HubStorageSize is the size of the volume with the hub's database, as a
	// Kubernetes quantity; "0" keeps the database in the pod, where a restart
	// of the hub forgets who was logged in.
	HubStorageSize string `json:"hubStorageSize,omitempty"`
	// Resources of each session.
	Resources Resources `json:"resources,omitzero"`
	// IdleTimeout is how long a session may be idle before it is stopped
	// ("2h", "45m"); "0" means for ever. Its volume stays.
	IdleTimeout Duration `json:"idleTimeout,omitempty"`
	// MaxAge is how long a session may run before it is stopped, used or not;
	// "" and "0" mean for ever. Its volume stays.
	MaxAge Duration `json:"maxAge,omitempty"`
	// Limit is how many sessions there may be at once; 0 means any number.
	Limit int `json:"limit,omitempty"`
	// UploadLimit is the size of the largest file that attendees can upload, as
	// a Kubernetes quantity; "0" switches uploads off.
	UploadLimit string `json:"uploadLimit,omitempty"`
	// Ports are the web apps of attendees, by name: …/user/NAME/proxy/web/ leads
	// to port 8080 of the session for "web": 8080.
	Ports map[string]int `json:"ports,omitempty"`
	// NotesPath is a directory of the terminal image with pages that are shown
	// beside the terminal; NotesURL in its place is a page elsewhere.
	NotesPath string `json:"notesPath,omitempty"`
	NotesURL  string `json:"notesURL,omitempty"`
	// NotesOrigins are those beside NotesURL's own ("https://notes.example.com")
	// whose pages may be shown in its place, and send commands to the terminal.
	NotesOrigins []string `json:"notesOrigins,omitempty"`
	// Env are environment variables of the session's container.
	Env map[string]string `json:"env,omitempty"`

	// Expose is how browsers reach the workshop.
	Expose Expose `json:"expose,omitempty"`
	// Host is the name, and optionally the port, that browsers use:
	// "workshop.example.com" or "workshop.example.com:8443".
	Host string `json:"host,omitempty"`
	// HostAssigned says that nobody has chosen Host: it is what the cluster
	// has assigned to the workshop's Route. Elsewhere it means nothing, and
	// the cluster is asked anew.
	HostAssigned bool `json:"hostAssigned,omitempty"`
	// Subdomains is the wildcard host "*.NAME" of Host's name, under which
	// each session has a host of its own. Empty means that all have the path
	// of Host.
	Subdomains string `json:"subdomains,omitempty"`
	// TLSSecret names a Secret of type kubernetes.io/tls for Host, or is
	// TLSDefault for the ingress controller's own certificate. Empty means
	// plain HTTP. A Route always has TLS, with the router's certificate.
	TLSSecret string `json:"tlsSecret,omitempty"`
	// PullSecret names a Secret of type kubernetes.io/dockerconfigjson that
	// all pods of the workshop pull their images with.
	PullSecret string `json:"pullSecret,omitempty"`
	// Workload is the kind of object that runs hub and proxy.
	Workload Workload `json:"workload,omitempty"`
	// ServiceAccount names an account that exists and has what the hub needs,
	// for people who can't make a Role. Empty means that the workshop has an
	// account, a Role and a RoleBinding of its own.
	ServiceAccount string `json:"serviceAccount,omitempty"`

	// Labels and Annotations are put on every object of the workshop,
	// sessions included.
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// NodeSelector and Tolerations hold for every pod of the workshop.
	NodeSelector map[string]string   `json:"nodeSelector,omitempty"`
	Tolerations  []corev1.Toleration `json:"tolerations,omitempty"`
	// Proxy is the way out to the internet, for the sessions. The hub has none: it
	// talks to the cluster only.
	Proxy Proxy `json:"proxy,omitzero"`
	// CABundle is a list of PEM certificates that the hub and the sessions
	// trust beside those of their image.
	CABundle string `json:"caBundle,omitempty"`
}

// OIDC is a provider of logins by OpenID Connect, and what it knows the
// workshop by.
type OIDC struct {
	// IssuerURL is the provider's, as it writes it in its discovery document,
	// which is at IssuerURL/.well-known/openid-configuration.
	IssuerURL string `json:"issuerURL,omitempty"`
	// ClientID that the provider has for the workshop.
	ClientID string `json:"clientID,omitempty"`
	// ClientSecretName names a Secret with the client's secret, under the key
	// OIDCSecretKey. Empty means that the workshop's own Secret has it.
	ClientSecretName string `json:"clientSecretName,omitempty"`
	// UsernameClaim and GroupsClaim have the user's name and groups. Names are
	// taken in lower case, but for the claim sub.
	UsernameClaim string `json:"usernameClaim,omitempty"`
	GroupsClaim   string `json:"groupsClaim,omitempty"`
	// Scopes that are asked for; openid is one of them.
	Scopes []string `json:"scopes,omitempty"`
}

// OIDCSecretKey is the key of the client's secret in the Secret that
// OIDC.ClientSecretName names, as OpenShift's own identity providers have it.
const OIDCSecretKey = "clientSecret"

// Storage is the volume of each session, mounted at /opt/app-root.
type Storage struct {
	// Size as a Kubernetes quantity ("1Gi"); "0" means no volume: files are
	// gone when the session stops.
	Size string `json:"size,omitempty"`
	// ClassName of the volume; empty means the cluster's default class.
	ClassName string `json:"className,omitempty"`
}

// Resources of each session's container, as Kubernetes quantities.
type Resources struct {
	MemoryRequest string `json:"memoryRequest,omitempty"`
	MemoryLimit   string `json:"memoryLimit,omitempty"`
	CPURequest    string `json:"cpuRequest,omitempty"`
	CPULimit      string `json:"cpuLimit,omitempty"`
}

// Proxy holds the usual proxy variables.
type Proxy struct {
	HTTPProxy  string `json:"httpProxy,omitempty"`
	HTTPSProxy string `json:"httpsProxy,omitempty"`
	NoProxy    string `json:"noProxy,omitempty"`
}

// Duration is a length of time as people write it: "90s", "45m", "1h30m", or
// "0". The empty value means "not chosen".
type Duration string

// Seconds returns the duration in whole seconds, and 0 for what isn't a
// duration; Validate tells the two apart.
func (d Duration) Seconds() int64 {
	v, err := time.ParseDuration(string(d))
	if err != nil {
		return 0
	}
	return int64(v / time.Second)
}

// PortList writes Ports as "docs=9090,web=8080".
func (s Spec) PortList() string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(s.Ports)) {
		list = append(list, name+"="+strconv.Itoa(s.Ports[name]))
	}
	return strings.Join(list, ",")
}

// The values of a Spec that chooses nothing. What isn't here has no default,
// or one that depends on the cluster (Expose) or the release (images).
const (
	DefaultName           = "terminals"
	DefaultStorageSize    = "1Gi"
	DefaultHubStorageSize = "1Gi"
	DefaultMemoryRequest  = "128Mi"
	DefaultMemoryLimit    = "512Mi"
	DefaultCPURequest     = "50m"
	DefaultCPULimit       = "1"
	DefaultIdleTimeout    = Duration("2h")
	DefaultUploadLimit    = "100Mi"
	DefaultUsernameClaim  = "preferred_username"
	DefaultGroupsClaim    = "groups"
)

// DefaultScopes of AuthOIDC tell a user's name.
func DefaultScopes() []string { return []string{"openid", "profile"} }

// Images are the image names of a release, used where a Spec names none.
type Images struct {
	Terminal, Gateway, Hub, Proxy string
}

// Account is the name of the service account that the hub runs as.
func (s Spec) Account() string {
	if s.ServiceAccount != "" {
		return s.ServiceAccount
	}
	return Names(s.Name).HubPart()
}

// UserName is a name as the hub knows its user: in lower case, whatever was
// typed, but where another service has the say about names.
func (s Spec) UserName(name string) string {
	if s.Auth == AuthOpenShift || s.Auth == AuthOIDC && s.OIDC.UsernameClaim == "sub" {
		return name
	}
	return strings.ToLower(name)
}

// WithDefaults returns the Spec with every field that has a default filled
// in. The Expose and Host that depend on the cluster are left as they are; who
// knows the cluster may have chosen a better Auth before.
func (s Spec) WithDefaults(images Images) Spec {
	fill := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	fill(&s.Name, DefaultName)
	if s.ImageStream == "" {
		fill(&s.TerminalImage, images.Terminal)
	}
	fill(&s.GatewayImage, images.Gateway)
	fill(&s.HubImage, images.Hub)
	fill(&s.ProxyImage, images.Proxy)
	fill((*string)(&s.Auth), string(AuthPassword))
	if s.Auth == AuthOIDC {
		fill(&s.OIDC.UsernameClaim, DefaultUsernameClaim)
		fill(&s.OIDC.GroupsClaim, DefaultGroupsClaim)
		if len(s.OIDC.Scopes) == 0 {
			s.OIDC.Scopes = DefaultScopes()
		}
	}
	fill((*string)(&s.Workload), string(WorkloadDeployment))
	fill(&s.Storage.Size, DefaultStorageSize)
	fill(&s.HubStorageSize, DefaultHubStorageSize)
	fill(&s.Resources.MemoryRequest, DefaultMemoryRequest)
	fill(&s.Resources.MemoryLimit, DefaultMemoryLimit)
	fill(&s.Resources.CPURequest, DefaultCPURequest)
	fill(&s.Resources.CPULimit, DefaultCPULimit)
	fill((*string)(&s.IdleTimeout), string(DefaultIdleTimeout))
	fill(&s.UploadLimit, DefaultUploadLimit)
	return s
}
