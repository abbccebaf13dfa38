// SPDX-License-Identifier: Apache-2.0

package web

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestVendored compares what is vendored with the checksums of what npm has.
func TestVendored(t *testing.T) {
	sums, err := os.ReadFile("vendored/SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(sums)), "\n")
	there, err := filepath.Glob("vendored/*.*")
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) != len(there)-1 {
		t.Errorf("%d checksums of the %d files beside README.md", len(lines), len(there)-1)
	}
	for _, line := range lines {
		want, name, _ := strings.Cut(line, "  ")
		content, err := os.ReadFile("vendored/" + name)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(content)
		if got := hex.EncodeToString(sum[:]); got != want {
			t.Errorf("%s has checksum %s, npm's has %s", name, got, want)
		}
	}
}

func TestPagesEscape(t *testing.T) {
	s := NewSite()
	const evil = `"><script>alert(1)</script>`
	for name, page := range map[string]string{
		"page":   s.Page(Page{evil, evil, evil, evil, evil, false, []string{evil}, Notes{evil, evil, []string{evil}}}),
		"notice": s.Notice(Notice{evil, evil, evil, evil, evil, evil}), "waiting": s.Waiting(Notice{evil, evil, evil, evil, evil, evil}),
	} {
		if strings.Contains(page, "<script>alert") {
			t.Errorf("%s holds script: %s", name, page)
		}
		if strings.Contains(page, "{{") {
			t.Errorf("%s has places that are not filled: %s", name, page)
		}
	}
}

// TestPageTellsTheFilesFate: where a session has no volume that stays, its page
// doesn't promise one.
func TestPageTellsTheFilesFate(t *testing.T) {
	for fate, lost := range map[string]bool{"kept": false, "lost": true} {
		page := NewSite().Page(Page{FilesLost: lost})
		if !strings.Contains(page, `<meta name="files" content="`+fate+`">`) {
			t.Errorf("files %s: %s", fate, page)
		}
	}
}

// TestPageIsOfOnePiece: the modules find what they look for in the page, and the
// limits that they share with the gateway are the same.
func TestPageIsOfOnePiece(t *testing.T) {
	modules, err := filepath.Glob("page/*.js")
	if err != nil || len(modules) == 0 {
		t.Fatal(modules, err)
	}
	page := string(read("page/page.html"))
	var script string
	for _, name := range modules {
		module, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		script += string(module)
	}
	for rest := script; ; {
		_, after, ok := strings.Cut(rest, `element("`)
		if !ok {
			break
		}
		id, _, _ := strings.Cut(after, `"`)
		if !strings.Contains(page, `id="`+id+`"`) {
			t.Errorf("no element %q in the page", id)
		}
		rest = after
	}
	if !strings.Contains(script, "const inputWindow = 128 * 1024;") {
		t.Error("the page's inputWindow is not wire.InputWindow")
	}
}
