// SPDX-License-Identifier: Apache-2.0

//go:build integration

package render_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/workshopctl/workshopctl/pkg/password"
	"github.com/workshopctl/workshopctl/pkg/render"
	"github.com/workshopctl/workshopctl/pkg/workshop"
	"github.com/workshopctl/workshopctl/test/testhub"
)

// runningHub is a JupyterHub process with the configuration of a workshop,
// without a cluster.
type runningHub struct {
	url    string
	secret map[string][]byte

	mu      sync.Mutex
	log     []string
	changed chan struct{}
	ended   chan struct{}
}

// start runs a hub with a new database until the test ends.
func start(t *testing.T, version string, in render.Input) *runningHub {
	t.Helper()
	return startOn(t, filepath.Join(t.TempDir(), "hub.sqlite"), version, in)
}

// startOn runs a hub until the test ends. The proxy that it talks to keeps
// routes but forwards nothing, and refuses the first connection, as one does
// that starts at the same time as the hub; the only changes to the configuration
// are the hub's port, which must not be taken by another test, and the pairs of
// strings that say where things are in a test.
func startOn(t *testing.T, database, version string, in render.Input, places ...string) *runningHub {
	t.Helper()
	return startAt(t, nowhere, database, version, in, places...)
}

// startAt has the hub find an API server; KubeSpawner knows its namespace from
// the pod that it runs in otherwise.
func startAt(t *testing.T, api *rest.Config, database, version string, in render.Input, places ...string) *runningHub {
	t.Helper()
	venv := testhub.Install(t, version)
	dir, env := hubFiles(t, in, api)
	var once sync.Once
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_ = conn.(*net.TCPConn).SetLinger(0)
				_ = conn.Close()
			}
			w = nil
		})
		if w == nil {
			return
		}
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, "{}")
			return
		}
		w.WriteHeader(http.StatusCreated)
	}))
	t.Cleanup(proxy.Close)

	port := freePort(t)
	config := filepath.Join(dir, "jupyterhub_config.py")
	files, err := filepath.Glob(filepath.Join(dir, "*.py"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(strings.NewReplacer(append(places, ":8081", ":"+port)...).Replace(string(content))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := &runningHub{url: "http://127.0.0.1:" + port, secret: secretOf(t, in), changed: make(chan struct{}), ended: make(chan struct{})}
	command := exec.Command(filepath.Join(venv, "bin", "python"), "-m", "jupyterhub", "--config="+config,
		"--JupyterHub.db_url=sqlite:///"+database,
		"--KubeSpawner.namespace="+in.Namespace,
		"--ConfigurableHTTPProxy.api_url="+proxy.URL)
	command.Dir, command.Env = dir, env
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the culler goes with it
	output, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stdout = command.Stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(h.ended)
		for lines := bufio.NewScanner(output); lines.Scan(); {
			h.mu.Lock()
			h.log = append(h.log, lines.Text())
			close(h.changed)
			h.changed = make(chan struct{})
			h.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGTERM)
		<-h.ended
		_ = command.Wait()
		if t.Failed() {
			t.Logf("log of JupyterHub %s:\n%s", version, strings.Join(h.log, "\n"))
		}
	})
	h.wait(t, "JupyterHub is now running")
	return h
}

// wait for a line of the hub's log that matches.
func (h *runningHub) wait(t *testing.T, pattern string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	match := regexp.MustCompile(pattern)
	for {
		h.mu.Lock()
		log, changed := h.log, h.changed
		h.mu.Unlock()
		for _, line := range log {
			if match.MatchString(line) {
				return line
			}
		}
		select {
		case <-changed:
		case <-h.ended:
			t.Fatalf("the hub ended without logging %q", pattern)
		case <-ctx.Done():
			t.Fatalf("the hub didn't log %q", pattern)
		}
	}
}

// ports that tests of this run have, or have had.
var ports sync.Map

// freePort is one that no other test gets.
func freePort(t *testing.T) string {
	t.Helper()
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
		_ = l.Close()
		if _, taken := ports.LoadOrStore(port, true); !taken {
			return port
		}
	}
}

// browser keeps cookies and follows no redirects.
func browser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func do(t *testing.T, c *http.Client, r *http.Request) (int, http.Header, string) {
	t.Helper()
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	response, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(body)
}

func request(t *testing.T, method, address string, form url.Values) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r
}

var xsrf = regexp.MustCompile(`name="_xsrf" value="([^"]+)"`)

// login fills in the form in a browser of its own; 302 is a success.
func (h *runningHub) login(t *testing.T, user, password string) int {
	t.Helper()
	status, _ := h.loginPage(t, user, password)
	return status
}

