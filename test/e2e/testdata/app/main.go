// SPDX-License-Identifier: Apache-2.0

// Command app is a web app as attendees write them: a page and its websocket.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/coder/websocket"
)

// page has nothing but relative addresses, as it doesn't know where it is.
const page = `<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark"><title>My app</title>
<style>body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem }</style>
<h1>My app</h1>
<p id="echo">…</p>
<pre id="request"></pre>
<script>
const show = (id, text) => { document.getElementById(id).textContent = text; };
const socket = new WebSocket(new URL("echo", location.href.replace(/^http/, "ws")));
socket.onopen = () => socket.send("hello");
socket.onmessage = (event) => show("echo", "echo: " + event.data);
fetch("request", { method: "POST", body: "posted" }).then((r) => r.text()).then((text) => show("request", text));
</script>
`

func main() {
	http.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, page)
	})
	http.HandleFunc("POST /request", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s, cookies %q, under %s, host %s\n", body, r.RequestURI, r.Header.Get("Cookie"), r.Header.Get("X-Forwarded-Prefix"), r.Host)
	})
	http.HandleFunc("GET /echo", func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil) // refuses other origins than its host
		if err != nil {
			return
		}
		defer func() { _ = conn.CloseNow() }()
		for {
			kind, message, err := conn.Read(r.Context())
			if err != nil || conn.Write(r.Context(), kind, message) != nil {
				return
			}
		}
	})
	fmt.Println(http.ListenAndServe(os.Args[1], nil)) //nolint:gosec // it lives for a minute
}
