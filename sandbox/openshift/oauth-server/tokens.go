// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	oauthv1 "github.com/openshift/api/oauth/v1"
	oauthclient "github.com/openshift/client-go/oauth/clientset/versioned/typed/oauth/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog"
)

// The server of 2019 keeps codes and tokens under their own names; the API
// server of today takes only sha256~HASH as a name, and the bearer presents
// sha256~VALUE. The clients below hash what the server stores and looks up,
// and withPrefix marks what leaves it.
const hashPrefix = "sha256~"

// hashed is the name that a code or token is kept under.
func hashed(value string) string {
	h := sha256.Sum256([]byte(strings.TrimPrefix(value, hashPrefix)))
	return hashPrefix + base64.RawURLEncoding.EncodeToString(h[:])
}

type accessTokens struct {
	oauthclient.OAuthAccessTokenInterface
}

func (a accessTokens) Create(token *oauthv1.OAuthAccessToken) (*oauthv1.OAuthAccessToken, error) {
	stored := token.DeepCopy()
	stored.Name = hashed(token.Name)
	if token.AuthorizeToken != "" {
		stored.AuthorizeToken = hashed(token.AuthorizeToken)
	}
	created, err := a.OAuthAccessTokenInterface.Create(stored)
	if err != nil {
		return nil, err
	}
	created.Name = token.Name
	return created, nil
}

func (a accessTokens) Get(name string, o metav1.GetOptions) (*oauthv1.OAuthAccessToken, error) {
	token, err := a.OAuthAccessTokenInterface.Get(hashed(name), o)
	if err != nil {
		return nil, err
	}
	token.Name = name
	return token, nil
}

func (a accessTokens) Delete(name string, o *metav1.DeleteOptions) error {
	return a.OAuthAccessTokenInterface.Delete(hashed(name), o)
}

type authorizeTokens struct {
	oauthclient.OAuthAuthorizeTokenInterface
}

func (a authorizeTokens) Create(token *oauthv1.OAuthAuthorizeToken) (*oauthv1.OAuthAuthorizeToken, error) {
	stored := token.DeepCopy()
	stored.Name = hashed(token.Name)
	created, err := a.OAuthAuthorizeTokenInterface.Create(stored)
	if err != nil {
		return nil, err
	}
	created.Name = token.Name
	return created, nil
}

func (a authorizeTokens) Get(name string, o metav1.GetOptions) (*oauthv1.OAuthAuthorizeToken, error) {
	token, err := a.OAuthAuthorizeTokenInterface.Get(hashed(name), o)
	if err != nil {
		return nil, err
	}
	token.Name = name
	return token, nil
}

func (a authorizeTokens) Delete(name string, o *metav1.DeleteOptions) error {
	return a.OAuthAuthorizeTokenInterface.Delete(hashed(name), o)
}

// withPrefix puts sha256~ before the codes and tokens in what /oauth/authorize
// and /oauth/token answer.
func withPrefix(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/oauth/authorize":
			next.ServeHTTP(&redirectWriter{w}, r)
		case "/oauth/token":
			answer := &answerWriter{ResponseWriter: w, status: http.StatusOK}
			next.ServeHTTP(answer, r)
			answer.send()
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// redirectWriter marks the code or token of a redirect to a client.
type redirectWriter struct{ http.ResponseWriter }

func (w *redirectWriter) WriteHeader(status int) {
	if u, err := url.Parse(w.Header().Get("Location")); err == nil && status == http.StatusFound && u.IsAbs() {
		query := u.Query()
		if code := query.Get("code"); code != "" {
			query.Set("code", hashPrefix+code)
			u.RawQuery = query.Encode()
			w.Header().Set("Location", u.String())
		} else if fragment, err := url.ParseQuery(u.EscapedFragment()); err == nil && fragment.Get("access_token") != "" {
			fragment.Set("access_token", hashPrefix+fragment.Get("access_token"))
			u.Fragment, u.RawFragment = "", ""
			w.Header().Set("Location", u.String()+"#"+fragment.Encode())
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

// answerWriter holds back a token answer until it is whole.
type answerWriter struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (w *answerWriter) WriteHeader(status int)      { w.status = status }
func (w *answerWriter) Write(p []byte) (int, error) { return w.body.Write(p) }

func (w *answerWriter) send() {
	body := w.body.Bytes()
	var answer map[string]interface{}
	if json.Unmarshal(body, &answer) == nil {
		if token, ok := answer["access_token"].(string); ok && token != "" {
			answer["access_token"] = hashPrefix + token
			if marked, err := json.Marshal(answer); err == nil {
				body = marked
			}
		}
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.ResponseWriter.WriteHeader(w.status)
	if _, err := w.ResponseWriter.Write(body); err != nil {
		klog.V(1).Infof("answer a token request: %v", err)
	}
}
