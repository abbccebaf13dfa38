// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	appsclient "github.com/openshift/client-go/apps/clientset/versioned/typed/apps/v1"
	routeclient "github.com/openshift/client-go/route/clientset/versioned/typed/route/v1"
	"k8s.io/client-go/kubernetes"
)

// Clients of the APIs that a workshop's parts are of. Those of OpenShift are
// used only for workshops that have such parts.
type Clients struct {
	Kubernetes        kubernetes.Interface
	DeploymentConfigs appsclient.DeploymentConfigsGetter
	Routes            routeclient.RoutesGetter
}
