// SPDX-License-Identifier: Apache-2.0

package seed

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestMain is also the child that the tests of crashes end: it seeds, and dies at
// the step of the given number, if there is one.
func TestMain(m *testing.M) {
	if os.Getenv("SEED_SRC") == "" {
		os.Exit(m.Run())
	}
	deadline, _ := strconv.Atoi(os.Getenv("SEED_DIES_AT"))
	steps := 0
	s := seeder{src: os.Getenv("SEED_SRC"), dst: os.Getenv("SEED_DST"), warn: func(string, ...any) {}, step: func() {
		if steps++; steps == deadline {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // it never returns from its own kill
		}
	}}
	if err := s.run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func child(t *testing.T, src, dst string, diesAt int) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "SEED_SRC="+src, "SEED_DST="+dst, "SEED_DIES_AT="+strconv.Itoa(diesAt))
	return cmd
}

// image makes a folder such as images have at /opt/app-root.
func image(t *testing.T) string {
	t.Helper()
	defer syscall.Umask(syscall.Umask(0))
	src := filepath.Join(t.TempDir(), "app-root")
	for _, dir := range []string{"", "src", "src/deep/deeper", "etc/init.d", "closed", lostAndFound} {
		check(t, os.MkdirAll(filepath.Join(src, dir), 0o775))
	}
	write(t, src, "src/README", "hello\n", 0o664)
	write(t, src, "src/deep/deeper/large", strings.Repeat("0123456789abcdef", 20_000), 0o644)
	write(t, src, "etc/init.d/rc.local", "#!/bin/sh\n", 0o775)
	write(t, src, "src/empty", "", 0o600)
	write(t, src, lostAndFound+"/x", "", 0o600)
	write(t, src, own+"seeded", "an image made of a volume", 0o600)
	check(t, os.Symlink("/opt/workshop/bin/oc", filepath.Join(src, "oc")))
	check(t, os.Symlink("../src", filepath.Join(src, "etc/relative")))
	check(t, os.Link(filepath.Join(src, "src/README"), filepath.Join(src, "src/deep/same")))
	check(t, syscall.Mkfifo(filepath.Join(src, "fifo"), 0o600))
	check(t, os.Chmod(filepath.Join(src, "closed"), 0o555))
	return src
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, dir, name, content string, mode fs.FileMode) {
	t.Helper()
	path := filepath.Join(dir, name)
	check(t, os.WriteFile(path, []byte(content), mode))
	check(t, os.Chtimes(path, time.Time{}, time.Date(2018, 11, 5, 12, 0, 0, 123456789, time.UTC)))
}

// listing is all that is in a folder, as text.
func listing(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	check(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		switch {
		case e.IsDir():
			all[name] = fmt.Sprintf("folder %v", info.Mode())
		case info.Mode().Type() == fs.ModeSymlink:
			target, err := os.Readlink(path)
			all[name] = "link to " + target
			return err
		case !info.Mode().IsRegular():
			all[name] = info.Mode().String()
		default:
			content, err := os.ReadFile(path)
			all[name] = fmt.Sprintf("file %v of %v: %.20q, %d bytes", info.Mode(), info.ModTime().UTC(), content, len(content))
			return err
		}
		return nil
	}))
	delete(all, ".")
	return all
}

// expected is what a volume holds that was filled from image.
func expected() map[string]string {
	const at = " of 2018-11-05 12:00:00.123456789 +0000 UTC: "
	return map[string]string{
		"src":                   "folder drwxrwxr-x",
		"src/deep":              "folder drwxrwxr-x",
		"src/deep/deeper":       "folder drwxrwxr-x",
		"etc":                   "folder drwxrwxr-x",
		"etc/init.d":            "folder drwxrwxr-x",
		"closed":                "folder drwxr-xr-x",
		"src/README":            "file -rw-rw-r--" + at + `"hello\n", 6 bytes`,
		"src/deep/same":         "file -rw-rw-r--" + at + `"hello\n", 6 bytes`,
		"src/deep/deeper/large": "file -rw-r--r--" + at + `"0123456789abcdef0123", 320000 bytes`,
		"etc/init.d/rc.local":   "file -rwxrwxr-x" + at + `"#!/bin/sh\n", 10 bytes`,
		"src/empty":             "file -rw-------" + at + `"", 0 bytes`,
		"oc":                    "link to /opt/workshop/bin/oc",
		"etc/relative":          "link to ../src",
	}
}

