// SPDX-License-Identifier: Apache-2.0

// Package web holds what the browser gets: the pages, and in dist their script
// and style, bundled of the modules in page and of xterm.js in vendored
// (vendored/README.md says from where). After a change in page or vendored,
// `go generate ./pkg/terminal/web` makes dist anew.
package web

//go:generate go run ./bundle

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

//go:embed page/*.html dist/*.gz
var files embed.FS

// contentTypes are those of the files in dist.
var contentTypes = map[string]string{
	".js":  "text/javascript; charset=utf-8",
	".css": "text/css; charset=utf-8",
	".txt": "text/plain; charset=utf-8",
}

// Site serves the page's parts under a path that changes when any of them does.
type Site struct {
	hash string
}

// NewSite makes a site.
func NewSite() *Site {
	sum := sha256.New()
	// In order of their names, which are constants: neither can fail.
	names, err := fs.Glob(files, "dist/*.gz")
	if err != nil {
		panic(err)
	}
	for _, name := range names {
		sum.Write(read(name))
	}
	return &Site{hash: hex.EncodeToString(sum.Sum(nil)[:8])}
}

// read returns an embedded file; names are constants, so it can't fail.
func read(name string) []byte {
	content, err := files.ReadFile(name)
	if err != nil {
		panic(err)
	}
	return content
}

// Base is where the parts are, relative to the session's prefix.
func (s *Site) Base() string { return "assets/" + s.hash + "/" }

// ServeAsset answers a request for a part; the path is relative to the
// prefix. They are embedded compressed.
func (s *Site) ServeAsset(w http.ResponseWriter, r *http.Request, relative string) {
	name, ok := strings.CutPrefix(relative, s.Base())
	zipped, err := files.ReadFile("dist/" + name + ".gz")
	if !ok || err != nil {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", contentTypes[path.Ext(name)])
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Vary", "Accept-Encoding")
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		_, _ = w.Write(zipped)
		return
	}
	plain, err := gzip.NewReader(bytes.NewReader(zipped))
	if err == nil {
		_, _ = io.Copy(w, plain)
	}
}

// Page is the terminal's page.
type Page struct {
	Workshop, User, Prefix, HubHome, CSRF string
	// FilesLost says that stopping the session loses its files.
	FilesLost bool
	// Apps are the names of the attendee's web apps.
	Apps  []string
	Notes Notes
}

// Notes are shown beside the terminal: what is at Address, a URL or a path, or
// nothing. Who sends commands from there shows Pass, or has one of Origins.
type Notes struct {
	Address, Pass string
	Origins       []string
}

// ServeNotesScript answers with what gives the code blocks of notes their
// buttons.
func (s *Site) ServeNotesScript(w http.ResponseWriter, r *http.Request) {
	s.ServeAsset(w, r, s.Base()+"notes-frame.js")
}

// Page renders the terminal's page.
func (s *Site) Page(p Page) string {
	files := "kept"
	if p.FilesLost {
		files = "lost"
	}
	return fill("page/page.html", "workshop", p.Workshop, "user", p.User, "prefix", p.Prefix, "hub", p.HubHome, "csrf", p.CSRF,
		"assets", p.Prefix+s.Base(), "apps", strings.Join(p.Apps, " "), "files", files,
		"notes", p.Notes.Address, "notes-pass", p.Notes.Pass, "notes-origins", strings.Join(p.Notes.Origins, " "))
}

// Notice is a page that says something instead of showing a terminal.
type Notice struct {
	Workshop, HubHome, Prefix, Title, Text, Link string
}

// Notice renders such a page.
func (s *Site) Notice(n Notice) string { return s.notice("page/notice.html", n) }

// Waiting renders one that loads itself again as soon as there is something
// else to see at its address.
func (s *Site) Waiting(n Notice) string { return s.notice("page/waiting.html", n) }

func (s *Site) notice(page string, n Notice) string {
	return fill(page, "workshop", n.Workshop, "hub", n.HubHome, "prefix", n.Prefix, "title", n.Title,
		"text", n.Text, "link", n.Link, "assets", n.Prefix+s.Base())
}

// fill puts values, escaped, into a page's places. They all stand in text or in
// quoted attributes of no script or style, where this escaping is enough.
func fill(name string, pairs ...string) string {
	for i := 0; i < len(pairs); i += 2 {
		pairs[i] = "{{" + pairs[i] + "}}"
		pairs[i+1] = html.EscapeString(pairs[i+1])
	}
	return strings.NewReplacer(pairs...).Replace(string(read(name)))
}
