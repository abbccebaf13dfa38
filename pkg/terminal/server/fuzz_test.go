// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"context"
	"net/http"
	"os/exec"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/workshopctl/workshopctl/pkg/terminal/process"
	"github.com/workshopctl/workshopctl/pkg/terminal/server"
	"github.com/workshopctl/workshopctl/pkg/terminal/shell"
)

// FuzzConversation says anything to the gateway over its websocket, and looks
// whether it still serves others. A script is of frames: a byte that says how
// many follow it, and those.
func FuzzConversation(f *testing.F) {
	frame := func(text string) []byte { return append([]byte{byte(len(text))}, text...) }
	join := func(texts ...string) (script []byte) {
		for _, text := range texts {
			script = append(script, frame(text)...)
		}
		return script
	}
	const hello = `h{"client":"c","columns":80,"rows":24}`
	f.Add(true, join("ix\r", "r\x00\x50\x00\x18", "a\x00\x00\x00\x00\x00\x00\x00\x01", "s", "p", "q\x1b[0n"))
	f.Add(true, join("s", "s", "r\x00\x00\x00\x00"))
	f.Add(false, join(hello, "ix", hello))
	f.Add(false, join(`h{"client":"c","stream":"x","offset":18446744073709551615,"shell":1,"columns":1,"rows":1}`, "p"))
	f.Add(false, join(`h{"client":"c","shell":-1,"columns":80,"rows":24}`))
	// In the terminal runs what makes nothing of what is typed.
	reaper, err := process.NewReaper()
	if err != nil {
		f.Fatal(err)
	}
	shells := shell.NewSet(shell.Config{Command: func() (*exec.Cmd, error) { return exec.Command("/bin/cat"), nil }, Reaper: reaper,
		Logf: func(string, ...any) {}})
	f.Cleanup(func() { shells.Shutdown(context.Background()) })
	if err := shells.Get(shell.First).Start(); err != nil {
		f.Fatal(err)
	}
	g := newGateway(f, time.Hour, func(o *server.Options) { o.Shells = shells })
	b := newBrowser(f, g)
	b.login(owner)
	client := &http.Client{Jar: b.Jar}
	f.Fuzz(func(t *testing.T, greet bool, script []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		conn, _, err := websocket.Dial(ctx, g.URL+prefix+"ws", &websocket.DialOptions{HTTPClient: client, HTTPHeader: http.Header{"Origin": {g.URL}}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.CloseNow() }()
		conn.SetReadLimit(1 << 20)
		if greet {
			script = append(frame(hello), script...)
		}
		for len(script) > 0 {
			n := min(int(script[0]), len(script)-1)
			if conn.Write(ctx, websocket.MessageBinary, script[1:1+n]) != nil {
				break // it had enough
			}
			script = script[1+n:]
		}
		// It answers, or closes with a reason; it never just hangs up.
		_ = conn.Write(ctx, websocket.MessageBinary, []byte("p"))
		for {
			_, got, err := conn.Read(ctx)
			if err != nil {
				if websocket.CloseStatus(err) == -1 {
					t.Fatalf("ended without a reason: %v", err)
				}
				break
			}
			if string(got) == "p" {
				break
			}
		}
		resp, err := http.Get(g.URL + prefix + "api")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	})
}
