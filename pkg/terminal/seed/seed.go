// SPDX-License-Identifier: Apache-2.0

package seed

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Names on the volume. All start the same, and none is ever copied from an image.
const (
	own     = ".workshopctl-"
	marker  = own + "seeded"  // a file: the volume is filled, once and for all
	staging = own + "copying" // a folder: a copy that isn't whole
	ready   = own + "copied"  // a folder: a whole copy, whose entries are being moved out
)

// lostAndFound is what file systems have at their root.
const lostAndFound = "lost+found"

// Seed fills the volume at dst with what is at src in the image, unless that was
// done before. A src that isn't there leaves the volume empty.
//
// A kill at any moment, also of the whole machine, must not leave half a copy
// that looks like a whole one. So the copy grows in a folder of its own
// (staging); when it is whole and on the disk, the folder is renamed (ready);
// then its entries move to where they belong, which can be repeated; then the
// marker is written. The next run goes on where the folder's name says.
//
// What is on the volume already is never overwritten. Files keep their modes and
// times; their owner is whoever runs this, since others can't be given a file.
// Folders are the owner's to write in, whatever they were in the image: he could
// not even delete them else. What can't be read is told to warn and left out.
func Seed(src, dst string, warn func(format string, args ...any)) error {
	s := seeder{src: src, dst: dst, warn: warn, step: func() {}}
	if err := s.run(); err != nil {
		return fmt.Errorf("seed the volume at %s from %s: %w", dst, src, err)
	}
	return nil
}

type seeder struct {
	src, dst string
	warn     func(format string, args ...any)
	step     func() // called between any two changes of the volume: tests end the process here
	links    map[inode]string
}

// inode tells files with several names.
type inode struct{ device, number uint64 }

func (s *seeder) run() error {
	// Modes are copied as they are, and what must be group-writable is.
	defer syscall.Umask(syscall.Umask(0))
	volume, err := os.Open(s.dst)
	if err != nil {
		return err
	}
	defer volume.Close()
	// A container that is being stopped may still be copying. File systems that
	// know no locks on folders have to do without.
	_ = syscall.Flock(int(volume.Fd()), syscall.LOCK_EX)

	switch done, err := exists(s.in(marker)); {
	case err != nil:
		return err
	case done:
		return s.clean()
	}
	copied, err := exists(s.in(ready))
	if err != nil {
		return err
	}
	if !copied {
		if copied, err = s.copyAll(); err != nil {
			return err
		}
		if copied {
			// All of the copy must be on the disk before its name says so.
			if err := unix.Syncfs(int(volume.Fd())); err != nil {
				return fmt.Errorf("write the copy to the disk: %w", err)
			}
			s.step()
			if err := os.Rename(s.in(staging), s.in(ready)); err != nil {
				return err
			}
			s.step()
		}
	}
	if copied {
		if err := s.moveOut(s.in(ready), s.dst); err != nil {
			return err
		}
	}
	if err := unix.Syncfs(int(volume.Fd())); err != nil {
		return fmt.Errorf("write the files to the disk: %w", err)
	}
	s.step()
	if err := s.mark(); err != nil {
		return err
	}
	s.step()
	return s.clean()
}

func (s *seeder) in(name string) string { return filepath.Join(s.dst, name) }

// copyAll makes the copy in the staging folder, and says whether there was
// something to copy.
func (s *seeder) copyAll() (bool, error) {
	src, err := filepath.EvalSymlinks(s.src)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	info, err := os.Stat(src)
	if err != nil {
		return false, err
	}
	if !info.IsDir() {
		return false, errors.New("not a folder in the image")
	}
	dst, err := filepath.EvalSymlinks(s.dst)
	if err != nil {
		return false, err
	}
	if inside, err := filepath.Rel(src, dst); err == nil && inside != ".." && !strings.HasPrefix(inside, "../") {
		return false, errors.New("the volume must not be within what is copied to it")
	}
	s.links = map[inode]string{}
	return true, s.copyFolder(src, s.in(staging), true)
}

