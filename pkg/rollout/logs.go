// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/workshopctl/workshopctl/pkg/explain"
)

// logLines is how much of a crashed container's log is evidence: a Python
// traceback's last calls and its message.
const logLines = 12

// withLog puts the last lines of the log that a failure points at into its
// evidence.
func withLog(ctx context.Context, client kubernetes.Interface, namespace string, f *explain.Failure) *explain.Failure {
	if f.Log == nil {
		return f
	}
	full := *f
	full.Log = nil
	for _, previous := range []bool{f.Log.Previous, !f.Log.Previous} {
		tail, limit := int64(3*logLines), int64(64<<10)
		log, err := client.CoreV1().Pods(namespace).GetLogs(f.Log.Pod, &corev1.PodLogOptions{
			Container: f.Log.Container, Previous: previous, TailLines: &tail, LimitBytes: &limit,
		}).DoRaw(ctx)
		if lines := explain.LastLines(string(log), logLines); err == nil && len(lines) > 0 {
			full.Evidence = append(full.Evidence[:len(full.Evidence):len(full.Evidence)], lines...)
			break
		}
	}
	return &full
}
