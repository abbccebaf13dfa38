// SPDX-License-Identifier: Apache-2.0

package render

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/workshopctl/workshopctl/pkg/workshop"
	"github.com/workshopctl/workshopctl/templates"
)

// rendering is a workshop on its way from processed templates to objects.
type rendering struct {
	Input
	names   workshop.Names
	objects []*unstructured.Unstructured
	// export is true if the objects are to be part of a Template, and hold
	// references to its parameters.
	export bool
}

// steps put on the objects what templates can't express, one concern each.
// The checksum comes after everything that changes what it is taken of.
var steps = []func(*rendering) error{
	keepClientSecret,
	encodeSecret,
	useExistingSecret,
	useOIDC,
	dropStreamRights,
	useServiceAccount,
	configureHub,
	setRedirects,
	sizeHubStorage,
	setUsers,
	setPullSecret,
	placePods,
	useSubdomains,
	secureIngress,
	leaveHostToCluster,
	findRoute,
	setMetadata,
	setChecksums,
}

// keepClientSecret puts the secret by which an OpenID Connect provider knows the
// workshop to the others, where no Secret of the person's own has it.
func keepClientSecret(w *rendering) error {
	secret := w.find("Secret", w.names.HubPart())
	value := w.Secret[workshop.SecretOIDCClient]
	if secret == nil || w.Spec.Auth != workshop.AuthOIDC || w.Spec.OIDC.ClientSecretName != "" || len(value) == 0 {
		return nil
	}
	return unstructured.SetNestedField(secret.Object, string(value), "stringData", workshop.SecretOIDCClient)
}

// useOIDC tells the hub of the provider that attendees log in at.
func useOIDC(w *rendering) error {
	o := w.Spec.OIDC
	if w.Spec.Auth != workshop.AuthOIDC {
		return nil
	}
	from := corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: w.names.HubPart()}, Key: workshop.SecretOIDCClient}
	switch {
	case o.ClientSecretName != "":
		from.Name, from.Key = o.ClientSecretName, workshop.OIDCSecretKey
	case w.ExistingSecret != "":
		from.Name = w.ExistingSecret
	case w.export:
		return &workshop.FieldError{Field: "oidc.clientSecretName", Problem: "is not set, and a Template holds no secrets of others; name a Secret with --oidc-secret"}
	}
	return w.eachPod(func(component workshop.Component, pod *corev1.PodTemplateSpec) {
		if component != workshop.ComponentHub {
			return
		}
		container := &pod.Spec.Containers[0]
		for _, variable := range []corev1.EnvVar{
			{Name: "OIDC_ISSUER", Value: o.IssuerURL},
			{Name: "OIDC_CLIENT_ID", Value: o.ClientID},
			{Name: "OIDC_USERNAME_CLAIM", Value: o.UsernameClaim},
			{Name: "OIDC_GROUPS_CLAIM", Value: o.GroupsClaim},
			{Name: "OIDC_SCOPES", Value: strings.Join(o.Scopes, " ")},
		} {
			variable.Value = unexpanded(variable.Value)
			container.Env = append(container.Env, variable)
		}
		container.Env = append(container.Env, corev1.EnvVar{Name: workshop.SecretOIDCClient, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &from}})
	})
}

// encodeSecret turns the template's stringData into data: the API server keeps
// nothing else, and what is applied must be comparable with what is kept.
func encodeSecret(w *rendering) error {
	secret := w.find("Secret", w.names.HubPart())
	if secret == nil || w.export { // a reference can't be encoded
		return nil
	}
	plain, _, err := unstructured.NestedStringMap(secret.Object, "stringData")
	if err != nil {
		return err
	}
	data := map[string]any{}
	for key, value := range plain {
		data[key] = base64.StdEncoding.EncodeToString([]byte(value))
	}
	secret.Object["data"] = data
	delete(secret.Object, "stringData")
	return nil
}

// useExistingSecret makes the containers read the Secret that was named.
func useExistingSecret(w *rendering) error {
	if w.ExistingSecret == "" {
		return nil
	}
	return w.eachPod(func(_ workshop.Component, pod *corev1.PodTemplateSpec) {
		for _, container := range pod.Spec.Containers {
			for _, variable := range container.Env {
				if from := variable.ValueFrom; from != nil && from.SecretKeyRef != nil {
					from.SecretKeyRef.Name = w.ExistingSecret
				}
			}
		}
	})
}

// hasStreams says whether the hub is to look for image streams.
func (w *rendering) hasStreams() bool { return w.Capabilities.Image || w.Spec.ImageStream != "" }

