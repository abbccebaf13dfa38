// SPDX-License-Identifier: Apache-2.0

package server

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strings"
	"time"
)

// sendFolder sends a folder with all that is in it as one archive, made while
// it is sent: there may be no room for it on the volume.
func (s *Server) sendFolder(w http.ResponseWriter, r *http.Request, root *os.Root, name, format string) error {
	var (
		make        func(io.Writer) archive
		contentType string
	)
	switch format {
	case "tar.gz":
		make, contentType = newTar, "application/gzip"
	case "zip":
		make, contentType = newZip, "application/zip"
	default:
		return fileError{http.StatusBadRequest, "archive may be tar.gz or zip"}
	}
	title := path.Base(name)
	if name == "." {
		title = path.Base(s.Files.Root)
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Disposition", attachment(title+"."+format))
	if r.Method == http.MethodHead {
		return nil
	}
	a := make(w)
	err := pack(r.Context(), a, root, name, title)
	if err == nil {
		err = a.Close()
	}
	if err != nil {
		// The beginning is on its way: a broken connection is the only way to
		// tell the browser that the rest won't come.
		s.Logf("archive of %s: %v", title, err)
		panic(http.ErrAbortHandler)
	}
	return nil
}

// archive is one that is being written.
type archive interface {
	// add adds a file, folder or link; content is nil for folders.
	add(name string, info fs.FileInfo, content io.Reader, link string) error
	io.Closer
}

// leftOut is the name of the list of what could not be read.
const leftOut = "NOT IN THIS ARCHIVE.txt"

// pack adds a folder under another name. Links stay links. What can't be read is
// named in a file of its own, so that nobody takes the archive for whole.
func pack(ctx context.Context, a archive, root *os.Root, folder, title string) error {
	var missing strings.Builder
	err := fs.WalkDir(root.FS(), folder, func(name string, e fs.DirEntry, err error) error {
		if stop := stopped(ctx); stop != nil {
			return stop
		}
		under := path.Join(title, strings.TrimPrefix(strings.TrimPrefix(name, folder), "/"))
		if folder == "." {
			under = path.Join(title, name)
		}
		if err == nil {
			err = packOne(a, root, name, under, e)
		}
		if unread, ok := err.(unreadable); ok { //nolint:errorlint // packOne returns it as it is
			fmt.Fprintf(&missing, "%s: %v\n", under, unread.error)
			return nil
		}
		if err != nil && e != nil && e.IsDir() { // a folder that can't be listed
			fmt.Fprintf(&missing, "%s: %v\n", under, err)
			return fs.SkipDir
		}
		return err
	})
	if err != nil || missing.Len() == 0 {
		return err
	}
	text := missing.String()
	return a.add(path.Join(title, leftOut), note{int64(len(text))}, strings.NewReader(text), "")
}

// unreadable is an error about one file, which the others needn't share.
type unreadable struct{ error }

func packOne(a archive, root *os.Root, name, under string, e fs.DirEntry) error {
	info, err := e.Info()
	if err != nil {
		return unreadable{err}
	}
	switch mode := info.Mode(); {
	case mode.IsDir():
		return a.add(under+"/", info, nil, "")
	case mode.Type() == fs.ModeSymlink:
		target, err := root.Readlink(name)
		if err != nil {
			return unreadable{err}
		}
		return a.add(under, info, strings.NewReader(target), target)
	case mode.IsRegular():
		f, opened, err := open(root, name)
		if err != nil {
			return unreadable{err}
		}
		defer func() { _ = f.Close() }()
		if !opened.Mode().IsRegular() { // it was another a moment ago
			return unreadable{errNotAFile}
		}
		return a.add(under, opened, f, "")
	}
	return nil // sockets and the like
}

// note describes the list of what was left out.
type note struct{ size int64 }

func (n note) Name() string     { return leftOut }
func (n note) Size() int64      { return n.size }
func (note) Mode() fs.FileMode  { return 0o664 }
func (note) ModTime() time.Time { return time.Now() }
func (note) IsDir() bool        { return false }
func (note) Sys() any           { return nil }

type tarArchive struct {
	*tar.Writer
	zipped *gzip.Writer
}

func newTar(w io.Writer) archive {
	// Best speed: files of a workshop are small, and a slow line isn't our CPU's matter.
	zipped, _ := gzip.NewWriterLevel(w, gzip.BestSpeed) // a valid level
	return &tarArchive{tar.NewWriter(zipped), zipped}
}

func (a *tarArchive) add(name string, info fs.FileInfo, content io.Reader, link string) error {
	header, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return unreadable{err}
	}
	// Owners here are numbers that mean nothing elsewhere.
	header.Name, header.Uid, header.Gid, header.Uname, header.Gname = name, 0, 0, "", ""
	if err := a.WriteHeader(header); err != nil || header.Typeflag != tar.TypeReg {
		return err
	}
	// As many as announced, however the file changes meanwhile.
	_, err = io.CopyN(a.Writer, content, header.Size)
	return err
}

func (a *tarArchive) Close() error {
	if err := a.Writer.Close(); err != nil {
		return err
	}
	return a.zipped.Close()
}

type zipArchive struct{ *zip.Writer }

func newZip(w io.Writer) archive { return zipArchive{zip.NewWriter(w)} }

func (a zipArchive) add(name string, info fs.FileInfo, content io.Reader, _ string) error {
	header, err := zip.FileInfoHeader(info)
	if err != nil {
		return unreadable{err}
	}
	header.Name = name
	if content != nil {
		header.Method = zip.Deflate
	}
	w, err := a.CreateHeader(header)
	if err != nil || content == nil {
		return err
	}
	_, err = io.Copy(w, content)
	return err
}
