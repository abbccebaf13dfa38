// SPDX-License-Identifier: Apache-2.0

package render

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	templatev1 "github.com/openshift/api/template/v1"
	"sigs.k8s.io/yaml"

	"github.com/workshopctl/workshopctl/pkg/workshop"
	"github.com/workshopctl/workshopctl/templates"
)

func TestProcessErrors(t *testing.T) {
	const head = "apiVersion: template.openshift.io/v1\nkind: Template\nparameters: [{name: A, required: true}]\n"
	object := func(value string) string {
		return head + "objects: [{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, data: {k: '" + value + "'}}]"
	}
	a := map[string]string{"A": "1"}
	for _, c := range []struct {
		name, content string
		values        map[string]string
		want          string
	}{
		{"leftover", object("x${B}y"), a, "no parameter of the Template: ${B}"},
		{"leftover beside a parameter", object("${A}${LEFTOVER}"), a, "${LEFTOVER}"},
		{"part of a string in double braces", object("x${{A}}"), a, "${{A}}"},
		{"in a key", head + "objects: [{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, data: {'${B}': x}}]", a, "${B}"},
		{"in the labels", head + "labels: {app: '${B}'}\nobjects: []", a, "label app"},
		{"value missing", object("x"), nil, "parameter A has no value"},
		{"value empty", object("x"), map[string]string{"A": ""}, "parameter A is required"},
		{"unknown field", head + "objecst: []", a, "objecst"},
	} {
		if _, err := process(c.content, workshop.WorkloadDeployment, c.values); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.name, err, c.want)
		}
	}
}

// A value may look like a reference, and comes out as it is.
func TestProcessTakesValuesLiterally(t *testing.T) {
	const content = "apiVersion: template.openshift.io/v1\nkind: Template\nparameters: [{name: A}, {name: B}]\n" +
		"objects: [{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, data: {a: '${A}', b: '${B}'}}]"
	objects, err := process(content, workshop.WorkloadDeployment, map[string]string{"A": "${B} $(B) {b}", "B": "b"})
	if err != nil {
		t.Fatal(err)
	}
	data := objects[0].Object["data"].(map[string]any)
	if data["a"] != "${B} $(B) {b}" || data["b"] != "b" {
		t.Errorf("data: %v", data)
	}
}

// The documents are good for people who process them by other means: each
// parameter is described, used, and the same in each document.
func TestDocuments(t *testing.T) {
	for _, expose := range workshop.Exposes() {
		seen := map[string]templatev1.Parameter{}
		for _, d := range documents(Input{Spec: workshop.Spec{Expose: expose}}) {
			var doc templatev1.Template
			if err := yaml.UnmarshalStrict([]byte(d.content), &doc); err != nil {
				t.Fatalf("%s: %v", d.file, err)
			}
			for _, p := range doc.Parameters {
				if p.Description == "" || p.DisplayName == "" {
					t.Errorf("%s: %s isn't described", d.file, p.Name)
				}
				if !strings.Contains(d.content, "${"+p.Name+"}") {
					t.Errorf("%s: %s isn't used", d.file, p.Name)
				}
				if before, ok := seen[p.Name]; ok && before != p {
					t.Errorf("%s: %s differs from that of another document", d.file, p.Name)
				}
				seen[p.Name] = p
			}
		}
		for _, name := range []string{"APPLICATION_NAME", "TERMINAL_IMAGE", "MEMORY_SIZE", "VOLUME_SIZE", "ADMIN_USERS", "IDLE_TIMEOUT"} {
			if _, ok := seen[name]; !ok {
				t.Errorf("%s, which the 2018 template had, is gone", name)
			}
		}
	}
}

// Templates with DeploymentConfigs differ from those with Deployments in
// nothing else, and are Templates still: their references stand.
func TestUseWorkload(t *testing.T) {
	for _, document := range []string{templates.Hub, templates.Proxy, templates.Network} {
		var before, after templatev1.Template
		for _, doc := range []*templatev1.Template{&before, &after} {
			if err := yaml.UnmarshalStrict([]byte(document), doc); err != nil {
				t.Fatal(err)
			}
		}
		if err := UseWorkload(&after, workshop.WorkloadDeploymentConfig); err != nil {
			t.Fatal(err)
		}
		for i := range before.Objects {
			var was, is map[string]any
			for raw, tree := range map[*[]byte]*map[string]any{&before.Objects[i].Raw: &was, &after.Objects[i].Raw: &is} {
				if err := json.Unmarshal(*raw, tree); err != nil {
					t.Fatal(err)
				}
			}
			if was["kind"] != "Deployment" {
				if diff := cmp.Diff(was, is); diff != "" {
					t.Errorf("%v:\n%s", was["kind"], diff)
				}
				continue
			}
			if is["kind"] != "DeploymentConfig" || is["apiVersion"] != "apps.openshift.io/v1" {
				t.Errorf("%v %v", is["apiVersion"], is["kind"])
			}
			old, spec := was["spec"].(map[string]any), is["spec"].(map[string]any)
			for _, same := range []string{"replicas", "revisionHistoryLimit", "template"} {
				if diff := cmp.Diff(old[same], spec[same]); diff != "" || old[same] == nil {
					t.Errorf("%s:\n%s", same, diff)
				}
			}
			if got := spec["selector"].(map[string]any)["app"]; got != "${APPLICATION_NAME}" {
				t.Errorf("selector: app is %v", got)
			}
		}
	}
}
