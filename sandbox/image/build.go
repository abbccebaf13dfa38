// SPDX-License-Identifier: Apache-2.0

package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// storageName prefixes the names of images in buildah's storage.
const storageName = "localhost/workshop-sandbox/"

// baseArgs are mmdebstrap's for the system that the images start from: what
// debian:bookworm-slim is, without a registry to take it from.
func baseArgs() []string {
	return []string{
		"--variant=minbase",
		"--dpkgopt=path-exclude=/usr/share/man/*",
		"--dpkgopt=path-exclude=/usr/share/locale/*",
		"--dpkgopt=path-exclude=/usr/share/doc/*",
		"--dpkgopt=path-include=/usr/share/doc/*/copyright",
		"bookworm",
	}
}

// builder holds the lock of a cache directory and runs tools in it.
type builder struct {
	opts Options
	lock *os.File
	tmp  string // emptied when a builder starts and when it ends
	ca   string // bundle of certificates that the host trusts, or ""
	// made are directories of the host that weren't there before buildah.
	made []string
}

// blobCache is where buildah remembers, as root, which blobs it has seen. No
// setting moves it (github.com/containers/image, pkg/blobinfocache).
const blobCache = "/var/lib/containers/cache"

// newBuilder waits for the lock and clears away what a killed builder left.
func newBuilder(ctx context.Context, opts Options) (*builder, error) {
	for tool, pkg := range map[string]string{"buildah": "buildah", "mmdebstrap": "mmdebstrap", "unshare": "util-linux"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("%s is missing; install it with: apt-get install --no-install-recommends %s", tool, pkg)
		}
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("only root can run mmdebstrap and buildah as they are used here")
	}
	b := &builder{opts: opts, tmp: filepath.Join(opts.CacheDir, "tmp"), ca: hostCA()}
	for _, d := range []string{"buildah", "images", "logs"} {
		if err := os.MkdirAll(filepath.Join(opts.CacheDir, d), 0o755); err != nil {
			return nil, err
		}
	}
	var err error
	if b.lock, err = acquire(ctx, filepath.Join(opts.CacheDir, "lock"), opts.Log); err != nil {
		return nil, err
	}
	if err := b.setUp(ctx); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *builder) setUp(ctx context.Context) error {
	if err := b.clean(); err != nil {
		return err
	}
	if err := b.configure(); err != nil {
		return err
	}
	for _, dir := range []string{blobCache, filepath.Dir(blobCache)} {
		if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
			b.made = append(b.made, dir)
		}
	}
	// A killed build leaves its working containers in the storage.
	return b.run(ctx, "clean-up", "buildah", "rm", "--all")
}

func (b *builder) close() {
	if err := errors.Join(b.clean(), b.restore()); err != nil {
		b.opts.Log("clean up after building images: %v", err)
	}
	b.lock.Close()
}

// clean empties the directory for what lives no longer than a builder. No
// mount can be below it: mounts end with the namespace that they were made in.
func (b *builder) clean() error {
	if err := os.RemoveAll(b.tmp); err != nil {
		return err
	}
	return os.Mkdir(b.tmp, 0o755)
}

// restore removes what buildah has made outside of the cache, and leaves what
// others keep there.
func (b *builder) restore() error {
	if len(b.made) == 0 || b.made[0] != blobCache {
		return nil
	}
	files, err := filepath.Glob(filepath.Join(blobCache, "blob-info-cache-*"))
	if err != nil {
		return err
	}
	for _, path := range append(files, b.made...) {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ENOTEMPTY) {
			return err
		}
	}
	return nil
}

