// SPDX-License-Identifier: Apache-2.0

// Package web holds what the browser gets: the page, its script and style, and
// xterm.js (vendored/README.md says from where).
package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html"
	"io"
	"net/http"
	"strings"
	"sync"
)

//go:embed assets vendored/*.gz vendored/*.mjs vendored/*.css vendored/*.LICENSE
var files embed.FS

// asset is a file for the browser, and of what it is made.
type asset struct {
	contentType string
	parts       []string
}

const (
	script = "text/javascript; charset=utf-8"
	style  = "text/css; charset=utf-8"
)

var assets = map[string]asset{
	"terminal.js":   {script, []string{"assets/terminal.js"}},
	"xterm.mjs":     {script, []string{"vendored/xterm.mjs.gz"}},
	"addon-fit.mjs": {script, []string{"vendored/addon-fit.mjs"}},
	// One file, because each request costs a round trip.
	"style.css": {style, []string{"vendored/xterm.css", "assets/page.css"}},
}

// Site serves the page's parts under a path that changes when any of them does.
type Site struct {
	hash   string
	mu     sync.Mutex
	zipped map[string][]byte
}

// NewSite makes a site.
func NewSite() *Site {
	sum := sha256.New()
	for _, name := range []string{"addon-fit.mjs", "style.css", "terminal.js", "xterm.mjs"} {
		for _, part := range assets[name].parts {
			sum.Write(read(part))
		}
	}
	return &Site{hash: hex.EncodeToString(sum.Sum(nil)[:8]), zipped: map[string][]byte{}}
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

// ServeAsset answers a request for a part; path is relative to the prefix.
func (s *Site) ServeAsset(w http.ResponseWriter, r *http.Request, path string) {
	name, ok := strings.CutPrefix(path, s.Base())
	a, known := assets[name]
	if !ok || !known {
		http.NotFound(w, r)
		return
	}
	zipped := s.zip(name, a)
	h := w.Header()
	h.Set("Content-Type", a.contentType)
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

// zip compresses a part when it is first asked for. The large one is
// embedded compressed.
func (s *Site) zip(name string, a asset) []byte {
	if strings.HasSuffix(a.parts[0], ".gz") {
		return read(a.parts[0])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if z, ok := s.zipped[name]; ok {
		return z
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b) // into memory: its errors can't happen
	for _, part := range a.parts {
		_, _ = z.Write(read(part))
	}
	_ = z.Close()
	s.zipped[name] = b.Bytes()
	return b.Bytes()
}

// Page is the terminal's page.
type Page struct {
	Workshop, User, HubHome, CSRF string
}

// Page renders the terminal's page.
func (s *Site) Page(p Page) string {
	return fill("assets/page.html", "workshop", p.Workshop, "user", p.User, "hub", p.HubHome, "csrf", p.CSRF, "assets", s.Base())
}

// Notice is a page that says something instead of showing a terminal.
type Notice struct {
	Workshop, HubHome, Prefix, Title, Text, Link string
}

// Notice renders such a page.
func (s *Site) Notice(n Notice) string {
	return fill("assets/notice.html", "workshop", n.Workshop, "hub", n.HubHome, "prefix", n.Prefix, "title", n.Title,
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
