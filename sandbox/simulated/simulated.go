// SPDX-License-Identifier: Apache-2.0

// Package simulated is what a cluster without a kubelet needs beside KWOK to
// hold a large class: nodes for its pods to be on, and an answer from every
// session that a hub asks whether it is up.
package simulated

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// labelSimulated marks the nodes made here.
const labelSimulated = "workshop-sandbox/simulated"

// Nodes makes that many nodes, and returns when ctx ends. KWOK says what they
// have room for, and that they are ready.
func Nodes(ctx context.Context, client kubernetes.Interface, n int) error {
	for i := range n {
		name := fmt.Sprintf("simulated-%d", i+1)
		_, err := client.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{
			Name: name,
			Labels: map[string]string{
				labelSimulated: "true", corev1.LabelHostname: name, // volumes are bound to a node by its host name
				corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64",
			},
		}}, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("make node %s: %w", name, err)
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

// NodesReady says what is wrong while there are fewer ready nodes.
func NodesReady(ctx context.Context, client kubernetes.Interface, n int) error {
	list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: labelSimulated})
	if err != nil {
		return err
	}
	ready := 0
	for _, node := range list.Items {
		for _, c := range node.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
				ready++
			}
		}
	}
	if ready < n {
		return fmt.Errorf("%d of %d nodes are ready", ready, n)
	}
	return nil
}

// version is that of the default hub. Another hub only logs the difference.
const version = "5.5.0"

// Answers serves on an address until ctx ends, and answers as a gateway does
// that is asked whether it is up. Where all addresses of pods lead to this
// machine, it answers for every session.
func Answers(ctx context.Context, address string) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(answer), BaseContext: func(net.Listener) context.Context { return ctx }}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return ctx.Err()
}

func answer(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-JupyterHub-Version", version)
	_ = json.NewEncoder(w).Encode(map[string]string{"version": version})
}
