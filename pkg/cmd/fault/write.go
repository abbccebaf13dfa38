// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/workshopctl/workshopctl/pkg/apply"
	"github.com/workshopctl/workshopctl/pkg/cmd/progress"
	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/rollout"
)

// Write tells a person of an error: what failed, what the cluster said, what
// to do. reword puts the program's name as it was typed into the text.
func Write(w io.Writer, err error, reword func(string) string) {
	var silent SilentError
	if err == nil || errors.As(err, &silent) {
		return
	}
	say := func(format string, args ...any) {
		_, _ = fmt.Fprintln(w, reword(explain.Clean(fmt.Sprintf(format, args...))))
	}
	_, _ = fmt.Fprint(w, progress.Colour(w, 31, "Error:")+" ")
	say("%s", indent(message(err)))

	var failure *explain.Failure
	if errors.As(err, &failure) {
		for _, line := range failure.Evidence {
			say("  %s", indent(strings.TrimRight(line, "\n")))
		}
	}
	if hint := hint(err, failure); hint != "" {
		say("%s", hint)
	}
}

// message is the error's text without what tells a person nothing, and with
// lists as lists.
func message(err error) string {
	var (
		late  *rollout.TimeoutError
		stuck *apply.StuckError
	)
	switch {
	case errors.As(err, &late):
		return strings.Replace(err.Error(), late.Error(), "the time is up; not ready yet:\n"+strings.Join(late.Missing, "\n"), 1)
	case errors.As(err, &stuck):
		return strings.Replace(err.Error(), stuck.Error(), "the time is up; not gone yet:\n"+strings.Join(stuck.Objects, "\n"), 1)
	}
	var u *url.Error
	if errors.As(err, &u) && isConnection(err) {
		if at, parseErr := url.Parse(u.URL); parseErr == nil {
			return strings.Replace(err.Error(), u.Error(), fmt.Sprintf("the cluster at %s://%s does not answer: %v", at.Scheme, at.Host, u.Err), 1)
		}
	}
	return ends.Replace(err.Error())
}

// ends puts the context's errors into words.
var ends = strings.NewReplacer(
	"interrupted: "+context.Canceled.Error(), "interrupted",
	context.Canceled.Error(), "interrupted",
	context.DeadlineExceeded.Error(), "the time is up",
)

func isConnection(err error) bool {
	var (
		op  *net.OpError
		dns *net.DNSError
	)
	return errors.As(err, &op) || errors.As(err, &dns)
}

// hint is what to do about the error, of the most specific kind known.
func hint(err error, failure *explain.Failure) string {
	var (
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
	)
	hinted := given(err, func(e *Error) bool { return e.Hint != "" })
	switch {
	case failure != nil && failure.Remedy != "":
		return Sentence(failure.Remedy)
	case hinted != nil:
		return hinted.Hint
	case errors.As(err, &authority), errors.As(err, &hostname):
		return "The certificate of the cluster is not trusted; --certificate-authority names the one to trust."
	case apierrors.IsUnauthorized(err):
		return "Your login is not valid (any more): log in to the cluster again."
	case apierrors.IsForbidden(err):
		return "Your user lacks that right here. Choose the namespace with -n, or ask its owner for the role admin in it."
	case isConnection(err):
		return "Check that this machine reaches the cluster (VPN, proxy), and that --context names the right one."
	}
	return ""
}

// Sentence gives a clause the shape of one.
func Sentence(s string) string {
	if s == "" {
		return ""
	}
	s = strings.ToUpper(s[:1]) + s[1:]
	if !strings.ContainsAny(s[len(s)-1:], ".!?`") {
		s += "."
	}
	return s
}

// indent puts the lines after the first under it.
func indent(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n  ") }
