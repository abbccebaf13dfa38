// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDistIsFresh: what the gateway serves is made of what is in page and
// vendored now. What is in the files is compared, not how it is compressed,
// which may differ from one version of Go to the next.
func TestDistIsFresh(t *testing.T) {
	files, err := bundle("..")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		zipped, err := os.Open(filepath.Join("../dist", name+".gz"))
		if err != nil {
			t.Errorf("%v: run `go generate ./pkg/terminal/web`", err)
			continue
		}
		defer zipped.Close()
		z, err := gzip.NewReader(zipped)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("dist/%s.gz is not of these sources: run `go generate ./pkg/terminal/web`", name)
		}
	}
	there, err := os.ReadDir("../dist")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range there {
		if _, ok := files[strings.TrimSuffix(f.Name(), ".gz")]; !ok {
			t.Errorf("dist/%s is of no source: run `go generate ./pkg/terminal/web`", f.Name())
		}
	}
}

var imported = regexp.MustCompile(`(?:\bfrom|\bimport)\s*"\./([^"]+)"`)

// TestFirstPaint: the page's script imports nothing that the browser would have
// to ask for before it can paint, so that the first paint needs the page, its
// style, its script and the websocket.
func TestFirstPaint(t *testing.T) {
	files, err := bundle("..")
	if err != nil {
		t.Fatal(err)
	}
	if found := imported.FindAllSubmatch(files["main.js"], -1); found != nil {
		t.Errorf("main.js imports %q: what is loaded later must not share modules with it", found)
	}
	later := slices.DeleteFunc(slices.Sorted(func(yield func(string) bool) {
		for name := range files {
			if !yield(name) {
				return
			}
		}
	}), func(name string) bool {
		// The last two are of other pages.
		return slices.Contains([]string{"main.js", "main.css", "licences.txt", "notes-frame.js", "waiting.js"}, name)
	})
	for _, name := range later {
		if !strings.Contains(string(files["main.js"]), `import("./`+name+`")`) {
			t.Errorf("nothing loads %s", name)
		}
	}
}
