// SPDX-License-Identifier: Apache-2.0

package workshop

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
)

// FieldError says what is wrong with one field of a Spec and what would be
// right.
type FieldError struct {
	// Field as it is written in a workshop file: "storage.size".
	Field string
	// Value that was found.
	Value string
	// Problem and remedy, as a clause: `is no quantity; write it like "1Gi"`.
	Problem string
}

func (e *FieldError) Error() string {
	if e.Value == "" {
		return e.Field + " " + e.Problem
	}
	return fmt.Sprintf("%s %q %s", e.Field, e.Value, e.Problem)
}

// Minimum of the idle timeout: the hub looks for idle sessions at most once a
// minute, and a browser's activity reaches it up to a minute late.
const minIdleTimeout = 90 * time.Second

// Minimum of the greatest age: the hub looks every 30 seconds, and the page
// warns before.
const minMaxAge = 5 * time.Minute

var (
	envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	// What a reference may be made of (distribution/reference), without
	// telling its parts apart: the cluster does that when it pulls.
	registryName = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$`)
	imageName    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._\-/:@]*[A-Za-z0-9]$`)
)

// reservedEnv is what the session's own machinery sets; a value of the Spec
// would break the login.
const reservedEnvPrefix = "JUPYTERHUB_"

// ValidateName checks a workshop's name: a DNS label (RFC 1123) that starts
// with a letter, of at most MaxNameLength characters, without "--".
func ValidateName(name string) error {
	fail := func(problem string) error {
		return &FieldError{Field: "name", Value: name, Problem: problem}
	}
	switch {
	case name == "":
		return fail("is empty")
	case strings.Contains(name, "--"):
		return fail(`contains "--", which separates a workshop's name from a session's; use a single "-"`)
	case len(name) > MaxNameLength:
		return fail(fmt.Sprintf("has %d characters; at most %d are possible", len(name), MaxNameLength))
	case len(validation.IsDNS1035Label(name)) > 0:
		return fail(`must be lower-case letters, digits and "-", starting with a letter and ending with a letter or digit`)
	}
	return nil
}

// ValidateRegistry checks a Spec's Registry.
func ValidateRegistry(registry string) error {
	host, _, _ := strings.Cut(registry, "/")
	if registry == "" || registryName.MatchString(registry) && (host == "localhost" || strings.ContainsAny(host, ".:")) {
		return nil
	}
	return &FieldError{Field: "registry", Value: registry, Problem: "is no registry; write it like registry.example.com/team"}
}

