// SPDX-License-Identifier: Apache-2.0

package render_test

import (
	"bytes"
	stdcmp "cmp"
	"encoding/json"
	"flag"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	openshiftappsv1 "github.com/openshift/api/apps/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/workshopctl/workshopctl/pkg/capability"
	"github.com/workshopctl/workshopctl/pkg/render"
	"github.com/workshopctl/workshopctl/pkg/workshop"
	"github.com/workshopctl/workshopctl/templates"
)

var update = flag.Bool("update", false, "write the golden files anew")

// input of a plain cluster, with "random" secrets that are the same each time.
func input(change func(*workshop.Spec)) render.Input {
	spec := workshop.Spec{TerminalImage: "registry.example.com/team/terminal:1"}
	if change != nil {
		change(&spec)
	}
	return render.Input{
		Spec: spec.WithDefaults(workshop.Images{
			Gateway: "registry.example.com/team/gateway:1",
			Hub:     "registry.example.com/team/hub:1",
			Proxy:   "registry.example.com/team/proxy:1",
		}),
		Namespace:    "training",
		Version:      "v0.1.0",
		Capabilities: capability.Set{Ingress: true},
		Random:       rand.NewChaCha8([32]byte{}),
	}
}

func ingress(s *workshop.Spec) {
	s.Expose, s.Host = workshop.ExposeIngress, "terminals-training.apps.example.com"
}

