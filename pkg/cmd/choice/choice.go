// SPDX-License-Identifier: Apache-2.0

// Package choice turns what a person says about a workshop (flags, a file,
// their own defaults) into its Spec.
package choice

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// setting is one thing that can be said about a workshop. The flag's name is
// also the key in the person's configuration file.
type setting struct {
	flag string
	// field of the Spec, as errors of workshop.Validate name it.
	field string
	usage string
	// values that can be completed.
	values []string
	// number is true for what is a whole number.
	number bool
	set    func(s *workshop.Spec, value string)
	// own is true for what is one workshop's alone, and so makes no sense as a
	// default for all of a person's workshops.
	own bool
}

func settings() []setting {
	text := func(field func(*workshop.Spec) *string) func(*workshop.Spec, string) {
		return func(s *workshop.Spec, v string) { *field(s) = v }
	}
	return []setting{
		{flag: FlagTerminalImage, field: "terminalImage", usage: "`IMAGE` that sessions run; a name without a slash is that of an image stream, if the project has one", set: func(s *workshop.Spec, v string) { s.SetImage(workshop.Image{Name: v}) }},
		{flag: FlagImageStream, field: "imageStream", usage: "Image stream tag, `[PROJECT/]NAME[:TAG]`, whose image sessions run (default openshift/cli where the cluster has it)", set: func(s *workshop.Spec, v string) { s.SetImage(workshop.Image{Stream: v}) }},
		{flag: "auth", field: "auth", usage: "How attendees log in: `openshift|password|anonymous|oidc` (default openshift, the cluster's own login, where it has one; else password)", values: words(workshop.Auths()), set: setAuth},
		{flag: "oidc-issuer", field: "oidc.issuerURL", usage: "`URL` of the OpenID Connect provider for --auth oidc, as its discovery document has it", own: true, set: text(func(s *workshop.Spec) *string { return &s.OIDC.IssuerURL })},
		{flag: "oidc-client-id", field: "oidc.clientID", usage: "`ID` of the client that the provider has for the workshop", own: true, set: text(func(s *workshop.Spec) *string { return &s.OIDC.ClientID })},
		{flag: flagOIDCSecret, field: "oidc.clientSecretName", usage: "`SECRET` with the client's secret under the key " + workshop.OIDCSecretKey + ", in place of --" + flagOIDCFile, own: true, set: text(func(s *workshop.Spec) *string { return &s.OIDC.ClientSecretName })},
		{flag: "oidc-username-claim", field: "oidc.usernameClaim", usage: "`CLAIM` with the user's name (default " + workshop.DefaultUsernameClaim + ")", own: true, set: text(func(s *workshop.Spec) *string { return &s.OIDC.UsernameClaim })},
		{flag: "oidc-groups-claim", field: "oidc.groupsClaim", usage: "`CLAIM` with the user's groups; dots lead into a claim, as in realm_access.roles (default " + workshop.DefaultGroupsClaim + ")", own: true, set: text(func(s *workshop.Spec) *string { return &s.OIDC.GroupsClaim })},
		{flag: "oidc-scopes", field: "oidc.scopes", usage: "What to ask the provider for, `SCOPE,SCOPE…` (default openid,profile)", own: true, set: func(s *workshop.Spec, v string) { s.OIDC.Scopes = list(v) }},
		{flag: "admin-users", field: "adminUsers", usage: "Who may use the hub's admin page, `NAME,NAME…`", set: func(s *workshop.Spec, v string) { s.AdminUsers = list(v) }},
		{flag: "admin-groups", field: "adminGroups", usage: "Which groups of the cluster's users, or of the provider's, may use it, `GROUP,GROUP…`", set: func(s *workshop.Spec, v string) { s.AdminGroups = list(v) }},
		{flag: "allowed-users", field: "allowedUsers", usage: "Who may log in, `NAME,NAME…` (default everybody)", set: func(s *workshop.Spec, v string) { s.AllowedUsers = list(v) }},
		{flag: "allowed-groups", field: "allowedGroups", usage: "Which groups of the cluster's users, or of the provider's, may log in, `GROUP,GROUP…` (default everybody)", set: func(s *workshop.Spec, v string) { s.AllowedGroups = list(v) }},
		{flag: "api-server", field: "apiServer", usage: "`URL` of the cluster that a kubeconfig in each session names, or \"none\" (default " + workshop.InClusterAPIServer + " where attendees can `oc login`)", set: text(func(s *workshop.Spec) *string { return &s.APIServer })},

		{flag: "storage-size", field: "storage.size", usage: "`SIZE` of each attendee's volume; 0 for none (default " + workshop.DefaultStorageSize + ")", set: text(func(s *workshop.Spec) *string { return &s.Storage.Size })},
		{flag: "storage-class", field: "storage.className", usage: "Storage class, `CLASS`, of the volumes (default the cluster's)", set: text(func(s *workshop.Spec) *string { return &s.Storage.ClassName })},
		{flag: "hub-storage-size", field: "hubStorageSize", usage: "`SIZE` of the volume with the hub's database; 0 for none: a restart of the hub then ends the sessions (default " + workshop.DefaultHubStorageSize + ")", set: text(func(s *workshop.Spec) *string { return &s.HubStorageSize })},
		{flag: "memory-request", field: "resources.memoryRequest", usage: "`MEMORY` that each session is sure of (default " + workshop.DefaultMemoryRequest + ")", set: text(func(s *workshop.Spec) *string { return &s.Resources.MemoryRequest })},
		{flag: "memory-limit", field: "resources.memoryLimit", usage: "`MEMORY` that each session may use (default " + workshop.DefaultMemoryLimit + ")", set: text(func(s *workshop.Spec) *string { return &s.Resources.MemoryLimit })},
		{flag: "cpu-request", field: "resources.cpuRequest", usage: "`CPU` that each session is sure of (default " + workshop.DefaultCPURequest + ")", set: text(func(s *workshop.Spec) *string { return &s.Resources.CPURequest })},
		{flag: "cpu-limit", field: "resources.cpuLimit", usage: "`CPU` that each session may use (default " + workshop.DefaultCPULimit + ")", set: text(func(s *workshop.Spec) *string { return &s.Resources.CPULimit })},
		{flag: "idle-timeout", field: "idleTimeout", usage: "`TIME` after which an idle session is stopped, its volume stays; 0 for never (default " + string(workshop.DefaultIdleTimeout) + ")", set: func(s *workshop.Spec, v string) { s.IdleTimeout = workshop.Duration(v) }},
		{flag: "max-age", field: "maxAge", usage: "`TIME` after which a session is stopped, used or not, its volume stays; 0 for never (default never)", set: func(s *workshop.Spec, v string) { s.MaxAge = workshop.Duration(v) }},
		{flag: "limit", field: "limit", usage: "`NUMBER` of sessions that there may be at once; 0 for any (default any)", own: true, number: true, set: func(s *workshop.Spec, v string) { s.Limit, _ = strconv.Atoi(v) }},
		{flag: flagNotesPath, field: "notesPath", usage: "`DIR` of the terminal image with notes, static HTML, that are shown beside the terminal", own: true, set: setNotesPath},
		{flag: flagNotesURL, field: "notesURL", usage: "`URL` of notes elsewhere that are shown beside the terminal", own: true, set: setNotesURL},
		{flag: "upload-limit", field: "uploadLimit", usage: "`SIZE` of the largest file that attendees can upload; 0 switches uploads off (default " + workshop.DefaultUploadLimit + ")", set: text(func(s *workshop.Spec) *string { return &s.UploadLimit })},

		{flag: "expose", field: "expose", usage: "How browsers reach the workshop: `route|ingress|none` (default the best that the cluster has)", values: words(workshop.Exposes()), set: setExpose},
		{flag: flagHost, field: "host", usage: "`NAME[:PORT]` that browsers use (default of a route what the cluster assigns, of an ingress NAME-NAMESPACE.DOMAIN if your configuration has a domain)", own: true, set: setHost},
		{flag: flagTLSSecret, field: "tlsSecret", usage: "`SECRET` with the host's certificate, or \"default\" for the ingress controller's own (default plain HTTP)", set: text(func(s *workshop.Spec) *string { return &s.TLSSecret })},
		{flag: flagSubdomains, field: "subdomains", usage: "Wildcard host, `*.NAME` of the host, that gives each session a host of its own; needs wildcard DNS and a certificate for it (default one host for all)", own: true, set: text(func(s *workshop.Spec) *string { return &s.Subdomains })},
		{flag: "pull-secret", field: "pullSecret", usage: "`SECRET` to pull the images with", set: text(func(s *workshop.Spec) *string { return &s.PullSecret })},
		{flag: "service-account", field: "serviceAccount", usage: "Existing service account, `NAME`, that runs the hub; `render --admin` prints it for an administrator (default one of the workshop's own)", set: text(func(s *workshop.Spec) *string { return &s.ServiceAccount })},

		{flag: "workload", field: "workload", usage: "What runs hub and proxy: `deployment|deploymentconfig` (default deployment); can't be changed later", values: words(workshop.Workloads()), set: func(s *workshop.Spec, v string) { s.Workload = workshop.Workload(v) }},

		{flag: "registry", field: "registry", usage: "`REGISTRY` that has copies of the release's images, see \"mirror load\" (default where they are published)", set: text(func(s *workshop.Spec) *string { return &s.Registry })},
		{flag: "hub-image", field: "hubImage", usage: "`IMAGE` of the hub", set: text(func(s *workshop.Spec) *string { return &s.HubImage })},
		{flag: "proxy-image", field: "proxyImage", usage: "`IMAGE` of the proxy", set: text(func(s *workshop.Spec) *string { return &s.ProxyImage })},
		{flag: "gateway-image", field: "gatewayImage", usage: "`IMAGE` with workshop-terminal", set: text(func(s *workshop.Spec) *string { return &s.GatewayImage })},
	}
}