// Validate checks a Spec whose defaults are filled in. The error joins a
// *FieldError for every field that is wrong (errors.Join), so that a person
// can mend them all at once.
func (s Spec) Validate() error {
	v := validator{}
	v.check(ValidateName(s.Name))
	for _, i := range []struct{ field, value, flag string }{
		{"terminalImage", s.TerminalImage, "--terminal-image"},
		{"gatewayImage", s.GatewayImage, "--gateway-image"},
		{"hubImage", s.HubImage, "--hub-image"},
		{"proxyImage", s.ProxyImage, "--proxy-image"},
	} {
		switch {
		case i.field == "terminalImage" && s.ImageStream != "":
			if i.value != "" {
				v.fail(i.field, i.value, "has no place beside imageStream; leave one of the two out")
			}
		case i.value == "":
			v.fail(i.field, "", "is not set; name an image with "+i.flag)
		case !imageName.MatchString(i.value):
			v.fail(i.field, i.value, "is no image name; write it like registry.example.com/team/image:tag")
		}
	}

	if s.ImageStream != "" {
		if _, err := ParseStreamTag(s.ImageStream); err != nil {
			v.fail("imageStream", s.ImageStream, "is no image stream tag; write it like my-terminal:v2 or project/my-terminal:v2")
		}
	}
	v.check(ValidateRegistry(s.Registry))

	if !slices.Contains(Auths(), s.Auth) {
		v.fail("auth", string(s.Auth), "is unknown; choose one of "+join(Auths()))
	}
	v.users("adminUsers", s.AdminUsers)
	v.users("allowedUsers", s.AllowedUsers)
	v.users("adminGroups", s.AdminGroups)
	v.users("allowedGroups", s.AllowedGroups)
	switch groups := len(s.AdminGroups) + len(s.AllowedGroups); {
	case s.Auth == AuthAnonymous && groups+len(s.AdminUsers)+len(s.AllowedUsers) > 0:
		v.fail("auth", string(s.Auth), "knows no user names: leave admins and allowed users and groups out, or choose another auth")
	case s.Auth == AuthPassword && groups > 0:
		v.fail("auth", string(s.Auth), "knows no groups: leave adminGroups and allowedGroups out, or choose auth openshift or oidc")
	case (s.Auth == AuthOpenShift || s.Auth == AuthOIDC) && s.Expose == ExposeNone:
		v.fail("auth", string(s.Auth), "needs an address that the login page can send attendees back to, and expose none gives none: choose another expose, or auth password")
	}
	v.oidc(s)
	v.apiServer(s.APIServer)

	v.quantity("storage.size", s.Storage.Size, true)
	v.subdomain("storage.className", s.Storage.ClassName)
	v.quantity("hubStorageSize", s.HubStorageSize, true)
	v.resources("memory", s.Resources.MemoryRequest, s.Resources.MemoryLimit)
	v.resources("cpu", s.Resources.CPURequest, s.Resources.CPULimit)
	switch d, err := time.ParseDuration(string(s.IdleTimeout)); {
	case err != nil:
		v.fail("idleTimeout", string(s.IdleTimeout), `is no duration; write it like "2h" or "45m", or "0" for never`)
	case d != 0 && d < minIdleTimeout:
		v.fail("idleTimeout", string(s.IdleTimeout), fmt.Sprintf("is too short; use at least %s, or 0 for never", minIdleTimeout))
	}
	if s.MaxAge != "" {
		switch d, err := time.ParseDuration(string(s.MaxAge)); {
		case err != nil:
			v.fail("maxAge", string(s.MaxAge), `is no duration; write it like "8h" or "90m", or "0" for no end`)
		case d != 0 && d < minMaxAge:
			v.fail("maxAge", string(s.MaxAge), fmt.Sprintf("is too short; use at least %s, or 0 for no end", minMaxAge))
		case d != 0 && d < time.Duration(s.IdleTimeout.Seconds())*time.Second:
			v.fail("maxAge", string(s.MaxAge), fmt.Sprintf("is less than idleTimeout %q, which would never come into effect; raise the one or lower the other", s.IdleTimeout))
		}
	}
	if s.Limit < 0 {
		v.fail("limit", strconv.Itoa(s.Limit), "is no number of sessions; use 1 or more, or 0 for any number")
	}
	v.quantity("uploadLimit", s.UploadLimit, true)
	v.ports(s.Ports)
	v.notes(s)
	for name := range s.Env {
		switch {
		case !envName.MatchString(name):
			v.fail("env", name, "is no name of an environment variable; use letters, digits and _, not starting with a digit")
		case strings.HasPrefix(name, reservedEnvPrefix):
			v.fail("env", name, "is set by the hub; choose a name that doesn't start with "+reservedEnvPrefix)
		}
	}

	if s.Expose != "" && !slices.Contains(Exposes(), s.Expose) {
		v.fail("expose", string(s.Expose), "is unknown; choose one of "+join(Exposes()))
	}
	v.host(s.Host)
	if s.Expose == ExposeNone && s.Host != "" {
		v.fail("host", s.Host, "is of no use with expose none; leave one of the two out")
	}
	v.subdomains(s)
	switch {
	case s.TLSSecret == TLSDefault:
	case s.TLSSecret != "" && s.Expose == ExposeRoute:
		v.fail("tlsSecret", s.TLSSecret, "is of no use with expose route, where the router's certificate is used; leave it out, or choose expose ingress")
	default:
		v.subdomain("tlsSecret", s.TLSSecret)
	}
	if s.Workload != "" && !slices.Contains(Workloads(), s.Workload) {
		v.fail("workload", string(s.Workload), "is unknown; choose one of "+join(Workloads()))
	}
	v.subdomain("pullSecret", s.PullSecret)
	v.subdomain("serviceAccount", s.ServiceAccount)

	for k, val := range s.Labels {
		v.label("labels", k, val)
		if strings.HasPrefix(k, "app.kubernetes.io/") || k == LabelApp || k == "component" || strings.HasPrefix(k, "hub.jupyter.org/") {
			v.fail("labels", k, "is set by workshopctl; choose another key")
		}
	}
	for k := range s.Annotations {
		if len(validation.IsQualifiedName(strings.ToLower(k))) > 0 {
			v.fail("annotations", k, "is no annotation key; write it like example.com/key")
		}
	}
	for k, val := range s.NodeSelector {
		v.label("nodeSelector", k, val)
	}
	if s.CABundle != "" {
		v.certificates("caBundle", s.CABundle)
	}
	return errors.Join(v.errs...)
}

