// SPDX-License-Identifier: Apache-2.0

// Package login finds out whether attendees can log in to a workshop with
// their accounts of the cluster: it begins a login as their browsers do, and
// explains the answer of the cluster's OAuth server. It logs nobody in.
package login

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Target is the workshop whose login is looked at.
type Target struct {
	Namespace string
	// Spec, with the host that browsers use.
	Spec workshop.Spec
	// Account is the hub's service account, the OAuth client.
	Account string
}

// ErrUnreachable says that the OAuth server doesn't answer from here, or isn't
// trusted here; it may be fine for hub and attendees.
var ErrUnreachable = errors.New("the cluster's login server doesn't answer here")

// Check begins a login and returns why it can't go on, or nil. It is also nil
// for workshops with a login of their own. web reaches the OAuth server, as a
// browser; it must follow no redirects.
func Check(ctx context.Context, client kubernetes.Interface, web *http.Client, t Target) (*explain.Failure, error) {
	if t.Spec.Auth != workshop.AuthOpenShift || t.Spec.URL() == "" {
		return nil, nil
	}
	endpoint, err := authorizationEndpoint(ctx, client)
	if apierrors.IsNotFound(err) {
		return &explain.Failure{Code: explain.Login, Object: "login", Cause: "the cluster has no OAuth server, so nobody can log in",
			Evidence: []string{"clusters with an external identity provider have none"},
			Remedy:   "use a password instead: workshopctl deploy --auth password"}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask the API server for the OAuth server: %w", err)
	}
	said, err := begin(ctx, web, endpoint, t)
	if err != nil || said == "" {
		return nil, err
	}
	return cause(ctx, client, t, said)
}

// Await checks until the login works or the patience is at its end, as an OAuth
// server learns of accounts and routes a moment later.
func Await(ctx context.Context, client kubernetes.Interface, web *http.Client, t Target, patience, again time.Duration) (*explain.Failure, error) {
	end := time.Now().Add(patience)
	for {
		failure, err := Check(ctx, client, web, t)
		if failure == nil || err != nil || time.Now().After(end) {
			return failure, err
		}
		select {
		case <-ctx.Done():
			return failure, ctx.Err()
		case <-time.After(again):
		}
	}
}

// authorizationEndpoint is where the cluster's logins begin.
func authorizationEndpoint(ctx context.Context, client kubernetes.Interface) (string, error) {
	body, err := client.Discovery().RESTClient().Get().AbsPath("/.well-known/oauth-authorization-server").DoRaw(ctx)
	if err != nil {
		return "", err
	}
	var metadata struct {
		AuthorizationEndpoint string `json:"authorization_endpoint"`
	}
	if err := json.Unmarshal(body, &metadata); err != nil || metadata.AuthorizationEndpoint == "" {
		return "", errors.New("the answer names no authorization_endpoint")
	}
	return metadata.AuthorizationEndpoint, nil
}

// begin returns what the OAuth server has against the client, "" for nothing:
// it then shows its login page.
func begin(ctx context.Context, web *http.Client, endpoint string, t Target) (string, error) {
	query := url.Values{
		"response_type": {"code"}, "client_id": {workshop.OAuthClient(t.Namespace, t.Account)}, "scope": {"user:info"},
		"redirect_uri": {t.Spec.URL() + "hub/oauth_callback"}, "state": {"check"},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"?"+query.Encode(), nil)
	if err != nil {
		return "", err
	}
	response, err := web.Do(request)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnreachable, errors.Unwrap(err))
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode >= http.StatusInternalServerError {
		return "", fmt.Errorf("%w: it answers %s", ErrUnreachable, response.Status)
	}
	if response.StatusCode < http.StatusBadRequest || response.StatusCode == http.StatusUnauthorized {
		// The way back, instead of on to the login page, is an error, too.
		to, err := response.Location()
		if err != nil || to.Query().Get("error") == "" {
			return "", nil
		}
		return answer(to.Query().Get("error"), to.Query().Get("error_description")), nil
	}
	var refusal struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if err := json.Unmarshal(body, &refusal); err != nil || refusal.Error == "" {
		return response.Status, nil
	}
	return answer(refusal.Error, refusal.Description), nil
}

func answer(code, description string) string {
	return explain.Clean(strings.TrimSuffix(code+": "+description, ": "))
}

// cause looks for the reason of a refusal where the OAuth server has looked.
func cause(ctx context.Context, client kubernetes.Interface, t Target, said string) (*explain.Failure, error) {
	f := &explain.Failure{Code: explain.Login, Object: "login", Evidence: []string{"the OAuth server says: " + said}}
	account, err := client.CoreV1().ServiceAccounts(t.Namespace).Get(ctx, t.Account, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		f.Cause = fmt.Sprintf("the hub's service account %s does not exist, so nobody can log in", t.Account)
		f.Remedy = "make it anew: workshopctl deploy"
	case err != nil && !apierrors.IsForbidden(err):
		return nil, err
	case err == nil && !mayRedirect(account):
		f.Cause = fmt.Sprintf("the service account %s doesn't say where the cluster's login may send attendees back to, so nobody can log in", t.Account)
		f.Remedy = fmt.Sprintf("deploy again, or annotate it: kubectl -n %s annotate serviceaccount %s --overwrite %s", t.Namespace, t.Account, annotations(t.Spec))
	default:
		f.Cause = fmt.Sprintf("the cluster's login won't send attendees back to %s, so nobody can log in", t.Spec.URL())
		f.Remedy = fmt.Sprintf("the way in must be admitted under that host (kubectl -n %s get route %s), and the annotations %s of service account %s must lead to it: workshopctl deploy sets them",
			t.Namespace, workshop.Names(t.Spec.Name).Ingress(), workshop.OAuthRedirectPrefix+"…", t.Account)
	}
	return f, nil
}

// mayRedirect tells whether an account names any place to send people back to.
func mayRedirect(account *corev1.ServiceAccount) bool {
	for key := range account.Annotations {
		if strings.HasPrefix(key, workshop.OAuthRedirectPrefix) {
			return true
		}
	}
	return false
}

// annotations are those of a workshop's account as arguments of `kubectl
// annotate`.
func annotations(spec workshop.Spec) string {
	redirects := workshop.Names(spec.Name).OAuthRedirects(spec)
	var args []string
	for _, key := range slices.Sorted(maps.Keys(redirects)) {
		args = append(args, key+"='"+redirects[key]+"'")
	}
	return strings.Join(args, " ")
}