func checkVolume(t *testing.T, dst string) {
	t.Helper()
	got := listing(t, dst)
	if !strings.HasPrefix(got[marker], "file -rw-rw-r--") {
		t.Errorf("marker: %q", got[marker])
	}
	delete(got, marker)
	delete(got, lostAndFound)
	if diff := cmp.Diff(expected(), got); diff != "" {
		t.Errorf("the volume differs (-want +got):\n%s", diff)
	}
}

func TestSeed(t *testing.T) {
	src, dst := image(t), t.TempDir()
	check(t, os.Mkdir(filepath.Join(dst, lostAndFound), 0o700))
	var warnings []string
	check(t, Seed(src, dst, func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) }))
	checkVolume(t, dst)
	if len(warnings) != 1 || !strings.Contains(warnings[0], "fifo") {
		t.Errorf("warnings %q, want one about the fifo", warnings)
	}
	a, err := os.Stat(filepath.Join(dst, "src/README"))
	check(t, err)
	b, err := os.Stat(filepath.Join(dst, "src/deep/same"))
	check(t, err)
	if !os.SameFile(a, b) {
		t.Error("a file with two names has become two files")
	}
}

func TestSeedOnlyOnce(t *testing.T) {
	src, dst := image(t), t.TempDir()
	check(t, Seed(src, dst, t.Logf))
	check(t, os.Remove(filepath.Join(dst, "src/README")))
	write(t, dst, "oc2", "the attendee's", 0o600)
	write(t, src, "new-in-image", "x", 0o600)
	before := listing(t, dst)
	check(t, Seed(src, dst, t.Logf))
	if diff := cmp.Diff(before, listing(t, dst)); diff != "" {
		t.Errorf("a second start changed the volume (-before +after):\n%s", diff)
	}
}

func TestSeedKeepsWhatIsThere(t *testing.T) {
	src, dst := image(t), t.TempDir()
	check(t, os.MkdirAll(filepath.Join(dst, "src/deep"), 0o700))
	write(t, dst, "src/README", "mine", 0o600)
	write(t, dst, "oc", "mine too", 0o600)
	check(t, Seed(src, dst, t.Logf))
	for name, want := range map[string]string{"src/README": "mine", "oc": "mine too", "src/deep/same": "hello\n"} {
		if got, err := os.ReadFile(filepath.Join(dst, name)); err != nil || string(got) != want {
			t.Errorf("%s holds %q, %v; want %q", name, got, err, want)
		}
	}
	if got := listing(t, dst); got[ready] != "" || got[staging] != "" {
		t.Errorf("folders of the copy are left: %v", got)
	}
}

func TestSeedWithoutSource(t *testing.T) {
	dst := t.TempDir()
	check(t, Seed(filepath.Join(t.TempDir(), "none"), dst, t.Errorf))
	if got := listing(t, dst); len(got) != 1 || got[marker] == "" {
		t.Errorf("volume %v, want the marker alone", got)
	}
}

func TestSeedGroupOfVolume(t *testing.T) {
	src, dst := image(t), t.TempDir()
	check(t, os.Chmod(dst, 0o775|fs.ModeSetgid))
	check(t, Seed(src, dst, t.Logf))
	for _, dir := range []string{"src", "src/deep/deeper", "etc/init.d"} {
		info, err := os.Stat(filepath.Join(dst, dir))
		check(t, err)
		if info.Mode() != 0o775|fs.ModeDir|fs.ModeSetgid {
			t.Errorf("%s has mode %v: what is made in it would not be the volume's group's", dir, info.Mode())
		}
	}
}

func TestSeedRefuses(t *testing.T) {
	src := image(t)
	for name, test := range map[string]struct{ src, dst string }{
		"volume within source": {src, filepath.Join(src, "src")},
		"source is a file":     {filepath.Join(src, "src/README"), t.TempDir()},
		"no volume":            {src, filepath.Join(t.TempDir(), "none")},
	} {
		t.Run(name, func(t *testing.T) {
			if err := Seed(test.src, test.dst, t.Logf); err == nil {
				t.Error("no error")
			}
		})
	}
}