// SplitHost parts a Spec's Host into the name and the port; port is "" where
// none is given.
func SplitHost(host string) (name, port string) {
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		return host[:i], host[i+1:]
	}
	return host, ""
}

// URL returns the address that browsers use, with a slash at its end, and ""
// where the workshop has none of its own (ExposeNone).
func (s Spec) URL() string {
	if s.Expose == ExposeNone || s.Host == "" {
		return ""
	}
	if s.Expose == ExposeRoute || s.TLSSecret != "" {
		return "https://" + s.Host + "/"
	}
	return "http://" + s.Host + "/"
}

type validator struct{ errs []error }

// subdomains checks the wildcard host, which the hub can have below its own
// only.
func (v *validator) subdomains(s Spec) {
	host, _ := SplitHost(s.Host)
	switch {
	case s.Subdomains == "":
	case s.Expose == ExposeRoute:
		v.fail("subdomains", s.Subdomains, "is of no use with expose route, which has one host; leave it out, or choose expose ingress and have an administrator allow the router wildcard hosts")
	case s.Expose == ExposeNone:
		v.fail("subdomains", s.Subdomains, "is of no use with expose none, which has no host; leave it out, or choose expose ingress")
	case host != "" && net.ParseIP(host) != nil:
		v.fail("subdomains", s.Subdomains, "needs a host with a name, which "+host+" isn't")
	case host != "" && s.Subdomains != "*."+host:
		v.fail("subdomains", s.Subdomains, fmt.Sprintf("is not what is under the host; write it %q", "*."+host))
	case !strings.HasPrefix(s.Subdomains, "*."):
		v.fail("subdomains", s.Subdomains, `is no wildcard host; write it like "*.workshop.example.com"`)
	}
}

func (v *validator) check(err error) {
	if err != nil {
		v.errs = append(v.errs, err)
	}
}

func (v *validator) fail(field, value, problem string) {
	v.errs = append(v.errs, &FieldError{Field: field, Value: value, Problem: problem})
}

func (v *validator) quantity(field, value string, zero bool) (q resource.Quantity, ok bool) {
	q, err := resource.ParseQuantity(value)
	switch {
	case err != nil:
		v.fail(field, value, `is no quantity; write it like "1Gi", "512Mi" or "500m"`)
		return q, false
	case q.Sign() < 0, q.IsZero() && !zero:
		v.fail(field, value, "must be more than 0")
		return q, false
	}
	return q, true
}

func (v *validator) resources(kind, request, limit string) {
	r, ok1 := v.quantity("resources."+kind+"Request", request, false)
	l, ok2 := v.quantity("resources."+kind+"Limit", limit, false)
	if ok1 && ok2 && r.Cmp(l) > 0 {
		v.fail("resources."+kind+"Request", request, "is more than resources."+kind+"Limit "+strconv.Quote(limit)+"; raise the limit or lower the request")
	}
}

func (v *validator) users(field string, names []string) {
	for _, n := range names {
		if problem := UserProblem(n); problem != "" {
			v.fail(field, n, problem)
		}
	}
}

// UserProblem says what is wrong with a user's name, as a clause; "" is nothing.
func UserProblem(name string) string {
	// JupyterHub's own rule is "not empty, no slash"; the list is handed
	// to the hub with commas between the names.
	if name == "" || name != strings.TrimSpace(name) || strings.ContainsAny(name, "/,\n\t") {
		return "is no name: names are not empty and hold no slash, comma or line break"
	}
	return ""
}

