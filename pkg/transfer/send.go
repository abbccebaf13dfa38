// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// SendOptions of Send.
type SendOptions struct {
	// Progress is told how many bytes of how many have been sent; may be nil.
	Progress func(done, total int64)
	// LeftOut is told what can't be sent, and why; may be nil.
	LeftOut func(name, why string)
}

// Send sends a file, or what a folder holds. Links in it stay links, if they
// lead to something in it; one that is named itself is followed.
func Send(ctx context.Context, w io.Writer, source string, o SendOptions) (Result, error) {
	info, err := os.Stat(source)
	if err != nil {
		return Result{}, explained(source, err)
	}
	s := &sender{ctx: ctx, o: o, hash: sha256.New()}
	s.w = io.MultiWriter(w, s.hash)
	switch {
	case info.IsDir():
		err = s.folder(source)
	case info.Mode().IsRegular():
		err = s.file(source)
	default:
		return Result{}, fmt.Errorf("%s is neither a file nor a folder", source)
	}
	if err != nil {
		return s.sent, err
	}
	sum := s.hash.Sum(nil)
	s.sent.Sum = hex.EncodeToString(sum)
	_, err = w.Write(sum)
	return s.sent, err
}

type sender struct {
	ctx  context.Context //nolint:containedctx // of the one call that makes it
	o    SendOptions
	w    io.Writer
	hash interface {
		Sum([]byte) []byte
		io.Writer
	}
	tar   *tar.Writer
	total int64
	sent  Result
}

// begin writes the header.
func (s *sender) begin(h Header) error {
	line, err := json.Marshal(h)
	if err != nil {
		return err
	}
	s.total = h.Bytes
	s.tar = tar.NewWriter(s.w)
	_, err = s.w.Write(append(line, '\n'))
	return err
}

func (s *sender) leaveOut(name, why string) {
	s.sent.LeftOut++
	if s.o.LeftOut != nil {
		s.o.LeftOut(name, why)
	}
}

func (s *sender) file(source string) error {
	f, info, err := open(os.OpenFile, source)
	if err != nil {
		return explained(source, err)
	}
	defer func() { _ = f.Close() }()
	if err := s.begin(Header{Files: 1, Bytes: info.Size()}); err != nil {
		return err
	}
	if err := s.content("file", f, info); err != nil {
		return err
	}
	return s.tar.Close()
}

// open opens a file for reading. Opening must not wait for another program, as
// it would for a named pipe.
func open(how func(string, int, fs.FileMode) (*os.File, error), name string) (*os.File, fs.FileInfo, error) {
	f, err := how(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no file any more")
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

func (s *sender) folder(source string) error {
	root, err := os.OpenRoot(source)
	if err != nil {
		return explained(source, err)
	}
	defer func() { _ = root.Close() }()
	h := Header{Folder: true}
	if err := s.walk(root, func(_ string, info fs.FileInfo) error {
		if info.Mode().IsRegular() {
			h.Files++
			h.Bytes += info.Size()
		}
		return nil
	}, func(string, string) {}); err != nil {
		return explained(source, err)
	}
	if err := s.begin(h); err != nil {
		return err
	}
	if err := s.walk(root, func(name string, info fs.FileInfo) error { return s.entry(root, name, info) }, s.leaveOut); err != nil {
		return err
	}
	return s.tar.Close()
}

// walk visits what a folder holds, in order.
func (s *sender) walk(root *os.Root, visit func(string, fs.FileInfo) error, leaveOut func(name, why string)) error {
	return fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if s.ctx.Err() != nil {
			return context.Cause(s.ctx)
		}
		if name == "." {
			return err
		}
		var info fs.FileInfo
		if err == nil {
			info, err = e.Info()
		}
		switch {
		case err != nil && e != nil && e.IsDir(): // it can't be listed
			leaveOut(name, reason(err))
			return fs.SkipDir
		case err != nil:
			leaveOut(name, reason(err))
			return nil
		case !plainPath(name):
			leaveOut(name, "the name is none that can be written elsewhere")
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		return visit(name, info)
	})
}

// reason is an error without what it is about.
func reason(err error) string {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err.Error()
	}
	return err.Error()
}

// entry sends one of a folder. What can't be read is left out; what fails
// midway ends all.
func (s *sender) entry(root *os.Root, name string, info fs.FileInfo) error {
	switch mode := info.Mode(); {
	case mode.IsDir():
		return s.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: int64(mode.Perm()), ModTime: info.ModTime()})
	case mode.Type() == fs.ModeSymlink:
		target, err := root.Readlink(name)
		target = filepath.ToSlash(target)
		switch {
		case err != nil:
			s.leaveOut(name, reason(err))
			return nil
		case !inside(name, target):
			s.leaveOut(name, "it is a link that leads out of the folder")
			return nil
		}
		return s.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777, ModTime: info.ModTime()})
	case mode.IsRegular():
		f, opened, err := open(root.OpenFile, name)
		if err != nil {
			s.leaveOut(name, reason(err))
			return nil
		}
		defer func() { _ = f.Close() }()
		return s.content(name, f, opened)
	}
	s.leaveOut(name, "it is neither a file nor a folder")
	return nil
}

func (s *sender) content(name string, f *os.File, info fs.FileInfo) error {
	err := s.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: info.Size(), Mode: int64(info.Mode().Perm()), ModTime: info.ModTime()})
	if err != nil {
		return err
	}
	// As many as announced, however the file grows meanwhile.
	if _, err := io.CopyN(s.tar, counted{s.ctx, f, s.count}, info.Size()); errors.Is(err, io.EOF) {
		return fmt.Errorf("%s has become shorter while it was read", name)
	} else if err != nil {
		return err
	}
	s.sent.Files++
	return nil
}

func (s *sender) count(n int) {
	s.sent.Bytes += int64(n)
	if s.o.Progress != nil {
		s.o.Progress(s.sent.Bytes, max(s.total, s.sent.Bytes))
	}
}

// counted is a reader that ends with the context, and tells how much it has read.
type counted struct {
	ctx context.Context //nolint:containedctx // io.Reader takes none
	r   io.Reader
	n   func(int)
}

func (c counted) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	n, err := c.r.Read(p)
	c.n(n)
	return n, err
}

// Base is the name that something of this path has in a folder that it is sent
// to; "" if not it itself, but what it holds, is meant.
func Base(p string) string {
	switch name := path.Base(strings.TrimRight(p, "/")); name {
	case ".", "..", "/", "~":
		return ""
	default:
		return name
	}
}
