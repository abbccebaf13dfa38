// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// write makes files: a path that ends with a slash is a folder, a content that
// begins with "-> " a link.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		place := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(place), 0o777); err != nil {
			t.Fatal(err)
		}
		var err error
		switch target, link := strings.CutPrefix(content, "-> "); {
		case link:
			err = os.Symlink(target, place)
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(place, 0o777)
		default:
			err = os.WriteFile(place, []byte(content), 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// read is what write makes, without folders that hold something.
func read(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path)
		switch {
		case err != nil:
			return err
		case e.Type() == fs.ModeSymlink:
			target, err := os.Readlink(path)
			files[name] = "-> " + target
			return err
		case e.IsDir():
			if entries, err := os.ReadDir(path); err == nil && len(entries) == 0 && name != "." {
				files[name+"/"] = ""
			}
			return nil
		}
		content, err := os.ReadFile(path)
		files[name] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func carry(t *testing.T, source, place string, o ReceiveOptions) (Result, error) {
	t.Helper()
	var stream bytes.Buffer
	sent, err := Send(t.Context(), &stream, source, SendOptions{})
	if err != nil {
		t.Fatal(err)
	}
	came, err := Receive(t.Context(), &stream, place, o)
	if err == nil && (came.Sum != sent.Sum || came.Bytes != sent.Bytes || came.Files != sent.Files) {
		t.Errorf("sent %+v, came %+v", sent, came)
	}
	return came, err
}

func TestPlaces(t *testing.T) {
	for name, test := range map[string]struct {
		source, place, name string
		there, want         map[string]string
		err                 string
	}{
		"a file":                     {source: "f", place: "new", name: "f", want: map[string]string{"new": "file"}},
		"over a file":                {source: "f", place: "old", name: "f", there: map[string]string{"old": "x"}, want: map[string]string{"old": "file"}},
		"over a link":                {source: "f", place: "old", name: "f", there: map[string]string{"old": "-> other", "other": "x"}, want: map[string]string{"old": "file", "other": "x"}},
		"into a folder":              {source: "f", place: "d", name: "f", there: map[string]string{"d/": ""}, want: map[string]string{"d/f": "file"}},
		"into one to be made":        {source: "f", place: "a/b/", name: "f", want: map[string]string{"a/b/f": "file"}},
		"folders on the way":         {source: "f", place: "a/b/c", name: "f", want: map[string]string{"a/b/c": "file"}},
		"a file is on the way":       {source: "f", place: "a/b/c", name: "f", there: map[string]string{"a": "x"}, want: map[string]string{"a": "x"}, err: "is a file, not a folder"},
		"a file isn't a folder":      {source: "f", place: "a/", name: "f", there: map[string]string{"a": "x"}, want: map[string]string{"a": "x"}, err: "is a file, not a folder"},
		"over a folder":              {source: "f", place: "d", name: "f", there: map[string]string{"d/f/x": ""}, want: map[string]string{"d/f/x": ""}, err: "is a folder there, and a file here"},
		"a folder":                   {source: "d", place: "new", name: "d", want: map[string]string{"new/a/b": "b", "new/c": "c", "new/empty/": "", "new/l": "-> a/b"}},
		"a folder into one":          {source: "d", place: ".", name: "d", want: map[string]string{"d/a/b": "b", "d/c": "c", "d/empty/": "", "d/l": "-> a/b"}},
		"a folder's content":         {source: "d", place: "x", name: "", there: map[string]string{"x/c": "old", "x/mine": "m"}, want: map[string]string{"x/a/b": "b", "x/c": "c", "x/empty/": "", "x/l": "-> a/b", "x/mine": "m"}},
		"a folder that's there":      {source: "d", place: ".", name: "d", there: map[string]string{"d/a/mine": "m", "d/l": "x"}, want: map[string]string{"d/a/b": "b", "d/a/mine": "m", "d/c": "c", "d/empty/": "", "d/l": "-> a/b"}},
		"a folder over a file":       {source: "d", place: "x", name: "d", there: map[string]string{"x": "f"}, want: map[string]string{"x": "f"}, err: "x is a file, not a folder"},
		"a file in a folder's place": {source: "d", place: ".", name: "d", there: map[string]string{"d": "f"}, want: map[string]string{"d": "f"}, err: "d is a file there, and a folder here"},
		"a link out is in the way":   {source: "d", place: ".", name: "d", there: map[string]string{"d": "-> ../out"}, want: map[string]string{"d": "-> ../out"}, err: "d: a link there leads out of the folder"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, map[string]string{"from/f": "file", "from/d/a/b": "b", "from/d/c": "c", "from/d/l": "-> a/b", "from/d/empty/": "", "to/": "", "out/": ""})
			write(t, dir+"/to", test.there)
			place := dir + "/to/" + test.place
			_, err := carry(t, dir+"/from/"+test.source, place, ReceiveOptions{Name: test.name})
			if test.err == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("error %v, want %q", err, test.err)
			}
			if diff := cmp.Diff(test.want, read(t, dir+"/to")); diff != "" {
				t.Error(diff)
			}
			if out := read(t, dir+"/out"); len(out) > 0 {
				t.Errorf("written outside: %v", out)
			}
		})
	}
}

