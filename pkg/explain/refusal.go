// SPDX-License-Identifier: Apache-2.0

package explain

import "regexp"

// refusals tell why the API server refused to make an object, by the words of
// its admission plugins.
var refusals = []struct {
	code   Code
	text   *regexp.Regexp
	cause  string
	remedy string
}{
	{Quota, regexp.MustCompile(`exceeded quota: ([^,]+)`),
		"the namespace's quota is used up ($1)",
		"free some of it, ask for a larger quota, or ask for less (sessions: --memory-request, --memory-limit, --cpu-request, --cpu-limit, --storage-size)"},
	{Quota, regexp.MustCompile(`failed quota: ([^:]+): must specify ([^;]+)`),
		"the namespace's quota $1 wants every container to say its $2",
		"set what the quota wants, or ask for a quota without it"},
	{LimitRange, regexp.MustCompile(`((?:minimum|maximum) [a-z-]+ usage per [A-Za-z]+ is [^,]+)`),
		"it doesn't fit into the namespace's limits: $1",
		"ask for another amount (sessions: --memory-request, --memory-limit, --cpu-request, --cpu-limit, --storage-size), or for other limits"},
	{PodSecurity, regexp.MustCompile(`violates PodSecurity "([^"]+)"`),
		"the namespace's pod security standard ($1) forbids it",
		"nothing of workshopctl's own needs more than the standard restricted: see below what is forbidden, and who adds it"},
	{PodSecurity, regexp.MustCompile(`unable to validate against any security context constraint`),
		"none of the security context constraints that it may use allow it",
		"nothing of workshopctl's own needs more than restricted-v2: see below what is forbidden, and who adds it"},
	{Namespace, regexp.MustCompile(`namespaces "([^"]+)" not found`),
		"there is no namespace $1",
		"make it (kubectl create namespace $1), or choose another with --namespace"},
	{Namespace, regexp.MustCompile(`because it is being terminated`),
		"its namespace is being deleted",
		"wait until the namespace is gone and make it anew, or choose another with --namespace"},
	{VolumeChange, regexp.MustCompile(`PersistentVolumeClaim "([^"]+)" is invalid: spec: Forbidden: spec is immutable`),
		"a volume keeps the storage class that it was made with", volumeAnew},
	{VolumeChange, regexp.MustCompile(`PersistentVolumeClaim "([^"]+)" is invalid: spec\.resources\.requests\.storage: Forbidden: field can not be less than`),
		"a volume can't be made smaller", volumeAnew},
	{VolumeChange, regexp.MustCompile(`persistentvolumeclaims "([^"]+)" is forbidden: only dynamically provisioned pvc can be resized`),
		"its storage class doesn't let a volume grow", volumeAnew},
	{Rights, regexp.MustCompile(`spec\.host: Forbidden: you do not have permission to set the host field of the route`),
		"you may not choose a route's host",
		"leave --host out, so that the cluster assigns one, or ask an administrator of the cluster for the right to create routes/custom-host"},
	{RouteHost, regexp.MustCompile(`Route[^:]* is invalid: spec\.host: Invalid value: "([^"]+)"`),
		"the host $1 is none that a route can have",
		"choose another one with --host, or a shorter name for the workshop: each part of a host has at most 63 characters"},
	{PodRefused, regexp.MustCompile(`admission webhook "([^"]+)" denied the request`),
		"a policy of the cluster ($1) forbids it",
		"see below what it forbids, and ask the cluster's administrator for an exception"},
	{PodRefused, regexp.MustCompile(`failed calling webhook "([^"]+)"`),
		"a policy of the cluster ($1) can't be asked: its webhook does not answer",
		"tell the cluster's administrator, and try again"},
	{PodRefused, regexp.MustCompile(`ValidatingAdmissionPolicy '([^']+)'`),
		"a policy of the cluster ($1) forbids it",
		"see below what it forbids, and ask the cluster's administrator for an exception"},
}

// volumeAnew is about the hub's volume, the only one that deploy makes.
const volumeAnew = "leave it as it is, or have a new one, when nobody works since the hub forgets who does: deploy with " +
	"--hub-storage-size 0, `kubectl delete pvc $1`, and deploy with what you want"

// Refusal explains why the API server refused to make an object, in its own
// words. It returns nil where they aren't known. object is in words.
func Refusal(object, message string) *Failure {
	for _, r := range refusals {
		at := r.text.FindStringSubmatchIndex(message)
		if at == nil {
			continue
		}
		expand := func(template string) string {
			return line(string(r.text.ExpandString(nil, template, message, at)))
		}
		return &Failure{Code: r.code, Object: Clean(object), Cause: expand(r.cause), Evidence: evidence(message), Remedy: expand(r.remedy)}
	}
	return nil
}
