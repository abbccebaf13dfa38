// SPDX-License-Identifier: Apache-2.0

package hubcmd

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

// field is `-f KEY=VALUE`, or `-F KEY=VALUE` if it is typed.
type field struct {
	text  string
	typed bool
}

// fieldFlag collects both flags in the order in which they were given.
type fieldFlag struct {
	all   *[]field
	typed bool
}

func (f fieldFlag) String() string { return "" }
func (f fieldFlag) Type() string   { return "KEY=VALUE" }
func (f fieldFlag) Set(text string) error {
	if key, _, ok := strings.Cut(text, "="); !ok || key == "" {
		return fmt.Errorf("write KEY=VALUE")
	}
	*f.all = append(*f.all, field{text, f.typed})
	return nil
}

// number is what JSON writes as one.
var number = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?$`)

// value of a field. Typed ones are what JSON takes them for, and the content of a
// file (@FILE, @- for stdin).
func (f field) value(stdin io.Reader) (any, error) {
	_, text, _ := strings.Cut(f.text, "=")
	switch {
	case !f.typed:
		return text, nil
	case text == "true", text == "false", text == "null", number.MatchString(text):
		return json.RawMessage(text), nil
	case text == "@-":
		content, err := io.ReadAll(stdin)
		return string(content), err
	case strings.HasPrefix(text, "@"):
		content, err := os.ReadFile(text[1:])
		return string(content), err
	}
	return text, nil
}

// keyPart is one of the parts of KEY[PART][], the last of which may be empty.
var keyPart = regexp.MustCompile(`^\[([^\[\]]*)\]`)

// path parts a key: "servers[a][]" is servers, a, and "".
func (f field) path() ([]string, error) {
	key, _, _ := strings.Cut(f.text, "=")
	first, rest := key, ""
	if i := strings.IndexByte(key, '['); i >= 0 {
		first, rest = key[:i], key[i:]
	}
	parts := []string{first}
	for rest != "" {
		m := keyPart.FindStringSubmatch(rest)
		if m == nil || first == "" || parts[len(parts)-1] == "" {
			return nil, fmt.Errorf("%q is no key; write KEY, KEY[PART] or KEY[]", key)
		}
		parts, rest = append(parts, m[1]), rest[len(m[0]):]
	}
	return parts, nil
}

// body is the JSON object that fields make.
func body(fields []field, stdin io.Reader) ([]byte, error) {
	object := map[string]any{}
	for _, f := range fields {
		value, err := f.value(stdin)
		if err != nil {
			return nil, err
		}
		path, err := f.path()
		if err != nil {
			return nil, err
		}
		if err := put(object, path, value); err != nil {
			key, _, _ := strings.Cut(f.text, "=")
			return nil, fmt.Errorf("%s is there twice, and not of one kind", key)
		}
	}
	return json.Marshal(object)
}

// put sets what is at the end of a path.
func put(object map[string]any, path []string, value any) error {
	name := path[0]
	there, taken := object[name]
	switch {
	case len(path) == 1:
		if taken {
			return os.ErrExist
		}
		object[name] = value
	case path[1] == "":
		list, ok := there.([]any)
		if taken && !ok {
			return os.ErrExist
		}
		object[name] = append(list, value)
	default:
		inner, ok := there.(map[string]any)
		if taken && !ok {
			return os.ErrExist
		}
		if !taken {
			inner = map[string]any{}
			object[name] = inner
		}
		return put(inner, path[1:], value)
	}
	return nil
}
