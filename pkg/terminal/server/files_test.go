// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/workshopctl/workshopctl/pkg/terminal/server"
)

const limit = 1 << 20 // of uploads in these tests

// volume is a browser that is logged in, and the folder with its files.
type volume struct {
	*browser
	root, outside string
	csrf          string
}

var csrfOfPage = regexp.MustCompile(`name="csrf" content="([^"]+)"`)

func newVolume(t *testing.T, change ...func(*server.Options)) *volume {
	t.Helper()
	dir := t.TempDir()
	v := &volume{root: filepath.Join(dir, "app-root"), outside: filepath.Join(dir, "outside")}
	for _, d := range []string{v.root, v.outside, filepath.Join(v.root, "src")} {
		if err := os.Mkdir(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	v.write(t, "src/hello.txt", "hello")
	if err := os.WriteFile(filepath.Join(v.outside, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	files := func(o *server.Options) {
		o.Files = server.Files{Root: v.root, Home: filepath.Join(v.root, "src"), Limit: limit}
	}
	g := newGateway(t, time.Hour, append([]func(*server.Options){files}, change...)...)
	v.browser = newBrowser(t, g)
	v.login(owner)
	found := csrfOfPage.FindStringSubmatch(v.get(prefix).body)
	if found == nil {
		t.Fatal("the page has no CSRF token")
	}
	v.csrf = found[1]
	return v
}

func (v *volume) write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(v.root, name), []byte(content), 0o664); err != nil {
		t.Fatal(err)
	}
}

func (v *volume) read(name string) string {
	content, err := os.ReadFile(filepath.Join(v.root, name))
	if err != nil {
		return err.Error()
	}
	return string(content)
}

// tree is every name under the root.
func (v *volume) tree(t *testing.T) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(v.root, func(path string, _ os.DirEntry, err error) error {
		if rel, relErr := filepath.Rel(v.root, path); relErr == nil && rel != "." {
			all = append(all, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// put uploads; a body that is no strings.Reader has no length beforehand.
func (v *volume) put(path string, body io.Reader, header http.Header) answer {
	v.t.Helper()
	req, err := http.NewRequestWithContext(v.t.Context(), http.MethodPut, v.g.URL+prefix+"files/"+path, body)
	if err != nil {
		v.t.Fatal(err)
	}
	req.Header.Set("Origin", v.g.URL)
	req.Header.Set("X-CSRF-Token", v.csrf)
	maps.Copy(req.Header, header)
	resp, err := v.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

// unsized hides a body's length.
type unsized struct{ io.Reader }

func TestUploadAndDownload(t *testing.T) {
	v := newVolume(t)
	content := strings.Repeat("0123456789\x00\xff", 1000)
	a := v.put("src/new%20folder/d%C3%A4ta.bin", strings.NewReader(content), nil)
	want(t, "upload", a.status, http.StatusCreated)
	if v.read("src/new folder/däta.bin") != content {
		t.Error("the file has other content than the upload")
	}
	info, err := os.Stat(filepath.Join(v.root, "src/new folder/däta.bin"))
	if err != nil || info.Mode().Perm()&^0o664 != 0 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if got := v.tree(t); !slices.Equal(got, []string{"src", "src/hello.txt", "src/new folder", "src/new folder/däta.bin"}) {
		t.Errorf("something else is left: %q", got)
	}

	a = v.get(prefix + "files/src/new%20folder/d%C3%A4ta.bin")
	want(t, "download", a.status, http.StatusOK)
	if a.body != content {
		t.Error("the download has other content than the file")
	}
	for name, value := range map[string]string{
		"Content-Disposition":    "attachment; filename*=utf-8''d%C3%A4ta.bin",
		"X-Content-Type-Options": "nosniff",
		"Content-Type":           "application/octet-stream",
	} {
		if a.header.Get(name) != value {
			t.Errorf("%s is %q, want %q", name, a.header.Get(name), value)
		}
	}
	a = v.do(http.MethodGet, prefix+"files/src/hello.txt", http.Header{"Range": {"bytes=1-2"}})
	want(t, "part", a.status, http.StatusPartialContent)
	if a.body != "el" {
		t.Errorf("bytes 1 and 2 are %q", a.body)
	}
	want(t, "whether there is one", v.do(http.MethodHead, prefix+"files/src/hello.txt", nil).status, http.StatusOK)
	want(t, "whether there is another", v.do(http.MethodHead, prefix+"files/src/hello", nil).status, http.StatusNotFound)
}

func TestNamesThatAreTaken(t *testing.T) {
	v := newVolume(t)
	if err := os.Chmod(filepath.Join(v.root, "src/hello.txt"), 0o755); err != nil {
		t.Fatal(err)
	}
	want(t, "without a word", v.put("src/hello.txt", strings.NewReader("x"), nil).status, http.StatusConflict)
	want(t, "a folder", v.put("src?exists=replace", strings.NewReader("x"), nil).status, http.StatusConflict)
	want(t, "an unknown word", v.put("src/hello.txt?exists=append", strings.NewReader("x"), nil).status, http.StatusBadRequest)
	want(t, "in a file", v.put("src/hello.txt/x", strings.NewReader("x"), nil).status, http.StatusNotFound)
	if v.read("src/hello.txt") != "hello" {
		t.Error("the file has changed")
	}
	for i := range 2 {
		a := v.put("src/hello.txt?exists=rename", strings.NewReader("beside"), nil)
		want(t, "beside it", a.status, http.StatusCreated)
		var said struct{ Name, Path string }
		if err := json.Unmarshal([]byte(a.body), &said); err != nil || said.Name != fmt.Sprintf("hello (%d).txt", i+1) || v.read(said.Path) != "beside" {
			t.Errorf("%s, %v", a.body, err)
		}
	}
	want(t, "in its place", v.put("src/hello.txt?exists=replace", strings.NewReader("replaced"), nil).status, http.StatusCreated)
	if v.read("src/hello.txt") != "replaced" {
		t.Error("the file was not replaced")
	}
	if info, err := os.Stat(filepath.Join(v.root, "src/hello.txt")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("a program is none any more: %v, %v", info.Mode(), err)
	}
}

func TestUploadsAreFromThePage(t *testing.T) {
	v := newVolume(t)
	for name, header := range map[string]http.Header{
		"no origin":    {"Origin": {""}},
		"other origin": {"Origin": {"https://evil.example.com"}},
		"no token":     {"X-Csrf-Token": {""}},
		"wrong token":  {"X-Csrf-Token": {"x"}},
	} {
		want(t, name, v.put("src/x", strings.NewReader("x"), header).status, http.StatusForbidden)
	}
	for _, path := range []string{"files", "files/", "files/src/hello.txt", "files/src?archive=zip"} {
		stranger := newBrowser(t, v.g)
		want(t, "stranger: "+path, stranger.get(prefix+path).status, http.StatusUnauthorized)
		stranger.login("mallory")
		want(t, "mallory: "+path, stranger.get(prefix+path).status, http.StatusForbidden)
	}
	want(t, "DELETE", v.do(http.MethodDelete, prefix+"files/src/hello.txt", nil).status, http.StatusMethodNotAllowed)
	if _, err := os.Stat(filepath.Join(v.root, "src/x")); err == nil {
		t.Error("a foreign page's upload was taken")
	}
}

func TestUploadLimit(t *testing.T) {
	v := newVolume(t)
	large := strings.Repeat("x", limit+1)
	want(t, "too large, as it says", v.put("src/large", strings.NewReader(large), nil).status, http.StatusRequestEntityTooLarge)
	want(t, "too large, without saying", v.put("src/large", unsized{strings.NewReader(large)}, nil).status, http.StatusRequestEntityTooLarge)
	if got := v.tree(t); !slices.Equal(got, []string{"src", "src/hello.txt"}) {
		t.Errorf("something is left: %q", got)
	}
	want(t, "as large as can be", v.put("src/large", unsized{strings.NewReader(large[1:])}, nil).status, http.StatusCreated)

	off := newVolume(t, func(o *server.Options) { o.Files.Limit = 0 })
	want(t, "uploads off", off.put("src/x", strings.NewReader("x"), nil).status, http.StatusForbidden)
	want(t, "downloads go on", off.get(prefix+"files/src/hello.txt").status, http.StatusOK)
}

// TestUploadThatBreaksOff leaves nothing behind.
func TestUploadThatBreaksOff(t *testing.T) {
	v := newVolume(t)
	ctx, cancel := context.WithCancel(t.Context())
	body, feed := io.Pipe()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, v.g.URL+prefix+"files/src/broken", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", v.g.URL)
	req.Header.Set("X-CSRF-Token", v.csrf)
	done := make(chan error, 1)
	go func() {
		resp, err := v.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		done <- err
	}()
	if _, err := feed.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its file is begun", func() bool { return len(v.tree(t)) == 3 })
	cancel()
	_ = feed.CloseWithError(context.Canceled)
	if err := <-done; err == nil {
		t.Error("the upload was answered")
	}
	eventually(t, "it is gone", func() bool { return slices.Equal(v.tree(t), []string{"src", "src/hello.txt"}) })
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	late := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// TestFullVolume needs the right to mount a small one.
func TestFullVolume(t *testing.T) {
	v := newVolume(t)
	small := filepath.Join(v.root, "small")
	if err := os.Mkdir(small, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("no small volume: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(small, syscall.MNT_DETACH) })
	large := strings.Repeat("x", 256<<10)
	want(t, "no room, as it says", v.put("small/x", strings.NewReader(large), nil).status, http.StatusInsufficientStorage)
	want(t, "no room, without saying", v.put("small/x", unsized{strings.NewReader(large)}, nil).status, http.StatusInsufficientStorage)
	if left, err := os.ReadDir(small); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	want(t, "what fits", v.put("small/x", strings.NewReader(large[:16<<10]), nil).status, http.StatusCreated)
}

// waysOut are paths that must lead nowhere, relative to files/.
func waysOut(v *volume) []string {
	return []string{
		"../outside/secret", "..%2Foutside%2Fsecret", "src/../../outside/secret", "%2e%2e/outside/secret", "src/%2e%2e/%2e%2e/outside/secret",
		"/" + v.outside + "/secret", url.PathEscape(v.outside + "/secret"), "//etc/passwd", "%2fetc%2fpasswd", "./src/hello.txt", "src/./hello.txt", "src//hello.txt",
		"src/hello.txt%00", "src/hello.txt%00.png", "%00", "src%5c..%5c..%5coutside", "..", "src/..", "%ff%fe", "src/%c0%ae%c0%ae/x",
		"link/secret", "absolute/secret", "file", "chain/secret", "loop", "loop/x", "dangling", "src/up/../outside/secret", "proc/self/environ",
		"pipe", strings.Repeat("a", 300), strings.Repeat("a/", 3000) + "x",
	}
}

// links lead out of the volume in all kinds of ways, or nowhere; one stays inside.
func links(outside string) map[string]string {
	return map[string]string{
		"link": "../outside", "absolute": outside, "file": "../outside/secret", "chain": "src/step", "src/step": "../../outside",
		"loop": "loop", "dangling": "../outside/new", "src/up": "..", "proc": "/proc",
	}
}

func (v *volume) addTraps(t *testing.T) {
	t.Helper()
	for name, target := range links(v.outside) {
		if err := os.Symlink(target, filepath.Join(v.root, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(v.root, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWaysOut(t *testing.T) {
	v := newVolume(t)
	v.addTraps(t)
	before := v.tree(t)
	for _, path := range waysOut(v) {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			a := v.raw(method, path)
			if a.status < 400 || a.status >= 500 || strings.Contains(a.body, "secret") {
				t.Errorf("%s %.60s: %d %q", method, path, a.status, a.body)
			}
		}
		for _, query := range []string{"", "?exists=rename", "?archive=zip"} {
			if path == "dangling" || path == "file" || path == "loop" || path == "pipe" || path == "src%5c..%5c..%5coutside" {
				continue // names here that an upload may have or go beside
			}
			a := v.put(path+query, strings.NewReader("evil"), nil)
			if a.status < 400 || a.status >= 500 {
				t.Errorf("PUT %.60s: %d %q", path+query, a.status, a.body)
			}
		}
	}
	// A file that takes a link's place stays here.
	want(t, "in a link's place", v.put("file?exists=replace", strings.NewReader("mine"), nil).status, http.StatusCreated)
	if v.read("file") != "mine" {
		t.Error("the link was followed")
	}
	left, err := os.ReadDir(v.outside)
	secret, _ := os.ReadFile(filepath.Join(v.outside, "secret"))
	if err != nil || len(left) != 1 || string(secret) != "secret" {
		t.Errorf("outside: %v, %q, %v", left, secret, err)
	}
	if got := v.tree(t); !slices.Equal(got, before) {
		t.Errorf("the volume has changed:\n%s", cmp.Diff(before, got))
	}
	// Links that stay inside are as good as what they lead to.
	if a := v.get(prefix + "files/src/up/src/hello.txt"); a.body != "hello" {
		t.Errorf("a link inside: %d %q", a.status, a.body)
	}
}

// FuzzFilePaths looks for a path that gets at anything outside, by a download
// or an upload.
func FuzzFilePaths(f *testing.F) {
	for _, seed := range []string{"src/hello.txt", "../outside/secret", "link/secret", "src/../../outside", "a//b", ".", "x\x00", "chain/x", "src/up/link/x"} {
		f.Add(seed)
	}
	dir := f.TempDir()
	v := &volume{root: filepath.Join(dir, "app-root"), outside: filepath.Join(dir, "outside")}
	for _, d := range []string{v.root, v.outside, filepath.Join(v.root, "src")} {
		if err := os.Mkdir(d, 0o777); err != nil {
			f.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(v.outside, "secret"), []byte("secret"), 0o600); err != nil {
		f.Fatal(err)
	}
	for name, target := range links(v.outside) {
		if err := os.Symlink(target, filepath.Join(v.root, name)); err != nil {
			f.Fatal(err)
		}
	}
	transfer := server.Transfers(server.Files{Root: v.root, Limit: 16})
	f.Fuzz(func(t *testing.T, name string) {
		for _, method := range []string{http.MethodGet, http.MethodPut} {
			for _, query := range []string{"", "archive=tar.gz", "exists=replace"} {
				r := httptest.NewRequest(method, "/", strings.NewReader("evil"))
				r.URL.RawQuery = query
				w := httptest.NewRecorder()
				err := transfer(w, r, name)
				if err == nil && query == "" && strings.Contains(w.Body.String(), "secret") && w.Header().Get("Content-Disposition") != "" {
					t.Errorf("%s %q reads what is outside", method, name)
				}
			}
		}
		left, err := os.ReadDir(v.outside)
		if err != nil || len(left) != 1 {
			t.Fatalf("%q wrote outside: %v, %v", name, left, err)
		}
		if content, err := os.ReadFile(filepath.Join(v.outside, "secret")); err != nil || string(content) != "secret" {
			t.Fatalf("%q changed what is outside: %q, %v", name, content, err)
		}
	})
}

// raw asks with the path exactly as it is written.
func (v *volume) raw(method, path string) answer {
	v.t.Helper()
	u, err := url.Parse(v.g.URL)
	if err != nil {
		v.t.Fatal(err)
	}
	path, query, _ := strings.Cut(path, "?")
	u.Opaque, u.RawQuery = "//"+u.Host+prefix+"files/"+path, query
	req := (&http.Request{Method: method, URL: u, Header: http.Header{}, Host: u.Host}).WithContext(v.t.Context())
	for _, c := range v.Jar.Cookies(&url.URL{Scheme: "http", Host: u.Host, Path: prefix}) {
		req.AddCookie(c)
	}
	resp, err := v.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

// TestFolderThatBecomesALink at any moment opens no way out.
func TestFolderThatBecomesALink(t *testing.T) {
	v := newVolume(t)
	swap, aside := filepath.Join(v.root, "swap"), filepath.Join(v.root, "aside")
	if err := os.Mkdir(swap, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(swap, "secret"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	swapped := make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				swapped <- n
				return
			default:
			}
			_ = os.Rename(swap, aside)
			_ = os.Symlink(v.outside, swap)
			_ = os.Remove(swap)
			_ = os.Rename(aside, swap)
			n++
		}
	}()
	for range 300 {
		if a := v.get(prefix + "files/swap/secret"); strings.Contains(a.body, "secret") {
			t.Fatalf("read outside: %q", a.body)
		}
		// A tar breaks off when the folder goes away in between.
		if resp, err := v.Get(v.g.URL + prefix + "files/swap?archive=tar.gz"); err == nil {
			if packed, err := io.ReadAll(resp.Body); err == nil && resp.StatusCode == http.StatusOK {
				for name, content := range untar(t, string(packed)) {
					if content == "secret" {
						t.Fatalf("packed from outside: %s", name)
					}
				}
			}
			resp.Body.Close()
		}
		_ = v.put("swap/new?exists=replace", strings.NewReader("x"), nil)
	}
	close(stop)
	if n := <-swapped; n == 0 {
		t.Error("nothing was swapped")
	}
	if left, err := os.ReadDir(v.outside); err != nil || len(left) != 1 {
		t.Errorf("outside: %v, %v", left, err)
	}
}

func TestList(t *testing.T) {
	v := newVolume(t)
	v.addTraps(t)
	v.write(t, "Zeta.txt", "1234")
	v.write(t, "alpha.txt", "")
	if err := os.WriteFile(filepath.Join(v.root, "\xff"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var list struct {
		Path    string
		More    bool
		Entries []struct {
			Name   string
			Folder bool
			Size   int64
		}
	}
	a := v.get(prefix + "files/")
	if err := json.Unmarshal([]byte(a.body), &list); err != nil || a.status != http.StatusOK {
		t.Fatalf("%d %s %v", a.status, a.body, err)
	}
	var names []string
	for _, e := range list.Entries {
		names = append(names, fmt.Sprintf("%s %v %d", e.Name, e.Folder, e.Size))
	}
	if diff := cmp.Diff([]string{"src true 0", "alpha.txt false 0", "Zeta.txt false 4"}, names); diff != "" || list.More || list.Path != "." {
		t.Errorf("%s\n%s", diff, a.body)
	}
	for i := range 2100 {
		v.write(t, fmt.Sprintf("src/%d", i), "")
	}
	a = v.get(prefix + "files/src/")
	if err := json.Unmarshal([]byte(a.body), &list); err != nil || len(list.Entries) > 2000 || len(list.Entries) < 1990 || !list.More {
		t.Errorf("%d entries, more %v, %v", len(list.Entries), list.More, err)
	}
}

func untar(t *testing.T, packed string) map[string]string {
	t.Helper()
	z, err := gzip.NewReader(strings.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(content) + h.Linkname
	}
}

func TestArchives(t *testing.T) {
	v := newVolume(t)
	v.addTraps(t)
	if err := os.Mkdir(filepath.Join(v.root, "src/sub"), 0o777); err != nil {
		t.Fatal(err)
	}
	v.write(t, "src/sub/ü.txt", "inner")
	if err := syscall.Mkfifo(filepath.Join(v.root, "src/pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	expected := map[string]string{
		"src/": "", "src/hello.txt": "hello", "src/sub/": "", "src/sub/ü.txt": "inner", "src/step": "../../outside", "src/up": "..",
	}
	a := v.get(prefix + "files/src/?archive=tar.gz")
	if diff := cmp.Diff(expected, untar(t, a.body)); diff != "" || a.header.Get("Content-Disposition") != `attachment; filename=src.tar.gz` {
		t.Errorf("tar: %s %v", diff, a.header)
	}
	a = v.get(prefix + "files/src?archive=zip")
	z, err := zip.NewReader(bytes.NewReader([]byte(a.body)), int64(len(a.body)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[f.Name] = string(content)
	}
	if diff := cmp.Diff(expected, files); diff != "" {
		t.Errorf("zip: %s", diff)
	}
	if names := slices.Sorted(maps.Keys(untar(t, v.get(prefix+"files/?archive=tar.gz").body))); names[0] != "app-root/" || !slices.Contains(names, "app-root/src/sub/ü.txt") {
		t.Errorf("all of it: %q", names)
	}
	want(t, "a file as archive", v.get(prefix+"files/src/hello.txt?archive=zip").status, http.StatusBadRequest)
	want(t, "an unknown archive", v.get(prefix+"files/src?archive=rar").status, http.StatusBadRequest)
	want(t, "a link out as archive", v.get(prefix+"files/link?archive=zip").status, http.StatusForbidden)
}

// TestWhereUploadsGo: where the shell is, or a program in it; at home when
// that is elsewhere.
func TestWhereUploadsGo(t *testing.T) {
	v := newVolume(t)
	where := func() string {
		var said struct {
			Directory string
			Limit     int64
		}
		a := v.get(prefix + "files")
		if err := json.Unmarshal([]byte(a.body), &said); err != nil || said.Limit != limit {
			t.Fatalf("%d %s %v", a.status, a.body, err)
		}
		return said.Directory
	}
	if got := where(); got != "src" {
		t.Errorf("the shell is outside: %q", got)
	}
	conn, _ := v.socket(nil)
	v.hello(conn)
	v.sees(conn, "ready> ")
	enter := func(line string) {
		t.Helper()
		if err := conn.Write(t.Context(), 2, []byte("i"+line+"\r")); err != nil {
			t.Fatal(err)
		}
	}
	enter("mkdir '" + v.root + "/src/a b'; cd '" + v.root + "/src/a b'")
	eventually(t, "the shell's directory", func() bool { return where() == "src/a b" })
	enter("(cd '" + v.root + "'; exec sleep 100)")
	eventually(t, "the program's directory", func() bool { return where() == "." })
	enter("\x03")
	enter("cd /")
	eventually(t, "outside again", func() bool { return where() == "src" })
}
