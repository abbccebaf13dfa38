// SPDX-License-Identifier: Apache-2.0

// Package users keeps what a workshop knows of its attendees beside the Spec:
// the passwords that some have of their own, as hashes in a Secret. The hub
// reads them at each login.
package users

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"

	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Passwords of a workshop's attendees.
type Passwords struct {
	client    kubernetes.Interface
	namespace string
	names     workshop.Names
}

// PasswordsOf returns those of a workshop. They are read when asked for.
func PasswordsOf(client kubernetes.Interface, namespace string, n workshop.Names) *Passwords {
	return &Passwords{client, namespace, n}
}

// ForeignError says that a Secret of the name is there which isn't the
// workshop's.
type ForeignError struct{ Name string }

func (e *ForeignError) Error() string {
	return fmt.Sprintf("secret %s is there, and isn't the workshop's; delete or rename it", e.Name)
}

// Read returns the hashes by name, none where nobody has a password of their
// own.
func (p *Passwords) Read(ctx context.Context) (map[string]string, error) {
	_, hashes, err := p.read(ctx)
	return hashes, err
}

func (p *Passwords) read(ctx context.Context) (*corev1.Secret, map[string]string, error) {
	name := p.names.Users()
	secret, err := p.client.CoreV1().Secrets(p.namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, map[string]string{}, nil
	case err != nil:
		return nil, nil, fmt.Errorf("read attendees' passwords: %w", err)
	case secret.Labels[workshop.LabelManagedBy] != workshop.ManagedBy || secret.Labels[workshop.LabelInstance] != string(p.names):
		return nil, nil, &ForeignError{Name: name}
	}
	hashes := map[string]string{}
	if data := secret.Data[workshop.SecretPasswords]; len(data) > 0 {
		if err := json.Unmarshal(data, &hashes); err != nil {
			return nil, nil, fmt.Errorf("secret %s, key %s: %w; delete the secret, and import the users again", name, workshop.SecretPasswords, err)
		}
	}
	return secret, hashes, nil
}

// Change lets change the hashes, and keeps what somebody else has changed at
// the same time. Nothing is written if change leaves them as they are.
func (p *Passwords) Change(ctx context.Context, change func(hashes map[string]string)) error {
	secrets := p.client.CoreV1().Secrets(p.namespace)
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		secret, hashes, err := p.read(ctx)
		if err != nil {
			return err
		}
		before, err := json.Marshal(hashes)
		if err != nil {
			return err
		}
		change(hashes)
		after, err := json.Marshal(hashes)
		if err != nil || string(before) == string(after) {
			return err
		}
		if secret == nil {
			secret = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: p.names.Users(), Labels: p.names.Labels(workshop.ComponentHub)}, Type: corev1.SecretTypeOpaque}
			secret.Data = map[string][]byte{workshop.SecretPasswords: after}
			_, err = secrets.Create(ctx, secret, metav1.CreateOptions{FieldManager: workshop.ManagedBy})
			if apierrors.IsAlreadyExists(err) { // somebody was quicker: as good as a conflict
				err = apierrors.NewConflict(corev1.Resource("secrets"), secret.Name, err)
			}
		} else {
			if secret.Data == nil {
				secret.Data = map[string][]byte{}
			}
			secret.Data[workshop.SecretPasswords] = after
			_, err = secrets.Update(ctx, secret, metav1.UpdateOptions{FieldManager: workshop.ManagedBy})
		}
		if apierrors.IsConflict(err) {
			return err
		}
		if err != nil {
			return fmt.Errorf("write attendees' passwords: %w", err)
		}
		return nil
	})
}

// ChangedAnnotation on the hub's pod is when passwords were last changed. It
// means nothing to anybody, but has the kubelet look at the pod, and bring it
// the Secret at once instead of within two minutes.
const ChangedAnnotation = "workshopctl.io/passwords-changed"

// Deliver has the nodes bring the passwords to the hub at once. Without the
// right to do so, or without a hub, they get there by themselves.
func (p *Passwords) Deliver(ctx context.Context) error {
	pods := p.client.CoreV1().Pods(p.namespace)
	list, err := pods.List(ctx, metav1.ListOptions{LabelSelector: labels.FormatLabels(p.names.Selector(workshop.ComponentHub))})
	if err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{ChangedAnnotation: time.Now().UTC().Format(time.RFC3339Nano)}}})
	if err != nil {
		return err
	}
	for _, pod := range list.Items {
		if _, err := pods.Patch(ctx, pod.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: workshop.ManagedBy}); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}
