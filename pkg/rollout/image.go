// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/workshopctl/workshopctl/pkg/livecopy"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// WaitImage waits until a node has pulled the image of a pod's one container,
// whether that container then runs or not, and returns what the node calls the
// image (corev1.ContainerStatus.ImageID). The pod must exist. Errors as for
// Wait.
func WaitImage(ctx context.Context, client kubernetes.Interface, namespace, pod string, report func(Progress)) (imageID string, err error) {
	m := livecopy.New()
	w := watchPod(m, client, namespace, pod)
	parts := func(j judgement) ([]Part, time.Duration) {
		for _, p := range w.pods.Items() {
			if id, ok := pulled(p); ok {
				imageID = id
				return []Part{{Name: "image", State: Ready, Ready: true, Message: "ready"}}, 0
			}
		}
		parts, again := w.parts(j)
		parts[0].Name = "image"
		return parts, again
	}
	err = wait(ctx, client, namespace, m, parts, report)
	return imageID, err
}

// TerminalImage is the image that a hub with these pods gives to new sessions;
// empty if it says nothing.
func TerminalImage(pods *corev1.PodTemplateSpec) workshop.Image {
	if pods == nil {
		return workshop.Image{}
	}
	values := map[string]string{}
	for _, container := range pods.Spec.Containers {
		for _, e := range container.Env {
			values[e.Name] = e.Value
		}
	}
	return workshop.ImageOf(values[workshop.EnvTerminalImage], values[workshop.EnvImageStream])
}

// pulled says whether the node has got as far as having the image.
func pulled(pod *corev1.Pod) (imageID string, ok bool) {
	for _, c := range pod.Status.ContainerStatuses {
		started := c.State.Running != nil || c.State.Terminated != nil || c.LastTerminationState.Terminated != nil
		if w := c.State.Waiting; w != nil {
			// The kubelet's reasons for what comes after the pull and depends
			// on the container's command.
			started = started || w.Reason == "RunContainerError" || w.Reason == "CreateContainerError" || w.Reason == "CrashLoopBackOff"
		}
		// A node that could not start the container knows the image by its
		// name only.
		if c.ImageID != "" || started {
			return c.ImageID, true
		}
	}
	return "", false
}
