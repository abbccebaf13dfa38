// SPDX-License-Identifier: Apache-2.0

package preflight

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"

	"github.com/workshopctl/workshopctl/pkg/apply"
	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/rollout"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

const (
	// probeLife ends a probe pod that nobody deletes. Large images on slow
	// lines take minutes.
	probeLife = 15 * time.Minute
	// cleanupTime is what the deletion of the probe pod may take after the
	// caller's context has ended.
	cleanupTime = 10 * time.Second
	// sessionUser is the user of session pods where the cluster doesn't choose
	// one (pkg/render).
	sessionUser = 1001
)

// TerminalImage has the cluster pull the image of in.Session for a short-lived
// pod that asks for what a session asks for, and returns the digest that it
// got ("sha256:…"), or "" where the node doesn't tell it. report is told in
// plain words what goes on, and may be nil. The pod is deleted in all cases,
// and so are those that an earlier, killed workshopctl has left.
//
// Errors: *explain.Failure for a known cause, *rollout.TimeoutError at the
// context's deadline, or the API's.
func TerminalImage(ctx context.Context, client kubernetes.Interface, in Input, report func(message string)) (digest string, err error) {
	pods := client.CoreV1().Pods(in.Namespace)
	if err := removeLeftovers(ctx, client, in); err != nil {
		return "", err
	}
	pod, err := pods.Create(ctx, probe(in), metav1.CreateOptions{FieldManager: workshop.ManagedBy})
	if err != nil {
		if f := explain.Refusal("pod of the image check", err.Error()); f != nil {
			return "", f
		}
		return "", fmt.Errorf("check the terminal image: make a pod in namespace %q: %w", in.Namespace, err)
	}
	defer func() {
		// Also after Ctrl-C, which has ended ctx.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
		defer cancel()
		// A failure leaves a pod that ends by itself and that the next check
		// removes; it must not hide what the check has found.
		_ = pods.Delete(ctx, pod.Name, *metav1.NewDeleteOptions(1))
	}()
	id, err := rollout.WaitImage(ctx, client, in.Namespace, pod.Name, func(p rollout.Progress) {
		if report != nil {
			report(p.Message)
		}
	})
	if err != nil {
		return "", skippable(pullable(in, err))
	}
	_, digest, _ = strings.Cut(id, "@")
	return digest, nil
}

// pullable names the right that lets the pods of a project pull the images of
// an image stream.
func pullable(in Input, err error) error {
	var f *explain.Failure
	if in.Session.Tag == nil || !errors.As(err, &f) || f.Code != explain.ImageUnauthorized {
		return err
	}
	hinted := *f
	hinted.Remedy = fmt.Sprintf("if the image is in the cluster's own registry, have an admin of project %s let the sessions pull it: `%s`; for another registry, name a pull secret with --pull-secret",
		in.Session.Tag.Project, pullLine(in))
	return &hinted
}

// skippable names the way out of the checks that a cluster may fail although
// a workshop would run.
func skippable(err error) error {
	var f *explain.Failure
	if !errors.As(err, &f) {
		return err
	}
	var hint string
	switch f.Code {
	case explain.RegistryNotFound, explain.RegistryLimit, explain.ImagePull:
		hint = "; if the nodes have the image already, skip this check with --skip-image-check"
	case explain.Unschedulable:
		hint = "; to deploy nonetheless, skip this check with --skip-image-check"
	default:
		return err
	}
	hinted := *f
	hinted.Remedy += hint
	return &hinted
}

// probe is a pod that is to a node what a session is, but ends at once.
func probe(in Input) *corev1.Pod {
	s := in.Spec
	n := workshop.Names(s.Name)
	podLabels := maps.Clone(s.Labels)
	if podLabels == nil {
		podLabels = map[string]string{}
	}
	maps.Copy(podLabels, n.Labels(apply.ComponentImageCheck))
	list := func(memory, cpu string) corev1.ResourceList {
		l := corev1.ResourceList{}
		for name, value := range map[corev1.ResourceName]string{corev1.ResourceMemory: memory, corev1.ResourceCPU: cpu} {
			if q, err := resource.ParseQuantity(value); err == nil {
				l[name] = q
			}
		}
		return l
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: string(n) + "-image-check-", Labels: podLabels, Annotations: maps.Clone(s.Annotations)},
		Spec: corev1.PodSpec{
			RestartPolicy:                 corev1.RestartPolicyNever,
			ActiveDeadlineSeconds:         new(int64(probeLife / time.Second)),
			TerminationGracePeriodSeconds: new(int64(1)),
			AutomountServiceAccountToken:  new(false),
			EnableServiceLinks:            new(false),
			NodeSelector:                  maps.Clone(s.NodeSelector),
			Tolerations:                   append([]corev1.Toleration(nil), s.Tolerations...),
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot:   new(true),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "image", Image: in.Session.Reference, ImagePullPolicy: corev1.PullAlways,
				// Whether the image has it doesn't matter: it must be pulled to
				// find out.
				Command:   []string{"true"},
				Resources: corev1.ResourceRequirements{Requests: list(s.Resources.MemoryRequest, s.Resources.CPURequest), Limits: list(s.Resources.MemoryLimit, s.Resources.CPULimit)},
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
					Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}
	if s.PullSecret != "" {
		pod.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: s.PullSecret}}
	}
	if !in.Capabilities.SecurityContext {
		pod.Spec.SecurityContext.RunAsUser, pod.Spec.SecurityContext.RunAsGroup = new(int64(sessionUser)), new(int64(0))
	}
	return pod
}

// removeLeftovers deletes the probe pods of runs that were killed: those that
// have ended, or are older than a probe gets.
func removeLeftovers(ctx context.Context, client kubernetes.Interface, in Input) error {
	pods := client.CoreV1().Pods(in.Namespace)
	selector := labels.SelectorFromSet(workshop.Names(in.Spec.Name).Selector(apply.ComponentImageCheck))
	list, err := pods.List(ctx, metav1.ListOptions{LabelSelector: selector.String()})
	if err != nil {
		return fmt.Errorf("check the terminal image: list pods in namespace %q: %w", in.Namespace, err)
	}
	for _, p := range list.Items {
		ended := p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded
		if ended || time.Since(p.CreationTimestamp.Time) > 2*probeLife {
			// Those of another run that has just ended may be gone already.
			_ = pods.Delete(ctx, p.Name, *metav1.NewDeleteOptions(1))
		}
	}
	return nil
}
