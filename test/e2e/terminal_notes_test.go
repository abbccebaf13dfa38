// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/coder/websocket"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// TestTerminalNotes: notes of the image beside the terminal, whose blocks run
// on a click, and an attendee's own web app with a websocket.
func TestTerminalNotes(t *testing.T) {
	s := newSandbox(t)
	tr := newTrainer(t, s, "notes")
	image := tr.imageWithNotes(t)
	address := strings.TrimSpace(tr.run(t, "deploy", "--terminal-image", image, "--notes-path", "/opt/workshop/notes", "--port", "app=8080",
		"--admin-users", "boss", "--cpu-request", "10m", "--memory-request", "32Mi").stdout)
	chromium := newChromium(t, s)
	jane := newAttendee(chromium, t, "jane", address)
	jane.login(tr.password(t))
	jane.prompt()
	notes(t, jane)
	app(t, jane)
	others(t, jane, func(user string) *attendee {
		a := newAttendee(chromium, t, user, address+"hub/login?next="+appPath)
		a.login(tr.secret(t, map[bool]string{true: "ADMIN_PASSWORD", false: "USER_PASSWORD"}[user == "boss"]))
		return a
	}, tr.httpClient(t))
}

// imageWithNotes is the terminal image with testdata's notes and app in it.
func (tr *trainer) imageWithNotes(t *testing.T) string {
	t.Helper()
	app := filepath.Join(t.TempDir(), "app")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", app, "./testdata/app")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	files := map[string]string{"opt/workshop/app": app}
	pages, err := filepath.Glob("testdata/notes/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		files["opt/workshop/notes/"+filepath.Base(page)] = page
	}
	host := tr.registry(t)
	from, err := name.ParseReference(strings.Replace(tr.env["WORKSHOPCTL_TERMINAL_IMAGE"], "registry.localhost", host, 1))
	if err != nil {
		t.Fatal(err)
	}
	base, err := remote.Image(from, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	return tr.image(t, base, "notes", files, nil)
}

// told is what the notes say of themselves.
type told struct {
	Title, Origin, Cookie, Storage, Parent string
	Boxes                                  map[string]struct{ X, Y float64 }
}

// notesTell waits until the notes' page of that title answers, and returns its
// word, the boxes as the whole page has them.
func (a *attendee) notesTell(title string) (word told) {
	a.t.Helper()
	eventually(a.t, 20*time.Second, "the notes of "+a.user, func(context.Context) error {
		word = promised[told](a, `new Promise((resolve) => {
			const frame = document.querySelector("#notes iframe");
			const hear = (event) => {
				if (event.source !== frame.contentWindow || event.data?.type !== "told") return;
				const at = frame.getBoundingClientRect();
				for (const box of Object.values(event.data.boxes)) { box.x += at.x; box.y += at.y; }
				end(event.data);
			};
			const end = (word) => { removeEventListener("message", hear); resolve(word); };
			addEventListener("message", hear);
			setTimeout(end, 1000, {}); // the frame is between two pages
			frame?.contentWindow?.postMessage({ type: "tell" }, "*");
		})`)
		if word.Boxes["Copy run"] == (struct{ X, Y float64 }{}) {
			return fmt.Errorf("%q without buttons", word.Title)
		}
		return contains(word.Title, title)
	})
	return word
}

// pointer moves, presses or releases the mouse.
func (a *attendee) pointer(what input.DispatchMouseEventType, x, y float64) {
	a.t.Helper()
	p := input.DispatchMouseEventParams{Type: what, X: x, Y: y, Button: "left", ClickCount: 1}
	if what != input.DispatchMouseEventTypeMouseReleased {
		p.Buttons = 1
	}
	if _, err := chromedp.Call(a.ctx, input.DispatchMouseEvent, p); err != nil {
		a.t.Fatal(err)
	}
}

// clickIn clicks what the notes have under that name.
func (a *attendee) clickIn(word told, box string) {
	a.t.Helper()
	at, ok := word.Boxes[box]
	if !ok {
		a.t.Fatalf("the notes have no %q: %v", box, word.Boxes)
	}
	a.pointer(input.DispatchMouseEventTypeMousePressed, at.X, at.Y)
	a.pointer(input.DispatchMouseEventTypeMouseReleased, at.X, at.Y)
}

// press presses a key with modifiers (Alt 1, Ctrl 2, Shift 8).
func (a *attendee) press(key, code string, modifiers int64) {
	a.t.Helper()
	for _, what := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeRawKeyDown, input.DispatchKeyEventTypeKeyUp} {
		if _, err := chromedp.Call(a.ctx, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: what, Key: key, Code: code, Modifiers: modifiers}); err != nil {
			a.t.Fatal(err)
		}
	}
}

