// SPDX-License-Identifier: Apache-2.0

package render

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	templatev1 "github.com/openshift/api/template/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Parameters that have a meaning of their own in an exported Template.
const (
	parameterName     = "APPLICATION_NAME"
	parameterHost     = "HOST"
	parameterAuth     = "AUTH"
	parameterClass    = "STORAGE_CLASS"
	parameterURL      = "PUBLIC_URL"
	parameterChecksum = "CONFIG_CHECKSUM"
)

// Template renders a workshop as one Template for OpenShift, which needs
// nothing beside it: what is one value in the Spec becomes the default of a
// parameter, and all else is written into the objects. Processed with the
// values of a Spec, it gives the objects of that Spec but for the checksums,
// which nobody knows before there are secrets.
//
// It comes from the same steps as those objects: they only find references
// where there are values otherwise. An image that the Spec lacks becomes a
// parameter that must be given.
func Template(in Input) (*templatev1.Template, error) {
	fail := func(err error) (*templatev1.Template, error) {
		return nil, fmt.Errorf("export workshop %s: %w", in.Spec.Name, err)
	}
	if in.Spec.HostAssigned { // to another workshop, if to any
		in.Spec.Host = ""
	}
	defaults, err := parameters(in)
	if err != nil {
		return fail(err)
	}
	declared, err := declarations(in)
	if err != nil {
		return fail(err)
	}
	references := map[string]string{}
	for _, p := range declared {
		references[p.Name] = reference(p.Name)
	}
	host, port := workshop.SplitHost(in.Spec.Host)
	defaults[parameterHost] = host
	if port != "" {
		port = ":" + port
	}
	fixed := in
	fixed.Namespace = ""
	fixed.Spec.Name = reference(parameterName)
	if in.Spec.Host != "" {
		fixed.Spec.Host = reference(parameterHost) + port
	}
	references[parameterURL] = fixed.Spec.URL()
	if in.Spec.Storage.ClassName == "" {
		// No class and the empty one are different things in a claim.
		references[parameterClass] = ""
	} else {
		fixed.Spec.Storage.ClassName = reference(parameterClass)
	}
	if in.Spec.Auth != workshop.AuthOpenShift {
		// The account of the others is no client of the cluster's login.
		references[parameterAuth] = string(in.Spec.Auth)
	}
	objects, err := build(fixed, references, true)
	if err != nil {
		return fail(err)
	}

	t := &templatev1.Template{
		TypeMeta: metav1.TypeMeta{APIVersion: templatev1.GroupVersion.String(), Kind: "Template"},
		ObjectMeta: metav1.ObjectMeta{Name: "workshop", Annotations: map[string]string{
			"openshift.io/display-name": "Workshop with terminals",
			"description":               "A workshop for many users: each logs in at one address and has a terminal in the browser, with files that last.",
			"tags":                      "workshop,terminal,jupyterhub",
		}},
		Message: message(in.Spec),
	}
	for _, o := range objects {
		raw, err := json.Marshal(o.Object)
		if err != nil {
			return fail(err)
		}
		t.Objects = append(t.Objects, runtime.RawExtension{Raw: raw})
	}
	for _, p := range declared {
		if !slices.ContainsFunc(t.Objects, func(o runtime.RawExtension) bool { return strings.Contains(string(o.Raw), reference(p.Name)) }) {
			continue // its value is written out
		}
		if p.Generate == "" {
			p.Value = defaults[p.Name]
		}
		if p.Name == parameterHost && in.Spec.Host != "" {
			p.Required = true
		}
		t.Parameters = append(t.Parameters, p)
	}
	if err := literal(in.Spec, t.Parameters); err != nil {
		return fail(err)
	}
	return t, nil
}

func reference(parameter string) string { return "${" + parameter + "}" }

// declarations are the parameters of a workshop's documents, each once, and
// the one that stands for the checksums.
func declarations(in Input) ([]templatev1.Parameter, error) {
	var all []templatev1.Parameter
	for _, d := range documents(in) {
		var t templatev1.Template
		if err := yaml.UnmarshalStrict([]byte(d.content), &t); err != nil {
			return nil, fmt.Errorf("templates/%s: not a Template: %w", d.file, err)
		}
		for _, p := range t.Parameters {
			if !slices.ContainsFunc(all, func(other templatev1.Parameter) bool { return other.Name == p.Name }) {
				all = append(all, p)
			}
		}
	}
	// What people give comes before what is made for them.
	slices.SortStableFunc(all, func(a, b templatev1.Parameter) int { return len(a.Generate) - len(b.Generate) })
	return append(all, templatev1.Parameter{
		Name:        parameterChecksum,
		DisplayName: "Mark of the configuration",
		Description: "A new value starts hub and proxy anew, as new secrets or another configuration ask for.",
		Generate:    "expression",
		From:        "[a-f0-9]{32}",
		Required:    true,
	}), nil
}

// literal refuses values which processing would take for references to one of
// the parameters. References to anything else are left as they are by OpenShift.
func literal(s workshop.Spec, parameters []templatev1.Parameter) error {
	names := make([]string, len(parameters))
	for i, p := range parameters {
		names[i] = regexp.QuoteMeta(p.Name)
	}
	pattern := regexp.MustCompile(`\$\{\{?(` + strings.Join(names, "|") + `)\}`)
	for field, values := range map[string]map[string]string{
		"env": s.Env, "annotations": s.Annotations,
		"proxy":    {"httpProxy": s.Proxy.HTTPProxy, "httpsProxy": s.Proxy.HTTPSProxy, "noProxy": s.Proxy.NoProxy},
		"caBundle": {"": s.CABundle},
	} {
		for name, value := range values {
			if m := pattern.FindString(value); m != "" {
				return &workshop.FieldError{Field: strings.TrimSuffix(field+"."+name, "."), Value: m, Problem: "is a parameter of the Template, which would fill it in; write it in another way"}
			}
		}
	}
	return nil
}

// message is what `oc new-app` says at its end.
func message(s workshop.Spec) string {
	var lines []string
	switch s.Expose {
	case workshop.ExposeRoute:
		lines = append(lines, "Attendees open the address of the route: oc get route ${APPLICATION_NAME}")
	case workshop.ExposeIngress:
		lines = append(lines, "Attendees open the address of the ingress: oc get ingress ${APPLICATION_NAME}")
	}
	if s.Auth == workshop.AuthPassword {
		lines = append(lines, "They log in with a name of their choice and the password in the secret: oc extract secret/${APPLICATION_NAME}-hub --keys=USER_PASSWORD --to=-")
	}
	return strings.Join(lines, "\n")
}
