// SPDX-License-Identifier: Apache-2.0

package process

import (
	"bytes"
	"os"
	"slices"
	"strconv"
)

// GroupsOfSession lists the process groups of a session (setsid), which is
// named by the pid of its first process: a shell on a terminal makes one group
// a job. The session's own group comes first, even if it is empty.
func GroupsOfSession(session int) []int {
	groups := []int{session}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return groups
	}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue // it has ended meanwhile
		}
		// pid (name) state ppid pgrp session …; the name may contain anything.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) < 4 {
			continue
		}
		group, _ := strconv.Atoi(string(fields[2]))
		if s, _ := strconv.Atoi(string(fields[3])); s == session && !slices.Contains(groups, group) {
			groups = append(groups, group)
		}
	}
	return groups
}
