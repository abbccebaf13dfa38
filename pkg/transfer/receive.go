// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// ReceiveOptions of Receive.
type ReceiveOptions struct {
	// Name is what comes called, if its place is a folder; "" puts what a folder
	// holds into that one. It must be plain.
	Name string
	// Limit is how many bytes may come; 0: as many as there is room for.
	Limit int64
	// Progress is told how many bytes of how many have come, by the sender's word;
	// may be nil.
	Progress func(done, total int64)
	// LeftOut is told what isn't written, and why; may be nil.
	LeftOut func(name, why string)
}

// Receive takes in what Send sends. As with cp, it goes into place if that is a
// folder, or ends with a slash, else it becomes place. Folders on the way are
// made. A folder that is there already keeps what else it holds.
func Receive(ctx context.Context, from io.Reader, place string, o ReceiveOptions) (Result, error) {
	r := &receiver{ctx: ctx, o: o, from: &summed{r: from, hash: sha256.New()}}
	header, err := r.header()
	if err != nil {
		return Result{}, err
	}
	if o.Limit > 0 && header.Bytes > o.Limit {
		return Result{}, ErrTooLarge
	}
	base, rest, err := find(place, o.Name, header.Folder)
	if err != nil {
		return Result{}, err
	}
	root, err := os.OpenRoot(base)
	if err != nil {
		return Result{}, explained(base, err)
	}
	defer func() { _ = root.Close() }()
	if free := room(root); free >= 0 && header.Bytes > free {
		return Result{}, ErrNoRoom
	}
	r.root, r.part, r.total = root, ".workshopctl-"+rand.Text()+".part", header.Bytes
	defer func() { _ = root.RemoveAll(r.part) }() // it has moved, as a rule
	r.name = filepath.Join(base, filepath.FromSlash(rest))
	if err := r.take(header.Folder); err != nil {
		return Result{}, err
	}
	r.came.Path = r.name
	if parent := path.Dir(rest); parent != "." {
		if err := root.MkdirAll(filepath.FromSlash(parent), 0o777); err != nil {
			return Result{}, explained(filepath.Join(base, parent), err)
		}
	}
	if err := r.move(r.part, rest); err != nil {
		return Result{}, err
	}
	return r.came, nil
}

// find parts a place into the nearest folder that there is, and what follows
// there, with slashes.
func find(place, name string, folder bool) (base, rest string, err error) {
	into := strings.HasSuffix(place, "/") || strings.HasSuffix(place, string(filepath.Separator))
	place = filepath.Clean(place)
	info, err := os.Stat(place)
	switch {
	case err == nil && !info.IsDir() && (into || folder):
		return "", "", fmt.Errorf("%s is a file, not a folder", place)
	case err == nil && info.IsDir():
		into = true
	}
	base, rest = place, "."
	switch {
	case into && name != "":
		rest = name
	case into && !folder:
		return "", "", errors.New("what comes is a file, and has no name")
	}
	for {
		info, err := os.Stat(base)
		switch {
		case err == nil && info.IsDir() && (base != place || rest != "." || into):
			return base, rest, nil
		case err == nil && !info.IsDir() && base != place:
			return "", "", fmt.Errorf("%s is a file, not a folder", base)
		case err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR):
			return "", "", explained(base, err)
		case filepath.Dir(base) == base:
			return "", "", explained(base, fs.ErrNotExist)
		}
		base, rest = filepath.Dir(base), path.Join(filepath.Base(base), rest)
	}
}

type receiver struct {
	ctx   context.Context //nolint:containedctx // of the one call that makes it
	o     ReceiveOptions
	from  *summed
	root  *os.Root
	part  string // where it is put first
	name  string // its place
	total int64
	came  Result
	links []tar.Header
}

// summed reads a stream and sums it up.
type summed struct {
	r    io.Reader
	hash hash.Hash
}

func (s *summed) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	_, _ = s.hash.Write(p[:n]) // never fails
	return n, err
}

// broken are errors of a stream that isn't one.
func broken(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, tar.ErrHeader) {
		return ErrBroken
	}
	return err
}

func (r *receiver) header() (Header, error) {
	var line []byte
	one := make([]byte, 1)
	for !bytes.HasSuffix(line, []byte("\n")) {
		if _, err := io.ReadFull(r.from, one); err != nil {
			return Header{}, broken(err)
		}
		if line = append(line, one...); len(line) > maxHeader {
			return Header{}, ErrBroken
		}
	}
	var h Header
	if json.Unmarshal(line, &h) != nil || h.Bytes < 0 {
		return Header{}, ErrBroken
	}
	return h, nil
}

func (r *receiver) leaveOut(name, why string) {
	r.came.LeftOut++
	if r.o.LeftOut != nil {
		r.o.LeftOut(name, why)
	}
}

// take puts all into part, and checks the sum.
func (r *receiver) take(folder bool) error {
	if folder {
		if err := r.root.Mkdir(r.part, 0o777); err != nil {
			return explained(r.name, err)
		}
	}
	entries := tar.NewReader(r.from)
	n := 0
	for ; ; n++ {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return broken(err)
		}
		switch {
		case n >= maxEntries:
			return ErrTooMany
		case !folder && (n > 0 || h.Typeflag != tar.TypeReg):
			return ErrBroken
		case !folder:
			h.Name = r.name // the sender's is no name
			err = r.file(r.part, entries, h)
		default:
			err = r.entry(entries, h)
		}
		if err != nil {
			return err
		}
	}
	if !folder && n == 0 {
		return ErrBroken
	}
	want := r.from.hash.Sum(nil)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r.from.r, got); err != nil {
		return broken(err)
	}
	if !bytes.Equal(got, want) {
		return ErrBroken
	}
	r.came.Sum = hex.EncodeToString(want)
	// Last of all: nothing is ever written through one.
	for _, h := range r.links {
		if err := r.link(h); err != nil {
			return err
		}
	}
	return nil
}