// share waits until the notes have that share of the width, in percent; 0 is
// hidden.
func (a *attendee) share(want int) {
	a.t.Helper()
	eventually(a.t, 20*time.Second, "width of the notes", func(context.Context) error {
		got := eval[int](a, `Math.round(100 * document.querySelector("#notes").getBoundingClientRect().width / innerWidth)`)
		if got == want {
			return nil
		}
		return fmt.Errorf("%d %%, want %d", got, want)
	})
}

func notes(t *testing.T, jane *attendee) {
	step(t, "notes are beside the terminal", func() {
		jane.share(40)
		jane.notesTell("Your first pod")
		jane.screenshot("notes")
	})

	step(t, "their width is the attendee's choice, and kept", func() {
		at := eval[struct{ X, Y float64 }](jane, `(({ x, y, height }) => ({ x: x + 3, y: y + height / 2 }))(document.querySelector("#resizer").getBoundingClientRect())`)
		jane.pointer(input.DispatchMouseEventTypeMousePressed, at.X, at.Y)
		// A hand is slower than the next frame, from which on the line has the pointer.
		promised[bool](jane, `new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve(true))))`)
		jane.pointer(input.DispatchMouseEventTypeMouseMoved, 640, at.Y) // over the terminal
		jane.pointer(input.DispatchMouseEventTypeMouseMoved, 320, at.Y) // over the frame
		jane.pointer(input.DispatchMouseEventTypeMouseReleased, 320, at.Y)
		jane.share(25)
		jane.press("ArrowRight", "ArrowRight", 0)
		jane.share(30)
		jane.reload()
		jane.share(30)
		before := eval[int](jane, `document.querySelector("#terminal").clientWidth`)
		jane.press("n", "KeyN", 1|8)
		jane.share(0)
		if now := eval[int](jane, `document.querySelector("#terminal").clientWidth`); now <= before {
			t.Errorf("without notes, the terminal's width goes from %d to %d", before, now)
		}
		jane.reload()
		jane.prompt()
		jane.share(0)
		jane.do(chromedp.Click(chromedp.CSS("#menu-button")))
		jane.screenshot("notes-menu")
		jane.clickText("#menu button", "Notes")
		jane.share(30)
	})

	step(t, "a click runs a block, once", func() {
		word := jane.notesTell("Your first pod")
		jane.clickIn(word, "run")
		jane.sees("there are 1 pods", 20*time.Second)
		jane.clickIn(word, "Run run")
		jane.sees("there are 2 pods", 20*time.Second)
		jane.screenshot("notes-ran")
		// After a click, what is typed goes to the terminal.
		if got := eval[string](jane, "document.activeElement.className"); got != "xterm-helper-textarea" {
			t.Errorf("the keyboard is that of %q", got)
		}
	})

	step(t, "a copy button copies", func() {
		for _, permission := range []string{"clipboard-read", "clipboard-write"} {
			if _, err := chromedp.CallBrowser(jane.ctx, browser.SetPermission, browser.SetPermissionParams{
				Permission: &browser.PermissionDescriptor{Name: permission}, Setting: "granted", BrowserContextID: chromedp.FromContext(jane.ctx).BrowserContextID}); err != nil {
				t.Fatal(err)
			}
		}
		jane.clickIn(jane.notesTell("Your first pod"), "Copy copy")
		eventually(t, 20*time.Second, "clipboard", func(context.Context) error {
			return contains(promised[string](jane, `navigator.clipboard.readText().catch(String)`), "kind: Pod\nmetadata:\n  name: web")
		})
	})

	step(t, "notes have no origin, and nothing runs that nobody has clicked", func() {
		jane.clickIn(jane.notesTell("Your first pod"), "next")
		word := jane.notesTell("What notes may not do")
		if word.Origin != "null" || word.Cookie != "SecurityError" || word.Storage != "SecurityError" || word.Parent != "SecurityError" {
			t.Errorf("a script of the notes gets at %+v", word)
		}
		jane.clickIn(word, "foreign")
		eventually(t, 20*time.Second, "the end of what the click allows", func(context.Context) error {
			if eval[bool](jane, "navigator.userActivation.isActive") {
				return errors.New("not yet")
			}
			return nil
		})
		eval[bool](jane, `(() => {
			const frame = document.querySelector("#notes iframe").contentWindow;
			const { pass } = document.querySelector("meta[name=notes]").dataset;
			frame.postMessage({ type: "attack" }, "*");
			for (const [origin, source, name] of [["https://evil.example.com", frame, "origin"], [location.origin, frame, "own-origin"], ["null", window, "window"]]) {
				dispatchEvent(new MessageEvent("message", { origin, source, data: { type: "workshop:run", id: 4, text: "touch attack-by-" + name, pass } }));
			}
			return true;
		})()`)
		jane.says("Only a click sends commands.")
		jane.screenshot("notes-refused")
		jane.clickIn(word, "Run run")
		jane.sees("attacks: 0", 20*time.Second)
	})
}

