// SPDX-License-Identifier: Apache-2.0

//go:build scale

package scale

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/workshopctl/workshopctl/test/testhub"
)

// A class of 200 is started from a file, while the hub takes as many as come,
// and another one while it takes eight at a time and sends the others away.
func TestStartClass(t *testing.T) {
	const size = 200
	for _, version := range testhub.Versions {
		t.Run(version, func(t *testing.T) {
			c := newClass(t, version)
			for i, limit := range []int{0, 8} {
				if i > 0 {
					c.stopHub()
					c.startHub(fmt.Sprintf("--JupyterHub.concurrent_spawn_limit=%d", limit))
				}
				var names strings.Builder
				for n := range size {
					fmt.Fprintf(&names, "class%d-%03d@example.com\n", limit, n)
				}
				file := filepath.Join(c.dir, "class")
				if err := os.WriteFile(file, []byte(names.String()), 0o600); err != nil {
					t.Fatal(err)
				}
				begun := time.Now()
				_, progress := c.workshopctl("sessions", "start", "--from", file)
				wall := time.Since(begun).Seconds()
				t.Logf("%.1f s, %.1f starting at a time of at most %d (0 is any number):\n%s", wall, c.startTime()/wall, limit, progress)
				if !strings.Contains(progress, fmt.Sprintf("%d sessions", size)) {
					t.Errorf("no progress is shown:\n%s", progress)
				}
				c.settle(size * (i + 1))
				refused := len(c.running.lines("throttling"))
				t.Logf("the hub has said %d times that it is busy", refused)
				if (refused > 0) != (limit > 0) {
					t.Errorf("the hub has refused %d times with a limit of %d", refused, limit)
				}
			}
		})
	}
}

// startTime is how long the hub took to start sessions, all of them together.
func (c *class) startTime() (seconds float64) {
	for _, line := range c.running.lines(" seconds to start") {
		if took := tookSeconds.FindStringSubmatch(line); took != nil {
			one, err := strconv.ParseFloat(took[1], 64)
			if err != nil {
				c.t.Fatal(err)
			}
			seconds += one
		}
	}
	return seconds
}

var tookSeconds = regexp.MustCompile(`took ([0-9.]+) seconds to start`)
