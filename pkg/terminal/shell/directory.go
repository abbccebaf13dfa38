// SPDX-License-Identifier: Apache-2.0

package shell

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Directory is where the program is that has the terminal now, or else where
// its shell is. It is empty if nobody knows.
func (t *Terminal) Directory() string {
	t.mu.Lock()
	r := t.running
	t.mu.Unlock()
	if r == nil {
		return ""
	}
	for _, pid := range []int{r.foreground(), r.cmd.Process.Pid} {
		if pid <= 0 {
			continue
		}
		if dir, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err == nil {
			return dir
		}
	}
	return ""
}

// foreground is the process group that has the terminal; its leader has the
// same number. 0 if that isn't known.
func (r *run) foreground() int {
	conn, err := r.tty.SyscallConn()
	if err != nil {
		return 0
	}
	group := 0
	_ = conn.Control(func(fd uintptr) {
		if n, err := unix.IoctlGetInt(int(fd), unix.TIOCGPGRP); err == nil {
			group = n
		}
	})
	return group
}
