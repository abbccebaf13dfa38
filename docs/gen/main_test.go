// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The pages in the repository are those of the commands as they are.
func TestReferenceIsCurrent(t *testing.T) {
	dir := filepath.Join("..", "reference")
	want := pages()
	files, err := filepath.Glob(filepath.Join(dir, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if _, ok := want[filepath.Base(file)]; !ok {
			t.Errorf("%s is of no command; run `make docs`", file)
		}
	}
	for name, content := range want {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Errorf("%v; run `make docs`", err)
			continue
		}
		if diff := cmp.Diff(string(got), content); diff != "" {
			t.Errorf("%s is out of date; run `make docs`\n%s", name, diff)
		}
	}
}
