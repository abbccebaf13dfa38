// SPDX-License-Identifier: Apache-2.0

package setimage

import (
	"context"
	"fmt"
	"time"

	"github.com/workshopctl/workshopctl/pkg/cmd/batch"
	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/plan"
	"github.com/workshopctl/workshopctl/pkg/session"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

const goOn = "The image is set; the same command again goes on with the sessions that still have another one."

// restart stops sessions, has the hub start them again, and waits until they
// are ready.
func restart(ctx context.Context, f *factory.Factory, c *factory.Cluster, p *plan.Plan, list []session.Session, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	client, closeHub, err := c.Hub(ctx, p.Spec)
	if err != nil {
		return fault.Hint(fmt.Errorf("start sessions anew: %w", err), goOn)
	}
	defer closeHub()
	live, err := session.NewLive(ctx, session.Query{Client: c.Kubernetes, Namespace: c.Namespace, Names: workshop.Names(p.Spec.Name)})
	if err != nil {
		return fault.Hint(err, goOn)
	}
	go func() { _ = live.Run(ctx) }() // who waits for a pod has a time limit
	work := &batch.Work{Client: c.Kubernetes, Namespace: c.Namespace, Hub: client, Live: live}
	job := batch.Job{Doing: "Starting anew", Failed: "did not get ready"}
	say := f.Progress()
	names := make([]string, len(list))
	for i, s := range list {
		names[i] = s.User
	}
	errs := job.Each(ctx, say, names, func(ctx context.Context, i int) error { return work.Restart(ctx, list[i], true) })
	err = job.Outcome(names, errs)
	say.Stop(err)
	if err != nil {
		return fault.Hint(err, goOn)
	}
	say.Done("Started %s anew with %s", sessions(len(list)), p.Spec.Image())
	return nil
}
