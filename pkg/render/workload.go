// SPDX-License-Identifier: Apache-2.0

package render

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	templatev1 "github.com/openshift/api/template/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// UseWorkload has a Template run its pods by that kind of workload: it makes
// DeploymentConfigs of the Deployments in it, with the same pods. References
// to parameters stay as they are, so that it serves Templates that are to be
// printed as well as those that are about to be processed.
func UseWorkload(t *templatev1.Template, w workshop.Workload) error {
	if w != workshop.WorkloadDeploymentConfig {
		return nil
	}
	for i := range t.Objects {
		o := &unstructured.Unstructured{}
		if err := json.Unmarshal(t.Objects[i].Raw, &o.Object); err != nil {
			return fmt.Errorf("object %d: %w", i, err)
		}
		if o.GroupVersionKind() != workshop.WorkloadDeployment.GroupVersionKind() {
			continue
		}
		if err := toDeploymentConfig(o); err != nil {
			return fmt.Errorf("object %d: %w", i, err)
		}
		raw, err := json.Marshal(o.Object)
		if err != nil {
			return fmt.Errorf("object %d: %w", i, err)
		}
		t.Objects[i] = runtime.RawExtension{Raw: raw}
	}
	return nil
}

// toDeploymentConfig changes what the two kinds have different: the selector
// is a map, the strategy is carried out by a pod, and what starts a rollout is
// said.
func toDeploymentConfig(o *unstructured.Unstructured) error {
	selector, found, err := unstructured.NestedMap(o.Object, "spec", "selector", "matchLabels")
	if err != nil || !found {
		return errors.Join(errors.New("a Deployment without matchLabels"), err)
	}
	strategy, _, err := unstructured.NestedString(o.Object, "spec", "strategy", "type")
	if err != nil || strategy != "Recreate" {
		return errors.Join(fmt.Errorf("a Deployment with strategy %q", strategy), err)
	}
	// The labels that find the pod which carries out a rollout.
	deployer := maps.Clone(selector)
	deployer[workshop.LabelComponent] = string(workshop.ComponentDeployer)
	o.SetGroupVersionKind(workshop.WorkloadDeploymentConfig.GroupVersionKind())
	spec := o.Object["spec"].(map[string]any) // found above
	spec["selector"] = selector
	spec["strategy"] = map[string]any{
		"type":   strategy,
		"labels": deployer,
		// Quotas may ask for limits of every pod.
		"resources": map[string]any{
			"requests": map[string]any{"cpu": "10m", "memory": "64Mi"},
			"limits":   map[string]any{"cpu": "500m", "memory": "256Mi"},
		},
	}
	// Nothing but a change of the pods: images are set by name.
	spec["triggers"] = []any{map[string]any{"type": "ConfigChange"}}
	return nil
}
