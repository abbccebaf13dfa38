// SPDX-License-Identifier: Apache-2.0

package preflight

import (
	"context"
	"fmt"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/workshopctl/workshopctl/pkg/explain"
)

// sessionAccount is the service account that sessions run under. It pulls
// their images, and has no token in them.
const sessionAccount = "default"

// The roles that OpenShift has for the purpose.
const (
	readRole = "registry-viewer"
	pullRole = "system:image-puller"
)

func readLine(in Input) string {
	return grant(in, readRole, in.Spec.Account())
}

func pullLine(in Input) string { return grant(in, pullRole, sessionAccount) }

// grant is the command that gives a service account of the workshop's project
// a role in that of the image stream.
func grant(in Input, role, account string) string {
	return fmt.Sprintf("oc policy add-role-to-user %s system:serviceaccount:%s:%s -n %s", role, in.Namespace, account, in.Session.Tag.Project)
}

// streamRights asks whether hub and sessions may use an image stream of
// another project: the hub reads what the tag stands for, with its own
// account, and the sessions' account pulls it. In the workshop's own project
// the hub's Role and OpenShift itself give these rights.
func streamRights(ctx context.Context, client kubernetes.Interface, in Input) ([]Finding, error) {
	tag := in.Session.Tag
	if tag == nil || tag.Project == in.Namespace {
		return nil, nil
	}
	hub := in.Spec.Account()
	read := authorizationv1.ResourceAttributes{Namespace: tag.Project, Verb: "get", Group: "image.openshift.io", Resource: "imagestreamtags", Name: tag.Name + ":" + tag.Tag}
	pull := authorizationv1.ResourceAttributes{Namespace: tag.Project, Verb: "get", Group: "image.openshift.io", Resource: "imagestreams", Subresource: "layers", Name: tag.Name}
	mayRead, err := may(ctx, client, in, hub, read)
	if err != nil {
		return nil, err
	}
	mayPull, err := may(ctx, client, in, sessionAccount, pull)
	if err != nil {
		return nil, err
	}
	var causes, lines []string
	if mayRead != yes {
		cause := "the hub may not read its tags"
		if mayRead == unknown {
			cause = "the hub perhaps may not read its tags"
		}
		causes = append(causes, cause)
		lines = append(lines, "`"+readLine(in)+"`")
	}
	if mayPull == no {
		causes = append(causes, "sessions may not pull its images")
		lines = append(lines, "`"+pullLine(in)+"`")
	}
	if len(causes) == 0 {
		return nil, nil
	}
	return []Finding{{Warning: mayRead != no && mayPull != no, Failure: explain.Failure{
		Code: explain.ImageStreamRights, Object: fmt.Sprintf("image stream %s/%s", tag.Project, tag.Name), Cause: strings.Join(causes, ", and "),
		Remedy: fmt.Sprintf("have an admin of project %s run %s", tag.Project, strings.Join(lines, " and "))}}}, nil
}

// verdict is what is known of a right.
type verdict int

const (
	unknown verdict = iota
	yes
	no
)

// may asks whether a service account has a right in another project. Those
// with the role admin there may ask outright. Others ask as an account that
// they may be, by a token of ten minutes that goes nowhere: as the account
// itself if it exists, else as the namespace's default one, which has the
// rights that all accounts have, but perhaps not those that somebody has given
// to the other.
func may(ctx context.Context, client kubernetes.Interface, in Input, account string, right authorizationv1.ResourceAttributes) (verdict, error) {
	groups := []string{"system:serviceaccounts", "system:serviceaccounts:" + in.Namespace, "system:authenticated"}
	user := fmt.Sprintf("system:serviceaccount:%s:%s", in.Namespace, account)
	review, err := client.AuthorizationV1().LocalSubjectAccessReviews(right.Namespace).Create(ctx, &authorizationv1.LocalSubjectAccessReview{
		ObjectMeta: metav1.ObjectMeta{Namespace: right.Namespace},
		Spec:       authorizationv1.SubjectAccessReviewSpec{User: user, Groups: groups, ResourceAttributes: &right}}, metav1.CreateOptions{})
	switch {
	case err == nil && review.Status.Allowed:
		return yes, nil
	case err == nil:
		return no, nil
	case !apierrors.IsForbidden(err):
		return unknown, err
	case in.As == nil:
		return unknown, nil
	}
	for _, as := range []string{account, sessionAccount} {
		allowed, err := allowedAs(ctx, client, in, as, right)
		switch {
		case apierrors.IsNotFound(err):
			continue
		case apierrors.IsForbidden(err):
			return unknown, nil
		case err != nil:
			return unknown, err
		case allowed:
			return yes, nil
		case as == account:
			return no, nil
		}
	}
	return unknown, nil
}

// allowedAs asks as a service account what that account may do.
func allowedAs(ctx context.Context, client kubernetes.Interface, in Input, account string, right authorizationv1.ResourceAttributes) (bool, error) {
	token, err := client.CoreV1().ServiceAccounts(in.Namespace).CreateToken(ctx, account, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: new(int64(600))}}, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	as, err := in.As(token.Status.Token)
	if err != nil {
		return false, err
	}
	review, err := as.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &right}}, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	return review.Status.Allowed, nil
}
