// SPDX-License-Identifier: Apache-2.0

package startup

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
)

// What the hub's configuration says about the cluster that attendees work with:
// its address, and the file of its certificate authorities.
const (
	apiServerVariable = "WORKSHOPCTL_API_SERVER"
	clusterCAVariable = "WORKSHOPCTL_CLUSTER_CA"
)

// The names of a kubeconfig's authorities beside it, and of its one context.
const (
	authoritiesFile = "workshop-ca.crt"
	contextName     = "workshop"
)

// NameCluster writes a kubeconfig that names the workshop's cluster and has no
// credentials, so that `oc login` asks for nothing but user and password. It
// goes where oc and kubectl would write it, and returns that path; "" where the
// workshop names no cluster, or there is a kubeconfig already, be it the
// image's or the attendee's own.
//
// The authorities are in a file beside it, and renewed at each start: the
// cluster's, the workshop's, and the image's, since neither an API server
// outside nor a login page need have a certificate of the cluster's own.
func (m Machine) NameCluster(s Setup) (string, error) {
	server, _ := variable(s.Env, apiServerVariable)
	if server == "" {
		return "", nil
	}
	file, exists := m.kubeconfig(s)
	authorities := filepath.Join(filepath.Dir(file), authoritiesFile)
	if exists {
		if info, _ := os.Stat(m.path(authorities)); info != nil { // then it is one of ours
			return "", m.writeAuthorities(authorities, s)
		}
		return "", nil
	}
	fail := func(err error) (string, error) {
		return "", fmt.Errorf("no kubeconfig for %s: %w", server, err)
	}
	server, err := withPort(server)
	if err != nil {
		return fail(err)
	}
	content, err := json.MarshalIndent(map[string]any{
		"apiVersion":      "v1",
		"kind":            "Config",
		"clusters":        []any{map[string]any{"name": contextName, "cluster": map[string]any{"server": server, "certificate-authority": authoritiesFile}}},
		"contexts":        []any{map[string]any{"name": contextName, "context": map[string]any{"cluster": contextName, "user": ""}}},
		"current-context": contextName,
	}, "", "  ")
	if err != nil {
		return fail(err)
	}
	if err := os.MkdirAll(filepath.Dir(m.path(file)), 0o770); err != nil {
		return fail(err)
	}
	if err := m.writeAuthorities(authorities, s); err != nil {
		return fail(err)
	}
	f, err := os.OpenFile(m.path(file), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return "", nil
	}
	if err != nil {
		return fail(err)
	}
	_, err = f.Write(append(content, '\n'))
	if err := errors.Join(err, f.Close()); err != nil {
		return fail(errors.Join(err, os.Remove(m.path(file))))
	}
	return file, nil
}

// withPort adds the port that a server's URL leaves out. `oc login` finds the
// server's authorities in a kubeconfig only under an address with a port.
func withPort(server string) (string, error) {
	u, err := url.Parse(server)
	if err != nil {
		return "", err
	}
	if u.Port() == "" {
		u.Host += map[string]string{"https": ":443", "http": ":80"}[u.Scheme]
	}
	return u.String(), nil
}

// kubeconfig is the file that oc and kubectl write to, and whether one of those
// that they read is there.
func (m Machine) kubeconfig(s Setup) (file string, exists bool) {
	file = filepath.Join(s.Home, ".kube", "config")
	if list, _ := variable(s.Env, "KUBECONFIG"); list != "" {
		for _, path := range filepath.SplitList(list) {
			if path == "" {
				continue
			}
			if !filepath.IsAbs(path) {
				path = filepath.Join(s.Dir, path)
			}
			file = path // the last one, if none is there
			if _, err := os.Lstat(m.path(path)); err == nil {
				return path, true
			}
		}
		return file, false
	}
	_, err := os.Lstat(m.path(file))
	return file, err == nil
}

// writeAuthorities puts the certificates into the file that the kubeconfig
// names. Trust has joined the workshop's with the image's.
func (m Machine) writeAuthorities(file string, s Setup) error {
	pem := m.imageBundle(s.Env)
	if path, _ := variable(s.Env, clusterCAVariable); path != "" {
		added, err := os.ReadFile(m.path(path))
		if err != nil && !errors.Is(err, os.ErrNotExist) { // the hub's configuration says that it may be missing
			return err
		}
		pem = append(pem, added...)
	}
	if len(pem) == 0 {
		return errors.New("neither the image nor the cluster has certificate authorities")
	}
	return replaceFile(m.path(file), pem)
}
