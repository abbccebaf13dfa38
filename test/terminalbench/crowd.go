// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// crowdPart is what each of many shells prints at the same time, in bytes.
	crowdPart = 1 << 20
	// crowdKeys is how many keys each attendee types, one each keyTime.
	crowdKeys = 20
	keyTime   = 200 * time.Millisecond
)

// crowd measures n shells at once. They are spread over the servers evenly: one
// each for gateways, of which every session has its own, all on one for a server
// of many.
func (b *bench) crowd(ctx context.Context, servers []*server, n int) (figures, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	clients := make([]*client, n)
	each := func(f func(i int) error) error { // at the same time for all
		failed := make([]error, n)
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() { failed[i] = f(i) })
		}
		all.Wait()
		for _, err := range failed {
			if err != nil {
				return err
			}
		}
		return nil
	}
	defer func() {
		for _, c := range clients {
			if c != nil {
				c.close()
			}
		}
	}()
	for i := range n { // attendees don't come in the same moment
		c, err := b.shell(ctx, servers[i%len(servers)], i/len(servers)+1)
		if err != nil {
			return nil, fmt.Errorf("shell %d: %w", i+1, err)
		}
		clients[i] = c
	}
	sum := func() (u usage, err error) {
		for _, s := range servers {
			one, err := s.usage()
			if err != nil {
				return u, err
			}
			u.cpu, u.rss, u.peak = u.cpu+one.cpu, u.rss+one.rss, u.peak+one.peak
			u.shared += one.shared
		}
		return u, nil
	}
	idle, err := sum()
	if err != nil {
		return nil, err
	}
	f := figures{"crowd: idle RSS MiB": float64(idle.rss) / mib, "crowd: idle RSS without files MiB": float64(idle.rss-idle.shared) / mib}

	var mu sync.Mutex
	var times []time.Duration
	err = each(func(i int) error {
		c := clients[i]
		if err := b.run(ctx, c, "echo", ended); err != nil {
			return err
		}
		if err := wait(ctx, rand.N(keyTime)); err != nil {
			return err
		}
		for range crowdKeys {
			start := time.Now()
			if err := c.send(ctx, "x"); err != nil {
				return err
			}
			if _, err := c.until(ctx, 'x'); err != nil {
				return err
			}
			took := time.Since(start)
			mu.Lock()
			times = append(times, took)
			mu.Unlock()
			if err := wait(ctx, keyTime-took); err != nil {
				return err
			}
		}
		if err := c.send(ctx, "\x03"); err != nil {
			return err
		}
		_, err := c.until(ctx, prompt)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("typing: %w", err)
	}
	percentiles(f, times, "crowd: echo")

	before, err := sum()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	err = each(func(i int) error {
		if err := b.run(ctx, clients[i], fmt.Sprint("part text ", crowdPart), begun); err != nil {
			return err
		}
		_, err := clients[i].until(ctx, ended)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("printing: %w", err)
	}
	took := time.Since(start)
	after, err := sum()
	if err != nil {
		return nil, err
	}
	f["crowd: MiB/s"] = float64(n) * crowdPart / mib / took.Seconds()
	f["crowd: CPU-s/100 MiB"] = (after.cpu - before.cpu).Seconds() * 100 * mib / (float64(n) * crowdPart)
	f["crowd: peak RSS MiB"] = float64(after.peak) / mib
	return f, nil
}