// TestSeedUnreadable runs as another user, because root reads everything.
func TestSeedUnreadable(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to become another user")
	}
	src := image(t)
	write(t, src, "src/secret", "x", 0o600)
	write(t, src, "src/README2", "x", 0o644)
	check(t, os.Mkdir(filepath.Join(src, "shut"), 0o700))
	dst, err := os.MkdirTemp("/tmp", "seed-test-")
	check(t, err)
	defer os.RemoveAll(dst)
	check(t, os.Chown(dst, 1000650000, 0))
	for dir := src; dir != "/"; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o001 == 0 {
			check(t, os.Chmod(dir, info.Mode().Perm()|0o011))
		}
	}
	program := filepath.Join(dst, "..", filepath.Base(dst)+".program")
	content, err := os.ReadFile(os.Args[0])
	check(t, err)
	check(t, os.WriteFile(program, content, 0o755))
	defer os.Remove(program)
	cmd := child(t, src, dst, 0)
	cmd.Path = program
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000650000, Gid: 0, NoSetGroups: true}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got := listing(t, dst)
	for _, name := range []string{"src/secret"} {
		if got[name] != "" {
			t.Errorf("%s was copied: %s", name, got[name])
		}
	}
	for _, name := range []string{"src/README2", "src/deep/deeper/large", "closed", marker} {
		if got[name] == "" {
			t.Errorf("%s is missing", name)
		}
	}
}

// TestSeedDiesAnywhere ends the process between any two changes of the volume,
// then lets another run finish.
func TestSeedDiesAnywhere(t *testing.T) {
	src := image(t)
	for at := 1; ; at++ {
		dst := t.TempDir()
		err := child(t, src, dst, at).Run()
		var exit *exec.ExitError
		if err == nil {
			if at < 20 {
				t.Fatalf("only %d steps", at)
			}
			t.Logf("%d places to die at", at-1)
			return // there is no such step: it ran through
		}
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("step %d: %v", at, err)
		}
		checkNotHalf(t, dst)
		check(t, Seed(src, dst, func(string, ...any) {}))
		checkVolume(t, dst)
		if t.Failed() {
			t.Fatalf("after dying at step %d", at)
		}
	}
}

// checkNotHalf fails for a volume that looks whole but isn't.
func checkNotHalf(t *testing.T, dst string) {
	t.Helper()
	got := listing(t, dst)
	if got[marker] == "" {
		return
	}
	for name, want := range expected() {
		if got[name] != want {
			t.Errorf("marked as filled, but %s is %q", name, got[name])
		}
	}
}

// TestSeedKilled kills at random moments, again and again, until a run gets through.
func TestSeedKilled(t *testing.T) {
	src := image(t)
	for i := range 300 {
		write(t, src, fmt.Sprintf("src/deep/file%d", i), strings.Repeat("x", i*31), 0o644)
	}
	dst := t.TempDir()
	kills := 0
	for {
		cmd := child(t, src, dst, 0)
		check(t, cmd.Start())
		timer := time.AfterFunc(time.Duration(rand.IntN(30+kills))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		timer.Stop()
		checkNotHalf(t, dst)
		if err == nil {
			break
		}
		kills++
	}
	t.Logf("killed %d times", kills)
	want, got := listing(t, src), listing(t, dst)
	for name, what := range want {
		if strings.HasPrefix(name, lostAndFound) || strings.HasPrefix(name, own) || name == "fifo" || name == "closed" {
			continue
		}
		if got[name] != what {
			t.Errorf("%s is %q, want %q", name, got[name], what)
		}
	}
}

func TestInstall(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	for range 2 { // the second replaces the first, which may be running
		check(t, Install(dir))
		info, err := os.Stat(filepath.Join(dir, Program))
		check(t, err)
		if info.Mode() != 0o755 {
			t.Errorf("mode %v", info.Mode())
		}
		self, err := os.Stat(os.Args[0])
		check(t, err)
		if info.Size() != self.Size() {
			t.Errorf("%d bytes, want %d", info.Size(), self.Size())
		}
	}
	entries, err := os.ReadDir(dir)
	check(t, err)
	if len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}