// setAuth drops the provider with the login that it was for.
func setAuth(s *workshop.Spec, v string) {
	if s.Auth = workshop.Auth(v); s.Auth != workshop.AuthOIDC {
		s.OIDC = workshop.OIDC{}
	}
}

// setExpose drops the host and the certificate with the way in that they were
// for.
func setExpose(s *workshop.Spec, v string) {
	s.Expose = workshop.Expose(v)
	if s.Expose == workshop.ExposeNone {
		setHost(s, "")
		s.TLSSecret, s.Subdomains = "", ""
	}
	if s.Expose == workshop.ExposeRoute {
		s.TLSSecret, s.Subdomains = "", ""
	} else if s.HostAssigned {
		setHost(s, "")
	}
}

// setNotesPath and setNotesURL replace the other one: notes have one place.
func setNotesPath(s *workshop.Spec, v string) {
	s.NotesPath = v
	if v != "" {
		s.NotesURL, s.NotesOrigins = "", nil
	}
}

func setNotesURL(s *workshop.Spec, v string) {
	if s.NotesURL = v; v != "" {
		s.NotesPath = ""
	} else {
		s.NotesOrigins = nil
	}
}

func setHost(s *workshop.Spec, v string) { s.Host, s.HostAssigned = v, false }

// The flags that name the image of new sessions, of which only one can.
const (
	FlagTerminalImage = "terminal-image"
	FlagImageStream   = "image-stream"
)

