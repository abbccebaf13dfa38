// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"strings"
	"testing"
)

// TestVendored compares what is embedded with the checksums of what npm has.
func TestVendored(t *testing.T) {
	sums, err := os.ReadFile("vendored/SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(sums)), "\n")
	if len(lines) != 5 {
		t.Errorf("%d checksums, want 5", len(lines))
	}
	for _, line := range lines {
		want, name, _ := strings.Cut(line, "  ")
		var content []byte
		if name == "xterm.mjs" {
			z, err := gzip.NewReader(bytes.NewReader(read("vendored/xterm.mjs.gz")))
			if err != nil {
				t.Fatal(err)
			}
			if content, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		} else {
			content = read("vendored/" + name)
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
		"page":   s.Page(Page{evil, evil, evil, evil}),
		"notice": s.Notice(Notice{evil, evil, evil, evil, evil, evil}),
	} {
		if strings.Contains(page, "<script>alert") {
			t.Errorf("%s holds script: %s", name, page)
		}
		if strings.Contains(page, "{{") {
			t.Errorf("%s has places that are not filled: %s", name, page)
		}
	}
}

// TestPageIsOfOnePiece: the script finds what it looks for in the page, and the
// limits that it shares with the gateway are the same.
func TestPageIsOfOnePiece(t *testing.T) {
	script, page := string(read("assets/terminal.js")), string(read("assets/page.html"))
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
