// SPDX-License-Identifier: Apache-2.0

package simulated

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func TestNodes(t *testing.T) {
	client := fake.NewClientset(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "simulated-1",
		Labels: map[string]string{labelSimulated: "true", corev1.LabelHostname: "simulated-1"}}})
	w, err := client.CoreV1().Nodes().Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Nodes(ctx, client, 3) }()
	giveUp := time.After(time.Minute)
	for last := ""; last != "simulated-3"; {
		select {
		case e := <-w.ResultChan():
			node := e.Object.(*corev1.Node)
			last = node.Name
			if node.Labels[corev1.LabelHostname] != node.Name {
				t.Errorf("%s has the host name %q, so that its volumes are nowhere", node.Name, node.Labels[corev1.LabelHostname])
			}
		case <-giveUp:
			t.Fatal("no nodes are made")
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}

	if err := NodesReady(t.Context(), client, 3); err == nil || !strings.Contains(err.Error(), "0 of 3") {
		t.Errorf("nobody has said that they are ready: %v", err)
	}
	list, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range list.Items {
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		if _, err := client.CoreV1().Nodes().UpdateStatus(t.Context(), &node, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := NodesReady(t.Context(), client, 3); err != nil {
		t.Error(err)
	}
}

// What a hub looks at when it waits for a session.
func TestAnswer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(answer))
	defer server.Close()
	response, err := http.Get(server.URL + "/user/jane%40example.com/api")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK || response.Header.Get("X-JupyterHub-Version") == "" {
		t.Errorf("%s, %v", response.Status, response.Header)
	}
}

func TestAnswersEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Answers(ctx, "127.0.0.1:0"); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}
