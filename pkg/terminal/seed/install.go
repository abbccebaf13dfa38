// SPDX-License-Identifier: Apache-2.0

// Package seed puts things in place before a session starts: the gateway itself
// where the image's container finds it, and the image's files on the
// attendee's volume.
package seed

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Program is the gateway's file name.
const Program = "workshop-terminal"

// Install copies the running program into dir, whole or not at all.
func Install(dir string) error {
	in, err := os.Open("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("install: open the running program: %w", err)
	}
	defer in.Close()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("install: %w", err)
	}
	out, err := os.CreateTemp(dir, "."+Program+"-*")
	if err != nil {
		return fmt.Errorf("install: %w", err)
	}
	defer os.Remove(out.Name()) // gone already if all went well
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		return fmt.Errorf("install: %w", err)
	}
	if err := out.Chmod(0o755); err != nil {
		return fmt.Errorf("install: %w", err)
	}
	if err := out.Sync(); err != nil {
		return fmt.Errorf("install: %w", err)
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("install: %w", err)
	}
	if err := os.Rename(out.Name(), filepath.Join(dir, Program)); err != nil {
		return fmt.Errorf("install: %w", err)
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