// dropStreamRights takes from the hub's Role what a cluster without image
// streams doesn't know.
func dropStreamRights(w *rendering) error {
	role := w.find("Role", w.names.HubPart())
	if w.hasStreams() || role == nil {
		return nil
	}
	rules, _, err := unstructured.NestedSlice(role.Object, "rules")
	if err != nil {
		return err
	}
	rules = slices.DeleteFunc(rules, func(rule any) bool {
		groups, _, _ := unstructured.NestedStringSlice(rule.(map[string]any), "apiGroups")
		return slices.Contains(groups, "image.openshift.io")
	})
	return unstructured.SetNestedSlice(role.Object, rules, "rules")
}

// useServiceAccount has the hub run as the account that was named.
func useServiceAccount(w *rendering) error {
	return w.eachPod(func(component workshop.Component, pod *corev1.PodTemplateSpec) {
		if component == workshop.ComponentHub {
			pod.Spec.ServiceAccountName = w.Spec.Account()
		}
	})
}

// sessionConfig is session.json, which jupyterhub_config.py reads: what the
// sessions' pods have that an environment variable of the hub can't hold.
type sessionConfig struct {
	Env                map[string]string         `json:"env"`
	Labels             map[string]string         `json:"labels"`
	Annotations        map[string]string         `json:"annotations"`
	NodeSelector       map[string]string         `json:"nodeSelector"`
	Tolerations        []corev1.Toleration       `json:"tolerations"`
	ImagePullSecrets   []string                  `json:"imagePullSecrets"`
	PodSecurityContext corev1.PodSecurityContext `json:"podSecurityContext"`
	// ImageStreams is true where TERMINAL_IMAGE may be a tag of one.
	ImageStreams bool `json:"imageStreams,omitempty"`
}

// configureHub fills the hub's ConfigMap.
func configureHub(w *rendering) error {
	config := sessionConfig{
		Env:              proxyVariables(w.Spec.Proxy, w.names),
		Labels:           notNil(w.Spec.Labels),
		Annotations:      notNil(w.Spec.Annotations),
		NodeSelector:     notNil(w.Spec.NodeSelector),
		Tolerations:      append([]corev1.Toleration{}, w.Spec.Tolerations...),
		ImagePullSecrets: []string{},
		ImageStreams:     w.hasStreams(),
		PodSecurityContext: corev1.PodSecurityContext{
			RunAsNonRoot:   new(true),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
	}
	maps.Copy(config.Env, w.Spec.Env)
	if w.Spec.PullSecret != "" {
		config.ImagePullSecrets = append(config.ImagePullSecrets, w.Spec.PullSecret)
	}
	if !w.Capabilities.SecurityContext {
		runAs(&config.PodSecurityContext, sessionUser)
	}
	content, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return err
	}
	data := map[string]any{
		"jupyterhub_config.py": templates.JupyterHubConfig,
		"page.html":            templates.HubPage,
		"429.html":             templates.FullPage,
		"session.json":         string(content) + "\n",
	}
	for file, content := range templates.Logins() {
		data[file] = content
	}
	if w.Spec.CABundle != "" {
		data["ca-bundle.crt"] = w.Spec.CABundle
	}
	return unstructured.SetNestedMap(w.find("ConfigMap", w.names.HubPart()).Object, data, "data")
}

// setRedirects says on the hub's account where the cluster's login may send
// attendees back to. The document refers to the Route; without a login of that
// kind the account is no client of it.
func setRedirects(w *rendering) error {
	account := w.find("ServiceAccount", w.names.HubPart())
	if account == nil {
		return nil
	}
	annotations := account.GetAnnotations()
	maps.DeleteFunc(annotations, func(key, _ string) bool { return strings.HasPrefix(key, workshop.OAuthRedirectPrefix) })
	account.SetAnnotations(merged(annotations, w.names.OAuthRedirects(w.Spec)))
	return nil
}

// proxyVariables returns the variables by which programs find the way out, in
// both spellings that are in use. What is inside the cluster is not to be
// asked for outside. The hub itself has none of them: it speaks to nothing
// but the cluster, by addresses of pods that no list of exceptions can name.
func proxyVariables(p workshop.Proxy, names workshop.Names) map[string]string {
	variables := map[string]string{}
	set := func(name, value string) {
		if value != "" {
			variables[name], variables[strings.ToLower(name)] = value, value
		}
	}
	set("HTTP_PROXY", p.HTTPProxy)
	set("HTTPS_PROXY", p.HTTPSProxy)
	if len(variables) > 0 || p.NoProxy != "" {
		inside := []string{"localhost", "127.0.0.1", "::1", ".svc", ".cluster.local", names.HubPart()}
		if p.NoProxy != "" {
			inside = append(inside, p.NoProxy)
		}
		set("NO_PROXY", strings.Join(inside, ","))
	}
	return variables
}