// Certificate of a CA that was made for this test and whose key is gone.
func certificate(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile("testdata/ca.crt")
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func cases(t *testing.T) map[string]render.Input {
	all := map[string]render.Input{
		"defaults":    input(ingress),
		"expose-none": input(func(s *workshop.Spec) { s.Expose = workshop.ExposeNone }),
		"storage-0": input(func(s *workshop.Spec) {
			s.Expose, s.Storage.Size, s.HubStorageSize, s.IdleTimeout = workshop.ExposeNone, "0Gi", "0", "0"
		}),
		"tls-default": input(func(s *workshop.Spec) {
			s.Expose, s.Host, s.TLSSecret = workshop.ExposeIngress, "terminals.demo.localhost:8443", workshop.TLSDefault
		}),
		"subdomains": input(func(s *workshop.Spec) {
			s.Expose, s.Host, s.TLSSecret, s.Subdomains = workshop.ExposeIngress, "workshop.example.com:8443", "workshop-tls", "*.workshop.example.com"
		}),
		"tls-secret": input(func(s *workshop.Spec) { ingress(s); s.TLSSecret = "workshop-tls" }),
		"anonymous": input(func(s *workshop.Spec) {
			s.Expose, s.Auth = workshop.ExposeNone, workshop.AuthAnonymous
		}),
		"everything": input(func(s *workshop.Spec) {
			ingress(s)
			s.Name = "kubernetes-basics"
			s.AdminUsers, s.AllowedUsers = []string{"trainer", "Jane.Doe@example.com"}, []string{"user1", "$(HOME)"}
			s.Storage = workshop.Storage{Size: "2Gi", ClassName: "fast"}
			s.HubStorageSize = "500Mi"
			s.Resources = workshop.Resources{MemoryRequest: "256Mi", MemoryLimit: "1Gi", CPURequest: "100m", CPULimit: "2"}
			s.Ports, s.NotesPath = map[string]int{"web": 8080, "docs": 9090}, "/opt/workshop/notes"
			s.IdleTimeout, s.UploadLimit = "90s", "0"
			s.MaxAge, s.Limit = "8h", 40
			s.Env = map[string]string{"GREETING": `{"dollars": "$(HOME) $$ ${HOME}"}`, "EMPTY": ""}
			s.TLSSecret, s.PullSecret = workshop.TLSDefault, "registry-login"
			s.Labels = map[string]string{"example.com/course": "basics"}
			s.Annotations = map[string]string{"example.com/note": "by {trainer}"}
			s.NodeSelector = map[string]string{"pool": "training"}
			s.Tolerations = []corev1.Toleration{{Key: "training", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}}
			s.Proxy = workshop.Proxy{HTTPProxy: "http://proxy.example.com:3128", HTTPSProxy: "http://proxy.example.com:3128", NoProxy: ".example.com"}
			s.CABundle = certificate(t)
			s.APIServer = "https://api.example.com:6443"
		}),
	}
	openshift := input(func(s *workshop.Spec) {
		s.Auth, s.Expose, s.Host = workshop.AuthOpenShift, workshop.ExposeRoute, "terminals-training.apps.example.com:8443"
		s.AdminUsers, s.AdminGroups, s.AllowedGroups = []string{"Jane"}, []string{"trainers"}, []string{"class", "$(HOME)"}
	})
	openshift.Capabilities.OAuth, openshift.Capabilities.SecurityContext = true, true
	all["openshift-login"] = openshift
	all["oidc-login"] = input(func(s *workshop.Spec) {
		ingress(s)
		s.TLSSecret, s.Auth, s.AllowedGroups = "workshop-tls", workshop.AuthOIDC, []string{"class"}
		s.OIDC = workshop.OIDC{IssuerURL: "https://login.example.com/realms/$(class)", ClientID: "workshop", ClientSecretName: "login-client", Scopes: []string{"openid", "email"}, UsernameClaim: "email"}
	})
	scc := input(ingress)
	scc.Capabilities.SecurityContext = true
	all["security-context-constraints"] = scc
	stream := input(ingress)
	stream.Capabilities.Image = true
	stream.Spec.SetImage(workshop.Image{Stream: "openshift/cli:latest"})
	all["image-stream"] = stream
	route := input(func(s *workshop.Spec) {
		s.Expose, s.Host, s.HostAssigned = workshop.ExposeRoute, "terminals-training.apps.example.com", true
	})
	route.Capabilities = capability.Set{Ingress: true, Route: true, SecurityContext: true}
	all["route"] = route
	later := unassigned(route)
	later.Random = rand.NewChaCha8([32]byte{})
	all["route-unassigned"] = later
	routeHost := input(func(s *workshop.Spec) {
		s.Expose, s.Host = workshop.ExposeRoute, "workshop.example.com:8443"
		s.Workload = workshop.WorkloadDeploymentConfig
		s.PullSecret = "registry-login"
		s.Labels = map[string]string{"example.com/course": "basics"}
	})
	routeHost.Capabilities = capability.Set{Ingress: true, Route: true, SecurityContext: true, DeploymentConfig: true}
	all["deploymentconfig"] = routeHost
	all["service-account"] = input(func(s *workshop.Spec) { ingress(s); s.ServiceAccount = "prepared" })
	gitops := input(ingress)
	gitops.ExistingSecret = "sealed"
	all["existing-secret"] = gitops
	return all
}

func TestObjects(t *testing.T) {
	for name, in := range cases(t) {
		t.Run(name, func(t *testing.T) {
			if err := in.Spec.Validate(); err != nil {
				t.Fatal(err)
			}
			got := format(t, objects(t, in))
			file := filepath.Join("testdata", name+".yaml")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("differs from %s; if that is right: go test ./pkg/render -update\n%s", file, diff)
			}
		})
	}
}