const (
	flagEnv        = "env"
	flagPort       = "port"
	flagNotesPath  = "notes-path"
	flagNotesURL   = "notes-url"
	flagNotesFrom  = "notes-origin"
	flagHost       = "host"
	flagSubdomains = "subdomains"
	flagTLSSecret  = "tls-secret"
	flagOIDCSecret = "oidc-secret"             // #nosec G101 -- a flag's name
	flagOIDCFile   = "oidc-client-secret-file" // #nosec G101 -- a flag's name
)

// Flags are the flags of a command that describe a workshop.
type Flags struct {
	file   string
	values map[string]*string
	env    []string
	ports  []string
	from   []string
	secret string
}

// AddTo gives a command the flags.
func (f *Flags) AddTo(cmd *cobra.Command) { f.add(cmd, func(string) bool { return true }) }

// AddImagesTo gives a command only those of the flags that name images.
func (f *Flags) AddImagesTo(cmd *cobra.Command) {
	f.add(cmd, func(flag string) bool { return strings.HasSuffix(flag, "-image") })
}

func (f *Flags) add(cmd *cobra.Command, wanted func(flag string) bool) {
	flags := cmd.Flags()
	f.values = map[string]*string{}
	for _, s := range settings() {
		if !wanted(s.flag) {
			continue
		}
		f.values[s.flag] = flags.String(s.flag, "", s.usage)
		complete := cobra.NoFileCompletions
		if len(s.values) > 0 {
			complete = cobra.FixedCompletions(s.values, cobra.ShellCompDirectiveNoFileComp)
		}
		_ = cmd.RegisterFlagCompletionFunc(s.flag, complete)
		if s.flag == flagOIDCSecret {
			flags.StringVar(&f.secret, flagOIDCFile, "", "`FILE` with the client's secret, which is kept in the workshop's own Secret; \"-\" reads stdin")
		}
		if s.flag == "idle-timeout" {
			flags.StringArrayVar(&f.env, flagEnv, nil, "`NAME=VALUE` in the environment of each session, or NAME- to remove one; may be repeated")
			_ = cmd.RegisterFlagCompletionFunc(flagEnv, cobra.NoFileCompletions)
			flags.StringArrayVar(&f.ports, flagPort, nil, "Web app of attendees, `NAME=PORT`: …/user/USER/proxy/NAME/ leads to that port of the session; NAME- removes one; may be repeated")
			_ = cmd.RegisterFlagCompletionFunc(flagPort, cobra.NoFileCompletions)
			flags.StringArrayVar(&f.from, flagNotesFrom, nil, "Another `ORIGIN`, like https://notes.example.com, whose pages may be shown as notes and send commands to the terminal; \"\" for none; may be repeated")
			_ = cmd.RegisterFlagCompletionFunc(flagNotesFrom, cobra.NoFileCompletions)
		}
	}
	flags.StringVarP(&f.file, "filename", "f", "", "Workshop `FILE` that says all about the workshop; \"-\" reads stdin")
}

