// SPDX-License-Identifier: Apache-2.0

//go:build unix

package transfer

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func isQuota(err error) bool { return errors.Is(err, syscall.EDQUOT) }

// room is how many bytes a folder's volume has left, negative if that isn't
// known.
func room(folder *os.Root) int64 {
	f, err := folder.Open(".")
	if err != nil {
		return -1
	}
	defer func() { _ = f.Close() }()
	var stat unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &stat); err != nil || stat.Blocks == 0 { // of those that keep nothing
		return -1
	}
	return int64(stat.Bavail) * int64(stat.Bsize) //nolint:unconvert // the types differ between systems
}
