// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// image is a gateway in a root of its own, as any user, without a passwd.
type image struct {
	t    *testing.T
	root string
	cmd  *exec.Cmd
	done chan struct{} // closed when all of the log was read
	log  strings.Builder
	url  string
}

// newImage makes a root that holds what files say (content by path; a slash at
// the end: a folder) and the gateway alone.
func newImage(t *testing.T, files map[string]string) *image {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may change the root")
	}
	i := &image{t: t, root: t.TempDir(), done: make(chan struct{})}
	// t.TempDir's own parent is closed to others; behind chroot it doesn't count.
	if err := os.Chmod(i.root, 0o755); err != nil {
		t.Fatal(err)
	}
	for path, content := range files {
		path, folder := filepath.Join(i.root, path), strings.HasSuffix(path, "/")
		if !folder {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(i.root, "gateway"), "../../cmd/workshop-terminal")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return i
}

// serve starts the gateway in the image, read-only and without HOME, with a hub
// that lets jane in and with the given environment beside the hub's. If the image
// has /proc/, /dev/ and /opt/app-root/, it gets those that a session has.
func (i *image) serve(env ...string) {
	i.t.Helper()
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"version": "6.1.1", "access_token": "t", "name": "jane", "scopes": ["access:servers!user=jane"]}`)
	}))
	i.t.Cleanup(hub.Close)
	// A mount namespace of its own: what is mounted there goes with the process.
	i.cmd = exec.Command("unshare", "--mount", "sh", "-ec", `
mount --bind "$0" "$0"
mount -o remount,bind,ro "$0"
for d in dev proc; do [ ! -d "$0/$d" ] || mount --rbind "/$d" "$0/$d"; done
for d in dev/shm opt/app-root; do [ ! -d "$0/$d" ] || mount -t tmpfs -o mode=1777 session "$0/$d"; done
exec chroot --userspec=1000650000:0 --groups=0 "$0" /gateway serve`, i.root)
	for _, e := range gatewayEnv(i.t, hub.URL) {
		if strings.HasPrefix(e, "JUPYTERHUB_") || strings.HasPrefix(e, "PATH=") {
			i.cmd.Env = append(i.cmd.Env, e)
		}
	}
	i.cmd.Env = append(i.cmd.Env, env...)
	out, err := i.cmd.StdoutPipe()
	if err != nil {
		i.t.Fatal(err)
	}
	i.cmd.Stderr = os.Stderr
	if err := i.cmd.Start(); err != nil {
		i.t.Fatal(err)
	}
	lines, serving := bufio.NewScanner(out), make(chan string)
	go func() {
		defer close(i.done)
		defer close(serving)
		for lines.Scan() {
			i.log.WriteString(lines.Text() + "\n")
			if _, address, ok := strings.Cut(lines.Text(), " serves /user/jane/ on "); ok {
				serving <- "http://" + address
			}
		}
	}()
	i.url = <-serving
	if i.url == "" {
		i.t.Fatalf("it doesn't serve: %v\n%s", i.cmd.Wait(), i.log.String())
	}
	i.t.Cleanup(func() { _ = i.cmd.Process.Kill() })
}

// stop ends the gateway as a kubelet does, and is its log.
func (i *image) stop() string {
	i.t.Helper()
	if err := i.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		i.t.Fatal(err)
	}
	<-i.done
	if err := i.cmd.Wait(); err != nil {
		i.t.Error(err)
	}
	return i.log.String()
}

// login is a browser in which jane has logged in, and the page that she sees.
func (i *image) login() (*http.Client, string) {
	i.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		i.t.Fatal(err)
	}
	// The hub would show its own page here, and send the browser back.
	browser := &http.Client{Jar: jar, Timeout: 20 * time.Second}
	browser.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if !strings.HasPrefix(r.URL.Path, "/hub/") {
			return nil
		}
		back := url.Values{"code": {"c"}, "state": {r.URL.Query().Get("state")}}
		r.URL.Path, r.URL.RawQuery = "/user/jane/oauth_callback", back.Encode()
		return nil
	}
	resp, err := browser.Get(i.url + "/user/jane/")
	if err != nil {
		i.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || resp.Request.URL.Path != "/user/jane/" {
		i.t.Fatalf("%s at %s: %s, %v", resp.Status, resp.Request.URL, body, err)
	}
	return browser, string(body)
}

// TestImageWithoutShell runs the gateway where there is nothing else: an empty root,
// any user, nowhere to write.
func TestImageWithoutShell(t *testing.T) {
	i := newImage(t, nil)
	i.serve("SHELL=/bin/bash")
	const reason = "the image has no shell: neither $SHELL, /bin/bash, /bin/sh nor busybox is there to be executed"
	_, page := i.login()
	for _, text := range []string{"No terminal in this image", reason, "must choose another terminal image"} {
		if !strings.Contains(page, text) {
			t.Errorf("the page doesn't say %q:\n%s", text, page)
		}
	}
	// Other programs of the same user can't read the token there.
	path := fmt.Sprintf("/proc/%d/environ", i.cmd.Process.Pid)
	if info, err := os.Stat(path); err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Errorf("the environment is its user's to read: %v", err)
	}
	if log := i.stop(); !strings.Contains(log, "no terminal: "+reason) {
		t.Errorf("the log doesn't say that there is no shell:\n%s", log)
	}
}

// TestImageOfBusyBox runs a shell where there is BusyBox alone: no place to write
// but the session's volume or not even that, no passwd, no HOME; any user. The
// workshop has certificates of its own.
func TestImageOfBusyBox(t *testing.T) {
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skipf("Debian's busybox-static has it: %v", err)
	}
	for name, test := range map[string]struct{ volume, home string }{
		"a volume": {"/opt/app-root/", "/opt/app-root"},
		"memory":   {"/opt/", "/dev/shm/home-1000650000"},
	} {
		t.Run(name, func(t *testing.T) { testBusyBox(t, string(busybox), test.volume, test.home) })
	}
}

func testBusyBox(t *testing.T, busybox, volume, home string) {
	i := newImage(t, map[string]string{"/bin/busybox": busybox, "/dev/": "", "/proc/": "", "/tmp/": "", volume: "",
		"/etc/ssl/cert.pem": "image's\n", "/etc/workshopctl/ca-bundle.crt": "workshop's\n"})
	i.serve("WORKSHOPCTL_CA_BUNDLE=/etc/workshopctl/ca-bundle.crt")
	browser, _ := i.login()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, i.url+"/user/jane/ws", &websocket.DialOptions{HTTPClient: browser, HTTPHeader: http.Header{"Origin": {i.url}}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	const script = `echo "<$((6*7)) $HOME $USER $GIT_SSL_CAINFO>"; while read -r line; do echo "<$line>"; done <"$SSL_CERT_FILE"
