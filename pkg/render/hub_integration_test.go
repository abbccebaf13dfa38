// SPDX-License-Identifier: Apache-2.0

//go:build integration

package render_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"

	"github.com/workshopctl/workshopctl/pkg/render"
	"github.com/workshopctl/workshopctl/pkg/workshop"
	"github.com/workshopctl/workshopctl/test/testhub"
)

// hubs are the versions that jupyterhub_config.py is for: those of
// images/hub, which are the public image's and the newest.
var hubs = []struct{ jupyterhub, kubespawner string }{
	{"5.5.0", "7.0.0"},
	{"6.1.1", "7.1.0"},
}

// hubFiles writes what the hub's container has of a workshop, the files of
// its ConfigMap and a kubeconfig in the place of its account, and returns the
// directory and the container's environment.
func hubFiles(t *testing.T, in render.Input, api *rest.Config) (dir string, env []string) {
	t.Helper()
	all := objects(t, in)
	names := workshop.Names(in.Spec.Name)
	var config corev1.ConfigMap
	var secret corev1.Secret
	var hub appsv1.Deployment
	find(t, all, "ConfigMap", names.HubPart(), &config)
	find(t, all, "Secret", names.HubPart(), &secret)
	find(t, all, "Deployment", names.Hub(), &hub)
	dir = t.TempDir()
	kubeconfig, err := json.Marshal(clientcmdv1.Config{
		APIVersion: "v1", Kind: "Config", CurrentContext: "c",
		Contexts:  []clientcmdv1.NamedContext{{Name: "c", Context: clientcmdv1.Context{Cluster: "c", AuthInfo: "u"}}},
		Clusters:  []clientcmdv1.NamedCluster{{Name: "c", Cluster: clientcmdv1.Cluster{Server: api.Host, CertificateAuthorityData: api.CAData}}},
		AuthInfos: []clientcmdv1.NamedAuthInfo{{Name: "u", AuthInfo: clientcmdv1.AuthInfo{Token: api.BearerToken}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	config.Data["kubeconfig"] = string(kubeconfig)
	for file, content := range config.Data {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir, "KUBECONFIG=" + filepath.Join(dir, "kubeconfig"), "PYTHONUNBUFFERED=1"}
	for _, v := range hub.Spec.Template.Spec.Containers[0].Env {
		value := strings.ReplaceAll(v.Value, "$$", "$") // as the kubelet does
		if v.ValueFrom != nil && v.ValueFrom.SecretKeyRef != nil {
			value = string(secret.Data[v.ValueFrom.SecretKeyRef.Key])
		}
		if v.ValueFrom != nil && v.ValueFrom.FieldRef != nil {
			value = map[string]string{"metadata.namespace": in.Namespace, "spec.serviceAccountName": hub.Spec.Template.Spec.ServiceAccountName}[v.ValueFrom.FieldRef.FieldPath]
		}
		env = append(env, v.Name+"="+value)
	}
	return dir, env
}

// made is what probe.py prints.
type made struct {
	Complaints    []string                                `json:"complaints"`
	Authenticator string                                  `json:"authenticator"`
	Services      map[string][]string                     `json:"services"`
	Roles         map[string][]string                     `json:"roles"`
	Pods          map[string]corev1.Pod                   `json:"pods"`
	Claims        map[string]corev1.PersistentVolumeClaim `json:"claims"`
	// Whether the hub deletes a user's claim with the user.
	ClaimsGoWithUsers bool `json:"claimsGoWithUsers"`
	// Users whose session doesn't start, and what they read.
	Refused map[string]string `json:"refused"`
}

func probe(t *testing.T, version string, in render.Input, users ...string) (made, []byte) {
	t.Helper()
	return probeAt(t, nowhere, version, in, users...)
}

// nowhere is an API server that isn't there.
var nowhere = &rest.Config{Host: "http://127.0.0.1:1"}

// probeAt has the hub find an API server.
func probeAt(t *testing.T, api *rest.Config, version string, in render.Input, users ...string) (made, []byte) {
	t.Helper()
	venv := testhub.Install(t, version)
	dir, env := hubFiles(t, in, api)
	command := exec.CommandContext(t.Context(), filepath.Join(venv, "bin", "python"), append([]string{filepath.Join("testdata", "probe.py"), filepath.Join(dir, "jupyterhub_config.py")}, users...)...)
	command.Env = env
	var errors strings.Builder
	command.Stderr = &errors
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, errors.String())
	}
	var m made
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if len(m.Complaints) > 0 {
		t.Errorf("JupyterHub %s complains: %s", version, strings.Join(m.Complaints, "\n"))
	}
	return m, []byte(strings.ReplaceAll(string(out), venv, "VENV"))
}

// Each version makes the same session of a Spec; golden files hold it.
func TestSessions(t *testing.T) {
	for _, name := range []string{"everything", "storage-0", "anonymous", "subdomains", "security-context-constraints", "openshift-login"} {
		in := cases(t)[name]
		for _, hub := range hubs {
			t.Run(name+"/"+hub.jupyterhub, func(t *testing.T) {
				if !*update { // both write the same file
					t.Parallel()
				}
				_, out := probe(t, hub.jupyterhub, in, "Jane.Doe@example.com")
				got := strings.NewReplacer(
					`jupyterhub-version": "`+hub.jupyterhub, `jupyterhub-version": "…`,
					`kubespawner-version": "`+hub.kubespawner, `kubespawner-version": "…`,
				).Replace(string(out))
				file := filepath.Join("testdata", "sessions", name+".json")
				if *update {
					if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), got); diff != "" {
					t.Errorf("differs from %s; if that is right: go test -tags integration ./pkg/render -run TestSessions -update\n%s", file, diff)
				}
			})
		}
	}
}

// Whatever users are called, their objects have valid names of their own.
func TestSessionNames(t *testing.T) {
	users := []string{
		"hub", "proxy", "proxy-api", "config", "session", "workshop", "hub-workshop",
		"Jane.Doe@example.com", "jane.doe@example.com", "jane-doe-example-com",
		"ünï", "kube:admin", "1abc", "a--b", "a-b", "-x", "x-", "--", ".", "$(HOME)", "{user_server}", "a b", "💥",
		strings.Repeat("a", 46), strings.Repeat("a", 47), strings.Repeat("a", 48), strings.Repeat("a", 80),
		strings.Repeat("A", 40), strings.Repeat("ü", 80), strings.Repeat("a", 63) + "@example.com",
	}
	in := input(func(s *workshop.Spec) {
		s.Name = strings.Repeat("w", workshop.MaxNameLength)
		s.Env = map[string]string{"JSON": `{"a": {"b": "$(HOME) $$ ${HOME} {{}}"}}`}
	})
	if err := in.Spec.Validate(); err != nil {
		t.Fatal(err)
	}
	names := workshop.Names(in.Spec.Name)
	for _, hub := range hubs {
		t.Run(hub.jupyterhub, func(t *testing.T) {
			t.Parallel()
			m, _ := probe(t, hub.jupyterhub, in, users...)
			owner, longest := map[string]string{}, ""
			for _, fixed := range []string{names.Hub(), names.HubPart(), names.Proxy(), names.ProxyAPI(), names.Record(), names.Session(), names.Users()} {
				owner[fixed] = "the workshop itself"
			}
			for _, user := range users {
				pod, claim := m.Pods[user], m.Claims[user]
				if !strings.HasPrefix(pod.Name, names.SessionPrefix()) || claim.Name != pod.Name {
					t.Errorf("%q: pod %s, claim %s", user, pod.Name, claim.Name)
				}
				if other, taken := owner[pod.Name]; taken {
					t.Errorf("%q and %q share %s", user, other, pod.Name)
				}
				owner[pod.Name] = user
				if problems := validation.IsDNS1123Subdomain(pod.Name); len(problems) > 0 {
					t.Errorf("%q: pod %s: %v", user, pod.Name, problems)
				}
				if len(pod.Name) > len(longest) {
					longest = pod.Name
				}
				for _, labels := range []map[string]string{pod.Labels, claim.Labels} {
					for k, v := range labels {
						if problems := validation.IsValidLabelValue(v); len(problems) > 0 {
							t.Errorf("%q: label %s=%s: %v", user, k, v, problems)
						}
					}
				}
				if pod.Annotations[workshop.UsernameAnnotation] != user || claim.Annotations[workshop.UsernameAnnotation] != user {
					t.Errorf("%q: the annotations name %q and %q", user, pod.Annotations[workshop.UsernameAnnotation], claim.Annotations[workshop.UsernameAnnotation])
				}
				for _, v := range pod.Spec.Containers[0].Env {
					want := map[string]string{"JUPYTERHUB_USER": user, "JSON": in.Spec.Env["JSON"]}[v.Name]
					if got := strings.ReplaceAll(v.Value, "$$", "$"); want != "" && got != want {
						t.Errorf("%q: %s is %q, want %q", user, v.Name, got, want)
					}
				}
			}
			// What the documentation of workshop.MaxNameLength counts with.
			if slug := strings.TrimPrefix(longest, names.SessionPrefix()); len(slug) != 46 {
				t.Errorf("the longest slug, %s, has %d characters", slug, len(slug))
			}
		})
	}
}
