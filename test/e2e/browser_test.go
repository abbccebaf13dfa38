// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// newChromium starts one browser that trusts the sandbox's certificate
// authority, as a person's does after importing it.
func newChromium(t *testing.T, s *sandbox) context.Context {
	t.Helper()
	home := t.TempDir()
	db := filepath.Join(home, ".pki", "nssdb")
	if err := os.MkdirAll(db, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"-N", "-d", "sql:" + db, "--empty-password"},
		{"-A", "-d", "sql:" + db, "-n", "sandbox", "-t", "C,,", "-i", s.env["WORKSHOP_SANDBOX_CA"]},
	} {
		if out, err := exec.CommandContext(t.Context(), "certutil", args...).CombinedOutput(); err != nil {
			t.Fatalf("certutil: %v\n%s", err, out)
		}
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath("chromium"), chromedp.Env("HOME="+home), chromedp.UserDataDir(filepath.Join(home, "profile")),
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		// The pages of the tests' OpenID Connect provider ask for a font there.
		chromedp.Flag("host-resolver-rules", "MAP *.googleapis.com ~NOTFOUND"),
		chromedp.WindowSize(1280, 800))
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return ctx
}

// attendee is a person at a browser of their own: no cookies shared with the
// others.
type attendee struct {
	t    *testing.T
	ctx  context.Context //nolint:containedctx // what chromedp calls a context is the page itself
	user string
	url  string
}

func newAttendee(chromium context.Context, t *testing.T, user, url string) *attendee {
	t.Helper()
	// A window each: a tab behind another one draws nothing, and what waits
	// for it to be visible waits for ever.
	ctx, cancel := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext(), chromedp.WithNewWindow(true))
	t.Cleanup(cancel)
	a := &attendee{t: t, ctx: ctx, user: user, url: url}
	if err := chromedp.Do(ctx); err != nil { // without a limit in time, which would end the page as well
		t.Fatal(err)
	}
	a.do(chromedp.EmulateViewport(1280, 800))
	t.Cleanup(func() {
		if t.Failed() {
			a.screenshot("failed-" + user)
			t.Logf("what %s sees: %s", user, eval[string](a, `location.href + "\n" + document.body.innerText`))
		}
	})
	return a
}

func (a *attendee) do(steps ...chromedp.Action[chromedp.Void]) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.ctx, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		a.t.Fatalf("%s's browser: %v", a.user, err)
	}
}

// login opens the workshop's URL and fills in the hub's form.
func (a *attendee) login(password string) {
	a.t.Helper()
	a.do(chromedp.Navigate(a.url),
		chromedp.WaitVisible(chromedp.CSS("#username_input")),
		chromedp.SendKeys(chromedp.CSS("#username_input"), a.user),
		chromedp.SendKeys(chromedp.CSS("#password_input"), password),
		chromedp.Click(chromedp.CSS("#login_submit")))
}

// eval is the value of a JavaScript expression in the page, and its zero
// value while the page is between two documents.
func eval[T any](a *attendee, expression string) (value T) {
	ctx, cancel := context.WithTimeout(a.ctx, 10*time.Second)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil && a.ctx.Err() != nil {
		a.t.Fatalf("%s's browser: %v", a.user, err)
	}
	return value
}

// screen is the text in the terminal.
func (a *attendee) screen() string {
	return eval[string](a, `(() => {
		const rows = document.querySelector(".xterm-rows");
		return rows ? [...rows.children].map(r => r.textContent.replaceAll("\u00a0", " ").trimEnd()).join("\n") : "";
	})()`)
}

// sees waits until the terminal shows the text.
func (a *attendee) sees(text string, within time.Duration) {
	a.t.Helper()
	eventually(a.t, within, a.user+"'s terminal", func(context.Context) error { return contains(a.screen(), text) })
}

// prompt waits for the shell's prompt of a new session; a pod has to start.
func (a *attendee) prompt() {
	a.t.Helper()
	eventually(a.t, 3*time.Minute, "prompt of "+a.user, func(context.Context) error {
		if s := strings.TrimRight(a.screen(), "\n"); strings.HasSuffix(s, "$") {
			return nil
		}
		return fmt.Errorf("page %q with screen %q", eval[string](a, "location.href + ' ' + document.title"), a.screen())
	})
}

// types types a line into the terminal, key by key: down with its text, and
// up, as a keyboard does. (chromedp's KeyEvent sends a third event, which the
// terminal rightly takes for a second character.)
func (a *attendee) types(line string) {
	a.t.Helper()
	a.do(chromedp.Focus(chromedp.CSS(".xterm-helper-textarea")))
	for _, r := range line + kb.Enter {
		events := kb.Encode(r)
		down, up := *events[0], *events[len(events)-1]
		down.Type = input.DispatchKeyEventTypeKeyDown
		down.Text, down.UnmodifiedText = string(r), string(r)
		for _, e := range []input.DispatchKeyEventParams{down, up} {
			if _, err := chromedp.Call(a.ctx, input.DispatchKeyEvent, e); err != nil {
				a.t.Fatalf("%s's browser: %v", a.user, err)
			}
		}
	}
}

// reload opens the page that is open once more. (chromedp's Reload waits for
// ever on a page that another one reloaded into, as the hub's does.)
func (a *attendee) reload() {
	a.t.Helper()
	a.do(chromedp.Navigate(eval[string](a, "location.href")))
}

// cookies are those that the browser would send to the terminal's page.
func (a *attendee) cookies(url string) []*http.Cookie {
	a.t.Helper()
	r, err := chromedp.Call(a.ctx, network.GetCookies, network.GetCookiesParams{URLs: []string{url}})
	if err != nil {
		a.t.Fatal(err)
	}
	var cookies []*http.Cookie
	for _, c := range r.Cookies {
		cookies = append(cookies, &http.Cookie{Name: c.Name, Value: c.Value})
	}
	return cookies
}

// screenshot keeps what the attendee sees in WORKSHOPCTL_TEST_SCREENSHOTS, if
// that is set.
func (a *attendee) screenshot(name string) {
	dir := os.Getenv("WORKSHOPCTL_TEST_SCREENSHOTS")
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(a.ctx, 10*time.Second)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		a.t.Log(err)
		return
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		a.t.Log(err)
	}
}

// stopSession stops the attendee's session on the hub's home page.
func (a *attendee) stopSession(address string) {
	a.t.Helper()
	a.do(chromedp.Navigate(address+"hub/home"), chromedp.WaitVisible(chromedp.CSS("#stop")))
	// The page loads its scripts after it is shown; a click before that is lost.
	eventually(a.t, 20*time.Second, "scripts of the hub's page", func(context.Context) error {
		if eval[bool](a, `!!(window.$ && $._data(document.querySelector("#stop"), "events")?.click)`) {
			return nil
		}
		return fmt.Errorf("not loaded")
	})
	a.do(chromedp.Click(chromedp.CSS("#stop")))
	eventually(a.t, time.Minute, "stop on the hub's page", func(context.Context) error {
		if eval[bool](a, `(e => !!e && e.offsetParent === null)(document.querySelector("#stop"))`) {
			return nil
		}
		return fmt.Errorf("still stopping")
	})
}

// start asks for a new session where the hub wants to be asked.
func (a *attendee) start() {
	a.t.Helper()
	if eval[bool](a, `!!document.querySelector("a#start")`) {
		a.do(chromedp.Click(chromedp.CSS("a#start")))
	}
}

// loopback dials 127.0.0.1 whatever the name, which is where browsers look
// for names under .localhost.
func loopback(ctx context.Context, network, address string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
}