// What an administrator prepares is what the workshop would make itself, under
// the name that was chosen, and nothing that workshopctl would take for its own.
func TestAccount(t *testing.T) {
	for _, account := range []string{"", "prepared"} {
		in := input(ingress)
		in.Spec.ServiceAccount = account
		got, err := render.Account(in)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", "account", stdcmp.Or(account, "own")+".yaml")
		if *update {
			if err := os.WriteFile(file, format(t, got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(format(t, got))); diff != "" {
			t.Errorf("differs from %s; if that is right: go test ./pkg/render -update\n%s", file, diff)
		}
		in.Spec.ServiceAccount = stdcmp.Or(account, "terminals-hub")
		for _, o := range objects(t, in) {
			if slices.Contains([]string{"ServiceAccount", "Role", "RoleBinding"}, o.GetKind()) {
				t.Errorf("with --service-account there still is a %s", o.GetKind())
			}
		}
	}
}

func objects(t *testing.T, in render.Input) []*unstructured.Unstructured {
	t.Helper()
	all, err := render.Objects(in)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// format writes objects as YAML documents. The hub's files, which are
// the same in all of them, are left out.
func format(t *testing.T, all []*unstructured.Unstructured) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, o := range all {
		o := o.DeepCopy()
		if o.GetKind() == "ConfigMap" {
			for _, code := range append([]string{"jupyterhub_config.py", "page.html"}, slices.Collect(maps.Keys(templates.Logins()))...) {
				if err := unstructured.SetNestedField(o.Object, "…", "data", code); err != nil {
					t.Fatal(err)
				}
			}
		}
		content, err := yaml.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString("---\n")
		out.Write(content)
	}
	// The checksums change with each letter of jupyterhub_config.py.
	return checksumLine.ReplaceAll(out.Bytes(), []byte("${1}…"))
}

var checksumLine = regexp.MustCompile(`(` + regexp.QuoteMeta(render.ChecksumAnnotation) + `: )[0-9a-f]{32}`)

// Each kind of login is a file that the hub finds by its name.
func TestLoginFiles(t *testing.T) {
	var files, want []string
	for file := range templates.Logins() {
		if strings.HasPrefix(file, "login_") {
			files = append(files, file)
		}
	}
	for _, auth := range workshop.Auths() {
		want = append(want, "login_"+string(auth)+".py")
	}
	slices.Sort(files)
	slices.Sort(want)
	if diff := cmp.Diff(want, files); diff != "" {
		t.Errorf("workshop.Auths and templates/login_*.py differ:\n%s", diff)
	}
}

func TestSameInputSameBytes(t *testing.T) {
	for name := range cases(t) {
		first, err := json.Marshal(objects(t, cases(t)[name]))
		if err != nil {
			t.Fatal(err)
		}
		second, err := json.Marshal(objects(t, cases(t)[name]))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first, second) {
			t.Errorf("%s: two renderings differ", name)
		}
	}
}

// A second deploy gives the values of the first one back, whatever the random
// numbers are by then.
func TestSecretsSurvive(t *testing.T) {
	first := input(nil)
	secret := secretOf(t, first)
	second := input(nil)
	second.Random = rand.NewChaCha8([32]byte{1})
	second.Secret = maps.Clone(secret)
	if diff := cmp.Diff(secret, secretOf(t, second)); diff != "" {
		t.Errorf("the secrets changed:\n%s", diff)
	}
	third := second
	delete(third.Secret, workshop.SecretUserPassword)
	got := secretOf(t, third)
	for key := range secret {
		if kept := bytes.Equal(got[key], secret[key]); kept == (key == workshop.SecretUserPassword) {
			t.Errorf("%s: kept is %v after only the password was taken away", key, kept)
		}
	}
}

// The secret of an OpenID Connect provider's client stays in the workshop's own
// Secret as long as it is of use, and is never made up.
func TestClientSecret(t *testing.T) {
	in := input(func(s *workshop.Spec) {
		ingress(s)
		s.Auth = workshop.AuthOIDC
		s.OIDC = workshop.OIDC{IssuerURL: "https://login.example.com", ClientID: "workshop"}
	})
	if got, made := secretOf(t, in)[workshop.SecretOIDCClient]; made {
		t.Errorf("it was made up: %q", got)
	}
	in.Secret = map[string][]byte{workshop.SecretOIDCClient: []byte("given")}
	if got := string(secretOf(t, in)[workshop.SecretOIDCClient]); got != "given" {
		t.Errorf("it is %q", got)
	}
	if _, err := render.Template(in); err == nil || !strings.Contains(err.Error(), "--oidc-secret") {
		t.Errorf("a Template with a secret in it, or without: %v", err)
	}
	in.Spec.OIDC.ClientSecretName = "own"
	if got, left := secretOf(t, in)[workshop.SecretOIDCClient]; left {
		t.Errorf("%q is kept beside a Secret of the person's own", got)
	}
	in.Spec.Auth, in.Spec.OIDC = workshop.AuthPassword, workshop.OIDC{}
	if got, left := secretOf(t, in)[workshop.SecretOIDCClient]; left {
		t.Errorf("%q is kept for a login that has no use for it", got)
	}
}

func TestSecretsAreRandom(t *testing.T) {
	in := input(nil)
	in.Random = nil
	a, b := secretOf(t, in), secretOf(t, in)
	shape := map[string]string{
		workshop.SecretProxyToken:    `^[0-9a-f]{64}$`,
		workshop.SecretCookie:        `^[0-9a-f]{64}$`,
		workshop.SecretCrypt:         `^[0-9a-f]{64}$`,
		workshop.SecretAPIToken:      `^[0-9a-f]{64}$`,
		workshop.SecretUserPassword:  `^[a-km-z2-9]{4}(-[a-km-z2-9]{4}){2}$`,
		workshop.SecretAdminPassword: `^[a-km-z2-9]{4}(-[a-km-z2-9]{4}){7}$`,
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(shape)), slices.Sorted(maps.Keys(a))); diff != "" {
		t.Errorf("keys:\n%s", diff)
	}
	for key, pattern := range shape {
		if !regexp.MustCompile(pattern).Match(a[key]) {
			t.Errorf("%s: %q is not like %s", key, a[key], pattern)
		}
		if bytes.Equal(a[key], b[key]) {
			t.Errorf("%s: twice the same", key)
		}
	}
}