// sizeHubStorage gives the hub's claim the class that was chosen, or takes the
// claim away: the database is then kept in the pod.
func sizeHubStorage(w *rendering) error {
	claim := w.find("PersistentVolumeClaim", w.names.HubPart())
	if !zero(w.Spec.HubStorageSize) {
		if w.Spec.Storage.ClassName == "" {
			return nil
		}
		return unstructured.SetNestedField(claim.Object, w.Spec.Storage.ClassName, "spec", "storageClassName")
	}
	w.objects = slices.DeleteFunc(w.objects, func(o *unstructured.Unstructured) bool { return o == claim })
	return w.eachPod(func(_ workshop.Component, pod *corev1.PodTemplateSpec) {
		for i, volume := range pod.Spec.Volumes {
			if volume.PersistentVolumeClaim != nil {
				pod.Spec.Volumes[i].VolumeSource = corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}
			}
		}
	})
}

// The users that containers run as where the cluster doesn't choose: those of
// the public images, and for sessions that of the 2018 terminal image.
const (
	hubUser     = 1000
	proxyUser   = 65534
	sessionUser = 1001
)

// setUsers says as which user the pods run. Clusters with security context
// constraints choose one of the namespace's range, with group 0, and refuse
// pods that ask for another. Others take the image's: that is root in many
// terminal images and a name without a number in the public hub's, both of
// which Kubernetes refuses to start as "not root". So there the pods ask for a
// number, with group 0 as the other clusters have it, and volumes belong to a
// group that the pod is in.
func setUsers(w *rendering) error {
	if w.Capabilities.SecurityContext {
		return nil
	}
	users := map[workshop.Component]int64{workshop.ComponentHub: hubUser, workshop.ComponentProxy: proxyUser}
	return w.eachPod(func(component workshop.Component, pod *corev1.PodTemplateSpec) {
		runAs(pod.Spec.SecurityContext, users[component])
	})
}

func runAs(context *corev1.PodSecurityContext, user int64) {
	context.RunAsUser = &user
	context.RunAsGroup = new(int64(0))
	context.FSGroup = &user
	// A volume with many files is not walked through at each start.
	context.FSGroupChangePolicy = new(corev1.FSGroupChangeOnRootMismatch)
}

// setPullSecret lets hub and proxy pull with the Secret that was named; the
// sessions know it from session.json.
func setPullSecret(w *rendering) error {
	if w.Spec.PullSecret == "" {
		return nil
	}
	return w.eachPod(func(_ workshop.Component, pod *corev1.PodTemplateSpec) {
		pod.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: w.Spec.PullSecret}}
	})
}

// placePods says on which nodes hub and proxy may run.
func placePods(w *rendering) error {
	if len(w.Spec.NodeSelector) == 0 && len(w.Spec.Tolerations) == 0 {
		return nil
	}
	return w.eachPod(func(_ workshop.Component, pod *corev1.PodTemplateSpec) {
		pod.Spec.NodeSelector = w.Spec.NodeSelector
		pod.Spec.Tolerations = w.Spec.Tolerations
	})
}

// useSubdomains gives each session a host of its own: the hub names them, the
// proxy tells them apart, and the Ingress lets them in.
func useSubdomains(w *rendering) error {
	ingress := w.find("Ingress", w.names.Ingress())
	if ingress == nil || w.Spec.Subdomains == "" {
		return nil
	}
	rules, _, err := unstructured.NestedSlice(ingress.Object, "spec", "rules")
	if err != nil {
		return fmt.Errorf("ingress %s: %w", ingress.GetName(), err)
	}
	for _, r := range rules {
		if rule, ok := runtime.DeepCopyJSONValue(r).(map[string]any); ok {
			rule["host"] = w.Spec.Subdomains
			rules = append(rules, rule)
		}
	}
	if err := unstructured.SetNestedSlice(ingress.Object, rules, "spec", "rules"); err != nil {
		return err
	}
	return w.eachPod(func(component workshop.Component, pod *corev1.PodTemplateSpec) {
		container := &pod.Spec.Containers[0]
		switch component {
		case workshop.ComponentHub:
			container.Env = append(container.Env, corev1.EnvVar{Name: "SUBDOMAINS", Value: w.Spec.Subdomains})
		case workshop.ComponentProxy:
			container.Args = append(container.Args, "--host-routing")
		}
	})
}

// secureIngress adds TLS to the Ingress.
func secureIngress(w *rendering) error {
	ingress := w.find("Ingress", w.names.Ingress())
	if ingress == nil || w.Spec.TLSSecret == "" {
		return nil
	}
	host, _ := workshop.SplitHost(w.Spec.Host)
	hosts := []any{host}
	if w.Spec.Subdomains != "" {
		hosts = append(hosts, w.Spec.Subdomains)
	}
	tls := map[string]any{"hosts": hosts}
	if w.Spec.TLSSecret != workshop.TLSDefault {
		tls["secretName"] = w.Spec.TLSSecret
	}
	return unstructured.SetNestedSlice(ingress.Object, []any{tls}, "spec", "tls")
}