// GatewayPort is where the gateway listens in each session.
const GatewayPort = 10080

func (v *validator) ports(ports map[string]int) {
	taken := map[int]string{}
	for _, name := range slices.Sorted(maps.Keys(ports)) {
		number := ports[name]
		written := fmt.Sprintf("%s=%d", name, number)
		switch {
		case len(validation.IsDNS1123Label(name)) > 0:
			v.fail("ports", name, `is no name of a web app, which becomes a part of its address: use lower-case letters, digits and "-"`)
		case number < 1 || number > 65535:
			v.fail("ports", written, "has no port between 1 and 65535")
		case number == GatewayPort:
			v.fail("ports", written, "is the port of the terminal itself; have the app listen on another")
		case taken[number] != "":
			v.fail("ports", written, "has the same port as "+taken[number]+"; leave one of the two out")
		}
		taken[number] = name
	}
}

func (v *validator) notes(s Spec) {
	if s.NotesPath != "" {
		clean := path.Clean(s.NotesPath)
		top, _, _ := strings.Cut(strings.TrimPrefix(clean, "/"), "/")
		switch {
		case !path.IsAbs(s.NotesPath):
			v.fail("notesPath", s.NotesPath, "must start with a slash: it is a directory of the terminal image")
		case slices.Contains([]string{"", "proc", "sys", "dev"}, top):
			v.fail("notesPath", s.NotesPath, "is no place for notes; put them in a directory of their own, like /opt/workshop/notes")
		case s.NotesURL != "":
			v.fail("notesPath", s.NotesPath, "has no place beside notesURL; leave one of the two out")
		}
	}
	if s.NotesURL != "" {
		u, err := url.Parse(s.NotesURL)
		switch {
		case strings.HasPrefix(s.NotesURL, "/"):
			v.fail("notesURL", s.NotesURL, "is no address of a page; a directory of the terminal image goes into notesPath")
		case err != nil || origin(u) == "" || u.User != nil:
			v.fail("notesURL", s.NotesURL, "is no address of a page; write it like https://notes.example.com/start.html")
		default:
			v.notesSite(s, "notesURL", s.NotesURL, u)
		}
	}
	for _, o := range s.NotesOrigins {
		u, err := url.Parse(o)
		if err != nil || origin(u) == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
			v.fail("notesOrigins", o, "is no origin; write scheme and host, like https://notes.example.com")
			continue
		}
		v.notesSite(s, "notesOrigins", o, u)
	}
	if len(s.NotesOrigins) > 0 && s.NotesURL == "" {
		v.fail("notesOrigins", strings.Join(s.NotesOrigins, ","), "is of use with notesURL only; leave it out, or name a page")
	}
}

// notesSite checks where notes come from: pages there can send commands.
func (v *validator) notesSite(s Spec, field, value string, u *url.URL) {
	host, _ := SplitHost(s.Host)
	own := host != "" && strings.EqualFold(u.Hostname(), host)
	below := s.Subdomains != "" && strings.HasSuffix(strings.ToLower(u.Hostname()), "."+strings.ToLower(host))
	switch {
	case own || below:
		v.fail(field, value, "is the workshop's own host, where attendees have their apps; put the notes on another one, or into the terminal image (notesPath)")
	case u.Scheme == "http" && strings.HasPrefix(s.URL(), "https:"):
		v.fail(field, value, "is plain HTTP, which browsers don't show in a page that came by HTTPS; use the https address")
	}
}

