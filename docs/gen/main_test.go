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

// The page about -o json has the fields that there are. One that is gone or has
// another name breaks scripts.
func TestJSONIsCurrent(t *testing.T) {
	root := filepath.Join("..", "..")
	page, err := jsonPage(root)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(root, "docs", "json.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range vanished(string(before), page) {
		t.Errorf("scripts rely on %s, which is gone or has another name", field)
	}
	if diff := cmp.Diff(string(before), page); diff != "" {
		t.Errorf("docs/json.md is out of date; run `make docs`\n%s", diff)
	}
}

func TestVanished(t *testing.T) {
	before := "## A\n\n| Field | Type |\n|---|---|\n| `x` | string |\n| `y[].z` | string |\n## B\n\n| `x` | string |\n"
	after := "## A\n| `x` | string, in new words |\n| `y[].w` | string |\n## B\n| `x` | string |\n"
	if diff := cmp.Diff([]string{"y[].z of A"}, vanished(before, after)); diff != "" {
		t.Error(diff)
	}
}
