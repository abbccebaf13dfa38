// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/client-go/kubernetes"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/klog"
)

// A current server takes any valid token of a service account as its client
// secret, those that pods get among them; that of 2019 knows token Secrets
// only. So here each service account seems to have one Secret more, whose
// value is the same for all, lives in this process only and is never sent to
// anybody; /oauth/token trades a valid token for it.

// clientWithSecret shows that Secret to the server.
type clientWithSecret struct {
	kubernetes.Interface
	secret string
}

func (c clientWithSecret) CoreV1() coreclient.CoreV1Interface {
	return coreWithSecret{c.Interface.CoreV1(), c.secret}
}

type coreWithSecret struct {
	coreclient.CoreV1Interface
	secret string
}

func (c coreWithSecret) Secrets(namespace string) coreclient.SecretInterface {
	return secretsWithSecret{c.CoreV1Interface.Secrets(namespace), c.ServiceAccounts(namespace), c.secret}
}

type secretsWithSecret struct {
	coreclient.SecretInterface
	accounts coreclient.ServiceAccountInterface
	secret   string
}

func (s secretsWithSecret) List(o metav1.ListOptions) (*corev1.SecretList, error) {
	list, err := s.SecretInterface.List(o)
	if err != nil {
		return nil, err
	}
	accounts, err := s.accounts.List(metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, account := range accounts.Items {
		list.Items = append(list.Items, corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{corev1.ServiceAccountNameKey: account.Name, corev1.ServiceAccountUIDKey: string(account.UID)}},
			Type:       corev1.SecretTypeServiceAccountToken,
			Data:       map[string][]byte{corev1.ServiceAccountTokenKey: []byte(s.secret)},
		})
	}
	return list, nil
}

// reviewer asks the API server about tokens.
type reviewer struct {
	reviews authenticationclient.TokenReviewInterface
}

// owner is the user a token belongs to, or nobody.
func (r reviewer) owner(token string) (string, error) {
	review, err := r.reviews.Create(&authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}})
	if err != nil || !review.Status.Authenticated {
		return "", err
	}
	return review.Status.User.Username, nil
}

// maxForm bounds the body of a token request.
const maxForm = 1 << 20

// withBoundTokens puts secret where a request for a token has a valid token of
// the service account that is its client.
func withBoundTokens(tokens interface{ owner(string) (string, error) }, secret string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/oauth/token" || r.Method != http.MethodPost {
			next.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
		if err != nil {
			http.Error(w, "read the request: "+err.Error(), http.StatusBadRequest)
			return
		}
		form, err := url.ParseQuery(string(body))
		if err != nil {
			http.Error(w, "read the form: "+err.Error(), http.StatusBadRequest)
			return
		}
		if id, password, ok := r.BasicAuth(); ok {
			// Both are form-encoded there, RFC 6749 section 2.3.1. A client without
			// a secret, as oc is, sends an empty one; the server wants to see it.
			form.Set("client_id", unescape(id))
			form.Set("client_secret", unescape(password))
			r.Header.Del("Authorization")
		}
		id, token := form.Get("client_id"), form.Get("client_secret")
		if token == secret { // nobody knows it; guessing isn't the way in either
			form.Del("client_secret")
		} else if strings.HasPrefix(id, serviceaccount.ServiceAccountUsernamePrefix) && strings.Count(token, ".") == 2 {
			switch owner, err := tokens.owner(token); {
			case err != nil:
				klog.Errorf("review the token of %s: %v", id, err)
				http.Error(w, "the API server can't be asked about the client's token", http.StatusServiceUnavailable)
				return
			case owner == id:
				form.Set("client_secret", secret)
			}
		}
		encoded := []byte(form.Encode())
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(encoded)), int64(len(encoded))
		r.Header.Set("Content-Length", strconv.Itoa(len(encoded)))
		next.ServeHTTP(w, r)
	})
}

// unescape leaves what isn't escaped as it is.
func unescape(s string) string {
	if u, err := url.QueryUnescape(s); err == nil {
		return u
	}
	return s
}