func TestModes(t *testing.T) {
	dir := t.TempDir()
	defer syscall.Umask(syscall.Umask(0o002))
	old := time.Date(2018, 4, 5, 6, 7, 8, 0, time.UTC)
	for name, mode := range map[string]fs.FileMode{"plain": 0o644, "script": 0o755, "key": 0o600, "setuid": 0o755 | fs.ModeSetuid, "own": 0o500} {
		write(t, dir, map[string]string{"from/" + name: name})
		if err := os.Chmod(dir+"/from/"+name, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(dir+"/from/"+name, old, old); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := carry(t, dir+"/from", dir+"/to", ReceiveOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{"plain": 0o664, "script": 0o775, "key": 0o600, "setuid": 0o775, "own": 0o700} {
		if info, err := os.Stat(dir + "/to/" + name); err != nil || info.Mode() != want {
			t.Errorf("%s: %v %v, want %v", name, info.Mode(), err, want)
		}
		if to, err := os.Stat(dir + "/to/" + name); err != nil || !to.ModTime().Equal(old) {
			t.Errorf("%s: another time", name)
		}
	}
	// A script that is replaced stays one.
	if _, err := carry(t, dir+"/from/plain", dir+"/to/script", ReceiveOptions{}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir + "/to/script"); err != nil || info.Mode() != 0o775 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

func TestLeftOutBySender(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"d/ok": "", "d/out": "-> ../../etc/passwd", "d/abs": "-> /etc/passwd", "d/a/up": "-> ../ok", "d/a\x1b[31m": "x"})
	if err := syscall.Mkfifo(dir+"/d/pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	var stream bytes.Buffer
	var left []string
	sent, err := Send(t.Context(), &stream, dir+"/d", SendOptions{LeftOut: func(name, _ string) { left = append(left, name) }})
	if want := []string{"a\x1b[31m", "abs", "out", "pipe"}; err != nil || !slices.Equal(left, want) || sent.LeftOut != 4 || sent.Files != 1 {
		t.Errorf("%q %+v %v", left, sent, err)
	}
	for _, what := range []string{dir + "/d/pipe", dir + "/nothing"} {
		if _, err := Send(t.Context(), &stream, what, SendOptions{}); err == nil {
			t.Errorf("%s was sent", what)
		}
	}
}

// forge makes a stream of its own, with a good sum.
func forge(header string, entries ...tar.Header) *bytes.Buffer {
	var b bytes.Buffer
	b.WriteString(header + "\n")
	w := tar.NewWriter(&b)
	for _, h := range entries {
		content := ""
		if h.Typeflag == tar.TypeReg {
			content = "evil"
			h.Size = 4
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := w.WriteHeader(&h); err != nil {
			panic(err)
		}
		_, _ = w.Write([]byte(content))
	}
	_ = w.Close()
	sum := sha256.Sum256(b.Bytes())
	b.Write(sum[:])
	return &b
}

// TestHostileStreams: what an attendee's session sends is written below its
// place or nowhere.
func TestHostileStreams(t *testing.T) {
	file := func(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name} }
	link := func(name, target string) tar.Header {
		return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target}
	}
	for name, test := range map[string]struct {
		entries []tar.Header
		want    map[string]string
		left    int
		err     string
	}{
		"up":                       {entries: []tar.Header{file("../x"), file("a/../../x"), file("ok")}, want: map[string]string{"ok": "evil"}, left: 2},
		"absolute":                 {entries: []tar.Header{file("/tmp/x"), file("//x"), file("ok")}, want: map[string]string{"ok": "evil"}, left: 2},
		"through a link":           {entries: []tar.Header{link("l", "../../out"), file("l/x")}, want: map[string]string{"l/x": "evil"}, left: 1},
		"through a link, later":    {entries: []tar.Header{link("l", "."), file("l/x")}, want: map[string]string{"l/x": "evil"}, left: 1},
		"links out":                {entries: []tar.Header{link("a", "/etc"), link("b", "../x"), link("c", "d/../../x"), link("e/f", "../../x"), link("g", `..\x`)}, want: map[string]string{}, left: 5},
		"links in a row":           {entries: []tar.Header{link("a/b/p", ".."), link("l", "a/b/p/../../x"), file("a/f")}, want: map[string]string{"a/b/p": "-> ..", "a/f": "evil"}, left: 1},
		"a link below a link":      {entries: []tar.Header{link("a", "."), link("a/b", "..")}, want: map[string]string{"a": "-> ."}, left: 1},
		"links that stay":          {entries: []tar.Header{link("a/b", "../c"), link("d", "a/./b")}, want: map[string]string{"a/b": "-> ../c", "d": "-> a/./b"}},
		"devices and hard links":   {entries: []tar.Header{{Typeflag: tar.TypeFifo, Name: "p"}, {Typeflag: tar.TypeChar, Name: "c"}, {Typeflag: tar.TypeLink, Name: "h", Linkname: "/etc/passwd"}}, want: map[string]string{}, left: 3},
		"names that hide":          {entries: []tar.Header{file("a\x1b[2J"), file("a\nb"), file("a\u202eb")}, want: map[string]string{}, left: 3},
		"the same twice":           {entries: []tar.Header{file("a"), file("a")}, want: map[string]string{}, err: "a comes twice"},
		"a file and below it":      {entries: []tar.Header{file("a"), file("a/b")}, want: map[string]string{}, err: "file exists"},
		"too large, as it comes":   {entries: []tar.Header{file("a"), file("b"), file("c")}, want: map[string]string{}, err: ErrTooLarge.Error()},
		"the part's own name":      {entries: []tar.Header{file(".workshopctl-x.part")}, want: map[string]string{".workshopctl-x.part": "evil"}},
		"modes that nobody needs":  {entries: []tar.Header{{Typeflag: tar.TypeReg, Name: "s", Mode: 0o7777}}, want: map[string]string{"s": "evil"}},
		"a long way down the path": {entries: []tar.Header{file(strings.Repeat("d/", 3000) + "x")}, want: map[string]string{}, left: 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, map[string]string{"to/": "", "out/": ""})
			got, err := Receive(t.Context(), forge(`{"folder":true}`, test.entries...), dir+"/to/new", ReceiveOptions{Limit: 10})
			if test.err == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("error %v, want %q", err, test.err)
			}
			want := map[string]string{}
			for name, content := range test.want {
				want["new/"+name] = content
			}
			if len(want) == 0 && test.err == "" {
				want = map[string]string{"new/": ""}
			}
			if diff := cmp.Diff(want, read(t, dir+"/to")); diff != "" || got.LeftOut != test.left {
				t.Errorf("%d left out, want %d\n%s", got.LeftOut, test.left, diff)
			}
			out := read(t, dir)
			delete(out, "out/")
			delete(out, "to/")
			if len(out) != len(want) {
				t.Errorf("written elsewhere: %v", out)
			}
			if info, err := os.Lstat(dir + "/to/new/s"); err == nil && info.Mode()&^0o777 != 0 {
				t.Errorf("mode %v", info.Mode())
			}
		})
	}
}