// Change is what a person wants of a workshop.
type Change struct {
	// Replace is the Spec of a workshop file, and replaces the one there is.
	Replace *workshop.Spec
	// Values of flags by name, only those that were given.
	Values map[string]string
	// Env that flags set, and remove.
	Env       map[string]string
	RemoveEnv []string
	// Ports that flags set, and remove.
	Ports       map[string]int
	RemovePorts []string
	// NotesOrigins replace those there are, if they are not nil.
	NotesOrigins []string
	// ClientSecret of the OpenID Connect provider, which is no part of a Spec.
	ClientSecret []byte
}

// ToChange collects what the flags say, and reads the file that they name.
func (f *Flags) ToChange(flags *pflag.FlagSet, stdin io.Reader) (Change, error) {
	c := Change{Values: map[string]string{}, Env: map[string]string{}}
	for _, s := range settings() {
		if f.values[s.flag] == nil || !flags.Changed(s.flag) {
			continue
		}
		value := *f.values[s.flag]
		if len(s.values) > 0 && !slices.Contains(s.values, value) { // before a cluster is asked
			return c, fault.Usage("--%s %q is unknown; choose one of %s", s.flag, value, strings.Join(s.values, ", "))
		}
		if _, err := strconv.Atoi(value); s.number && err != nil {
			return c, fault.Usage("--%s %q is no whole number", s.flag, value)
		}
		c.Values[s.flag] = value
	}
	for _, e := range f.env {
		name, value, ok := strings.Cut(e, "=")
		switch {
		case ok:
			c.Env[name] = value
		case strings.HasSuffix(e, "-"):
			c.RemoveEnv = append(c.RemoveEnv, strings.TrimSuffix(e, "-"))
		default:
			return c, fault.Usage("--env %s: write NAME=VALUE to set a variable, or NAME- to remove one", e)
		}
	}
	if err := f.toPorts(&c); err != nil {
		return c, err
	}
	if flags.Changed(flagNotesFrom) {
		c.NotesOrigins = list(strings.Join(f.from, ","))
		if c.NotesOrigins == nil {
			c.NotesOrigins = []string{}
		}
	}
	if c.Values[flagNotesPath] != "" && c.Values[flagNotesURL] != "" {
		return c, fault.Usage("--%s and --%s both say where the notes are; leave one of them out", flagNotesPath, flagNotesURL)
	}
	if c.Values[FlagTerminalImage] != "" && c.Values[FlagImageStream] != "" {
		return c, fault.Usage("--%s and --%s both say which image sessions run; leave one of them out", FlagTerminalImage, FlagImageStream)
	}
	if f.secret != "" {
		if err := f.toClientSecret(&c, stdin); err != nil {
			return c, err
		}
	}
	if flags.Changed("filename") {
		spec, err := readFile(f.file, stdin)
		if err != nil {
			return c, err
		}
		c.Replace = &spec
	}
	return c, nil
}

