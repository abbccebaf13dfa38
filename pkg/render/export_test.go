// SPDX-License-Identifier: Apache-2.0

package render_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	templatev1 "github.com/openshift/api/template/v1"
	"github.com/openshift/library-go/pkg/template/generator"
	"github.com/openshift/library-go/pkg/template/templateprocessing"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/workshopctl/workshopctl/pkg/render"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// exported is the Template of a workshop.
func exported(t *testing.T, in render.Input) *templatev1.Template {
	t.Helper()
	template, err := render.Template(in)
	if err != nil {
		t.Fatal(err)
	}
	return template
}

// unassigned is a workshop before the cluster has assigned a host to its
// Route, which is all that a Template can be.
func unassigned(in render.Input) render.Input {
	if in.Spec.HostAssigned {
		in.Spec.Host = ""
	}
	return in
}

// give sets the values of parameters, as `oc process -p` does.
func give(t *testing.T, template *templatev1.Template, values map[string]string) {
	t.Helper()
	for name, value := range values {
		p := templateprocessing.GetParameterByName(template, name)
		if p == nil {
			t.Fatalf("the Template has no parameter %s", name)
		}
		p.Value = value
	}
}

// processed does what OpenShift does with a Template.
func processed(t *testing.T, template *templatev1.Template) []*unstructured.Unstructured {
	t.Helper()
	expression := generator.NewExpressionValueGenerator(rand.New(rand.NewSource(1)))
	if errs := templateprocessing.NewProcessor(map[string]generator.Generator{"expression": expression}).Process(template); len(errs) > 0 {
		t.Fatal(errs.ToAggregate())
	}
	var all []*unstructured.Unstructured
	for _, o := range template.Objects {
		all = append(all, o.Object.(*unstructured.Unstructured))
	}
	return all
}