const appPath = "/user/jane/proxy/app/"

func app(t *testing.T, jane *attendee) {
	own := jane.tab(eval[string](jane, "location.origin") + appPath)
	step(t, "before there is an app, a page waits for it", func() {
		eventually(t, 20*time.Second, "waiting page", func(context.Context) error {
			return contains(eval[string](own, "document.body.innerText"), "Nothing listens on port 8080 yet")
		})
		own.screenshot("app-waiting")
		jane.types("/opt/workshop/app 127.0.0.1:8080 &")
		eventually(t, 30*time.Second, "app", func(context.Context) error {
			return contains(eval[string](own, "document.body.innerText"), "echo: hello")
		})
	})
	step(t, "the app gets what is its own", func() {
		eventually(t, 20*time.Second, "request", func(context.Context) error {
			return contains(eval[string](own, "document.body.innerText"), `posted /request, cookies "", under /user/jane/proxy/app, host `+eval[string](own, "location.host"))
		})
		own.screenshot("app")
	})
}

// others: the app is for its own attendee alone, as what it serves has the
// hub's origin.
func others(t *testing.T, jane *attendee, login func(string) *attendee, client *http.Client) {
	origin := eval[string](jane, "location.origin")
	step(t, "nobody else gets to the app", func() {
		for user, says := range map[string]string{"mallory": "403", "boss": "Only jane may open this app"} {
			a := login(user)
			eventually(t, time.Minute, "refusal", func(context.Context) error {
				// The hub asks admins whether they mean to log in to jane's session.
				eval[bool](a, `[...document.querySelectorAll("button")].find((b) => b.textContent === "Authorize")?.click() ?? true`)
				return contains(eval[string](a, "location.pathname + ' ' + document.title + document.body.innerText"), says)
			})
			a.screenshot("app-refused-" + user)
		}
	})
	step(t, "nor anybody without a login, nor another page's websocket", func() {
		for origin, cookies := range map[string][]*http.Cookie{origin: nil, "https://evil.example.com": jane.cookies(origin + appPath)} {
			r := &http.Request{Header: http.Header{"Origin": {origin}}}
			for _, c := range cookies {
				r.AddCookie(c)
			}
			conn, resp, err := websocket.Dial(t.Context(), eval[string](jane, "location.origin")+appPath+"echo", &websocket.DialOptions{HTTPClient: client, HTTPHeader: r.Header})
			if err == nil {
				_ = conn.CloseNow()
			}
			if want := map[bool]int{true: http.StatusUnauthorized, false: http.StatusForbidden}[cookies == nil]; resp == nil || resp.StatusCode != want {
				t.Errorf("websocket from %s with %d cookies: %v, %v; want %d", origin, len(cookies), resp, err, want)
			}
		}
		resp, err := client.Get(origin + appPath)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("without a login: %s", resp.Status)
		}
	})
}
