// SPDX-License-Identifier: Apache-2.0

package render

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/workshopctl/workshopctl/pkg/password"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// parameters returns the value of every parameter of every document.
func parameters(in Input) (map[string]string, error) {
	s := in.Spec
	host, _ := workshop.SplitHost(s.Host)
	values := map[string]string{
		"APPLICATION_NAME": s.Name,
		"HUB_IMAGE":        s.HubImage,
		"PROXY_IMAGE":      s.ProxyImage,
		"GATEWAY_IMAGE":    s.GatewayImage,
		"TERMINAL_IMAGE":   s.Image().String(),
		"IMAGE_STREAM":     s.ImageStream,
		"PUBLIC_URL":       s.URL(),
		"HOST":             host,
		"AUTH":             string(s.Auth),
		"ADMIN_USERS":      unexpanded(strings.Join(s.AdminUsers, ",")),
		"ALLOWED_USERS":    unexpanded(strings.Join(s.AllowedUsers, ",")),
		"ADMIN_GROUPS":     unexpanded(strings.Join(s.AdminGroups, ",")),
		"ALLOWED_GROUPS":   unexpanded(strings.Join(s.AllowedGroups, ",")),
		"API_SERVER":       unexpanded(apiServer(in)),
		"VOLUME_SIZE":      s.Storage.Size,
		"STORAGE_CLASS":    s.Storage.ClassName,
		"MEMORY_SIZE":      s.Resources.MemoryLimit,
		"MEMORY_REQUEST":   s.Resources.MemoryRequest,
		"CPU_LIMIT":        s.Resources.CPULimit,
		"CPU_REQUEST":      s.Resources.CPURequest,
		"IDLE_TIMEOUT":     strconv.FormatInt(s.IdleTimeout.Seconds(), 10),
		"MAX_AGE":          strconv.FormatInt(s.MaxAge.Seconds(), 10),
		"SESSION_LIMIT":    strconv.Itoa(s.Limit),
		"PORTS":            s.PortList(),
		"NOTES_PATH":       unexpanded(s.NotesPath),
		"NOTES_URL":        unexpanded(s.NotesURL),
		"NOTES_ORIGINS":    strings.Join(s.NotesOrigins, ","),
		"UPLOAD_LIMIT":     bytes(s.UploadLimit),
		"HUB_VOLUME_SIZE":  s.HubStorageSize,
	}
	if zero(s.Storage.Size) { // "0Gi" is a way to write it that the hub needn't know
		values["VOLUME_SIZE"] = "0"
	}
	if in.ExistingSecret != "" {
		return values, nil
	}
	random := in.Random
	if random == nil {
		random = rand.Reader
	}
	for _, key := range secretKeys {
		if kept := in.Secret[key.name]; len(kept) > 0 {
			values[key.name] = string(kept)
			continue
		}
		value, err := key.generate(random)
		if err != nil {
			return nil, fmt.Errorf("generate %s: %w", key.name, err)
		}
		values[key.name] = value
	}
	return values, nil
}

// apiServer is the address that the sessions' kubeconfig names, "" for none.
// Where the cluster has no login of its own for users of oc, a kubeconfig
// without credentials would be of no use.
func apiServer(in Input) string {
	switch address := in.Spec.APIServer; {
	case address == workshop.APIServerNone, address == "" && !in.Capabilities.OAuth:
		return ""
	case address == "":
		return workshop.InClusterAPIServer
	default:
		return address
	}
}

// secretKeys are the values of the workshop's Secret, which are parameters of
// the same name, in the order in which they are generated.
var secretKeys = []struct {
	name     string
	generate func(io.Reader) (string, error)
}{
	{workshop.SecretProxyToken, hexadecimal},
	{workshop.SecretCookie, hexadecimal},
	{workshop.SecretCrypt, hexadecimal},
	{workshop.SecretAPIToken, hexadecimal},
	{workshop.SecretUserPassword, func(r io.Reader) (string, error) { return password.Generate(r, false) }},
	{workshop.SecretAdminPassword, func(r io.Reader) (string, error) { return password.Generate(r, true) }},
}

// hexadecimal returns 32 random bytes in hexadecimal.
func hexadecimal(random io.Reader) (string, error) {
	b := make([]byte, 32)
	if _, err := io.ReadFull(random, b); err != nil {
		return "", err
	}
	return hex.EncodeToString(b), nil
}

// unexpanded protects a value of an environment variable from Kubernetes,
// which fills in $(OTHER) ones.
func unexpanded(value string) string { return strings.ReplaceAll(value, "$", "$$") }

// bytes is a quantity as a plain number; 0 for what is none, which Validate
// tells of.
func bytes(quantity string) string {
	q, err := resource.ParseQuantity(quantity)
	if err != nil {
		return "0"
	}
	return strconv.FormatInt(q.Value(), 10)
}

// zero tells whether a quantity, which may be written in many ways, is none.
func zero(quantity string) bool {
	q, err := resource.ParseQuantity(quantity)
	return err == nil && q.IsZero()
}