// configure writes the settings of buildah, containers/storage and
// containers/image, so that the host's own don't matter.
func (b *builder) configure() error {
	files := map[string]string{
		"storage.conf": fmt.Sprintf("[storage]\ndriver = \"overlay\"\ngraphroot = %q\nrunroot = %q\n",
			filepath.Join(b.opts.CacheDir, "buildah", "storage"), filepath.Join(b.tmp, "run")),
		"containers.conf": fmt.Sprintf("[network]\nnetwork_config_dir = %q\n", filepath.Join(b.tmp, "net.d")),
		"registries.conf": "unqualified-search-registries = []\n",
		"policy.json":     `{"default": [{"type": "insecureAcceptAnything"}]}` + "\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(b.opts.CacheDir, "buildah", name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// build makes the layout of one image.
func (b *builder) build(ctx context.Context, o order) error {
	if err := b.store(ctx, o); err != nil {
		return err
	}
	// zstd, because containerd unpacks it several times faster than gzip.
	unfinished := filepath.Join(b.tmp, "layout")
	if err := b.run(ctx, o.name, "buildah", "push", "--signature-policy", b.policy(), "--format", "oci", "--compression-format", "zstd", o.stored(), "oci:"+unfinished+":"+o.tag); err != nil {
		return err
	}
	return os.Rename(unfinished, o.layoutDir(b.opts.CacheDir))
}

// stored is what an image is called in buildah's storage.
func (o order) stored() string {
	return storageName + strings.ReplaceAll(o.name, ":", "-") + ":" + o.key[:16]
}

// store builds an image into buildah's storage.
func (b *builder) store(ctx context.Context, o order) error {
	containerfile := filepath.Join(b.opts.Source, "images", o.dir, "Containerfile")
	text, err := os.ReadFile(containerfile)
	if err != nil {
		return err
	}
	args := append(b.bud(), "--layers")
	if bytes.Contains(text, []byte("${BASE}")) {
		base, err := b.base(ctx)
		if err != nil {
			return err
		}
		args = append(args, "--build-arg", "BASE="+base)
	}
	if o.base != nil {
		// Quick where its layers are in the storage from last time.
		if err := b.store(ctx, *o.base); err != nil {
			return err
		}
		args = append(args, "--build-arg", "TERMINAL="+o.base.stored())
	}
	for _, a := range append(b.reach(), o.args...) {
		args = append(args, "--build-arg", a)
	}
	if b.ca != "" {
		args = append(args, "--volume", b.ca+":"+mountedCA+":ro")
	}
	args = append(args, "--tag", o.stored(), "--file", containerfile, o.context)
	return b.run(ctx, o.name, "buildah", args...)
}

// base returns the name of the base image, which it makes if there is none yet.
func (b *builder) base(ctx context.Context) (string, error) {
	key := sha256Hex(fmt.Appendf(nil, "%q", baseArgs()))[:16]
	name := storageName + "base:" + key
	if b.run(ctx, "base", "buildah", "inspect", "--type", "image", "--format", "{{.FromImageID}}", name) == nil {
		return name, nil
	}
	start := time.Now()
	dir := filepath.Join(b.tmp, "base")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	tar := filepath.Join(dir, "base.tar")
	args := baseArgs()
	if err := b.run(ctx, "base", "mmdebstrap", append(args, tar)...); err != nil {
		return "", fmt.Errorf("make the base system: %w", err)
	}
	containerfile := filepath.Join(dir, "Containerfile")
	text := "FROM scratch\nADD base.tar /\nENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nCMD [\"bash\"]\n"
	if err := os.WriteFile(containerfile, []byte(text), 0o644); err != nil {
		return "", err
	}
	if err := b.run(ctx, "base", "buildah", append(b.bud(), "--tag", name, "--file", containerfile, dir)...); err != nil {
		return "", fmt.Errorf("import the base system: %w", err)
	}
	b.opts.Log("base system of the images made in %.1f s", time.Since(start).Seconds())
	return name, os.RemoveAll(dir)
}

func (b *builder) bud() []string {
	return []string{"bud", "--isolation", "chroot", "--pull-never", "--format", "oci", "--signature-policy", b.policy()}
}

func (b *builder) policy() string { return filepath.Join(b.opts.CacheDir, "buildah", "policy.json") }

// mountedCA is where a build step finds the host's certificates. It isn't
// where Debian keeps them: installing ca-certificates replaces that file,
// which a mount would forbid.
const mountedCA = "/run/host-ca.crt"

// reach returns build arguments by which pip and npm inside a build reach
// their registries as they do on the host.
func (b *builder) reach() []string {
	var args []string
	for _, name := range []string{"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT", "NPM_CONFIG_REGISTRY"} {
		v := os.Getenv(name)
		if v == "" && strings.HasPrefix(name, "NPM_") {
			v = os.Getenv(strings.ToLower(name))
		}
		if v != "" {
			args = append(args, name+"="+v)
		}
	}
	if b.ca != "" {
		args = append(args, "PIP_CERT="+mountedCA, "NODE_EXTRA_CA_CERTS="+mountedCA)
	}
	return args
}

// hostCA finds the bundle of certificates that the host trusts.
func hostCA() string {
	for _, f := range []string{os.Getenv("SSL_CERT_FILE"), "/etc/ssl/certs/ca-certificates.crt"} {
		if info, err := os.Stat(f); err == nil && info.Mode().IsRegular() {
			return f
		}
	}
	return ""
}

// run runs a tool in mount and PID namespaces of its own: when it ends or is
// killed, its children and its mounts are gone too. Output goes to the log of
// the image; an error carries its last lines.
func (b *builder) run(ctx context.Context, image, tool string, args ...string) error {
	path := filepath.Join(b.opts.CacheDir, "logs", strings.ReplaceAll(image, ":", "-")+".log")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	fmt.Fprintf(log, "--- %s %s %s\n", time.Now().Format(time.RFC3339), tool, strings.Join(args, " "))
	out := &tail{to: log}
	cmd := exec.CommandContext(ctx, "unshare", append([]string{"--mount", "--pid", "--fork", "--kill-child", "--mount-proc", tool}, args...)...)
	cmd.Env = append(os.Environ(),
		"CONTAINERS_CONF="+filepath.Join(b.opts.CacheDir, "buildah", "containers.conf"),
		"CONTAINERS_STORAGE_CONF="+filepath.Join(b.opts.CacheDir, "buildah", "storage.conf"),
		"CONTAINERS_REGISTRIES_CONF="+filepath.Join(b.opts.CacheDir, "buildah", "registries.conf"),
		"TMPDIR="+b.tmp, "LC_ALL=C.UTF-8")
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%s: %w; its last words (all are in %s):\n%s", tool, err, path, out.last())
	}
	return nil
}

// compile builds a static Go program and returns a directory that holds it
// alone and never changes: a builder that starts later, perhaps from another
// checkout, gets a directory of its own if its program differs.
func compile(ctx context.Context, opts Options, p *program) (string, error) {
	programs, err := filepath.Abs(filepath.Join(opts.CacheDir, "programs"))
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Join(programs, "latest"), 0o755); err != nil {
		return "", err
	}
	lock, err := acquire(ctx, filepath.Join(programs, "lock"), func(string, ...any) {})
	if err != nil {
		return "", err
	}
	defer lock.Close()
	// Go relinks only what has changed. The checkout's commit isn't stamped
	// on it, so that the hash changes only when the program does.
	latest := filepath.Join(programs, "latest", p.name)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", latest, p.pkg)
	cmd.Dir = filepath.Join(opts.Source, p.module)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", fmt.Errorf("build %s: %w\n%s", p.name, err, bytes.TrimSpace(out))
	}
	text, err := os.ReadFile(latest)
	if err != nil {
		return "", err
	}
	kept := filepath.Join(programs, p.name+"-"+sha256Hex(text)[:16])
	if _, err := os.Stat(kept); err == nil {
		return kept, nil
	}
	unfinished := kept + ".new"
	if err := os.MkdirAll(unfinished, 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(unfinished, p.name), text, 0o755); err != nil {
		return "", err
	}
	return kept, os.Rename(unfinished, kept)
}

// acquire locks a file for this process until it is closed.
func acquire(ctx context.Context, path string, log func(string, ...any)) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
		return f, nil
	}
	log("waiting for another build of images (%s is locked)", path)
	locked := make(chan error, 1)
	go func() {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX)
		for errors.Is(err, unix.EINTR) {
			err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		}
		locked <- err
	}()
	select {
	case err := <-locked:
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		return f, nil
	case <-ctx.Done():
		// The call above can't be interrupted; let go of the lock when it comes.
		go func() {
			if err := <-locked; err == nil {
				f.Close()
			}
		}()
		return nil, ctx.Err()
	}
}
