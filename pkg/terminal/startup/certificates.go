// SPDX-License-Identifier: Apache-2.0

package startup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// bundleVariable names the file of the workshop's own certificate authorities.
// The hub's configuration sets it; the attendee's programs see it too.
const bundleVariable = "WORKSHOPCTL_CA_BUNDLE"

// systemBundles are where distributions keep the authorities that they trust:
// Debian and Alpine, Fedora and OpenShift's base images, BSD's and Alpine's
// libraries, SUSE. It is the list of Go's crypto/x509 for Linux.
var systemBundles = []string{
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	"/etc/ssl/cert.pem",
	"/etc/ssl/ca-bundle.pem",
}

// Trust has the attendee's programs trust the workshop's own certificate
// authorities beside those of the image, if the workshop has any. OpenSSL and
// those who do as it does take one file, so the two are joined into one outside
// the image, which may be read-only. SSL_CERT_FILE always names it, as what the
// image gave there is in it; other variables that the image or the trainer set
// are left alone.
//
// An error is for the log, and the session goes on: without a place to write,
// the variables name the workshop's authorities alone; if these can't be read,
// no variable changes.
func (m Machine) Trust(s *Setup) error {
	own, ok := variable(s.Env, bundleVariable)
	if !ok || own == "" {
		return nil
	}
	added, err := os.ReadFile(m.path(own))
	if err != nil {
		return fmt.Errorf("the workshop's certificates aren't trusted: %s: %w", bundleVariable, err)
	}
	file, err := m.writeBundle(append(m.imageBundle(s.Env), added...), s.Home)
	if err != nil {
		file = own
		err = fmt.Errorf("no place to join the workshop's certificates with the image's, so programs trust the workshop's alone: %w", err)
	}
	s.Env = append(withoutVariable(s.Env, "SSL_CERT_FILE"), "SSL_CERT_FILE="+file)
	for _, name := range []string{"CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS"} {
		if value, _ := variable(s.Env, name); value == "" {
			s.Env = append(withoutVariable(s.Env, name), name+"="+file)
		}
	}
	slices.Sort(s.Env)
	return err
}

// imageBundle is what the image trusts, to be added to.
func (m Machine) imageBundle(env []string) []byte {
	given, _ := variable(env, "SSL_CERT_FILE")
	for _, path := range append([]string{given}, systemBundles...) {
		info, err := os.Stat(m.path(path))
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		if pem, err := os.ReadFile(m.path(path)); err == nil {
			return append(pem, '\n') // it may end within a line
		}
	}
	return nil
}

// writeBundle puts the certificates into the first place that takes them. The
// name begins with a dot for `rm /tmp/*` to leave it, and has the user's number
// as the directories may be another user's too.
func (m Machine) writeBundle(pem []byte, home string) (string, error) {
	var failed []string
	for _, place := range []string{"/tmp", "/dev/shm", home} {
		file := filepath.Join(place, ".workshopctl-"+strconv.Itoa(m.UID), "ca-bundle.crt")
		err := replaceFile(m.path(file), pem)
		if err == nil {
			return file, nil
		}
		failed = append(failed, err.Error())
	}
	return "", errors.New(strings.Join(failed, "; "))
}

// replaceFile writes a file that all may read, whole or not at all, in a
// directory that is made if its parent is there.
func replaceFile(path string, content []byte) (err error) {
	dir := filepath.Dir(path)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	f, err := os.CreateTemp(dir, ".new-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(content)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
