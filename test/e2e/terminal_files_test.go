// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// drop drops files, given as JavaScript, onto the page, as a hand does.
func (a *attendee) drop(files string) {
	a.t.Helper()
	eval[bool](a, `(() => {
		const dataTransfer = new DataTransfer();
		for (const f of [`+files+`]) dataTransfer.items.add(f);
		for (const type of ["dragenter", "drop"]) document.querySelector("#terminal").dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
		return true;
	})()`)
}

// promised is eval for an expression that is a promise.
func promised[T any](a *attendee, expression string) T {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.ctx, 20*time.Second)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		a.t.Fatalf("%s's browser: %v", a.user, err)
	}
	return value
}

// told waits for what the corner of the page says.
func (a *attendee) told(text string, within time.Duration) {
	a.t.Helper()
	eventually(a.t, within, "the corner of "+a.user+"'s page", func(context.Context) error {
		return contains(eval[string](a, `document.querySelector("#transfers").innerText`), text)
	})
}

// TestTerminalFiles uploads and downloads, through ingress and proxy.
func TestTerminalFiles(t *testing.T) {
	s := newSandbox(t)
	chromium := newChromium(t, s)
	tr := newTrainer(t, s, "files")
	address := tr.run(t, "deploy", "--cpu-request", "10m", "--memory-request", "32Mi").stdout
	address = address[:len(address)-1]
	jane := newAttendee(chromium, t, "jane", address)
	jane.login(tr.password(t))
	jane.prompt()
	jane.types("mkdir -p 'my work' && cd 'my work' && clear")

	step(t, "a file that is dropped lies where the shell is", func() {
		eventually(t, time.Minute, "the shell's directory", func(context.Context) error {
			return contains(promised[string](jane, `fetch("files").then((r) => r.text())`), "my work")
		})
		eval[bool](jane, `(() => {
			const dataTransfer = new DataTransfer();
			dataTransfer.items.add(new File(["x"], "x"));
			return dispatchEvent(new DragEvent("dragenter", { dataTransfer, bubbles: true, cancelable: true }));
		})()`)
		eventually(t, 10*time.Second, "invitation to drop", func(context.Context) error {
			return contains(eval[string](jane, `document.querySelector("#drop").innerText`), "Drop files to upload to ~/my work")
		})
		jane.screenshot("files-drop")
		jane.drop(`new File(["echo hello from the laptop\n"], "hällo.sh"), new File([new Uint8Array(3 << 20)], "large.bin")`)
		jane.told("2 files are in ~/my work.", 30*time.Second)
		jane.screenshot("files-uploaded")
		jane.types("ls -l; sh hällo.sh; wc -c < large.bin")
		jane.sees("hello from the laptop", 10*time.Second)
		jane.sees("3145728", 10*time.Second)
	})

	step(t, "the largest file that is allowed comes through, a larger one doesn't", func() {
		jane.drop(`new File([new Uint8Array(100 << 20)], "hundred.bin")`)
		jane.told("hundred.bin is in ~/my work.", 2*time.Minute)
		jane.types("clear; wc -c < hundred.bin; rm hundred.bin")
		jane.sees("104857600", 10*time.Second)
		jane.drop(`new File([new Uint8Array((100 << 20) + 1)], "more.bin")`)
		jane.told("100 MiB are possible", 30*time.Second)
		jane.screenshot("files-too-large")
	})

	step(t, "a name that is taken is asked about", func() {
		jane.drop(`new File(["echo second\n"], "hällo.sh")`)
		jane.do(chromedp.WaitVisible(chromedp.CSS(`dialog button[value="rename"]`)))
		jane.screenshot("files-taken")
		jane.do(chromedp.Click(chromedp.CSS(`dialog button[value="rename"]`)))
		jane.told("hällo (1).sh is in ~/my work.", 30*time.Second)
		jane.types("clear; cat h*.sh")
		jane.sees("hello from the laptop", 10*time.Second)
		jane.sees("echo second", 10*time.Second)
	})

	step(t, "what is downloaded is what was uploaded", func() {
		jane.do(chromedp.Click(chromedp.CSS("#menu-button")))
		eval[bool](jane, `[...document.querySelectorAll("#menu button")].find((b) => b.innerText.startsWith("Download files")).click() ?? true`)
		jane.do(chromedp.WaitVisible(chromedp.CSS(".files a")))
		jane.screenshot("files-download")
		got := promised[string](jane, `fetch([...document.querySelectorAll(".files a")].find((a) => a.innerText === "hällo.sh").href)
			.then(async (r) => r.headers.get("Content-Disposition") + " " + await r.text())`)
		if want := "attachment; filename*=utf-8''h%C3%A4llo.sh echo hello from the laptop\n"; got != want {
			t.Errorf("downloaded %q, want %q", got, want)
		}
		if got := promised[int](jane, `fetch(document.querySelector(".files-head a").href).then((r) => r.blob()).then((b) => b.slice(0, 2).text()).then((s) => s === "PK" ? 1 : 0)`); got != 1 {
			t.Error("the folder comes as no zip")
		}
	})

	step(t, "no way out, and no upload without the token", func() {
		for path, want := range map[string]int{
			"files/%2e%2e/%2e%2e/etc/passwd": 400, "files/..%2f..%2fetc/passwd": 400, "files/nothing": 404,
		} {
			code := promised[int](jane, fmt.Sprintf(`fetch(location.pathname + %q).then((r) => r.status)`, path))
			if code != want && code != 404 { // proxies may take the dots out themselves
				t.Errorf("%s: %d, want %d", path, code, want)
			}
		}
		if code := promised[int](jane, `fetch("files/src/evil", { method: "PUT", body: "x" }).then((r) => r.status)`); code != 403 {
			t.Errorf("upload without the token: %d, want 403", code)
		}
	})
}
