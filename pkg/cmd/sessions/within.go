// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/inside"
)

// within runs programs in the sessions of the cluster's namespace.
func within(c *factory.Cluster) inside.Sessions {
	return inside.Sessions{Config: c.Config, Client: c.Kubernetes, Namespace: c.Namespace}
}

// refused adds what to do about the error of a program that could not be run in
// a session.
func refused(f *factory.Factory, namespace string, err error) error {
	switch {
	case apierrors.IsForbidden(err):
		return fault.Hint(err, fmt.Sprintf("It needs the verbs create and get of pods/exec in namespace %s, which the roles edit and admin have. Ask its owner.", namespace))
	case errors.Is(err, inside.ErrOlder):
		return fault.Hint(err, fmt.Sprintf("It gets the current one when it is stopped and started again, by its owner or on the hub's admin page. `workshopctl deploy%s` updates the workshop itself.", f.Where()))
	}
	return err
}