func (s *seeder) copyFolder(from, to string, top bool) error {
	info, err := os.Stat(from)
	if err != nil {
		return s.unreadable(from, err)
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		if err := s.unreadable(from, err); err != nil {
			return err
		}
	}
	s.step()
	if err := os.Mkdir(to, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for _, e := range entries {
		if top && (e.Name() == lostAndFound || strings.HasPrefix(e.Name(), own)) {
			continue
		}
		if err := s.copyEntry(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	if top {
		return nil // it is not an entry of the volume
	}
	s.step()
	// New folders have the group of the volume by its set-group-ID bit, and hand
	// it on: keep that bit.
	made, err := os.Stat(to)
	if err != nil {
		return err
	}
	return os.Chmod(to, info.Mode().Perm()|0o700|made.Mode()&fs.ModeSetgid|info.Mode()&(fs.ModeSetgid|fs.ModeSticky))
}

// unreadable tells of something that is left out. Anything else than a missing
// permission, or that it has gone, is an error.
func (s *seeder) unreadable(path string, err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		s.warn("left out: %v", err)
		return nil
	}
	return fmt.Errorf("read %s: %w", path, err)
}

func (s *seeder) copyEntry(from, to string) error {
	info, err := os.Lstat(from)
	if err != nil {
		return s.unreadable(from, err)
	}
	switch info.Mode().Type() {
	case fs.ModeDir:
		return s.copyFolder(from, to, false)
	case fs.ModeSymlink:
		target, err := os.Readlink(from)
		if err != nil {
			return s.unreadable(from, err)
		}
		s.step()
		if err := os.Symlink(target, to); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	case 0:
		return s.copyFile(from, to, info)
	default:
		s.warn("left out: %s is neither file, folder nor link", from)
		return nil
	}
}

func (s *seeder) copyFile(from, to string, info fs.FileInfo) error {
	// A file that an earlier run has finished. It got its time last, so one
	// that the machine's end cut short differs.
	if done, err := os.Lstat(to); err == nil && done.Size() == info.Size() && done.ModTime().Equal(info.ModTime()) && done.Mode() == info.Mode() {
		s.remember(info, to)
		return nil
	}
	if first := s.links[inodeOf(info)]; first != "" {
		s.step()
		if err := os.Link(first, to); err == nil || errors.Is(err, fs.ErrExist) {
			return nil
		} // else the volume knows no links: a copy, then
	}
	in, err := os.Open(from)
	if err != nil {
		return s.unreadable(from, err)
	}
	defer in.Close()
	s.step()
	temporary := filepath.Join(filepath.Dir(to), own+"part")
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	out, err := os.OpenFile(temporary, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	s.step()
	if _, err := io.Copy(out, in); err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	s.step()
	if err := out.Chmod(info.Mode()); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	if err := os.Chtimes(temporary, time.Time{}, info.ModTime()); err != nil {
		return err
	}
	s.step()
	if err := os.Rename(temporary, to); err != nil {
		return err
	}
	s.remember(info, to)
	return nil
}

func (s *seeder) remember(info fs.FileInfo, to string) {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Nlink > 1 {
		s.links[inodeOf(info)] = to
	}
}

func inodeOf(info fs.FileInfo) inode {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return inode{}
	}
	return inode{stat.Dev, stat.Ino}
}

// moveOut moves the entries of a folder of the copy to where they belong. What is
// there already stays as it is; folders on both sides become one.
func (s *seeder) moveOut(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		source, target := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		there, err := os.Lstat(target)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			s.step()
			if err := os.Rename(source, target); err != nil {
				return err
			}
		case err != nil:
			return err
		case there.IsDir() && e.IsDir():
			if err := s.moveOut(source, target); err != nil {
				return err
			}
		}
	}
	return nil
}

// mark says for good that the volume is filled.
func (s *seeder) mark() error {
	temporary := s.in(own + "part")
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o664)
	if err != nil {
		return err
	}
	defer f.Close()
	s.step()
	if _, err := f.WriteString("This volume was filled from the image. Without this file it would be again.\n"); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	s.step()
	if err := os.Rename(temporary, s.in(marker)); err != nil {
		return err
	}
	return syncDir(s.dst)
}

// clean removes what the copying left: entries that the volume had already.
func (s *seeder) clean() error {
	var errs []error
	for _, name := range []string{staging, ready, own + "part"} {
		errs = append(errs, os.RemoveAll(s.in(name)))
		s.step()
	}
	return errors.Join(slices.DeleteFunc(errs, func(err error) bool { return err == nil })...)
}

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