// toClientSecret reads the client's secret, of which nobody needs more than a line.
func (f *Flags) toClientSecret(c *Change, stdin io.Reader) (err error) {
	if f.values[flagOIDCSecret] != nil && *f.values[flagOIDCSecret] != "" {
		return fault.Usage("--%s and --%s both say where the client's secret is; leave one of them out", flagOIDCSecret, flagOIDCFile)
	}
	if f.secret == "-" && f.file == "-" {
		return fault.Usage("--%s - and -f - can't both read stdin", flagOIDCFile)
	}
	var content []byte
	if f.secret == "-" {
		content, err = io.ReadAll(io.LimitReader(stdin, 1<<16))
	} else {
		content, err = os.ReadFile(f.secret)
	}
	if err != nil {
		return fault.Usage("read the client's secret: %w", err)
	}
	content = bytes.TrimSpace(content)
	if len(content) == 0 || bytes.ContainsAny(content, "\r\n\x00") {
		return fault.Usage("--%s: the client's secret is one line", flagOIDCFile)
	}
	c.ClientSecret = content
	return nil
}

// toPorts reads the flags for web apps.
func (f *Flags) toPorts(c *Change) error {
	for _, p := range f.ports {
		name, value, ok := strings.Cut(p, "=")
		if !ok && strings.HasSuffix(p, "-") {
			c.RemovePorts = append(c.RemovePorts, strings.TrimSuffix(p, "-"))
			continue
		}
		number, err := strconv.Atoi(value)
		if !ok || err != nil || name == "" {
			return fault.Usage("--%s %s: write NAME=PORT, like web=8080, or NAME- to remove one", flagPort, p)
		}
		if _, twice := c.Ports[name]; twice {
			return fault.Usage("--%s %s: %s is there twice; give each app a name of its own", flagPort, p, name)
		}
		if c.Ports == nil {
			c.Ports = map[string]int{}
		}
		c.Ports[name] = number
	}
	return nil
}

func readFile(name string, stdin io.Reader) (workshop.Spec, error) {
	var content []byte
	var err error
	if name == "-" {
		name = "stdin"
		content, err = io.ReadAll(stdin)
	} else {
		content, err = os.ReadFile(name)
	}
	if err != nil {
		return workshop.Spec{}, fault.Usage("read the workshop file: %w", err)
	}
	spec, err := workshop.ParseFile(content)
	if err != nil {
		return workshop.Spec{}, fault.Usage("%s: %w", name, err)
	}
	return spec, nil
}

// NamesTerminalImage says whether the person named the image of new sessions.
func (c Change) NamesTerminalImage() bool {
	return c.Values[FlagTerminalImage] != "" || c.Values[FlagImageStream] != "" || c.Replace != nil && c.Replace.Image() != workshop.Image{}
}

// NamesTLSSecret says whether the person named the certificate of the host.
func (c Change) NamesTLSSecret() bool {
	return c.Values[flagTLSSecret] != "" || c.Replace != nil && c.Replace.TLSSecret != ""
}

