// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/workshopctl/workshopctl/pkg/terminal/hubauth"
	"github.com/workshopctl/workshopctl/pkg/terminal/web"
)

// Notes are what the trainer has written for the attendees. They come from a
// directory of the session, or from another site; the zero value is none.
type Notes struct {
	Path string
	URL  *url.URL
	// Origins are those beside URL's own whose pages may be shown in its place,
	// and send commands to the terminal.
	Origins []string
}

// ParseNotes reads what the hub says about the notes; origins have commas
// between them.
func ParseNotes(dir, address, origins string) (Notes, error) {
	n := Notes{Path: dir}
	switch {
	case dir != "" && address != "":
		return Notes{}, errors.New("notes have either a directory or an address")
	case dir != "" && (!filepath.IsAbs(dir) || filepath.Clean(dir) == "/"):
		return Notes{}, fmt.Errorf("notes directory %q is not an absolute path", dir)
	case address != "":
		u, err := url.Parse(address)
		if err != nil || origin(u) == "" || u.User != nil {
			return Notes{}, fmt.Errorf("notes address %q is not that of a page", address)
		}
		n.URL = u
	}
	for o := range strings.SplitSeq(origins, ",") {
		if o = strings.TrimSpace(o); o == "" {
			continue
		}
		u, err := url.Parse(o)
		if err != nil || origin(u) == "" || strings.Trim(u.Path, "/") != "" {
			return Notes{}, fmt.Errorf("origin of notes %q is not written like https://notes.example.com", o)
		}
		n.Origins = append(n.Origins, origin(u))
	}
	if n.URL != nil && !slices.Contains(n.Origins, origin(n.URL)) {
		n.Origins = append([]string{origin(n.URL)}, n.Origins...)
	}
	return n, nil
}

// origin is scheme and host of a web address, as browsers write it.
func origin(u *url.URL) string {
	host := strings.ToLower(u.Host)
	if u.Scheme != "http" && u.Scheme != "https" || host == "" || strings.ContainsAny(host, "'\"*,; \t\r\n") {
		return ""
	}
	port := map[string]string{"http": ":80", "https": ":443"}[u.Scheme]
	return u.Scheme + "://" + strings.TrimSuffix(host, port)
}

// frames is what the page's policy allows in frames.
func (n Notes) frames() string {
	switch {
	case n.Path != "":
		return "; frame-src 'self'"
	case n.URL != nil:
		return "; frame-src " + strings.Join(n.Origins, " ")
	}
	return ""
}

// forPage is what the page is told about the notes.
func (n Notes) forPage(prefix string, session *hubauth.Session) web.Notes {
	switch {
	case n.Path != "":
		return web.Notes{Address: prefix + notesBase + passMark + session.Pass() + "/", Pass: session.Pass()}
	case n.URL != nil:
		return web.Notes{Address: n.URL.String(), Origins: n.Origins}
	}
	return web.Notes{}
}

const (
	notesBase = "notes/"
	// passMark starts the part of the path that is a session's pass.
	passMark = "~"
	// ownNotes is where the gateway's own files are among the notes. Names with
	// a dot are no notes.
	ownNotes = ".workshop/"
	// maxNotesPage is the largest page that is made executable, in bytes.
	maxNotesPage = 16 << 20
)

// notesPolicy makes a page of the notes a stranger on the hub's host, also in a
// window of its own: no cookies, no storage, no page of the hub or of the
// terminal may be read by its scripts. Those are the notes' own; what else a
// page shows may come from anywhere.
const notesPolicy = "sandbox allow-scripts allow-forms allow-modals allow-downloads allow-popups allow-popups-to-escape-sandbox; " +
	"default-src 'self' https: data: blob:; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline' https:; " +
	"connect-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self' https:; frame-ancestors 'self'"

