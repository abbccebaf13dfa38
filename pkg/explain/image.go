// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"regexp"
	"strings"
)

// pulls tells the reasons apart why an image can't be pulled, by the words of
// container runtimes and registries (containerd, CRI-O, distribution, Quay,
// Docker Hub). The first that matches holds.
var pulls = []struct {
	code Code
	text *regexp.Regexp
	// passes is true for what often passes by itself.
	passes bool
	cause  string
	remedy string
}{
	{RegistryTLS, regexp.MustCompile(`(?i)x509:|tls: |certificate|HTTP response to HTTPS client`), false,
		"the nodes don't trust the registry's certificate",
		"ask the cluster's administrator to make the nodes trust the registry, or use a registry that they trust"},
	{RegistryNotFound, regexp.MustCompile(`(?i)no such host|server misbehaving|name resolution`), true,
		"the nodes can't find the registry: its name is unknown to them",
		"check the registry's name in %s; if it is right, ask the cluster's administrator why the nodes can't resolve it"},
	{RegistryLimit, regexp.MustCompile(`(?i)toomanyrequests|too many requests|\b429\b`), false,
		"the registry has had too many pulls from this cluster",
		"pull with an account (--pull-secret), use another registry, or try again later"},
	{ImageUnauthorized, regexp.MustCompile(`(?i)pull access denied|may require .?docker login|insufficient_scope`), false,
		"the registry knows no such image, or shows it only to those who log in",
		"check the image's name; if it is right, make a pull secret (kubectl create secret docker-registry …) and name it with --pull-secret"},
	{ImageUnauthorized, regexp.MustCompile(`(?i)\b401\b|\b403\b|unauthorized|authentication required|no basic auth|denied|forbidden`), false,
		"the registry wants a login for this image",
		"make a pull secret (kubectl create secret docker-registry …) and name it with --pull-secret; if there is one, check the password in it"},
	{ImageInvalid, regexp.MustCompile(`(?i)no match for platform|no image found in (?:manifest list|image index)|exec format error`), false,
		"the image isn't made for the nodes' kind of processor",
		"build the image for the nodes' platform (kubectl get nodes -L kubernetes.io/arch)"},
	{ImageNotFound, regexp.MustCompile(`(?i)not found|manifest unknown|name unknown|unknown manifest|does not exist|\b404\b`), false,
		"the registry has no such image",
		"check the image's name and tag, and that it has been pushed"},
	{ImagePull, regexp.MustCompile(`(?i)timeout|timed out|connection refused|connection reset|unreachable|no route to host|EOF|deadline exceeded|\b50[0-9]\b`), true,
		"the registry does not answer the nodes",
		"check that the registry is up, and ask the cluster's administrator whether the nodes can reach it (a proxy, a firewall)"},
	{ImagePull, regexp.MustCompile(``), true,
		"the image can't be pulled",
		"see what the registry says; once the image can be pulled, run the command again"},
}

// invalidImage is what a waiting container's reason says of a name that no
// runtime understands.
const invalidImage = "InvalidImageName"

// Pull explains the registry's words on an image. passes is true for what
// often passes by itself.
func Pull(object, image, reason, text string) (f *Failure, passes bool) {
	f = &Failure{Object: object, Evidence: evidence(text)}
	if reason == invalidImage {
		f.Code, f.Cause, f.Remedy = ImageInvalid, fmt.Sprintf("%q is no image name", Clean(image)), "write it like registry.example.com/team/image:tag"
		return f, false
	}
	// The image's own name must not decide.
	if image != "" {
		text = strings.ReplaceAll(text, image, "…")
	}
	for _, p := range pulls {
		if !p.text.MatchString(text) {
			continue
		}
		f.Code, f.Cause, f.Remedy = p.code, p.cause+": "+line(image), p.remedy
		if strings.Contains(f.Remedy, "%s") {
			f.Remedy = fmt.Sprintf(f.Remedy, line(image))
		}
		return f, p.passes
	}
	return f, true // not reached: the last pattern matches everything
}