func secretOf(t *testing.T, in render.Input) map[string][]byte {
	t.Helper()
	var secret corev1.Secret
	find(t, objects(t, in), "Secret", "terminals-hub", &secret)
	return secret.Data
}

func find(t *testing.T, all []*unstructured.Unstructured, kind, name string, into any) {
	t.Helper()
	for _, o := range all {
		if o.GetKind() == kind && o.GetName() == name {
			convert(t, o, into)
			return
		}
	}
	t.Fatalf("no %s %s", kind, name)
}

// The hub and the proxy start anew when what they read at their start changed,
// and only then.
func TestChecksums(t *testing.T) {
	secret := secretOf(t, input(nil))
	sums := func(change func(*render.Input)) [2]string {
		in := input(ingress)
		in.Secret = maps.Clone(secret)
		if change != nil {
			change(&in)
		}
		var hub, proxy appsv1.Deployment
		all := objects(t, in)
		find(t, all, "Deployment", "terminals", &hub)
		find(t, all, "Deployment", "terminals-proxy", &proxy)
		return [2]string{hub.Spec.Template.Annotations[render.ChecksumAnnotation], proxy.Spec.Template.Annotations[render.ChecksumAnnotation]}
	}
	before := sums(nil)
	for _, c := range []struct {
		name       string
		change     func(*render.Input)
		hub, proxy bool
	}{
		{"nothing", nil, false, false},
		{"version", func(in *render.Input) { in.Version = "v9.9.9" }, false, false},
		{"host", func(in *render.Input) { in.Spec.Host = "other.example.com" }, false, false},
		{"env of sessions", func(in *render.Input) { in.Spec.Env = map[string]string{"A": "b"} }, true, false},
		{"certificates", func(in *render.Input) { in.Spec.CABundle = certificate(t) }, true, false},
		{"password", func(in *render.Input) { in.Secret[workshop.SecretUserPassword] = []byte("another-one") }, true, false},
		{"proxy's token", func(in *render.Input) { in.Secret[workshop.SecretProxyToken] = []byte("another-one") }, true, true},
	} {
		after := sums(c.change)
		if hub, proxy := after[0] != before[0], after[1] != before[1]; hub != c.hub || proxy != c.proxy {
			t.Errorf("%s: hub rolls %v, proxy rolls %v; want %v, %v", c.name, hub, proxy, c.hub, c.proxy)
		}
	}
}