// serveNotes answers for PREFIX/notes/…
//
// A sandboxed frame is of no origin, and no cookie goes with what it loads. So
// the notes have addresses with a secret of the browser's session in them, the
// pass: PREFIX/notes/~PASS/page.html. Who comes with a cookie and without a
// pass is sent there.
func (s *Server) serveNotes(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, s.prefix), strings.TrimSuffix(notesBase, "/"))
	name = strings.TrimPrefix(name, "/")
	if s.Notes.Path == "" {
		if s.Notes.URL != nil && name == "" {
			w.Header().Set("Location", s.Notes.URL.String())
			w.WriteHeader(http.StatusFound)
			return
		}
		http.NotFound(w, r)
		return
	}
	pass, file, found := strings.Cut(strings.TrimPrefix(name, passMark), "/")
	if !strings.HasPrefix(name, passMark) {
		pass, file, found = "", name, true
	}
	if pass != "" && found {
		session, err := s.gate.AdmitPass(r, pass)
		if err == nil && s.mayRun(session) {
			s.serveNote(w, r, file, session)
			return
		}
		if err != nil && !errors.Is(err, hubauth.ErrNoSession) {
			s.refuse(w, err)
			return
		}
	}
	s.toNotes(w, r, file)
}

// toNotes sends who has a cookie to the address with the pass.
func (s *Server) toNotes(w http.ResponseWriter, r *http.Request, file string) {
	plain := (&url.URL{Path: file}).EscapedPath()
	session, err := s.gate.Admit(r)
	switch {
	case errors.Is(err, hubauth.ErrNoSession):
		if strings.Contains(r.Header.Get("Accept"), "text/html") && r.Header.Get("Sec-Fetch-Dest") != "iframe" {
			s.gate.Login(w, r, s.Config.Prefix+notesBase+plain)
			return
		}
		s.notice(w, http.StatusUnauthorized, "These notes are from another login", "Load the page around them again.", "Load it here")
	case err != nil:
		s.refuse(w, err)
	case !s.mayRun(session):
		s.notice(w, http.StatusForbidden, "Only "+s.Config.User+" may open these notes", onlyOwner, "To the terminal")
	default:
		w.Header().Set("Location", s.Config.Prefix+notesBase+passMark+session.Pass()+"/"+plain)
		w.WriteHeader(http.StatusFound)
	}
}

func (s *Server) serveNote(w http.ResponseWriter, r *http.Request, name string, session *hubauth.Session) {
	h := w.Header()
	// The address holds the pass: tell it to nobody.
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", notesPolicy)
	// To the browser, what a sandboxed page loads comes from another site. The
	// pass is what opens it.
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("Access-Control-Allow-Origin", "*")
	h.Del("Cross-Origin-Opener-Policy")
	base := s.Config.Prefix + notesBase + passMark + session.Pass() + "/"
	if name == ownNotes+"notes.js" {
		s.site.ServeNotesScript(w, r)
		return
	}
	file, info, isDir, err := openNote(s.Notes.Path, name)
	switch {
	case isDir:
		h.Set("Location", base+(&url.URL{Path: strings.TrimSuffix(name, "/") + "/"}).EscapedPath())
		w.WriteHeader(http.StatusFound)
		return
	case errors.Is(err, errNoNotes):
		s.notice(w, http.StatusNotFound, "No notes", "The workshop's notes are to be in "+s.Notes.Path+" of this session, which isn't there.", "To the terminal")
		return
	case err != nil:
		s.notice(w, http.StatusNotFound, "No such page", "The notes have none of this name.", "To the terminal")
		return
	}
	defer file.Close()
	kind := contentType(info.Name())
	h.Set("Content-Type", kind)
	// Asked for anew each time, answered without content if nothing has changed.
	h.Set("Cache-Control", "private, no-cache")
	pace := s.paced(w) // films take their time
	defer pace.done()
	if !strings.HasPrefix(kind, "text/html") || info.Size() > maxNotesPage {
		h.Set("ETag", fmt.Sprintf(`"%x-%x"`, info.Size(), info.ModTime().UnixNano()))
		http.ServeContent(pace, r, "", time.Time{}, file)
		return
	}
	page, err := io.ReadAll(io.LimitReader(file, maxNotesPage))
	if err != nil {
		http.Error(w, "the page can't be read", http.StatusInternalServerError)
		return
	}
	page = executable(page, base)
	sum := sha256.Sum256(page)
	h.Set("ETag", `"`+hex.EncodeToString(sum[:12])+`"`)
	http.ServeContent(pace, r, "", time.Time{}, bytes.NewReader(page))
}