// entry takes one of a folder.
func (r *receiver) entry(content io.Reader, h *tar.Header) error {
	name := strings.TrimSuffix(h.Name, "/")
	if !plainPath(name) {
		r.leaveOut(h.Name, "the name is none that may be written")
		return nil
	}
	local, err := filepath.Localize(name)
	if err != nil {
		r.leaveOut(h.Name, "this system has no such names")
		return nil //nolint:nilerr // the others needn't share it
	}
	place := filepath.Join(r.part, local)
	switch h.Typeflag {
	case tar.TypeDir:
		return explained(name, r.root.MkdirAll(place, mode(h)|0o300))
	case tar.TypeReg:
		if err := r.root.MkdirAll(filepath.Dir(place), 0o777); err != nil {
			return explained(name, err)
		}
		return r.file(place, content, h)
	case tar.TypeSymlink:
		if !inside(name, h.Linkname) {
			r.leaveOut(name, "it is a link that leads out of the folder")
			return nil
		}
		r.links = append(r.links, *h)
		return nil
	}
	r.leaveOut(name, "it is neither a file nor a folder")
	return nil
}

// mode is that of something of ours: that it can be executed, and that it is
// private, is all that goes along.
func mode(h *tar.Header) fs.FileMode {
	m := fs.FileMode(0o666)
	if h.Mode&0o100 != 0 || h.Typeflag == tar.TypeDir {
		m = 0o777
	}
	if h.Mode&0o077 == 0 {
		m &= 0o700
	}
	return m
}

func (r *receiver) file(place string, content io.Reader, h *tar.Header) error {
	f, err := r.root.OpenFile(place, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode(h))
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s comes twice, or differs from another one in upper and lower case only", h.Name)
	}
	if err != nil {
		return explained(h.Name, err)
	}
	_, err = io.Copy(f, counted{r.ctx, r.limited(content), r.count})
	if closeErr := f.Close(); err == nil { // some filesystems find out here that there is no room
		err = closeErr
	}
	if err = broken(err); err != nil {
		return explained(h.Name, err)
	}
	r.came.Files++
	if !h.ModTime.IsZero() {
		_ = r.root.Chtimes(place, h.ModTime, h.ModTime) // not worth a failure
	}
	return nil
}

func (r *receiver) limited(content io.Reader) io.Reader {
	if r.o.Limit <= 0 {
		return content
	}
	return &limited{content, r.o.Limit - r.came.Bytes}
}

// limited is a reader that fails beyond its limit.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, ErrTooLarge
	}
	return n, err
}

func (r *receiver) count(n int) {
	r.came.Bytes += int64(n)
	if r.o.Progress != nil {
		r.o.Progress(r.came.Bytes, max(r.total, r.came.Bytes))
	}
}

func (r *receiver) link(h tar.Header) error {
	place := filepath.Join(r.part, filepath.FromSlash(h.Name))
	if err := r.root.MkdirAll(filepath.Dir(place), 0o777); err != nil {
		r.leaveOut(h.Name, reason(err))
		return nil // another link is in the way of this one
	}
	// Its folder is one of ours, and no link.
	for dir := path.Dir(h.Name); dir != "."; dir = path.Dir(dir) {
		if info, err := r.root.Lstat(filepath.Join(r.part, filepath.FromSlash(dir))); err != nil || !info.IsDir() {
			r.leaveOut(h.Name, "a link is on its way")
			return nil //nolint:nilerr // as above
		}
	}
	if err := r.root.Symlink(filepath.FromSlash(h.Linkname), place); err != nil {
		r.leaveOut(h.Name, reason(err))
	}
	return nil
}

// move moves what has come to its place; a folder that is there takes it in.
func (r *receiver) move(from, to string) error {
	info, err := r.root.Lstat(filepath.FromSlash(from))
	if err != nil {
		return explained(to, err)
	}
	there, err := r.root.Lstat(filepath.FromSlash(to))
	if err == nil && there.Mode().Type() == fs.ModeSymlink && info.IsDir() {
		there, err = r.root.Stat(filepath.FromSlash(to)) // a folder's link stays
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return explained(to, err)
	case there.IsDir() && !info.IsDir():
		return fmt.Errorf("%s is a folder there, and a file here", to)
	case info.IsDir() && !there.IsDir():
		return fmt.Errorf("%s is a file there, and a folder here", to)
	case info.IsDir():
		return r.merge(from, to)
	default:
		keepMode(r.root, from, there)
	}
	return explained(to, r.root.Rename(filepath.FromSlash(from), filepath.FromSlash(to)))
}

// keepMode has a file that is replaced keep its mode: a script stays one.
func keepMode(root *os.Root, from string, there fs.FileInfo) {
	if there.Mode().IsRegular() && there.Mode().Perm()&0o100 != 0 {
		if info, err := root.Lstat(filepath.FromSlash(from)); err == nil && info.Mode().IsRegular() {
			_ = root.Chmod(filepath.FromSlash(from), info.Mode().Perm()|there.Mode().Perm()&0o111) // not worth a failure
		}
	}
}

func (r *receiver) merge(from, to string) error {
	folder, err := r.root.Open(filepath.FromSlash(from))
	if err != nil {
		return explained(to, err)
	}
	entries, err := folder.ReadDir(-1)
	_ = folder.Close()
	if err != nil {
		return explained(to, err)
	}
	for _, e := range entries {
		if err := r.move(path.Join(from, e.Name()), path.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