// loginPage is what is read after that, too.
func (h *runningHub) loginPage(t *testing.T, user, password string) (int, string) {
	t.Helper()
	b := browser(t)
	_, _, form := do(t, b, request(t, http.MethodGet, h.url+"/hub/login", nil))
	token := xsrf.FindStringSubmatch(form)
	if token == nil {
		t.Fatalf("no form on the login page:\n%s", form)
	}
	status, _, page := do(t, b, request(t, http.MethodPost, h.url+"/hub/login", url.Values{"username": {user}, "password": {password}, "_xsrf": {token[1]}}))
	return status, page
}

// call uses the hub's API as workshopctl does.
func (h *runningHub) call(t *testing.T, method, path string) (int, string) {
	t.Helper()
	r := request(t, method, h.url+"/hub/api"+path, nil)
	r.Header.Set("Authorization", "token "+string(h.secret[workshop.SecretAPIToken]))
	status, _, body := do(t, http.DefaultClient, r)
	return status, body
}

// as returns the input with the secrets that start takes for the hub's.
func as(t *testing.T, in render.Input) render.Input {
	t.Helper()
	in.Secret = secretOf(t, in)
	return in
}

func TestPasswordLogin(t *testing.T) {
	for _, version := range hubs {
		t.Run(version.jupyterhub, func(t *testing.T) {
			t.Parallel()
			h := start(t, version.jupyterhub, as(t, input(func(s *workshop.Spec) {
				s.AdminUsers = []string{"Trainer"}
			})))
			user, admin := string(h.secret[workshop.SecretUserPassword]), string(h.secret[workshop.SecretAdminPassword])
			for _, c := range []struct {
				user, password string
				want           int
			}{
				{"jane", user, 302},
				{"Jane.Doe@example.com", user, 302},
				{"hub", user, 302},
				{"jane", "wrong", 403},
				{"jane", admin, 403},
				{"trainer", user, 403}, // or anybody could be an admin
				{"TRAINER", user, 403},
				{"trainer", admin, 302},
			} {
				if got := h.login(t, c.user, c.password); got != c.want {
					t.Errorf("login of %s with %q: %d, want %d", c.user, c.password, got, c.want)
				}
			}
			h.checkAPI(t)
			h.checkIPv6(t)
			// It asks at its start, and is allowed to.
			h.wait(t, `200 GET /hub/api/users.* \(idle-culler@`)
		})
	}
}

// checkAPI calls what workshopctl is to use.
func (h *runningHub) checkAPI(t *testing.T) {
	t.Helper()
	status, body := h.call(t, http.MethodGet, "/users")
	var users []struct {
		Name  string `json:"name"`
		Admin bool   `json:"admin"`
	}
	if err := json.Unmarshal([]byte(body), &users); err != nil || status != 200 {
		t.Fatalf("GET /users: %d %v\n%s", status, err, body)
	}
	found := false
	for _, u := range users {
		found = found || u.Name == "jane.doe@example.com" && !u.Admin
	}
	if !found {
		t.Errorf("jane.doe@example.com isn't among the users: %s", body)
	}
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{http.MethodGet, "/info", 200},
		{http.MethodPost, "/proxy", 200},
		{http.MethodGet, "/users/jane", 200},
		{http.MethodDelete, "/users/jane/server", 204}, // none runs
		{http.MethodPost, "/users/jane/tokens", 201},   // `hub token`
		{http.MethodDelete, "/users/jane", 204},        // `sessions delete`
		{http.MethodPost, "/shutdown", 403},
	} {
		if status, body := h.call(t, c.method, c.path); status != c.want {
			t.Errorf("%s %s: %d, want %d\n%s", c.method, c.path, status, c.want, body)
		}
	}
}

// checkIPv6 asks by the other protocol, on machines that have it.
func (h *runningHub) checkIPv6(t *testing.T) {
	t.Helper()
	if l, err := net.Listen("tcp6", "[::1]:0"); err != nil {
		t.Logf("no IPv6 here: %v", err)
		return
	} else if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if status, _, body := do(t, http.DefaultClient, request(t, http.MethodGet, strings.Replace(h.url, "127.0.0.1", "[::1]", 1)+"/hub/health", nil)); status != 200 {
		t.Errorf("by IPv6: %d %s", status, body)
	}
}