// executable adds the script that gives code blocks their buttons. Browsers
// read what comes after a page's end as its last part.
func executable(page []byte, base string) []byte {
	if bytes.HasPrefix(page, []byte{0xff, 0xfe}) || bytes.HasPrefix(page, []byte{0xfe, 0xff}) {
		return page // UTF-16
	}
	return append(page, "\n<script src=\""+html.EscapeString(base+ownNotes+"notes.js")+"\"></script>\n"...)
}

var (
	errNoNotes = errors.New("no notes")
	errNoNote  = errors.New("no such note")
)

// openNote opens a file under dir: a regular one, by a path without hidden
// names, and no link leads out of dir. A directory stands for its index.html,
// at an address with a slash at the end.
func openNote(dir, name string) (file *os.File, info os.FileInfo, isDir bool, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, false, errNoNotes
	}
	defer root.Close()
	for part := range strings.SplitSeq(strings.TrimSuffix(name, "/"), "/") {
		if name != "" && (part == "" || strings.HasPrefix(part, ".")) {
			return nil, nil, false, errNoNote
		}
	}
	clean := path.Clean("./" + name)
	slash := name == "" || strings.HasSuffix(name, "/")
	if slash {
		clean = path.Join(clean, "index.html")
	}
	// Without waiting for whom a named pipe is for.
	file, err = root.OpenFile(clean, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, false, errNoNote
	}
	if info, err = file.Stat(); err == nil && info.IsDir() && !slash {
		_ = file.Close()
		return nil, nil, true, nil
	}
	if err != nil || !info.Mode().IsRegular() || isProc(file) {
		_ = file.Close()
		return nil, nil, false, errNoNote
	}
	return file, info, false, nil
}

// isProc says whether a file is one of the kernel's about processes: dir may be
// the attendee's, and a link to /proc, where the gateway could read what
// it alone may know.
func isProc(f *os.File) bool {
	var fs unix.Statfs_t
	return unix.Fstatfs(int(f.Fd()), &fs) != nil || fs.Type == unix.PROC_SUPER_MAGIC
}

// contentTypes are those of what notes are made of; images may lack a list.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".htm": "text/html; charset=utf-8", ".xhtml": "application/xhtml+xml",
	".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".mjs": "text/javascript; charset=utf-8",
	".json": "application/json", ".map": "application/json", ".xml": "text/xml; charset=utf-8", ".wasm": "application/wasm",
	".txt": "text/plain; charset=utf-8", ".md": "text/plain; charset=utf-8", ".adoc": "text/plain; charset=utf-8",
	".yaml": "text/plain; charset=utf-8", ".yml": "text/plain; charset=utf-8", ".sh": "text/plain; charset=utf-8",
	".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif",
	".webp": "image/webp", ".avif": "image/avif", ".ico": "image/x-icon", ".cast": "text/plain; charset=utf-8",
	".woff": "font/woff", ".woff2": "font/woff2", ".ttf": "font/ttf", ".otf": "font/otf",
	".mp4": "video/mp4", ".webm": "video/webm", ".mp3": "audio/mpeg", ".ogg": "audio/ogg",
	".pdf": "application/pdf", ".zip": "application/zip", ".gz": "application/gzip", ".tgz": "application/gzip",
}

func contentType(name string) string {
	if t := contentTypes[strings.ToLower(path.Ext(name))]; t != "" {
		return t
	}
	return "application/octet-stream"
}