// What holds for every object and every container of every workshop.
func TestInvariants(t *testing.T) {
	for name, in := range cases(t) {
		t.Run(name, func(t *testing.T) {
			names := workshop.Names(in.Spec.Name)
			for _, o := range objects(t, in) {
				id := o.GetKind() + " " + o.GetName()
				labels := o.GetLabels()
				want := names.Labels(workshop.Component(labels[workshop.LabelComponent]))
				want[workshop.LabelVersion] = "v0.1.0"
				maps.Copy(want, in.Spec.Labels)
				if diff := cmp.Diff(want, labels); diff != "" || labels[workshop.LabelComponent] == "" {
					t.Errorf("%s: labels\n%s", id, diff)
				}
				if o.GetNamespace() != in.Namespace {
					t.Errorf("%s: namespace %q", id, o.GetNamespace())
				}
				if problems := validation.IsDNS1123Label(o.GetName()); len(problems) > 0 {
					t.Errorf("%s: %v", id, problems)
				}
				switch o.GetKind() {
				case "Deployment":
					var d appsv1.Deployment
					convert(t, o, &d)
					if diff := cmp.Diff(names.Selector(workshop.Component(d.Labels[workshop.LabelComponent])), d.Spec.Selector.MatchLabels); diff != "" {
						t.Errorf("%s: selector\n%s", d.Name, diff)
					}
					checkPods(t, d.ObjectMeta, d.Spec.Template, names, in)
				case "DeploymentConfig":
					var d openshiftappsv1.DeploymentConfig
					convert(t, o, &d)
					if diff := cmp.Diff(names.Selector(workshop.Component(d.Labels[workshop.LabelComponent])), d.Spec.Selector); diff != "" {
						t.Errorf("%s: selector\n%s", d.Name, diff)
					}
					checkPods(t, d.ObjectMeta, *d.Spec.Template, names, in)
				}
			}
		})
	}
}

func convert(t *testing.T, o *unstructured.Unstructured, into any) {
	t.Helper()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, into, true); err != nil {
		t.Fatal(err)
	}
}

func checkPods(t *testing.T, d metav1.ObjectMeta, pod corev1.PodTemplateSpec, names workshop.Names, in render.Input) {
	component := workshop.Component(d.Labels[workshop.LabelComponent])
	want := names.Labels(component)
	maps.Copy(want, in.Spec.Labels)
	if diff := cmp.Diff(want, pod.Labels); diff != "" {
		t.Errorf("%s: labels of the pods\n%s", d.Name, diff)
	}
	if token := *pod.Spec.AutomountServiceAccountToken; token != (component == workshop.ComponentHub) {
		t.Errorf("%s: token mounted: %v", d.Name, token)
	}
	if asked := pod.Spec.SecurityContext.RunAsUser != nil; asked == in.Capabilities.SecurityContext {
		t.Errorf("%s: asks for a user: %v", d.Name, asked)
	}
	for _, c := range pod.Spec.Containers {
		for _, r := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			if c.Resources.Requests[r] == (resource.Quantity{}) || c.Resources.Limits[r] == (resource.Quantity{}) {
				t.Errorf("%s: no request or limit for %s", d.Name, r)
			}
		}
		if !*c.SecurityContext.ReadOnlyRootFilesystem {
			t.Errorf("%s: the root file system is writable", d.Name)
		}
		for _, e := range c.Env {
			if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
				want := stdcmp.Or(in.ExistingSecret, names.HubPart())
				if e.Name == workshop.SecretOIDCClient {
					want = stdcmp.Or(in.Spec.OIDC.ClientSecretName, want)
				}
				if e.ValueFrom.SecretKeyRef.Name != want {
					t.Errorf("%s: %s is from %s, not %s", d.Name, e.Name, e.ValueFrom.SecretKeyRef.Name, want)
				}
			}
		}
	}
}

func TestNoRandomNumbers(t *testing.T) {
	in := input(nil)
	in.Random = strings.NewReader("too short")
	if _, err := render.Objects(in); err == nil || !strings.Contains(err.Error(), "render workshop terminals: generate CONFIGPROXY_AUTH_TOKEN") {
		t.Errorf("error: %v", err)
	}
}