// origin is scheme and host of a web address; "" if it has none that a
// policy can name.
func origin(u *url.URL) string {
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.ContainsAny(u.Host, "'\"*,; \t\r\n") {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

var (
	claimName = regexp.MustCompile(`^[!-~]+$`)
	scopeName = regexp.MustCompile(`^[!#-\[\]-~]+$`) // RFC 6749
)

func (v *validator) oidc(s Spec) {
	o := s.OIDC
	if s.Auth != AuthOIDC {
		if o.IssuerURL != "" || o.ClientID != "" || o.ClientSecretName != "" {
			v.fail("oidc", "", "is of use with auth oidc only; leave it out, or choose that auth")
		}
		return
	}
	u, err := url.Parse(o.IssuerURL)
	switch {
	case o.IssuerURL == "":
		v.fail("oidc.issuerURL", "", "is not set; name the provider with --oidc-issuer")
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http":
		v.fail("oidc.issuerURL", o.IssuerURL, "is no issuer; write it like https://login.example.com/realms/class")
	case u.Scheme != "https":
		v.fail("oidc.issuerURL", o.IssuerURL, "is plain HTTP, over which anybody on the way could log in as anybody; use https")
	case strings.HasSuffix(u.Path, "/.well-known/openid-configuration"):
		v.fail("oidc.issuerURL", o.IssuerURL, "is that of the discovery document; leave /.well-known/openid-configuration out")
	}
	if o.ClientID == "" || strings.ContainsFunc(o.ClientID, func(r rune) bool { return r < ' ' || r > '~' }) {
		v.fail("oidc.clientID", o.ClientID, "must be the client ID that the provider has for the workshop; name it with --oidc-client-id")
	}
	v.subdomain("oidc.clientSecretName", o.ClientSecretName)
	for field, claim := range map[string]string{"oidc.usernameClaim": o.UsernameClaim, "oidc.groupsClaim": o.GroupsClaim} {
		if !claimName.MatchString(claim) {
			v.fail(field, claim, "is no name of a claim; write it like preferred_username")
		}
	}
	for _, scope := range o.Scopes {
		if !scopeName.MatchString(scope) {
			v.fail("oidc.scopes", scope, "is no scope; write it like profile")
		}
	}
	if !slices.Contains(o.Scopes, "openid") {
		v.fail("oidc.scopes", strings.Join(o.Scopes, ","), "lacks openid, without which the provider doesn't say who has logged in")
	}
}

func (v *validator) apiServer(address string) {
	if address == "" || address == APIServerNone {
		return
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(address, " \t\n") {
		v.fail("apiServer", address, `is no address of an API server; write it like "https://api.example.com:6443", or "none"`)
	}
}

func (v *validator) subdomain(field, value string) {
	if value != "" && len(validation.IsDNS1123Subdomain(value)) > 0 {
		v.fail(field, value, `is no name of a Kubernetes object: use lower-case letters, digits, "-" and "."`)
	}
}

func (v *validator) label(field, key, value string) {
	if len(validation.IsQualifiedName(key)) > 0 {
		v.fail(field, key, "is no label key; write it like example.com/key")
	}
	if len(validation.IsValidLabelValue(value)) > 0 {
		v.fail(field, key, fmt.Sprintf("has the value %q, which is no label value: at most 63 letters, digits, '-', '_' and '.'", value))
	}
}

func (v *validator) host(host string) {
	if host == "" {
		return
	}
	name, port := SplitHost(host)
	if strings.Contains(host, "://") || strings.Contains(host, "/") {
		v.fail("host", host, "must be a host name, without scheme and path")
		return
	}
	if len(validation.IsDNS1123Subdomain(name)) > 0 || net.ParseIP(name) != nil {
		v.fail("host", host, "is no host name: use lower-case letters, digits, \"-\" and \".\"")
	}
	for label := range strings.SplitSeq(name, ".") {
		if len(label) > validation.DNS1123LabelMaxLength {
			v.fail("host", host, fmt.Sprintf("has a part of %d characters; DNS allows %d: choose a shorter one with --host", len(label), validation.DNS1123LabelMaxLength))
		}
	}
	if p, err := strconv.Atoi(port); strings.Contains(host, ":") && (err != nil || p < 1 || p > 65535) {
		v.fail("host", host, "has no valid port after the colon")
	}
}

func (v *validator) certificates(field, bundle string) {
	rest, n := []byte(bundle), 0
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			v.fail(field, block.Type, "is a PEM block that doesn't belong there: only certificates do")
			return
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			v.fail(field, "", fmt.Sprintf("has an unreadable certificate (number %d): %v", n+1, err))
			return
		}
		n++
	}
	if n == 0 {
		v.fail(field, "", `holds no certificate: it must have "-----BEGIN CERTIFICATE-----" blocks`)
	}
}

func join[T ~string](values []T) string {
	s := make([]string, len(values))
	for i, v := range values {
		s[i] = string(v)
	}
	return strings.Join(s, ", ")
}
