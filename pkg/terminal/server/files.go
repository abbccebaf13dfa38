// SPDX-License-Identifier: Apache-2.0

package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/workshopctl/workshopctl/pkg/terminal/shell"
)

// Files says which files the page may bring and take away.
type Files struct {
	// Root is the folder that they are under; nothing outside it is ever
	// touched. Empty: there are none.
	Root string
	// Home is where uploads go when the shell isn't anywhere under Root.
	Home string
	// Limit is the size of an upload in bytes; 0: no uploads.
	Limit int64
}

const (
	// maxTransfers bounds uploads, downloads and lists at one time.
	maxTransfers = 16
	// maxPath bounds the path of a file in bytes: no tool in a shell gets at a
	// file that lies much deeper.
	maxPath = 1024
	// maxEntries bounds the list of a folder.
	maxEntries = 2000
	// maxCopies bounds the numbers tried for a name that is taken.
	maxCopies = 999
)

// fileError is an answer to a request about a file.
type fileError struct {
	status int
	text   string
}

func (e fileError) Error() string { return e.text }

var (
	errBadName   = fileError{http.StatusBadRequest, "this is no name of a file here"}
	errNoFile    = fileError{http.StatusNotFound, "there is no such file"}
	errOutside   = fileError{http.StatusForbidden, "this leads out of the folder with your files"}
	errDenied    = fileError{http.StatusForbidden, "the session may not do that: the file or its folder has other rights"}
	errNotAFile  = fileError{http.StatusForbidden, "this is neither a file nor a folder"}
	errExists    = fileError{http.StatusConflict, "there is a file of that name"}
	errFull      = fileError{http.StatusInsufficientStorage, "there is no room for it: the volume is full"}
	errNoUploads = fileError{http.StatusForbidden, "uploads are switched off in this workshop"}
)

// serveWhere says where an upload goes, and how large it may be. It answers GET files.
func (s *Server) serveWhere(w http.ResponseWriter, r *http.Request) {
	if s.admit(w, r) == nil {
		return
	}
	if s.Files.Root == "" {
		http.NotFound(w, r)
		return
	}
	var t *shell.Terminal
	if s.Shells != nil {
		if t = s.shellOf(w, r); t == nil {
			return
		}
	}
	writeJSON(w, map[string]any{"root": s.Files.Root, "home": s.Files.Home, "directory": s.workingDirectory(t), "limit": s.Files.Limit})
}

// workingDirectory is where a terminal's programs are, relative to the root of
// the files; home where that is elsewhere.
func (s *Server) workingDirectory(t *shell.Terminal) string {
	root, err := filepath.EvalSymlinks(s.Files.Root)
	if err != nil {
		return "."
	}
	candidates := []string{s.Files.Home, s.Files.Root}
	if t != nil {
		candidates = slices.Insert(candidates, 0, t.Directory())
	}
	for _, dir := range candidates {
		dir, err := filepath.EvalSymlinks(dir)
		if err != nil {
			continue
		}
		if under, err := filepath.Rel(root, dir); err == nil && filepath.IsLocal(under) && utf8.ValidString(under) {
			return under
		}
	}
	return "."
}

// serveFiles answers what is under files/; name is what follows.
func (s *Server) serveFiles(w http.ResponseWriter, r *http.Request, name string) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		if s.admit(w, r) == nil {
			return
		}
	case http.MethodPut:
		if s.admitChange(w, r) == nil {
			return
		}
	default:
		w.Header().Set("Allow", "GET, HEAD, PUT")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	if s.Files.Root == "" {
		http.NotFound(w, r)
		return
	}
	select {
	case s.transfers <- struct{}{}:
		defer func() { <-s.transfers }()
	default:
		http.Error(w, "too many uploads and downloads at once", http.StatusServiceUnavailable)
		return
	}
	err := s.transfer(w, r, name)
	var answer fileError
	switch {
	case err == nil:
	case errors.As(err, &answer):
		http.Error(w, answer.text, answer.status)
	default:
		s.Logf("%s of a file: %v", r.Method, err)
		http.Error(w, "the session can't do that now", http.StatusInternalServerError)
	}
}

func (s *Server) transfer(w http.ResponseWriter, r *http.Request, name string) error {
	name = strings.TrimSuffix(name, "/")
	if name == "" {
		name = "."
	}
	if !fs.ValidPath(name) || strings.ContainsRune(name, 0) || len(name) > maxPath {
		return errBadName
	}
	root, err := os.OpenRoot(s.Files.Root)
	if err != nil {
		return fmt.Errorf("open the files' folder: %w", err)
	}
	defer func() { _ = root.Close() }()
	if r.Method == http.MethodPut {
		return s.receiveFile(w, r, root, name)
	}
	return s.sendFile(w, r, root, name)
}

