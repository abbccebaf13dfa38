// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/workshopctl/workshopctl/sandbox/simulated"
	"github.com/workshopctl/workshopctl/sandbox/supervise"
)

// SimulatedPods is how many pods a simulated node has room for, as many as the
// real one.
const SimulatedPods = 250

// sessionPort is where a session's gateway listens.
const sessionPort = 10080

// simulatedQPS is the rate of requests of those who look after simulated
// pods: a class is thousands of them at once.
const simulatedQPS = 200

const kubeletPort = 10250

// simulatedUnits give the control plane nodes without machines: the scheduler
// chooses one for each pod, KWOK says that the pod is ready there, storage
// binds its claim, and one program answers for all sessions.
func (n node) simulatedUnits() []supervise.Unit {
	return []supervise.Unit{
		n.scheduler(fmt.Sprintf("--kube-api-qps=%d", simulatedQPS), fmt.Sprintf("--kube-api-burst=%d", 2*simulatedQPS)),
		n.program(unitKWOK, []string{unitAPIServer}, healthy(fmt.Sprintf("http://%s:%d/healthz", Address, kubeletPort)), n.Programs.KWOK,
			"--kubeconfig="+n.etc("admin.kubeconfig"), "--config="+n.etc("kwok.yaml"), "--manage-all-nodes", "--cidr="+podRange,
			// A node without a lease is held for lost, and its pods for not ready.
			"--node-lease-duration-seconds=40",
			"--node-ip="+Address, "--node-port="+strconv.Itoa(kubeletPort), "--tls-cert-file="+n.pki("kubelet.crt"), "--tls-private-key-file="+n.pki("kubelet.key")),
		{Name: unitSimulatedNodes, After: []string{unitAPIServer}, Task: n.simulatedNodes, Ready: n.simulatedNodesReady},
		{Name: unitSimulatedSessions, Ready: answers("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(sessionPort))), Task: func(ctx context.Context, _ io.Writer) error {
			return simulated.Answers(ctx, net.JoinHostPort("0.0.0.0", strconv.Itoa(sessionPort)))
		}},
		{Name: unitStorage, After: []string{unitAPIServer}, Task: n.storage},
	}
}

func (n node) simulatedNodes(ctx context.Context, _ io.Writer) error {
	rc, err := clientcmd.BuildConfigFromFlags("", n.etc("admin.kubeconfig"))
	if err != nil {
		return err
	}
	rc.QPS, rc.Burst = simulatedQPS, 2*simulatedQPS
	client, err := kubernetes.NewForConfig(rc)
	if err != nil {
		return err
	}
	return simulated.Nodes(ctx, client, n.SimulatedNodes)
}

func (n node) simulatedNodesReady(ctx context.Context) error {
	client, err := n.client()
	if err != nil {
		return err
	}
	return simulated.NodesReady(ctx, client, n.SimulatedNodes)
}

// kwok's configuration: what becomes of nodes and pods. A pod is ready a
// second or two after it has a node, as if its image was there, with the
// statuses that a kubelet would write. The ports of a hub and its proxy are
// those of the sandbox itself: who runs these programs there reaches them as
// a port of their simulated pods.
const kwok = `apiVersion: kwok.x-k8s.io/v1alpha1
kind: ClusterPortForward
metadata: {name: sandbox}
spec:
  forwards:
  - {ports: [8081], target: {address: 127.0.0.1, port: 8081}}
  - {ports: [8000], target: {address: 127.0.0.1, port: 8000}}
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: node-ready}
spec:
  resourceRef: {apiGroup: v1, kind: Node}
  selector:
    matchExpressions:
    - {key: '.status.conditions.[] | select( .type == "Ready" ) | .status', operator: NotIn, values: ["True"]}
  next:
    statusTemplate: |
      {{ $now := Now }}
      conditions:
      {{ range NodeConditions }}
      - type: {{ .type | Quote }}
        status: {{ .status | Quote }}
        reason: {{ .reason | Quote }}
        message: {{ .message | Quote }}
        lastHeartbeatTime: {{ $now | Quote }}
        lastTransitionTime: {{ $now | Quote }}
      {{ end }}
      addresses:
      - {type: InternalIP, address: {{ NodeIP | Quote }}}
      - {type: Hostname, address: {{ .metadata.name | Quote }}}
      daemonEndpoints: {kubeletEndpoint: {Port: {{ NodePort }}}}
      allocatable: {cpu: "64", memory: 512Gi, pods: "250", ephemeral-storage: 1Ti}
      capacity: {cpu: "64", memory: 512Gi, pods: "250", ephemeral-storage: 1Ti}
      nodeInfo:
        architecture: amd64
        operatingSystem: linux
        bootID: ""
        machineID: ""
        systemUUID: ""
        osImage: simulated
        kernelVersion: simulated
        containerRuntimeVersion: simulated
        kubeletVersion: {{ printf "kwok-%s" Version | Quote }}
        kubeProxyVersion: ""
      phase: Running
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: pod-ready}
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  selector:
    matchExpressions:
    - {key: .metadata.deletionTimestamp, operator: DoesNotExist}
    - {key: .status.phase, operator: In, values: [Pending]}
    - {key: '.status.conditions.[] | select( .type == "Ready" ) | .status', operator: NotIn, values: ["True"]}
  delay: {durationMilliseconds: 1000, jitterDurationMilliseconds: 2000}
  next:
    statusTemplate: |
      {{ $now := Now }}
      conditions:
      {{ range tuple "PodReadyToStartContainers" "Initialized" "Ready" "ContainersReady" }}
      - {type: {{ . }}, status: "True", lastTransitionTime: {{ $now | Quote }}}
      {{ end }}
      initContainerStatuses:
      {{ range .spec.initContainers }}
      - name: {{ .name | Quote }}
        image: {{ .image | Quote }}
        imageID: {{ printf "%s@sha256:%s" .image ( sha256sum .image ) | Quote }}
        containerID: {{ printf "containerd://%s" ( sha256sum ( printf "%s/%s" $.metadata.uid .name ) ) | Quote }}
        ready: true
        started: false
        restartCount: 0
        state: {terminated: {exitCode: 0, reason: Completed, startedAt: {{ $now | Quote }}, finishedAt: {{ $now | Quote }}}}
      {{ end }}
      containerStatuses:
      {{ range .spec.containers }}
      - name: {{ .name | Quote }}
        image: {{ .image | Quote }}
        imageID: {{ printf "%s@sha256:%s" .image ( sha256sum .image ) | Quote }}
        containerID: {{ printf "containerd://%s" ( sha256sum ( printf "%s/%s" $.metadata.uid .name ) ) | Quote }}
        ready: true
        started: true
        restartCount: 0
        state: {running: {startedAt: {{ $now | Quote }}}}
      {{ end }}
      hostIP: {{ NodeIPWith .spec.nodeName | Quote }}
      hostIPs:
      - ip: {{ NodeIPWith .spec.nodeName | Quote }}
      {{ $ip := PodIPWith .spec.nodeName false .metadata.uid .metadata.name .metadata.namespace }}
      podIP: {{ $ip | Quote }}
      podIPs:
      - ip: {{ $ip | Quote }}
      phase: Running
      startTime: {{ $now | Quote }}
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: pod-gone}
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  selector:
    matchExpressions:
    - {key: .metadata.deletionTimestamp, operator: Exists}
  next:
    delete: true
`
