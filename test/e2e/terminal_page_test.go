// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/workshopctl/workshopctl/test/testhub"
)

// TestTerminalPage: what surrounds the terminal works, and neither it nor the
// hub's pages keep anybody out who sees, or points, differently.
func TestTerminalPage(t *testing.T) {
	s := newSandbox(t)
	axe := testhub.Axe(t)
	chromium := newChromium(t, s)
	tr := newTrainer(t, s, "page")
	address := strings.TrimSuffix(strings.TrimSpace(tr.run(t, "deploy", "--idle-timeout", "90s", "--admin-users", "boss",
		"--cpu-request", "10m", "--memory-request", "32Mi").stdout), "/")
	password := tr.password(t)
	jane := newAttendee(chromium, t, "jane", address)

	step(t, "the way to a terminal is accessible", func() {
		jane.do(chromedp.Navigate(address), chromedp.WaitVisible(chromedp.CSS("#login_submit")))
		for _, theme := range []string{"light", "dark"} {
			jane.prefers(theme)
			jane.accessible(axe, "login, "+theme)
			jane.screenshot("page-login-" + theme)
		}
		// Without news of its progress the page stays.
		jane.block("*://*:*/hub/api/users/*/server/progress*")
		jane.login(password)
		jane.do(chromedp.WaitVisible(chromedp.CSS("#progress-bar")))
		for _, theme := range []string{"light", "dark"} {
			jane.prefers(theme)
			jane.accessible(axe, "start of a session, "+theme)
			jane.screenshot("page-start-" + theme)
		}
		jane.block()
		jane.do(chromedp.Navigate(address))
		jane.prompt()
	})

	step(t, "light and dark, by the system and by choice, which is kept", func() {
		jane.isTheme("dark")
		jane.prefers("light")
		jane.isTheme("light")
		jane.menu("Theme: dark")
		jane.isTheme("dark")
		jane.reload()
		jane.prompt()
		jane.isTheme("dark")
	})

	step(t, "the search finds what has scrolled away", func() {
		jane.types("clear; echo nee''dle; seq 300")
		jane.sees("300", 20*time.Second)
		if strings.Contains(jane.screen(), "needle") {
			t.Error("it has not scrolled away")
		}
		jane.press("F", "KeyF", int64(kb.ModifierCtrl|kb.ModifierShift))
		jane.do(chromedp.WaitVisible(chromedp.CSS("#search-text")), chromedp.SendKeys(chromedp.CSS("#search-text"), "needle"))
		jane.sees("needle", 20*time.Second)
		eventually(t, 20*time.Second, "count", func(context.Context) error {
			return contains(eval[string](jane, `document.querySelector("#search-count").textContent`), "1 of 1")
		})
		jane.accessible(axe, "search, dark")
		jane.screenshot("page-search")
		jane.press("Escape", "Escape", 0)
		if focus := eval[string](jane, "document.activeElement.className"); focus != "xterm-helper-textarea" {
			t.Errorf("after the search %q has the focus", focus)
		}
	})

	step(t, "the keys on the screen reach the shell, and typed text does once", func() {
		jane.menu("Keys on the screen")
		jane.types("clear; echo be''gun; sleep 600")
		jane.sees("begun", 20*time.Second)
		jane.clickText("#keys button", "Ctrl")
		// As a tablet's keyboard does: text, and no key.
		if _, err := chromedp.Call(jane.ctx, input.InsertText, input.InsertTextParams{Text: "c"}); err != nil {
			t.Fatal(err)
		}
		jane.types("printf '<%s>' $? typed; echo")
		jane.sees("<130><typed>", 20*time.Second)
		jane.do(chromedp.EmulateViewport(820, 1180, chromedp.EmulateTouch))
		jane.accessible(axe, "tablet")
		jane.screenshot("page-tablet")
		jane.do(chromedp.EmulateViewport(1280, 800))
		jane.menu("Keys on the screen")
	})

	step(t, "the page is accessible", func() {
		jane.types("clear; ls --color=always -la /etc | head -n 20")
		jane.prompt()
		for _, theme := range []string{"light", "dark"} {
			jane.menu("Theme: " + theme)
			jane.isTheme(theme)
			jane.accessible(axe, theme)
			jane.screenshot("page-" + theme)
			jane.do(chromedp.Click(chromedp.CSS("#menu-button")))
			jane.accessible(axe, "menu, "+theme)
			jane.screenshot("page-menu-" + theme)
			jane.press("Escape", "Escape", 0)
			jane.menu("Stop session")
			jane.do(chromedp.WaitVisible(chromedp.CSS("dialog")))
			jane.accessible(axe, "dialog, "+theme)
			jane.clickText("dialog button", "Cancel")
		}
	})

	step(t, "a session is stopped from the menu, and started again", func() {
		jane.types("echo still $((6*7)) > stays.txt")
		jane.menu("Stop session")
		jane.do(chromedp.Click(chromedp.CSS("dialog button.strong")))
		eventually(t, time.Minute, "stopped page", func(context.Context) error {
			return contains(eval[string](jane, "document.body.innerText"), "Your session is stopped")
		})
		jane.accessible(axe, "stopped")
		jane.screenshot("page-stopped")
		jane.do(chromedp.Click(chromedp.CSS("#panes a.strong")))
		jane.prompt()
		jane.types("cat stays.txt")
		jane.sees("still 42", 20*time.Second)
	})

	// From here on nobody uses Jane's session.
	step(t, "the hub's other pages are accessible", func() {
		boss := newAttendee(chromium, t, "boss", address+"/hub/login?next=/hub/home")
		boss.login(tr.secret(t, "ADMIN_PASSWORD"))
		boss.do(chromedp.WaitVisible(chromedp.CSS("#start")))
		for _, page := range []string{"home", "token", "admin", "nothing", "user/boss/"} {
			boss.do(chromedp.Navigate(address + "/hub/" + page))
			if page == "admin" {
				boss.do(chromedp.WaitVisible(chromedp.CSS(`[data-testid="user-row-jane"], [data-testid="user-name-div-jane"]`)))
			}
			boss.accessible(axe, "the hub's "+page)
			boss.screenshot("page-hub-" + strings.ReplaceAll(page, "/", "-"))
		}
	})

	step(t, "a count-down comes before the end, and Keep it ends it", func() {
		eventually(t, 2*time.Minute, "count-down", func(context.Context) error {
			return contains(eval[string](jane, `document.querySelector("#banners").innerText`), "stopped soon")
		})
		jane.accessible(axe, "count-down")
		jane.screenshot("page-idle")
		jane.clickText("#banners button", "Keep it")
		jane.isQuiet()
	})

	step(t, "a logout in one tab ends the terminal in the other", func() {
		second := jane.tab(address + "/hub/logout")
		eventually(t, time.Minute, "logout", func(context.Context) error {
			return contains(eval[string](second, "document.body.innerText"), "Sign in")
		})
		jane.says("You are logged out here.")
		jane.accessible(axe, "logged out")
		jane.screenshot("page-logged-out")
		if code := promised[int](jane, `fetch("session").then((r) => r.status)`); code != 401 {
			t.Errorf("the gateway still answers: %d", code)
		}
	})
}