// leaveHostToCluster takes a host that nobody has chosen off the Route: who
// names one needs a right for it, and would hold on to it.
func leaveHostToCluster(w *rendering) error {
	if route := w.find("Route", w.names.Ingress()); route != nil && !w.export && (w.Spec.HostAssigned || w.Spec.Host == "") {
		unstructured.RemoveNestedField(route.Object, "spec", "host")
	}
	return nil
}

// setMetadata puts the namespace, the version and the Spec's own labels and
// annotations on everything. The version stays off the pods: an upgrade of the
// command line alone starts nothing anew.
func setMetadata(w *rendering) error {
	for _, o := range w.objects {
		o.SetNamespace(w.Namespace)
		o.SetLabels(merged(o.GetLabels(), w.Spec.Labels, map[string]string{workshop.LabelVersion: labelValue(w.Version)}))
		if annotations := merged(o.GetAnnotations(), w.Spec.Annotations); len(annotations) > 0 {
			o.SetAnnotations(annotations)
		}
	}
	if len(w.Spec.Labels) == 0 && len(w.Spec.Annotations) == 0 {
		return nil
	}
	return w.eachPod(func(_ workshop.Component, pod *corev1.PodTemplateSpec) {
		pod.Labels = merged(pod.Labels, w.Spec.Labels)
		pod.Annotations = merged(pod.Annotations, w.Spec.Annotations)
	})
}

// ChecksumAnnotation on the pods of hub and proxy changes with the
// configuration and the secrets that they read when they start, and with
// nothing else.
const ChecksumAnnotation = "workshopctl.io/config-checksum"

// setChecksums makes a changed configuration roll out. The secrets are part of
// what the hash is taken of; nobody can guess them from it, because there are
// 32 random bytes among them.
func setChecksums(w *rendering) error {
	if w.export {
		return w.eachPod(func(_ workshop.Component, pod *corev1.PodTemplateSpec) {
			pod.Annotations = merged(pod.Annotations, map[string]string{ChecksumAnnotation: reference(parameterChecksum)})
		})
	}
	config := w.find("ConfigMap", w.names.HubPart()).Object["data"]
	secret := map[string]any{}
	if o := w.find("Secret", w.names.HubPart()); o != nil {
		secret = o.Object["data"].(map[string]any) // made by encodeSecret
	}
	sums := map[workshop.Component]string{
		workshop.ComponentHub:   checksum(config, secret),
		workshop.ComponentProxy: checksum(secret[workshop.SecretProxyToken]),
	}
	return w.eachPod(func(component workshop.Component, pod *corev1.PodTemplateSpec) {
		pod.Annotations = merged(pod.Annotations, map[string]string{ChecksumAnnotation: sums[component]})
	})
}

// checksum of anything that JSON can express; map keys are sorted there.
func checksum(values ...any) string {
	content, err := json.Marshal(values)
	if err != nil { // maps of strings have a JSON form
		panic(err)
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:16])
}

// find returns the object of that kind and name, or nil.
func (w *rendering) find(kind, name string) *unstructured.Unstructured {
	for _, o := range w.objects {
		if o.GetKind() == kind && o.GetName() == name {
			return o
		}
	}
	return nil
}

// eachPod lets change the pod template of each object that has one.
func (w *rendering) eachPod(change func(workshop.Component, *corev1.PodTemplateSpec)) error {
	for _, o := range w.objects {
		tree, found, err := unstructured.NestedMap(o.Object, "spec", "template")
		if err != nil {
			return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
		}
		if !found {
			continue
		}
		var pod corev1.PodTemplateSpec
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(tree, &pod, true); err != nil {
			return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
		}
		change(workshop.Component(pod.Labels[workshop.LabelComponent]), &pod)
		if tree, err = runtime.DefaultUnstructuredConverter.ToUnstructured(&pod); err != nil {
			return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
		}
		if err := unstructured.SetNestedMap(o.Object, tree, "spec", "template"); err != nil {
			return err
		}
	}
	return nil
}

// labelValue makes a version fit for a label, which may hold no "+".
func labelValue(version string) string {
	value := strings.ReplaceAll(version, "+", "_")
	return strings.TrimRight(value[:min(len(value), 63)], "-_.")
}

// merged returns the maps as one; later ones win. None gives nil.
func merged(all ...map[string]string) map[string]string {
	var result map[string]string
	for _, m := range all {
		for k, v := range m {
			if result == nil {
				result = map[string]string{}
			}
			result[k] = v
		}
	}
	return result
}

// notNil returns a map that JSON writes as {}, not null.
func notNil(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