// same are objects as they are in the cluster: the Secret is encoded, and what
// is empty (the host of a Route, variables) isn't there. The namespace is the one
// in which they are applied. The checksums are left out: they can't be known
// before the secrets are.
func same(t *testing.T, all []*unstructured.Unstructured) string {
	t.Helper()
	for i, o := range all {
		o = o.DeepCopy()
		all[i] = o
		o.SetNamespace("")
		if host, _, _ := unstructured.NestedString(o.Object, "spec", "host"); host == "" {
			unstructured.RemoveNestedField(o.Object, "spec", "host")
		}
		unstructured.RemoveNestedField(o.Object, "spec", "template", "metadata", "annotations", render.ChecksumAnnotation)
		containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
		for _, c := range containers {
			env, _ := c.(map[string]any)["env"].([]any)
			for _, variable := range env {
				if v := variable.(map[string]any); v["value"] == "" {
					delete(v, "value")
				}
			}
		}
		if len(containers) > 0 {
			if err := unstructured.SetNestedSlice(o.Object, containers, "spec", "template", "spec", "containers"); err != nil {
				t.Fatal(err)
			}
		}
		plain, found, err := unstructured.NestedStringMap(o.Object, "stringData")
		if err != nil {
			t.Fatal(err)
		}
		if !found {
			continue
		}
		delete(o.Object, "stringData")
		for key, value := range plain {
			if err := unstructured.SetNestedField(o.Object, base64.StdEncoding.EncodeToString([]byte(value)), "data", key); err != nil {
				t.Fatal(err)
			}
		}
	}
	content, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// secrets are the values that a rendering has generated, by their parameters.
func secrets(t *testing.T, all []*unstructured.Unstructured) map[string]string {
	t.Helper()
	values := map[string]string{}
	for _, o := range all {
		if o.GetKind() != "Secret" {
			continue
		}
		data, _, err := unstructured.NestedStringMap(o.Object, "data")
		if err != nil {
			t.Fatal(err)
		}
		for key, encoded := range data {
			value, err := base64.StdEncoding.DecodeString(encoded)
			if err != nil {
				t.Fatal(err)
			}
			values[key] = string(value)
		}
	}
	return values
}

// An exported Template makes the same objects as a deploy, whatever was chosen.
func TestTemplateMakesTheSameObjects(t *testing.T) {
	for name, in := range cases(t) {
		t.Run(name, func(t *testing.T) {
			want := objects(t, unassigned(in))
			template := exported(t, in)
			give(t, template, secrets(t, want))
			if diff := cmp.Diff(same(t, want), same(t, processed(t, template))); diff != "" {
				t.Errorf("the Template (+) makes something else than a deploy (-):\n%s", diff)
			}
		})
	}
}

// The parameters are worth as much as the flags.
func TestTemplateParameters(t *testing.T) {
	chosen := input(func(s *workshop.Spec) {
		ingress(s)
		s.Name = "basics"
		s.TerminalImage, s.GatewayImage, s.HubImage, s.ProxyImage = "my-terminal:latest", "g:2", "h:2", "p:2"
		s.AdminUsers, s.AllowedUsers = []string{"trainer"}, []string{"user1", "user2"}
		s.Storage.Size, s.HubStorageSize = "0", "2Gi"
		s.Resources = workshop.Resources{MemoryRequest: "1Gi", MemoryLimit: "2Gi", CPURequest: "1", CPULimit: "2"}
		s.Ports, s.NotesURL = map[string]int{"web": 8080, "docs": 9090}, "https://notes.example.com/a"
		s.NotesOrigins = []string{"https://b.example.com", "https://c.example.com"}
		s.MaxAge, s.Limit = "8h", 40
		s.IdleTimeout, s.UploadLimit, s.Host = "1h", "0.5Gi", "basics.example.com"
	})
	want := objects(t, chosen)
	template := exported(t, input(ingress))
	give(t, template, secrets(t, want))
	give(t, template, map[string]string{
		"APPLICATION_NAME": "basics", "HOST": "basics.example.com", "TERMINAL_IMAGE": "my-terminal:latest", "GATEWAY_IMAGE": "g:2", "HUB_IMAGE": "h:2", "PROXY_IMAGE": "p:2",
		"ADMIN_USERS": "trainer", "ALLOWED_USERS": "user1,user2", "VOLUME_SIZE": "0", "HUB_VOLUME_SIZE": "2Gi",
		"MEMORY_REQUEST": "1Gi", "MEMORY_SIZE": "2Gi", "CPU_REQUEST": "1", "CPU_LIMIT": "2", "IDLE_TIMEOUT": "3600", "MAX_AGE": "28800", "SESSION_LIMIT": "40", "PORTS": "docs=9090,web=8080", "NOTES_URL": "https://notes.example.com/a", "NOTES_ORIGINS": "https://b.example.com,https://c.example.com", "UPLOAD_LIMIT": "536870912",
	})
	if diff := cmp.Diff(same(t, want), same(t, processed(t, template))); diff != "" {
		t.Errorf("the parameters (+) do something else than the flags (-):\n%s", diff)
	}
}

var leftover = regexp.MustCompile(`\$\{+[A-Z_]+\}+`)

// What OpenShift generates is what hub and proxy want, and nothing is left to
// fill in.
func TestTemplateGenerates(t *testing.T) {
	all := processed(t, exported(t, input(ingress)))
	shape := map[string]string{
		workshop.SecretProxyToken:    `^[0-9a-f]{64}$`,
		workshop.SecretCookie:        `^[0-9a-f]{64}$`,
		workshop.SecretCrypt:         `^[0-9a-f]{64}$`,
		workshop.SecretAPIToken:      `^[0-9a-f]{64}$`,
		workshop.SecretUserPassword:  `^[a-z0-9]{12}$`,
		workshop.SecretAdminPassword: `^[a-z0-9]{40}$`,
	}
	same(t, all) // encodes the Secret
	values := secrets(t, all)
	for key, pattern := range shape {
		if !regexp.MustCompile(pattern).MatchString(values[key]) {
			t.Errorf("%s: %q is not like %s", key, values[key], pattern)
		}
	}
	for _, o := range all {
		content, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		if left := leftover.FindString(string(content)); left != "" {
			t.Errorf("%s %s holds %s", o.GetKind(), o.GetName(), left)
		}
		sum, found, _ := unstructured.NestedString(o.Object, "spec", "template", "metadata", "annotations", render.ChecksumAnnotation)
		if found && !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(sum) {
			t.Errorf("%s: the checksum is %q", o.GetName(), sum)
		}
	}
}

// The parameters of each way to export, with their defaults.
func TestTemplateDeclares(t *testing.T) {
	for name, in := range cases(t) {
		if name == "everything" {
			in.Spec.TerminalImage = ""
		}
		template := exported(t, in)
		var got strings.Builder
		for _, p := range template.Parameters {
			if p.Description == "" || p.DisplayName == "" {
				t.Errorf("%s: %s isn't described", name, p.Name)
			}
			fmt.Fprintf(&got, "%s", p.Name)
			switch {
			case p.Generate != "":
				fmt.Fprintf(&got, " generated from %s", p.From)
			case p.Value != "":
				fmt.Fprintf(&got, " = %s", p.Value)
			case p.Required:
				got.WriteString(" must be given")
			}
			got.WriteString("\n")
		}
		if template.Message != "" {
			fmt.Fprintf(&got, "\n%s\n", template.Message)
		}
		file := filepath.Join("testdata", "export", name+".txt")
		if *update {
			if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Errorf("differs from %s; if that is right: go test ./pkg/render -update\n%s", file, diff)
		}
		// It is a Template after a way through YAML, too.
		content, err := yaml.Marshal(template)
		if err != nil {
			t.Fatal(err)
		}
		var again templatev1.Template
		if err := yaml.UnmarshalStrict(content, &again); err != nil {
			t.Error(err)
		}
	}
}

// A value that looks like one of the parameters can't be told from it.
func TestTemplateRefusesReferences(t *testing.T) {
	in := input(ingress)
	in.Spec.Env = map[string]string{"A": "${HOME} ${LEFTOVER}"}
	exported(t, in)
	for _, value := range []string{"x${APPLICATION_NAME}", "${{MEMORY_SIZE}}"} {
		in.Spec.Env["A"] = value
		if _, err := render.Template(in); err == nil || !strings.Contains(err.Error(), "env.A") {
			t.Errorf("%s: %v", value, err)
		}
	}
}