// TestHubPages: nobody can show the hub's pages in a frame, or add to them from
// elsewhere; with hosts for the sessions no session can plant the hub's cookies.
func TestHubPages(t *testing.T) {
	for _, name := range []string{"tls-secret", "subdomains"} {
		for _, version := range hubs {
			t.Run(name+"/"+version.jupyterhub, func(t *testing.T) {
				t.Parallel()
				h := start(t, version.jupyterhub, as(t, cases(t)[name]))
				for _, path := range []string{"/hub/login", "/hub/home", "/hub/nothing", "/hub/api/", "/hub/error/503"} {
					resp, err := browser(t).Do(request(t, http.MethodGet, h.url+path, nil))
					if err != nil {
						t.Fatal(err)
					}
					_ = resp.Body.Close()
					for header, part := range map[string]string{
						"Content-Security-Policy": "frame-ancestors 'none'", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff",
						"Referrer-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
					} {
						if got := resp.Header.Values(header); len(got) != 1 || !strings.Contains(got[0], part) {
							t.Errorf("%s: %s is %q", path, header, got)
						}
					}
				}
				b := browser(t)
				_, _, page := do(t, b, request(t, http.MethodGet, h.url+"/hub/login", nil))
				token := xsrf.FindStringSubmatch(page)
				if token == nil {
					t.Fatalf("no form on the login page:\n%s", page)
				}
				r := request(t, http.MethodPost, h.url+"/hub/login", url.Values{"username": {"jane"}, "password": {string(h.secret[workshop.SecretUserPassword])}, "_xsrf": {token[1]}})
				for _, c := range b.Jar.Cookies(r.URL) {
					r.AddCookie(c)
				}
				// Cookies for https and another host: a jar would keep none.
				answer, err := http.DefaultTransport.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				_ = answer.Body.Close()
				t.Log(answer.Status, answer.Header.Values("Set-Cookie"))
				for _, c := range answer.Cookies() {
					own := strings.HasPrefix(c.Name, "__Host-") && c.Domain == "" && c.Path == "/"
					if strings.Contains(c.Name, "jupyterhub-hub-login") && (!c.Secure || !c.HttpOnly || own != (name == "subdomains")) {
						t.Errorf("cookie %v", c)
					}
				}
			})
		}
	}
}

func TestAllowedUsers(t *testing.T) {
	for _, version := range hubs {
		t.Run(version.jupyterhub, func(t *testing.T) {
			t.Parallel()
			database := filepath.Join(t.TempDir(), "hub.sqlite")
			t.Run("everybody", func(t *testing.T) {
				h := startOn(t, database, version.jupyterhub, as(t, input(nil)))
				if got := h.login(t, "mallory", string(h.secret[workshop.SecretUserPassword])); got != 302 {
					t.Errorf("login of mallory: %d", got)
				}
			})
			h := startOn(t, database, version.jupyterhub, as(t, input(func(s *workshop.Spec) {
				s.AdminUsers, s.AllowedUsers, s.IdleTimeout = []string{"trainer"}, []string{"Jane", "$(HOME)"}, "0"
			})))
			user := string(h.secret[workshop.SecretUserPassword])
			for name, want := range map[string]int{"jane": 302, "$(HOME)": 302, "mallory": 403, "": 403} {
				if got := h.login(t, name, user); got != want {
					t.Errorf("login of %q: %d, want %d", name, got, want)
				}
			}
			if got := h.login(t, "trainer", string(h.secret[workshop.SecretAdminPassword])); got != 302 {
				t.Errorf("login of the admin: %d", got)
			}
		})
	}
}

func TestAnonymousLogin(t *testing.T) {
	for _, version := range hubs {
		t.Run(version.jupyterhub, func(t *testing.T) {
			t.Parallel()
			h := start(t, version.jupyterhub, as(t, input(func(s *workshop.Spec) { s.Auth = workshop.AuthAnonymous })))
			me := func(b *http.Client) string {
				status, header, page := do(t, b, request(t, http.MethodGet, h.url+"/hub/login", nil))
				if status != 302 || header.Get("Location") != "/hub/spawn" {
					t.Fatalf("GET /hub/login: %d, to %q\n%s", status, header.Get("Location"), page)
				}
				status, _, page = do(t, b, request(t, http.MethodGet, h.url+"/hub/home", nil))
				name := regexp.MustCompile(`guest-[0-9a-f]{12}`).FindString(page)
				if status != 200 || name == "" {
					t.Fatalf("GET /hub/home: %d\n%s", status, page)
				}
				return name
			}
			one, other := browser(t), browser(t)
			first := me(one)
			if again := me(one); again != first {
				t.Errorf("the same browser was %s and is %s", first, again)
			}
			if somebody := me(other); somebody == first {
				t.Errorf("two browsers are %s", first)
			}
			h.wait(t, `200 GET /hub/api/users.* \(idle-culler@`)
			if status, body := h.call(t, http.MethodGet, "/users/"+first); status != 200 {
				t.Errorf("GET /users/%s: %d %s", first, status, body)
			}
		})
	}
}

