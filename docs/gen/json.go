// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/workshopctl/workshopctl/pkg/cmd/deploy"
	hubcmd "github.com/workshopctl/workshopctl/pkg/cmd/hub"
	"github.com/workshopctl/workshopctl/pkg/cmd/list"
	"github.com/workshopctl/workshopctl/pkg/cmd/mirror"
	"github.com/workshopctl/workshopctl/pkg/cmd/sessions"
	"github.com/workshopctl/workshopctl/pkg/cmd/status"
	"github.com/workshopctl/workshopctl/pkg/cmd/url"
	"github.com/workshopctl/workshopctl/pkg/cmd/users"
	"github.com/workshopctl/workshopctl/pkg/cmd/version"
	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// items is how lists are printed.
type items[T any] struct {
	Items []T `json:"items"`
}

// printed is what commands print with -o json, by type.
var printed = []struct {
	commands string
	value    any
}{
	{"`workshopctl list`", items[list.Item]{}},
	{"`workshopctl status`", status.Status{}},
	{"`workshopctl url`", url.Address{}},
	{"`workshopctl deploy`", deploy.Deployed{}},
	{"`workshopctl sessions list`", sessions.SessionList{}},
	{"`workshopctl sessions describe USER`", sessions.Description{}},
	{"`workshopctl sessions start`, `stop`, `restart`, `extend`, `delete`", sessions.Results{}},
	{"`workshopctl sessions exec --all -- COMMAND`", items[sessions.ExecResult]{}},
	{"`workshopctl sessions cp FILE --all :PATH`", items[sessions.CpResult]{}},
	{"`workshopctl sessions message --all TEXT`", items[sessions.MessageResult]{}},
	{"`workshopctl sessions prune`", sessions.Orphans{}},
	{"`workshopctl users list`", items[users.User]{}},
	{"`workshopctl users add NAME`, `users import FILE.csv`", users.Enrolled{}},
	{"`workshopctl users password NAME`", users.Credential{}},
	{"`workshopctl rollout history`", items[record.Revision]{}},
	{"`workshopctl hub token`", hubcmd.Token{}},
	{"`workshopctl hub token list`", items[hubcmd.Token]{}},
	{"`workshopctl mirror list`", items[mirror.Item]{}},
	{"`workshopctl mirror load`", items[mirror.Loaded]{}},
	{"`workshopctl version`", version.Info{}},
}

// elsewhere are types with a page of their own, or an owner of their own.
var elsewhere = map[reflect.Type]string{
	reflect.TypeFor[workshop.Spec](): "object, as in a [workshop file](workshop-file.md)",
	reflect.TypeFor[time.Time]():     "time (RFC 3339)",
}

const jsonHead = `<!-- Written by ` + "`make docs`" + ` from the Go types; don't edit, but to take a field away. -->
# Fields of -o json

What commands print with ` + "`-o json`, `-o yaml` and `-o jsonpath=…`" + `. Scripts may rely on it: a field keeps its name and its
meaning, new ones may come, and the order of fields says nothing. A field that is marked *optional* is left out where there is
nothing to say. Words in a field, such as a session's state, may get company.

` + "`[]` stands for each of a list, `{}`" + ` for each value of a map.
`

// jsonPage is the page about the fields, with the comments of the types in the
// sources below root.
func jsonPage(root string) (string, error) {
	comments, err := fieldComments(root)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(jsonHead)
	for _, p := range printed {
		fmt.Fprintf(&b, "\n## %s\n\n| Field | Type | Meaning |\n|---|---|---|\n", p.commands)
		rows(&b, comments, "", reflect.TypeOf(p.value), nil)
	}
	return b.String(), nil
}

// rows writes a row for each field of a type, and of what it holds.
func rows(b *strings.Builder, comments map[string]string, path string, t reflect.Type, within []reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported() && !f.Anonymous:
			continue
		case f.Anonymous && name == "":
			rows(b, comments, path, base(f.Type), within)
			continue
		case name == "":
			name = f.Name
		}
		kind, inner, suffix := describe(f.Type)
		meaning := comments[t.PkgPath()+"."+t.Name()+"."+f.Name]
		if strings.Contains(options, "omit") {
			meaning = strings.TrimSpace("*optional* " + meaning)
		}
		fmt.Fprintf(b, "| `%s%s` | %s | %s |\n", path, name, kind, cell(meaning))
		if inner != nil && !contains(within, inner) {
			rows(b, comments, path+name+suffix+".", inner, append(within, inner))
		}
	}
}

func contains(list []reflect.Type, t reflect.Type) bool {
	for _, one := range list {
		if one == t {
			return true
		}
	}
	return false
}

func base(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

var (
	marshaler     = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
)

// describe is a type in words, with the struct whose fields come next and how
// their path goes on.
func describe(t reflect.Type) (kind string, inner reflect.Type, suffix string) {
	t = base(t)
	if words, ok := elsewhere[t]; ok {
		return words, nil, ""
	}
	if t.Implements(marshaler) || t.Implements(textMarshaler) {
		return "string", nil, ""
	}
	switch t.Kind() {
	case reflect.Struct:
		return "object", t, ""
	case reflect.Slice, reflect.Array:
		kind, inner, suffix := describe(t.Elem())
		return "list of " + kind, inner, "[]" + suffix
	case reflect.Map:
		kind, inner, suffix := describe(t.Elem())
		return "map to " + kind, inner, "{}" + suffix
	case reflect.Bool:
		return "true or false", nil, ""
	case reflect.String:
		return "string", nil, ""
	case reflect.Interface:
		return "anything", nil, ""
	}
	return "number", nil, ""
}

// fieldComments are the comments of structs' fields, by package, type and
// field.
func fieldComments(root string) (map[string]string, error) {
	const module = "github.com/workshopctl/workshopctl/"
	out := map[string]string{}
	err := filepath.WalkDir(filepath.Join(root, "pkg"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok {
				for _, f := range s.Fields.List {
					for _, name := range f.Names {
						out[module+filepath.ToSlash(dir)+"."+spec.Name.Name+"."+name.Name] = comment(name.Name, f.Doc)
					}
				}
			}
			return true
		})
		return nil
	})
	return out, err
}

// comment is a field's comment, as a description of the field where it is one.
func comment(name string, doc *ast.CommentGroup) string {
	text := strings.Join(strings.Fields(doc.Text()), " ")
	for _, verb := range []string{" is ", " are ", ": "} {
		if rest, ok := strings.CutPrefix(text, name+verb); ok {
			text = rest
			break
		}
	}
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// vanished are the fields that a page has and another, later one hasn't. Who
// means to take one away takes its line out of the page first.
func vanished(before, after string) []string {
	has := map[string]bool{}
	each := func(page string, do func(section, field string)) {
		section := ""
		for line := range strings.Lines(page) {
			if title, ok := strings.CutPrefix(line, "## "); ok {
				section = strings.TrimSpace(title)
			}
			if rest, ok := strings.CutPrefix(line, "| `"); ok {
				field, _, _ := strings.Cut(rest, "`")
				do(section, field)
			}
		}
	}
	each(after, func(section, field string) { has[section+" "+field] = true })
	var out []string
	each(before, func(section, field string) {
		if !has[section+" "+field] {
			out = append(out, fmt.Sprintf("%s of %s", field, section))
		}
	})
	return out
}