// sendFile answers with a file, a folder's list, or a folder in one archive.
func (s *Server) sendFile(w http.ResponseWriter, r *http.Request, root *os.Root, name string) error {
	f, info, err := open(root, name)
	if err != nil {
		return explained(err)
	}
	defer func() { _ = f.Close() }()
	h := w.Header()
	archive := r.URL.Query().Get("archive")
	// Whoever stops reading for long is cut off; who reads slowly isn't.
	pace := s.paced(w)
	defer pace.done()
	switch {
	case !info.IsDir() && archive == "":
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Content-Disposition", attachment(path.Base(name)))
		h.Set("Cache-Control", "no-cache, private")
		http.ServeContent(pace, r, "", info.ModTime(), f)
	case !info.IsDir():
		return fileError{http.StatusBadRequest, "only folders are sent as an archive"}
	case archive == "":
		return list(w, f, root, name)
	default:
		return s.sendFolder(pace, r, root, name, archive)
	}
	return nil
}

// open opens a file or a folder for reading. Opening must not wait for another
// program, as it would for a named pipe.
func open(root *os.Root, name string) (*os.File, fs.FileInfo, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.IsDir() && !info.Mode().IsRegular() {
		err = errNotAFile
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// entry is a line in the list of a folder.
type entry struct {
	Name     string    `json:"name"`
	Folder   bool      `json:"folder,omitempty"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
}

// list answers with what a folder holds: folders first, by name. Names that
// are no text, and what isn't a file or a folder of ours, is left out.
func list(w http.ResponseWriter, folder *os.File, root *os.Root, name string) error {
	found, err := folder.ReadDir(maxEntries + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return explained(err)
	}
	more := len(found) > maxEntries
	entries := []entry{}
	for _, e := range found[:min(len(found), maxEntries)] {
		if !utf8.ValidString(e.Name()) {
			continue
		}
		// Links count for what they lead to.
		info, err := root.Stat(path.Join(name, e.Name()))
		if err != nil || !info.IsDir() && !info.Mode().IsRegular() {
			continue
		}
		line := entry{Name: e.Name(), Folder: info.IsDir(), Modified: info.ModTime().UTC()}
		if !line.Folder {
			line.Size = info.Size()
		}
		entries = append(entries, line)
	}
	slices.SortFunc(entries, func(a, b entry) int {
		if a.Folder != b.Folder {
			if a.Folder {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), cmp.Compare(a.Name, b.Name))
	})
	writeJSON(w, map[string]any{"path": name, "entries": entries, "more": more})
	return nil
}

// receiveFile takes an upload: into a file of its own beside the place where
// it goes, which it takes when it is whole.
func (s *Server) receiveFile(w http.ResponseWriter, r *http.Request, root *os.Root, name string) (err error) {
	if s.Files.Limit <= 0 {
		return errNoUploads
	}
	tooLarge := fileError{http.StatusRequestEntityTooLarge, fmt.Sprintf("a file may have %d bytes in this workshop", s.Files.Limit)}
	if r.ContentLength > s.Files.Limit {
		return tooLarge
	}
	exists := r.URL.Query().Get("exists")
	if !slices.Contains([]string{"", "replace", "rename"}, exists) {
		return fileError{http.StatusBadRequest, "exists may be replace or rename"}
	}
	if err := uploadable(name); err != nil {
		return err
	}
	if exists != "rename" {
		switch info, err := root.Lstat(name); {
		case err == nil && (exists == "" || info.IsDir()):
			return errExists
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return explained(err)
		}
	}
	parent := path.Dir(name)
	if err := root.MkdirAll(parent, 0o777); err != nil {
		return explained(err)
	}
	folder, err := root.OpenRoot(parent)
	if err != nil {
		return explained(err)
	}
	defer func() { _ = folder.Close() }()
	if free, err := room(folder); err == nil && r.ContentLength > free {
		return errFull
	}
	part := ".upload-" + rand.Text() + ".part"
	f, err := folder.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o664)
	if err != nil {
		return explained(err)
	}
	defer func() {
		if f != nil {
			_ = f.Close()
		}
		if err != nil {
			_ = folder.Remove(part)
		}
	}()
	body := s.paced(w).reader(r.Body)
	n, err := io.Copy(f, io.LimitReader(body, s.Files.Limit+1))
	switch {
	case n > s.Files.Limit:
		return tooLarge
	case err != nil && body.failed:
		return fileError{http.StatusBadRequest, "the upload broke off"}
	case err != nil:
		return explained(err)
	}
	inherit(folder, f, path.Base(name), exists == "replace")
	err = f.Close() // some filesystems find out here that there is no room
	f = nil
	if err != nil {
		return explained(err)
	}
	final, err := place(folder, part, path.Base(name), exists)
	if err != nil {
		return explained(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	return json.NewEncoder(w).Encode(map[string]any{"path": path.Join(parent, final), "name": final, "size": n})
}

// uploadable says whether an upload may have the name: what people can see and type.
func uploadable(name string) error {
	if name == "." {
		return errBadName
	}
	if strings.ContainsFunc(name, unicode.IsControl) {
		return errBadName
	}
	for part := range strings.SplitSeq(name, "/") {
		if len(part) > 255 {
			return fileError{http.StatusBadRequest, "the name is too long: 255 bytes are possible"}
		}
	}
	return nil
}

// room is how many bytes a folder's volume has left.
func room(folder *os.Root) (int64, error) {
	f, err := folder.Open(".")
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	var stat unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &stat); err != nil {
		return 0, err
	}
	return int64(stat.Bavail) * stat.Bsize, nil
}

// inherit gives the upload the group of its folder, as the volume's other files
// have, and the mode of the file that it replaces: a script stays one. Where
// that isn't allowed, the upload keeps what it has.
func inherit(folder *os.Root, f *os.File, name string, replaces bool) {
	if info, err := folder.Stat("."); err == nil {
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			_ = f.Chown(-1, int(stat.Gid))
		}
	}
	if info, err := folder.Lstat(name); err == nil && replaces && info.Mode().IsRegular() {
		_ = f.Chmod(info.Mode().Perm())
	}
}

// place gives the finished upload its name and says which: another one with a
// number in it, if the name is taken and exists is "rename". The name is first
// taken by an empty file: links would do it in one step, but not all
// filesystems have them.
func place(folder *os.Root, part, name, exists string) (string, error) {
	for i := 0; i <= maxCopies; i++ {
		as := numbered(name, i)
		if exists != "replace" {
			f, err := folder.OpenFile(as, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o664)
			if exists == "rename" && errors.Is(err, fs.ErrExist) {
				continue
			}
			if err != nil {
				return "", err
			}
			_ = f.Close()
		}
		err := folder.Rename(part, as)
		if err != nil && exists != "replace" {
			_ = folder.Remove(as)
		}
		return as, err
	}
	return "", errExists
}

// numbered is the name with a number, as file managers write it: "notes (2).txt".
func numbered(name string, i int) string {
	if i == 0 {
		return name
	}
	extension := path.Ext(name)
	if stem := strings.TrimSuffix(name, extension); strings.HasSuffix(stem, ".tar") {
		extension = ".tar" + extension
	} else if stem == "" { // .profile
		extension = ""
	}
	number := " (" + strconv.Itoa(i) + ")"
	stem := strings.TrimSuffix(name, extension)
	for len(stem)+len(number)+len(extension) > 255 && stem != "" {
		_, size := utf8.DecodeLastRuneInString(stem)
		stem = stem[:len(stem)-size]
	}
	return stem + number + extension
}

// explained puts an error of the filesystem into an answer.
func explained(err error) error {
	var answer fileError
	var errno syscall.Errno
	switch {
	case errors.As(err, &answer):
		return answer
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return errFull
	case errors.Is(err, syscall.EFBIG):
		return fileError{http.StatusRequestEntityTooLarge, "the volume takes no file of that size"}
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return errNoFile
	case errors.Is(err, fs.ErrExist), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENOTEMPTY):
		return errExists
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return errDenied
	case errors.Is(err, syscall.ENAMETOOLONG):
		return errBadName
	case errors.Is(err, syscall.ENXIO), errors.Is(err, syscall.ENODEV):
		return errNotAFile
	case errors.Is(err, syscall.ELOOP), !errors.As(err, &errno):
		// What os.Root says of a way out has no number.
		return errOutside
	}
	return err
}

// attachment is the Content-Disposition of a download.
func attachment(name string) string {
	if value := mime.FormatMediaType("attachment", map[string]string{"filename": name}); value != "" {
		return value
	}
	return "attachment"
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// stopped ends an archive when its reader or the gateway has gone.
func stopped(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}