// TestBrokenStreams: half of a stream, and one that was changed, leave nothing.
func TestBrokenStreams(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"d/a": strings.Repeat("a", 3000), "d/b": "b", "to/old": "old"})
	var whole bytes.Buffer
	if _, err := Send(t.Context(), &whole, dir+"/d", SendOptions{}); err != nil {
		t.Fatal(err)
	}
	try := func(what string, stream []byte) {
		t.Helper()
		if _, err := Receive(t.Context(), bytes.NewReader(stream), dir+"/to", ReceiveOptions{Name: "d"}); !errors.Is(err, ErrBroken) {
			t.Errorf("%s: %v", what, err)
		}
		if diff := cmp.Diff(map[string]string{"old": "old"}, read(t, dir+"/to")); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	for n := 0; n < whole.Len(); n += 97 {
		try(fmt.Sprintf("%d bytes", n), whole.Bytes()[:n])
	}
	for _, at := range []int{1500, whole.Len() - 1} {
		changed := bytes.Clone(whole.Bytes())
		changed[at] ^= 1
		try(fmt.Sprintf("byte %d", at), changed)
	}
	try("not a stream", []byte("sh: no such program\n"))
	try("no line", bytes.Repeat([]byte("x"), 100_000))
	try("a file that is none", forge(`{}`).Bytes())
	try("two files", forge(`{}`, tar.Header{Typeflag: tar.TypeReg, Name: "a"}, tar.Header{Typeflag: tar.TypeReg, Name: "b"}).Bytes())
}

