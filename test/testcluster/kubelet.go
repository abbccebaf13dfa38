// SPDX-License-Identifier: Apache-2.0

//go:build integration || scale

package testcluster

import (
	"context"
	"encoding/json"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Fate is what becomes of a pod.
type Fate func(*corev1.Pod) corev1.PodStatus

// Kubelet plays a node: it takes every pod of the namespace, writes the
// statuses that the test wants, and ends pods that are deleted. All the rest
// (Deployments, ReplicaSets, claims, quota) is done by the real controllers.
type Kubelet struct {
	t *testing.T
	c *Cluster

	mu     sync.Mutex
	status map[workshop.Component]Fate
}

// NewKubelet starts one, for the time of the test, with which every pod runs.
func NewKubelet(t *testing.T, c *Cluster) *Kubelet {
	k := &Kubelet{t: t, c: c, status: map[workshop.Component]Fate{
		workshop.ComponentHub: Running, workshop.ComponentProxy: Running, workshop.ComponentSession: Running,
	}}
	w, err := c.Admin.Kubernetes.CoreV1().Pods(c.Namespace).Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		w.Stop()
		<-done
	})
	go func() {
		defer close(done)
		for e := range w.ResultChan() {
			if pod, ok := e.Object.(*corev1.Pod); ok && e.Type != watch.Deleted {
				k.sync(t.Context(), pod)
			}
		}
	}()
	return k
}

// Say sets what becomes of a component's pods, those that exist among them.
func (k *Kubelet) Say(component workshop.Component, status Fate) {
	k.mu.Lock()
	k.status[component] = status
	k.mu.Unlock()
	list, err := k.c.Admin.Kubernetes.CoreV1().Pods(k.c.Namespace).List(k.t.Context(), metav1.ListOptions{LabelSelector: workshop.LabelComponent + "=" + string(component)})
	if err != nil {
		k.t.Error(err)
		return
	}
	for i := range list.Items {
		k.sync(k.t.Context(), &list.Items[i])
	}
}

func (k *Kubelet) sync(ctx context.Context, pod *corev1.Pod) {
	pods := k.c.Admin.Kubernetes.CoreV1().Pods(k.c.Namespace)
	if pod.DeletionTimestamp != nil {
		if err := pods.Delete(ctx, pod.Name, *metav1.NewDeleteOptions(0)); err != nil && !apierrors.IsNotFound(err) && ctx.Err() == nil {
			k.t.Error(err)
		}
		return
	}
	if pod.Spec.NodeName == "" {
		err := pods.Bind(ctx, &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: pod.Name}, Target: corev1.ObjectReference{Kind: "Node", Name: "test"}}, metav1.CreateOptions{})
		if err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) && ctx.Err() == nil {
			k.t.Error(err)
		}
		return // the watch brings it again
	}
	k.mu.Lock()
	status := k.status[workshop.Component(pod.Labels[workshop.LabelComponent])]
	k.mu.Unlock()
	if status == nil {
		return
	}
	patch, err := json.Marshal(map[string]any{"status": status(pod)})
	if err != nil {
		k.t.Error(err)
		return
	}
	if _, err := pods.Patch(ctx, pod.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil && !apierrors.IsNotFound(err) && ctx.Err() == nil {
		k.t.Error(err)
	}
}

// status is that of a pod on a node with one container.
func status(pod *corev1.Pod, phase corev1.PodPhase, ready bool, state corev1.ContainerState) corev1.PodStatus {
	condition := corev1.ConditionFalse
	if ready {
		condition = corev1.ConditionTrue
	}
	container := pod.Spec.Containers[0]
	return corev1.PodStatus{Phase: phase,
		Conditions:        []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}, {Type: corev1.PodReady, Status: condition}},
		ContainerStatuses: []corev1.ContainerStatus{{Name: container.Name, Image: container.Image, Ready: ready, State: state}}}
}

func runs(pod *corev1.Pod, ready bool) corev1.PodStatus {
	return status(pod, corev1.PodRunning, ready, corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: pod.CreationTimestamp}})
}

// Running pods are ready.
func Running(pod *corev1.Pod) corev1.PodStatus { return runs(pod, true) }

// Starting pods run and aren't ready.
func Starting(pod *corev1.Pod) corev1.PodStatus { return runs(pod, false) }

// Waiting pods have a container that waits, for this reason.
func Waiting(reason, message string) Fate {
	return func(pod *corev1.Pod) corev1.PodStatus {
		return status(pod, corev1.PodPending, false, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}})
	}
}
