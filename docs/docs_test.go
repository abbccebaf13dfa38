// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/workshopctl/workshopctl/pkg/workshop"
)

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// TestWorkshopFile: the example in the documentation is a valid workshop and
// shows every field that there is.
func TestWorkshopFile(t *testing.T) {
	page, err := os.ReadFile("workshop-file.md")
	if err != nil {
		t.Fatal(err)
	}
	example := yamlBlock.FindSubmatch(page)
	if example == nil {
		t.Fatal("no example")
	}
	spec, err := workshop.ParseFile(example[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := spec.WithDefaults(workshop.Images{}).Validate(); err != nil {
		t.Fatal(err)
	}
	for _, field := range workshop.Fields() {
		if last := field[strings.LastIndexByte(field, '.')+1:]; !strings.Contains(string(example[1]), last+":") {
			t.Errorf("the example lacks %s", field)
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)#:]+)\)`)

// TestLinks: what the pages link to in this repository is there.
func TestLinks(t *testing.T) {
	pages, err := filepath.Glob("../*.md")
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(".", func(path string, _ os.DirEntry, err error) error {
		if strings.HasSuffix(path, ".md") {
			pages = append(pages, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		content, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range link.FindAllStringSubmatch(string(content), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), l[1])); err != nil {
				t.Errorf("%s links to %s, which isn't there", page, l[1])
			}
		}
	}
}

// TestSafetyTests: the tests that docs/security.md names are there.
func TestSafetyTests(t *testing.T) {
	page, err := os.ReadFile("security.md")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, dir := range []string{"../pkg", "../test"} {
		err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			content, err := os.ReadFile(path)
			for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(content, -1) {
				there[string(m[1])] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	named := regexp.MustCompile(`Test[A-Z]\w+`).FindAllString(string(page), -1)
	if len(named) == 0 {
		t.Fatal("no test is named")
	}
	for _, name := range named {
		if !there[name] {
			t.Errorf("there is no %s", name)
		}
	}
}
