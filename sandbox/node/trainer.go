// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/workshopctl/workshopctl/sandbox/bootstrap"
	"github.com/workshopctl/workshopctl/sandbox/host"
)

// Trainer is the person whom workshopctl is for: admin of TrainerNamespace,
// and nothing elsewhere.
const (
	Trainer          = bootstrap.Trainer
	TrainerNamespace = bootstrap.Project
)

// EnsureTrainer makes, where bootstrap doesn't, the trainer's namespace, which enforces the restricted
// pod security standard, and the binding of the trainer's role. What is there
// stays as it is.
func EnsureTrainer(ctx context.Context, dirs host.Dirs) error {
	rc, err := clientcmd.BuildConfigFromFlags("", dirs.Kubeconfig())
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(rc)
	if err != nil {
		return err
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: TrainerNamespace, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}}
	if _, err := client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: Trainer},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "admin"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: Trainer}},
	}
	if _, err := client.RbacV1().RoleBindings(TrainerNamespace).Create(ctx, binding, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	return awaitRights(ctx, dirs)
}

// awaitRights returns when the trainer may use the namespace: the API server's
// authorizer learns of a binding a moment after it is made.
func awaitRights(ctx context.Context, dirs host.Dirs) error {
	rc, err := clientcmd.BuildConfigFromFlags("", dirs.TrainerKubeconfig())
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(rc)
	if err != nil {
		return err
	}
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: TrainerNamespace, Verb: "create", Resource: "pods"}}}
	return wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		r, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		return err == nil && r.Status.Allowed, err
	})
}