// A hub that can't know how people log in must not start.
func TestUnknownAuth(t *testing.T) {
	venv := testhub.Install(t, hubs[0].jupyterhub)
	dir, env := hubFiles(t, input(nil), nowhere)
	command := exec.CommandContext(t.Context(), filepath.Join(venv, "bin", "python"), "-m", "jupyterhub", "--config="+filepath.Join(dir, "jupyterhub_config.py"))
	command.Dir, command.Env = dir, append(env, "AUTH=magic")
	out, err := command.CombinedOutput()
	if err == nil || !strings.Contains(string(out), fmt.Sprintf("AUTH is %s; this hub knows anonymous, oidc, openshift, password", "'magic'")) {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestOwnPasswords: who has a password of their own comes in with that alone,
// a change counts at the next login, and guessing ends soon.
func TestOwnPasswords(t *testing.T) {
	hash := func(t *testing.T, secret string) string {
		t.Helper()
		h, err := password.Hash(secret)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	for _, version := range hubs {
		t.Run(version.jupyterhub, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "passwords.json")
			write := func(content string) {
				t.Helper()
				// As the kubelet does: the old file is there until the new one is.
				if err := os.WriteFile(file+".new", []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(file+".new", file); err != nil {
					t.Fatal(err)
				}
			}
			h := startOn(t, filepath.Join(t.TempDir(), "hub.sqlite"), version.jupyterhub, as(t, input(func(s *workshop.Spec) {
				s.AdminUsers, s.AllowedUsers = []string{"trainer", "boss"}, []string{"jane", "jim", "jill"}
			})), "/etc/workshopctl/users/passwords.json", file)
			shared, admin := string(h.secret[workshop.SecretUserPassword]), string(h.secret[workshop.SecretAdminPassword])
			check := func(what string, want int, user, secret string) {
				t.Helper()
				if got := h.login(t, user, secret); got != want {
					t.Errorf("%s: login of %s: %d, want %d", what, user, got, want)
				}
			}
			check("nobody has one", 302, "jane", shared)

			const long = "a-password-that-is-long-enough-for-admins"
			content, err := json.Marshal(map[string]string{"jane": hash(t, "janes-own"), "trainer": hash(t, long), "boss": hash(t, "too-short"), "mallory": hash(t, "mallorys-own")})
			if err != nil {
				t.Fatal(err)
			}
			write(string(content))
			check("her own", 302, "jane", "janes-own")
			check("as she types her name", 302, "JANE", "janes-own")
			check("that of all", 403, "jane", shared)
			check("that of all, with another spelling", 403, "Jane", shared)
			check("somebody else's", 403, "jane", "mallorys-own")
			check("none", 403, "jane", "")
			check("longer than a hash can tell", 403, "jane", "janes-own"+strings.Repeat("x", 100))
			check("who has none", 302, "jim", shared)
			check("who has none, with another's", 403, "jim", "janes-own")
			check("an admin's own", 302, "trainer", long)
			check("that of all admins", 403, "trainer", admin)
			check("that of all", 403, "trainer", shared)
			check("an admin's own that is short", 403, "boss", "too-short")
			check("who is on no list", 403, "mallory", "mallorys-own")

			write(strings.Replace(string(content), `"jane"`, `"jill"`, 1))
			check("hers is Jill's now", 302, "jill", "janes-own")
			check("she has none any more", 302, "jane", shared)

			write("{")
			check("damaged", 500, "jim", shared)
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			check("gone", 302, "jim", shared)

			for range 9 { // and one above
				check("a guess", 403, "jim", "guessed")
			}
			for _, secret := range []string{"guessed", shared} { // the right one, too
				if status, page := h.loginPage(t, "jim", secret); status != 403 || !strings.Contains(page, "too many wrong passwords") {
					t.Errorf("after too many: %d\n%s", status, page)
				}
			}
			check("somebody else, at the same time", 302, "jill", shared)
			h.mu.Lock()
			defer h.mu.Unlock()
			for _, line := range h.log {
				for _, secret := range []string{shared, admin, "janes-own", "guessed", long} {
					if strings.Contains(line, secret) {
						t.Errorf("the log has a password: %s", line)
					}
				}
			}
		})
	}
}
