// SPDX-License-Identifier: Apache-2.0

package workshop

import "fmt"

// OAuthRedirectPrefix starts the annotations of a service account that say
// where OpenShift's OAuth server may send people who log in to it back to. What
// follows the last dot of a key pairs them.
const OAuthRedirectPrefix = "serviceaccounts.openshift.io/oauth-redirect"

// OAuthRedirects are the annotations that the hub's account needs for a login
// with the cluster's accounts; none without such a login. A Route is referred
// to, so that its host may be any; but it doesn't know the port that browsers
// use, and an Ingress can't be referred to.
func (n Names) OAuthRedirects(s Spec) map[string]string {
	if s.Auth != AuthOpenShift {
		return nil
	}
	const uri = OAuthRedirectPrefix + "uri.first"
	if s.Expose == ExposeIngress {
		return map[string]string{uri: s.URL()}
	}
	redirects := map[string]string{
		OAuthRedirectPrefix + "reference.first": fmt.Sprintf(`{"kind":"OAuthRedirectReference","apiVersion":"v1","reference":{"kind":"Route","name":"%s"}}`, n.Ingress()),
	}
	if _, port := SplitHost(s.Host); port != "" {
		redirects[uri] = "//:" + port
	}
	return redirects
}

// OAuthClient is the name that the cluster's login knows an account by.
func OAuthClient(namespace, account string) string {
	return "system:serviceaccount:" + namespace + ":" + account
}

// CallbackURL is where another server's login page sends attendees back to; ""
// without an address.
func (s Spec) CallbackURL() string {
	if s.URL() == "" {
		return ""
	}
	return s.URL() + "hub/oauth_callback"
}
