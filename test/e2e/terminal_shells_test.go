// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestShells: a shell outlives reloads, lost networks and restarts of the proxy; two
// tabs show the same one, and a session has several.
func TestShells(t *testing.T) {
	s := newSandbox(t)
	tr := newTrainer(t, s, "shells")
	address := strings.TrimSpace(tr.run(t, "deploy", "--cpu-request", "10m", "--memory-request", "32Mi").stdout)
	jane := newAttendee(newChromium(t, s), t, "jane", address)
	jane.login(tr.password(t))
	jane.prompt()
	jane.types("kept=$((6*7))")

	step(t, "a reload keeps shell and screen", func() {
		jane.reload()
		jane.sees("kept=$((6*7))", 20*time.Second)
		jane.types("echo reloaded $kept")
		jane.sees("reloaded 42", 20*time.Second)
	})

	step(t, "so does a time without network", func() {
		jane.types("(sleep 3; echo printed mean''while) &")
		jane.offline(true)
		jane.says("You are offline")
		jane.types("echo refused $kept")
		jane.screenshot("shells-offline")
		jane.offline(false)
		jane.sees("printed meanwhile", 30*time.Second)
		jane.isQuiet()
		jane.types("echo online $kept")
		jane.sees("online 42", 20*time.Second)
		if strings.Contains(jane.screen(), "refused") {
			t.Errorf("what was typed without a network came later: %q", jane.screen())
		}
	})

	step(t, "so does a restart of the proxy", func() {
		for _, p := range tr.pods(t, "app.kubernetes.io/component=proxy") {
			if err := tr.admin.CoreV1().Pods(tr.namespace).Delete(t.Context(), p.Name, metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		jane.says("Connecting again")
		jane.screenshot("shells-proxy-restart")
		jane.isQuiet()
		jane.types("echo proxied $kept")
		jane.sees("proxied 42", 20*time.Second)
	})

	second := jane.tab(eval[string](jane, "location.href"))
	step(t, "two tabs show the same shell", func() {
		second.sees("proxied 42", 20*time.Second)
		second.types("echo from the second $kept")
		jane.sees("from the second 42", 20*time.Second)
	})

	step(t, "a second shell has a tab and an address", func() {
		jane.do(chromedp.Click(chromedp.CSS("#menu-button")))
		jane.screenshot("shells-menu")
		jane.clickText("#menu button", "New shell")
		eventually(t, 20*time.Second, "second shell", func(context.Context) error {
			return contains(eval[string](jane, "location.pathname"), "/shell/2")
		})
		// At once: what is typed before the shell is there is kept for it.
		jane.types("echo second shell $((50+5)) \"<$kept>\"; printf '\\033]0;top\\007'")
		jane.sees("second shell 55 <>", 20*time.Second)
		for _, page := range []*attendee{jane, second} {
			eventually(t, 20*time.Second, "tabs", func(context.Context) error {
				return contains(eval[string](page, `document.querySelector("#tablist").innerText`), "2: top")
			})
		}
		jane.screenshot("shells-tabs")
		jane.reload()
		jane.sees("second shell 55 <>", 20*time.Second)
		if path := eval[string](jane, "location.pathname"); !strings.HasSuffix(path, "/shell/2") {
			t.Errorf("the reload leads to %s", path)
		}
	})

	step(t, "keys move between shells, and one that exits is closed", func() {
		eventually(t, 20*time.Second, "tabs", func(context.Context) error {
			return contains(eval[string](jane, `document.querySelector("#tablist").innerText`), "2")
		})
		eval[bool](jane, `document.querySelector("#tab-2").focus() ?? true`)
		eval[bool](jane, `["ArrowLeft", " "].every((key) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true })) || true)`)
		jane.sees("from the second 42", 20*time.Second)
		jane.types("echo first again $kept")
		jane.sees("first again 42", 20*time.Second)
		jane.do(chromedp.Click(chromedp.CSS("#tab-2")))
		jane.sees("second shell 55", 20*time.Second)
		jane.types("exit")
		jane.sees("first again 42", 20*time.Second)
		eventually(t, 20*time.Second, "no tabs", func(context.Context) error {
			if eval[bool](jane, `document.querySelector("#tabs").hidden && !location.pathname.includes("/shell/")`) {
				return nil
			}
			return fmt.Errorf("there are tabs")
		})
	})
}

// offline cuts the browser's network, or gives it back.
func (a *attendee) offline(off bool) {
	a.t.Helper()
	conditions := network.Conditions{Offline: off, DownloadThroughput: -1, UploadThroughput: -1}
	if _, err := chromedp.Call(a.ctx, network.EmulateNetworkConditionsByRule,
		network.EmulateNetworkConditionsByRuleParams{MatchedNetworkConditions: []*network.Conditions{&conditions}}); err != nil {
		a.t.Fatal(err)
	}
	if _, err := chromedp.Call(a.ctx, network.OverrideNetworkState,
		network.OverrideNetworkStateParams{Offline: off, DownloadThroughput: -1, UploadThroughput: -1}); err != nil {
		a.t.Fatal(err)
	}
}

// says waits for a banner.
func (a *attendee) says(text string) {
	a.t.Helper()
	eventually(a.t, time.Minute, "banner", func(context.Context) error {
		return contains(eval[string](a, `document.querySelector("#banners").innerText`), text)
	})
}

// isQuiet waits until no banner is left.
func (a *attendee) isQuiet() {
	a.t.Helper()
	eventually(a.t, 3*time.Minute, "page without banners", func(context.Context) error {
		if text := eval[string](a, `document.querySelector("#banners").innerText`); text != "" {
			return fmt.Errorf("it says %q", text)
		}
		return nil
	})
}

// tab is another tab of the same browser, with the same cookies.
func (a *attendee) tab(address string) *attendee {
	a.t.Helper()
	ctx, cancel := chromedp.NewContext(a.ctx, chromedp.WithNewWindow(true))
	a.t.Cleanup(cancel)
	b := &attendee{t: a.t, ctx: ctx, user: a.user + " (second tab)", url: a.url}
	if err := chromedp.Do(ctx); err != nil {
		a.t.Fatal(err)
	}
	b.do(chromedp.EmulateViewport(1280, 800), chromedp.Navigate(address))
	return b
}

// clickText clicks the element of that text.
func (a *attendee) clickText(selector, text string) {
	a.t.Helper()
	if !eval[bool](a, fmt.Sprintf(`(e => { e?.click(); return !!e; })([...document.querySelectorAll(%q)].find(e => e.textContent.startsWith(%q)))`, selector, text)) {
		a.t.Fatalf("no %q in %s", text, selector)
	}
}