func TestNoRoom(t *testing.T) {
	dir := t.TempDir()
	if _, err := Receive(t.Context(), forge(`{"bytes":1000000000000000000}`), dir+"/x", ReceiveOptions{}); !errors.Is(err, ErrNoRoom) {
		t.Error(err)
	}
	if _, err := Receive(t.Context(), forge(`{"bytes":11}`), dir+"/x", ReceiveOptions{Limit: 10}); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	if err := explained("x", &fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}); !errors.Is(err, ErrNoRoom) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	write(t, dir, map[string]string{"f": "x"})
	var stream bytes.Buffer
	if _, err := Send(ctx, &stream, dir+"/f", SendOptions{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestBase(t *testing.T) {
	for p, want := range map[string]string{"": "", ".": "", "a/b": "b", "a/b/": "b", "..": "", "~": "", "/": "", "a/.": "", "~/x": "x"} {
		if got := Base(p); got != want {
			t.Errorf("Base(%q) = %q, want %q", p, got, want)
		}
	}
}

// FuzzReceive: nothing leaves the folder, whatever comes.
func FuzzReceive(f *testing.F) {
	f.Add(forge(`{"folder":true}`, tar.Header{Typeflag: tar.TypeReg, Name: "a/b"}, tar.Header{Typeflag: tar.TypeSymlink, Name: "l", Linkname: "a"}).Bytes())
	f.Add(forge(`{}`, tar.Header{Typeflag: tar.TypeReg, Name: "file"}).Bytes())
	f.Fuzz(func(t *testing.T, stream []byte) {
		dir := t.TempDir()
		write(t, dir, map[string]string{"to/": ""})
		_, err := Receive(t.Context(), bytes.NewReader(stream), dir+"/to/x", ReceiveOptions{Limit: 1 << 20})
		there, readErr := os.ReadDir(dir)
		if readErr != nil || len(there) != 1 {
			t.Errorf("%v %v", there, readErr)
		}
		if inside, _ := os.ReadDir(dir + "/to"); err != nil && len(inside) > 0 {
			t.Errorf("%v: %v is left", err, inside)
		}
	})
}
