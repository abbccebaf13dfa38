// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"fmt"

	openshiftappsv1 "github.com/openshift/api/apps/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/workshopctl/workshopctl/pkg/livecopy"
)

// backedOff are the kubelet's reasons for a container that it has tried to
// start and will try again only after a pause, of up to five minutes.
var backedOff = map[string]bool{
	"ErrImagePull": true, "ImagePullBackOff": true, "InvalidImageName": true, "CrashLoopBackOff": true,
	"CreateContainerConfigError": true, "CreateContainerError": true, "RunContainerError": true,
}

// Retry has the cluster try at once what it has failed at and would try again
// only after a pause: it deletes the hub's and the proxy's pods that are in
// back-off, and their ReplicaSets whose pods were refused, which Kubernetes
// then makes anew, and begins a new rollout of DeploymentConfigs whose last one
// has failed. Whoever deploys again has perhaps pushed the image, or got
// a larger quota, which changes no object of the workshop; a Wait without this
// would end at once with the cause of before. Call it after the apply. It
// touches nothing that runs, and returns what it did in words.
func Retry(ctx context.Context, clients Clients, t Target) ([]string, error) {
	client := clients.Kubernetes
	m := livecopy.New()
	w := watchWorkshop(m, clients, t, false)
	if err := m.Once(ctx); err != nil {
		return nil, fmt.Errorf("read the state of workshop %q in namespace %q: %w", t.Spec.Name, t.Namespace, err)
	}
	var done []string
	for _, p := range w.pods.Items() {
		if p.DeletionTimestamp != nil || metav1.GetControllerOf(p) == nil || !inBackOff(p) {
			continue
		}
		if err := client.CoreV1().Pods(t.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(p.UID))}); err != nil && !gone(err) {
			return done, fmt.Errorf("try again to start pod %s in namespace %q: %w", p.Name, t.Namespace, err)
		}
		done = append(done, "starting pod "+p.Name+" anew")
	}
	if w.configs != nil {
		begun, err := w.rollOut(ctx, clients)
		return append(done, begun...), err
	}
	for _, rs := range w.replicaSets.Items() {
		if rs.DeletionTimestamp != nil || metav1.GetControllerOf(rs) == nil || rs.Status.Replicas > 0 || !refusedPods(rs) {
			continue
		}
		background := metav1.DeletePropagationBackground
		if err := client.AppsV1().ReplicaSets(t.Namespace).Delete(ctx, rs.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(rs.UID)), PropagationPolicy: &background}); err != nil && !gone(err) {
			return done, fmt.Errorf("try again to make the pods of replica set %s in namespace %q: %w", rs.Name, t.Namespace, err)
		}
		done = append(done, "making the pod of "+rs.Name+" anew")
	}
	return done, nil
}

// rollOut begins a rollout of each DeploymentConfig whose newest one has ended
// without success.
func (w *whole) rollOut(ctx context.Context, clients Clients) (done []string, err error) {
	for _, d := range w.configs.Items() {
		rc := latest(d, w.controllers.Items())
		if d.DeletionTimestamp != nil || d.Spec.Paused || rc == nil || rc.Annotations[openshiftappsv1.DeploymentStatusAnnotation] != string(openshiftappsv1.DeploymentStatusFailed) {
			continue
		}
		request := &openshiftappsv1.DeploymentRequest{Name: d.Name, Latest: true, Force: true}
		request.SetGroupVersionKind(openshiftappsv1.GroupVersion.WithKind("DeploymentRequest"))
		if _, err := clients.DeploymentConfigs.DeploymentConfigs(w.Namespace).Instantiate(ctx, d.Name, request, metav1.CreateOptions{}); err != nil && !gone(err) {
			return done, fmt.Errorf("begin a rollout of deployment config %s in namespace %q: %w", d.Name, w.Namespace, err)
		}
		done = append(done, "rolling out "+d.Name+" anew")
	}
	return done, nil
}

func gone(err error) bool { return apierrors.IsNotFound(err) || apierrors.IsConflict(err) }

func inBackOff(p *corev1.Pod) bool {
	for _, statuses := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for _, s := range statuses {
			if s.State.Waiting != nil && backedOff[s.State.Waiting.Reason] {
				return true
			}
		}
	}
	return false
}

func refusedPods(rs *appsv1.ReplicaSet) bool {
	for _, c := range rs.Status.Conditions {
		if c.Type == appsv1.ReplicaSetReplicaFailure && c.Status == corev1.ConditionTrue {
			return true
		}
	}
	return false
}