busybox env | busybox grep -c -e JUPYTERHUB -e JPY; echo x >kept; echo "<$(pwd) $(busybox cat kept)>"; echo x >/tmp/x; [ -e /etc/passwd ] || echo "<nobody's name>"; busybox id`
	for _, frame := range []string{`h{"client":"c","columns":300,"rows":24}`, "iPATH=/bin; " + strings.ReplaceAll(script, "\n", "\r") + "\r"} {
		if err := conn.Write(ctx, websocket.MessageBinary, []byte(frame)); err != nil {
			t.Fatal(err)
		}
	}
	var shown strings.Builder
	for !strings.Contains(shown.String(), "uid=1000650000") {
		kind, frame, err := conn.Read(ctx)
		if err != nil {
			t.Fatalf("%v; the terminal shows %q", err, shown.String())
		}
		if kind == websocket.MessageBinary && frame[0] == 'o' {
			shown.Write(frame[9:])
		}
	}
	for _, line := range []string{"<42 " + home + " jane /dev/shm/.workshopctl-1000650000/ca-bundle.crt>", "<image's>", "<workshop's>", "0\r\n", "<" + home + " x>",
		"<nobody's name>", "uid=1000650000 gid=0"} {
		if !strings.Contains(shown.String(), "\r\n"+line) {
			t.Errorf("the terminal doesn't show %q: %q", line, shown.String())
		}
	}
	if !strings.Contains(shown.String(), "/tmp/x: Read-only file system") {
		t.Errorf("the root can be written: %q", shown.String())
	}
	if log := i.stop(); !strings.Contains(log, "shell /bin/busybox, home "+home) {
		t.Errorf("log:\n%s", log)
	}
}

// TestSize: the gateway is in every session, and copied at its start.
func TestSize(t *testing.T) {
	const most = 12_000_000
	program := filepath.Join(t.TempDir(), "workshop-terminal")
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-s -w", "-o", program, "../../cmd/workshop-terminal")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	info, err := os.Stat(program)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() >= most {
		t.Errorf("%d bytes, and shall stay under %d", info.Size(), most)
	}
}