// NamesHost says whether the person named the host.
func (c Change) NamesHost() bool {
	return c.Values[flagHost] != "" || c.Replace != nil && c.Replace.Host != "" && !c.Replace.HostAssigned
}

// Apply makes the change to the Spec of a deployed workshop, or to the defaults
// of one that is to be deployed first. A file replaces all of a deployed Spec
// but what has no default, or can't be changed: the images, the way in and the
// kind of workload stay where the file leaves them out. Flags beside a file have the last word.
func (c Change) Apply(s workshop.Spec, deployed bool) (workshop.Spec, error) {
	if c.Replace != nil {
		if deployed {
			s = withoutDefaults(s, c.Replace.Host != "")
		}
		var err error
		if s, err = overlay(s, *c.Replace); err != nil {
			return s, err
		}
	}
	for _, setting := range settings() {
		if v, ok := c.Values[setting.flag]; ok {
			setting.set(&s, v)
		}
	}
	if len(c.Env)+len(c.RemoveEnv) > 0 {
		env := maps.Clone(s.Env)
		if env == nil {
			env = map[string]string{}
		}
		for _, name := range c.RemoveEnv {
			delete(env, name)
		}
		maps.Copy(env, c.Env)
		s.Env = env
	}
	if len(c.Ports)+len(c.RemovePorts) > 0 {
		ports := maps.Clone(s.Ports)
		if ports == nil {
			ports = map[string]int{}
		}
		for _, name := range c.RemovePorts {
			delete(ports, name)
		}
		maps.Copy(ports, c.Ports)
		s.Ports = ports
	}
	if c.NotesOrigins != nil {
		s.NotesOrigins = c.NotesOrigins
	}
	return s, nil
}

// withoutDefaults is what a file that doesn't mention them leaves as it is.
func withoutDefaults(s workshop.Spec, newHost bool) workshop.Spec {
	kept := workshop.Spec{Name: s.Name, TerminalImage: s.TerminalImage, ImageStream: s.ImageStream, GatewayImage: s.GatewayImage, Registry: s.Registry, Expose: s.Expose, Workload: s.Workload}
	if !newHost {
		kept.Host, kept.HostAssigned, kept.TLSSecret, kept.Subdomains = s.Host, s.HostAssigned, s.TLSSecret, s.Subdomains
	}
	return kept
}

// overlay puts the fields that a file sets over those of base.
func overlay(base, file workshop.Spec) (workshop.Spec, error) {
	if file.Expose != "" {
		setExpose(&base, string(file.Expose))
	}
	if file.Host != "" {
		setHost(&base, file.Host)
	}
	if (file.Image() != workshop.Image{}) {
		base.SetImage(workshop.Image{})
	}
	data, err := json.Marshal(file)
	if err != nil {
		return base, err
	}
	return base, json.Unmarshal(data, &base)
}

// Explain names the flags instead of the fields where an error of
// workshop.Validate is about what a flag said.
func (c Change) Explain(err error) error {
	flags := map[string]string{}
	for _, s := range settings() {
		if _, ok := c.Values[s.flag]; ok {
			flags[s.field] = "--" + s.flag
		}
	}
	if len(c.Env) > 0 {
		flags["env"] = "--" + flagEnv
	}
	if len(c.Ports) > 0 {
		flags["ports"] = "--" + flagPort
	}
	if len(c.NotesOrigins) > 0 {
		flags["notesOrigins"] = "--" + flagNotesFrom
	}
	var all interface{ Unwrap() []error }
	if !errors.As(err, &all) {
		return err
	}
	var errs []error
	for _, e := range all.Unwrap() {
		var field *workshop.FieldError
		if errors.As(e, &field) && flags[field.Field] != "" {
			e = &workshop.FieldError{Field: flags[field.Field], Value: field.Value, Problem: field.Problem}
		}
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}

func list(v string) []string {
	var names []string
	for name := range strings.SplitSeq(v, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return names
}

func words[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}
