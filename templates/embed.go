// SPDX-License-Identifier: Apache-2.0

// Package templates holds the documents that a workshop is made of: true
// OpenShift Templates, one for each part or capability, which `oc process -f`
// understands as well, JupyterHub's configuration, and the pinned images.
package templates

import "embed"

// The Template documents, as YAML.
var (
	//go:embed spawner.yaml
	Spawner string
	//go:embed secret.yaml
	Secret string
	//go:embed hub.yaml
	Hub string
	//go:embed proxy.yaml
	Proxy string
	//go:embed network.yaml
	Network string
	//go:embed ingress.yaml
	Ingress string
	//go:embed route.yaml
	Route string
)

// JupyterHubConfig is the hub's jupyterhub_config.py.
//
//go:embed jupyterhub_config.py
var JupyterHubConfig string

//go:embed logins*.py login_*.py
var logins embed.FS

// Logins are Python modules beside jupyterhub_config.py, by the names of their
// files: login_AUTH.py for each kind of login, and what these share.
func Logins() map[string]string {
	all := map[string]string{}
	entries, err := logins.ReadDir(".")
	if err != nil { // it is part of the program
		panic(err)
	}
	for _, e := range entries {
		content, err := logins.ReadFile(e.Name())
		if err != nil {
			panic(err)
		}
		all[e.Name()] = string(content)
	}
	return all
}

// HubPage is what the hub's pages look like, a Jinja template beside
// jupyterhub_config.py that goes over JupyterHub's own.
//
//go:embed page.html
var HubPage string

// FullPage is what attendees see while the workshop has as many sessions as it
// may have, a page of the same kind.
//
//go:embed 429.html
var FullPage string

// Images is a map of the default images by part, as YAML.
//
//go:embed images.yaml
var Images string

// RouteAddress is a Python module beside jupyterhub_config.py, for hubs that
// find out their address themselves.
//
//go:embed route_address.py
var RouteAddress string