// accessible fails if axe-core finds a serious or critical fault in what the
// page shows.
func (a *attendee) accessible(axe, what string) {
	a.t.Helper()
	eval[bool](a, axe+"; true")
	if faults := promised[string](a, `axe.run({ resultTypes: ["violations"] }).then((r) => r.violations
		.filter((v) => ["serious", "critical"].includes(v.impact))
		.map((v) => v.impact + " " + v.id + ": " + v.nodes.slice(0, 5).map((n) => n.html.slice(0, 200) + " (" + [...n.any, ...n.all, ...n.none].map((c) => c.message) + ")").join("; "))
		.join("\n"))`); faults != "" {
		a.t.Errorf("%s: %s", what, faults)
	}
}

// prefers has the browser's system prefer light or dark, and no colours that
// change slowly from one to the other.
func (a *attendee) prefers(theme string) {
	a.t.Helper()
	params := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: theme}, {Name: "prefers-reduced-motion", Value: "reduce"}}}
	if _, err := chromedp.Call(a.ctx, emulation.SetEmulatedMedia, params); err != nil {
		a.t.Fatal(err)
	}
}

// isTheme waits until page and terminal are light or dark.
func (a *attendee) isTheme(theme string) {
	a.t.Helper()
	want := map[string]string{"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 26)"}[theme]
	eventually(a.t, 20*time.Second, theme+" page", func(context.Context) error {
		got := eval[string](a, `[document.body, document.querySelector(".xterm-scrollable-element")].map((e) => getComputedStyle(e).backgroundColor).join(" ")`)
		if got != want+" "+want {
			return fmt.Errorf("page and terminal are %s", got)
		}
		return nil
	})
}

// block keeps the page from loading what the patterns name, and nothing else.
func (a *attendee) block(patterns ...string) {
	a.t.Helper()
	params := network.SetBlockedURLsParams{}
	for _, p := range patterns {
		params.URLPatterns = append(params.URLPatterns, &network.BlockPattern{URLPattern: p, Block: true})
	}
	if _, err := chromedp.Call(a.ctx, network.SetBlockedURLs, params); err != nil {
		a.t.Fatal(err)
	}
}

// menu chooses from the terminal's menu.
func (a *attendee) menu(item string) {
	a.t.Helper()
	a.do(chromedp.Click(chromedp.CSS("#menu-button")))
	a.clickText("#menu button", item)
}
