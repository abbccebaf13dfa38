// SPDX-License-Identifier: Apache-2.0

package workshop_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/workshopctl/workshopctl/pkg/workshop"
)

var images = workshop.Images{Terminal: "registry.example.com/terminal:1", Gateway: "registry.example.com/gateway:1", Hub: "registry.example.com/hub:1", Proxy: "registry.example.com/proxy:1"}

func TestDefaultsAreValid(t *testing.T) {
	if err := (workshop.Spec{}).WithDefaults(images).Validate(); err != nil {
		t.Fatal(err)
	}
}

func TestValidateNamesFieldAndRemedy(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*workshop.Spec)
		want   string
	}{
		"double dash":      {func(s *workshop.Spec) { s.Name = "a--b" }, `name "a--b" contains "--"`},
		"capital":          {func(s *workshop.Spec) { s.Name = "Intro" }, `name "Intro" must be lower-case letters`},
		"long":             {func(s *workshop.Spec) { s.Name = strings.Repeat("a", 41) }, "has 41 characters; at most 40 are possible"},
		"no gateway":       {func(s *workshop.Spec) { s.GatewayImage = "" }, "gatewayImage is not set; name an image with --gateway-image"},
		"image with blank": {func(s *workshop.Spec) { s.TerminalImage = "my image" }, `terminalImage "my image" is no image name`},
		"registry's URL":   {func(s *workshop.Spec) { s.Registry = "https://r.example" }, `registry "https://r.example" is no registry; write it like registry.example.com/team`},
		"registry's host":  {func(s *workshop.Spec) { s.Registry = "team" }, `registry "team" is no registry`},
		"registry's path":  {func(s *workshop.Spec) { s.Registry = "r.example/Team" }, `registry "r.example/Team" is no registry`},
		"auth":             {func(s *workshop.Spec) { s.Auth = "ldap" }, `auth "ldap" is unknown; choose one of openshift, password, anonymous, oidc`},
		"anonymous admins": {func(s *workshop.Spec) { s.Auth, s.AdminUsers = "anonymous", []string{"a"} }, "knows no user names"},
		"user with comma":  {func(s *workshop.Spec) { s.AllowedUsers = []string{"a,b"} }, `allowedUsers "a,b" is no name`},
		"group":            {func(s *workshop.Spec) { s.Auth, s.AdminGroups = "openshift", []string{"a\n"} }, `adminGroups "a\n" is no name`},
		"groups":           {func(s *workshop.Spec) { s.AllowedGroups = []string{"class"} }, "knows no groups"},
		"nowhere to go":    {func(s *workshop.Spec) { s.Auth, s.Expose = "openshift", "none" }, `auth "openshift" needs an address`},
		"API server":       {func(s *workshop.Spec) { s.APIServer = "api.example.com:6443" }, `apiServer "api.example.com:6443" is no address`},
		"API server, http": {func(s *workshop.Spec) { s.APIServer = "http://api.example.com" }, "is no address"},
		"size":             {func(s *workshop.Spec) { s.Storage.Size = "1 GB" }, `storage.size "1 GB" is no quantity; write it like "1Gi"`},
		"negative size":    {func(s *workshop.Spec) { s.Storage.Size = "-1Gi" }, "must be more than 0"},
		"request > limit":  {func(s *workshop.Spec) { s.Resources.MemoryRequest = "1Gi" }, `is more than resources.memoryLimit "512Mi"`},
		"idle":             {func(s *workshop.Spec) { s.IdleTimeout = "2 hours" }, `idleTimeout "2 hours" is no duration; write it like "2h"`},
		"idle too short":   {func(s *workshop.Spec) { s.IdleTimeout = "5s" }, "use at least 1m30s, or 0 for never"},
		"age":              {func(s *workshop.Spec) { s.MaxAge = "all day" }, `maxAge "all day" is no duration; write it like "8h"`},
		"age too short":    {func(s *workshop.Spec) { s.MaxAge = "1m" }, "use at least 5m0s, or 0 for no end"},
		"age before idle":  {func(s *workshop.Spec) { s.MaxAge = "90m" }, `maxAge "90m" is less than idleTimeout "2h", which would never come into effect`},
		"negative limit":   {func(s *workshop.Spec) { s.Limit = -1 }, `limit "-1" is no number of sessions`},
		"name of a port":   {func(s *workshop.Spec) { s.Ports = map[string]int{"My_App": 80} }, `ports "My_App" is no name of a web app`},
		"port":             {func(s *workshop.Spec) { s.Ports = map[string]int{"web": 65536} }, `ports "web=65536" has no port between 1 and 65535`},
		"gateway's port":   {func(s *workshop.Spec) { s.Ports = map[string]int{"web": 10080} }, `ports "web=10080" is the port of the terminal itself`},
		"port taken":       {func(s *workshop.Spec) { s.Ports = map[string]int{"a": 80, "b": 80} }, `ports "b=80" has the same port as a`},
		"notes path":       {func(s *workshop.Spec) { s.NotesPath = "notes" }, `notesPath "notes" must start with a slash`},
		"notes in proc":    {func(s *workshop.Spec) { s.NotesPath = "/srv/../proc/1" }, `notesPath "/srv/../proc/1" is no place for notes`},
		"notes twice":      {func(s *workshop.Spec) { s.NotesPath, s.NotesURL = "/notes", "https://example.com" }, `notesPath "/notes" has no place beside notesURL`},
		"notes URL":        {func(s *workshop.Spec) { s.NotesURL = "javascript:alert(1)" }, `notesURL "javascript:alert(1)" is no address of a page`},
		"notes origin": {func(s *workshop.Spec) {
			s.NotesURL, s.NotesOrigins = "https://example.com", []string{"https://*.example.com"}
		}, `notesOrigins "https://*.example.com" is no origin`},
		"notes for nobody": {func(s *workshop.Spec) { s.NotesOrigins = []string{"https://example.com"} }, `notesOrigins "https://example.com" is of use with notesURL only`},
		"notes not secure": {func(s *workshop.Spec) {
			s.Host, s.TLSSecret, s.NotesURL = "w.example.com", "default", "http://example.com"
		}, `notesURL "http://example.com" is plain HTTP`},
		"upload limit":     {func(s *workshop.Spec) { s.UploadLimit = "100 MB" }, `uploadLimit "100 MB" is no quantity`},
		"env name":         {func(s *workshop.Spec) { s.Env = map[string]string{"1A": ""} }, `env "1A" is no name of an environment variable`},
		"env of the hub":   {func(s *workshop.Spec) { s.Env = map[string]string{"JUPYTERHUB_USER": ""} }, "is set by the hub"},
		"expose":           {func(s *workshop.Spec) { s.Expose = "nodeport" }, `expose "nodeport" is unknown; choose one of route, ingress, none`},
		"host with scheme": {func(s *workshop.Spec) { s.Host = "https://a.example.com" }, "without scheme and path"},
		"host's port":      {func(s *workshop.Spec) { s.Host = "a.example.com:http" }, "has no valid port"},
		"host's label":     {func(s *workshop.Spec) { s.Host = strings.Repeat("a", 64) + ".example.com" }, "has a part of 64 characters"},
		"host and none":    {func(s *workshop.Spec) { s.Expose, s.Host = "none", "a.example.com" }, "of no use with expose none"},
		"route's wildcard": {func(s *workshop.Spec) { s.Expose, s.Subdomains = "route", "*.x.example.com" }, `subdomains "*.x.example.com" is of no use with expose route`},
		"other wildcard": {func(s *workshop.Spec) {
			s.Expose, s.Host, s.Subdomains = "ingress", "x.example.com:8443", "*.example.com"
		}, `subdomains "*.example.com" is not what is under the host; write it "*.x.example.com"`},
		"no host's":      {func(s *workshop.Spec) { s.Expose, s.Subdomains = "none", "*.x.example.com" }, "is of no use with expose none"},
		"no wildcard":    {func(s *workshop.Spec) { s.Subdomains = "true" }, `subdomains "true" is no wildcard host`},
		"route's secret": {func(s *workshop.Spec) { s.Expose, s.TLSSecret = "route", "x" }, `tlsSecret "x" is of no use with expose route`},
		"workload":       {func(s *workshop.Spec) { s.Workload = "statefulset" }, `workload "statefulset" is unknown; choose one of deployment, deploymentconfig`},
		"reserved label": {func(s *workshop.Spec) { s.Labels = map[string]string{"app": "x"} }, "is set by workshopctl"},
		"label value":    {func(s *workshop.Spec) { s.Labels = map[string]string{"team": "a b"} }, "is no label value"},
		"CA bundle":      {func(s *workshop.Spec) { s.CABundle = "x" }, "holds no certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			s := workshop.Spec{}.WithDefaults(images)
			test.change(&s)
			err := s.Validate()
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}

func TestValidateReportsEveryFault(t *testing.T) {
	s := workshop.Spec{Auth: "ldap", IdleTimeout: "x"}.WithDefaults(images)
	if got := strings.Count(s.Validate().Error(), "\n") + 1; got != 2 {
		t.Errorf("%d errors, want 2: %v", got, s.Validate())
	}
}

func TestURL(t *testing.T) {
	for _, test := range []struct {
		spec workshop.Spec
		want string
	}{
		{workshop.Spec{Host: "a.example.com"}, "http://a.example.com/"},
		{workshop.Spec{Host: "a.example.com:8443", TLSSecret: "default"}, "https://a.example.com:8443/"},
		{workshop.Spec{Expose: workshop.ExposeRoute, Host: "a.example.com"}, "https://a.example.com/"},
		{workshop.Spec{Expose: workshop.ExposeRoute}, ""},
		{workshop.Spec{Expose: workshop.ExposeNone}, ""},
	} {
		if got := test.spec.URL(); got != test.want {
			t.Errorf("URL of %+v: %q, want %q", test.spec, got, test.want)
		}
	}
}

func TestParseFile(t *testing.T) {
	got, err := workshop.ParseFile([]byte(`
apiVersion: workshopctl.io/v1alpha1
kind: Workshop
name: intro
terminalImage: registry.example.com/intro:1
storage: {size: 2Gi}
env: {GREETING: hello}
tolerations: [{key: gpu, operator: Exists}]
`))
	if err != nil {
		t.Fatal(err)
	}
	want := workshop.Spec{Name: "intro", TerminalImage: "registry.example.com/intro:1", Storage: workshop.Storage{Size: "2Gi"},
		Env: map[string]string{"GREETING": "hello"}, Tolerations: []corev1.Toleration{{Key: "gpu", Operator: corev1.TolerationOpExists}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseFileErrors(t *testing.T) {
	for name, test := range map[string]struct{ file, want string }{
		"misspelt":         {"terminalimage: x", "terminalimage is not a field of a workshop; did you mean terminalImage?"},
		"misspelt below":   {"storage: {sise: 1Gi}", "storage.sise is not a field of a workshop; did you mean storage.size?"},
		"one level too up": {"memoryLimit: 1Gi", "did you mean resources.memoryLimit?"},
		"in a list":        {"tolerations: [{kee: x}]", "tolerations[0].kee is not a field of a workshop; did you mean tolerations[0].key?"},
		"nothing near":     {"replicas: 3", "replicas is not a field of a workshop\x00"},
		"twice":            {"name: a\nname: b", `key "name" already set`},
		"wrong type":       {"adminUsers: jane", "adminUsers is a string where a list belongs"},
		"unquoted number":  {"hubStorageSize: 0", "hubStorageSize is a number where a string belongs; put it in quotes"},
		"other version":    {"apiVersion: workshopctl.io/v9", "is not known to this version of workshopctl"},
		"other kind":       {"kind: Pod", "is not a workshop"},
		"no map":           {"- a", "not a workshop"},
		"no YAML":          {"a: [", "not valid YAML"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := workshop.ParseFile([]byte(test.file))
			if err == nil || !strings.Contains(err.Error()+"\x00", test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}

func FuzzParseFile(f *testing.F) {
	f.Add([]byte("name: intro\nstorage: {size: 1Gi}\nenv: {A: b}\n"))
	f.Add([]byte("tolerations: [{key: a}]\ncaBundle: |\n  x\n"))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, content []byte) {
		spec, err := workshop.ParseFile(content)
		if err != nil {
			return
		}
		out, err := workshop.FormatFile(spec)
		if err != nil {
			t.Fatal(err)
		}
		again, err := workshop.ParseFile(out)
		if err != nil {
			t.Fatalf("what FormatFile wrote is refused: %v\n%s", err, out)
		}
		formatted, err := workshop.FormatFile(again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(out), string(formatted)); diff != "" {
			t.Errorf("a round trip changed the Spec:\n%s", diff)
		}
	})
}
