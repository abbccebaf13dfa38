// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/workshopctl/workshopctl/pkg/terminal/server"
)

// The tests here try to break what docs/security.md promises. Each rule there
// names its test.

// raw sends bytes as they are and returns what comes back until the gateway
// closes the connection.
func (g *gateway) raw(t *testing.T, text string) string {
	t.Helper()
	conn := g.dial(t)
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(conn)
	return string(answer)
}

func (g *gateway) dial(t testing.TB) net.Conn {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(g.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	// So that a gateway that never ends fails the test, and doesn't hang it.
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// cookieHeader is what the browser would send.
func (b *browser) cookieHeader() string {
	r := &http.Request{Header: http.Header{}}
	for _, c := range b.Jar.Cookies(mustURL(b.t, b.g.URL+prefix)) {
		r.AddCookie(c)
	}
	return r.Header.Get("Cookie")
}

// TestEveryAnswerHasThePolicy: pages, errors and files alike, to whoever asks.
func TestEveryAnswerHasThePolicy(t *testing.T) {
	g := newGateway(t, time.Hour)
	owns, other := newBrowser(t, g), newBrowser(t, g)
	owns.login(owner)
	other.login("mallory")
	for name, a := range map[string]answer{
		"page": owns.get(prefix), "asset": owns.get(prefix + "assets/x"), "nothing": owns.get(prefix + "nothing"), "session": owns.get(prefix + "session"),
		"refused": other.get(prefix), "callback": other.get(prefix + "oauth_callback"), "api": other.get(prefix + "api"),
		"method": owns.do(http.MethodDelete, prefix+"api", nil), "another's": owns.get("/user/mallory/"),
	} {
		policy := map[string]string{}
		for directive := range strings.SplitSeq(a.header.Get("Content-Security-Policy"), ";") {
			key, value, _ := strings.Cut(strings.TrimSpace(directive), " ")
			policy[key] = value
		}
		for directive, value := range map[string]string{"default-src": "'none'", "script-src": "'self'", "frame-ancestors": "'none'", "base-uri": "'none'", "form-action": "'none'"} {
			if policy[directive] != value {
				t.Errorf("%s: %s is %q, want %q", name, directive, policy[directive], value)
			}
		}
		if a.header.Get("X-Content-Type-Options") != "nosniff" || a.header.Get("Referrer-Policy") == "" || a.header.Get("Cross-Origin-Opener-Policy") != "same-origin" {
			t.Errorf("%s: headers %v", name, a.header)
		}
		if len(a.header.Values("Access-Control-Allow-Origin")) > 0 {
			t.Errorf("%s: other origins may read it", name)
		}
		// A script element has a src and no content; no attribute is script.
		if m := regexp.MustCompile(`(?i)<script(?:\s[^>]*)?>\s*[^<\s]|<script(?:\s+(?:type|defer|async)(?:="[^"]*")?)*\s*>|\son[a-z]+\s*=|javascript:`).FindString(a.body); m != "" {
			t.Errorf("%s holds script: %q", name, m)
		}
	}
}

// TestChangesNeedOriginAndToken: whatever the path, nothing but a GET gets in
// from another origin, or without the page's token.
func TestChangesNeedOriginAndToken(t *testing.T) {
	g := newGateway(t, time.Hour)
	b := newBrowser(t, g)
	b.login(owner)
	token := b.csrf()
	for _, path := range []string{"", "restart", "restart?shell=1", "shells", "shells/1", "shell/1", "keep", "session", "files/", "files/x", "notes/", "ws", "api"} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			for name, header := range map[string]http.Header{
				"no origin":      {"X-Csrf-Token": {token}},
				"another origin": {"X-Csrf-Token": {token}, "Origin": {"https://evil.example"}},
				"no token":       {"Origin": {g.URL}},
				"another token":  {"Origin": {g.URL}, "X-Csrf-Token": {token[1:] + "A"}},
				"token in query": {"Origin": {g.URL}, "Cookie": {"X-CSRF-Token=" + token}},
			} {
				if a := b.do(method, prefix+path, header); a.status < 400 {
					t.Errorf("%s %s with %s: %d", method, path, name, a.status)
				}
			}
		}
	}
	// And a GET is none of these by another name.
	for _, header := range []string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"} {
		a := b.do(http.MethodGet, prefix+"restart?_method=POST", http.Header{header: {"POST"}, "Origin": {g.URL}, "X-Csrf-Token": {token}})
		want(t, "override by "+header, a.status, http.StatusMethodNotAllowed)
	}
	want(t, "no preflight is answered", b.do(http.MethodOptions, prefix+"restart", http.Header{
		"Origin": {"https://evil.example"}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"x-csrf-token"}}).status, http.StatusMethodNotAllowed)
}

// TestPlantedCookies: a page of the same host can set cookies on this session's
// path. It gets nobody in, and shuts nobody out.
func TestPlantedCookies(t *testing.T) {
	g := newGateway(t, time.Hour)
	victim, attacker := newBrowser(t, g), newBrowser(t, g)
	attacker.login("mallory")
	planted := attacker.Jar.Cookies(mustURL(t, g.URL+prefix))
	victim.login(owner)
	own := victim.Jar.Cookies(mustURL(t, g.URL+prefix))
	for name, cookies := range map[string][]*http.Cookie{"before": append(planted, own...), "after": append(own, planted...)} {
		bare := newBrowser(t, g)
		var all []string
		for _, c := range cookies {
			all = append(all, c.Name+"="+c.Value)
		}
		want(t, "the victim, with the attacker's cookie "+name, bare.do(http.MethodGet, prefix, http.Header{"Cookie": {strings.Join(all, "; ")}}).status, http.StatusOK)
	}
	many := newBrowser(t, g)
	want(t, "with many", many.do(http.MethodGet, prefix, http.Header{
		"Cookie": {strings.Repeat(planted[0].Name+"=x; ", 500) + victim.cookieHeader()}}).status, http.StatusOK)
}

// TestSessionFixation: a number that the attacker knows never becomes one that
// is logged in.
func TestSessionFixation(t *testing.T) {
	g := newGateway(t, time.Hour)
	attacker, victim := newBrowser(t, g), newBrowser(t, g)
	attacker.login("mallory")
	known := attacker.Jar.Cookies(mustURL(t, g.URL+prefix))
	made := &http.Cookie{Name: known[0].Name, Value: "chosen-by-the-attacker", Path: prefix}
	victim.Jar.SetCookies(mustURL(t, g.URL+prefix), []*http.Cookie{made})
	victim.login(owner)
	for _, cookie := range append(known, made) {
		a := newBrowser(t, g).do(http.MethodGet, prefix, http.Header{"Cookie": {cookie.Name + "=" + cookie.Value}})
		if a.status == http.StatusOK {
			t.Errorf("cookie %s gets in", cookie.Value)
		}
	}
}

// TestNoOpenRedirect: wherever a request wants to be led, it is led to this
// session's page or to the hub.
func TestNoOpenRedirect(t *testing.T) {
	g := newGateway(t, time.Hour)
	for _, evil := range []string{"//evil.example", "https://evil.example/", "/\\evil.example", "%2f%2fevil.example", "https:evil.example", "javascript:alert(1)"} {
		for _, path := range []string{prefix + "?next=" + url.QueryEscape(evil), prefix + "?redirect_uri=" + url.QueryEscape(evil),
			strings.TrimSuffix(prefix, "/") + "?next=" + url.QueryEscape(evil)} {
			b := newBrowser(t, g)
			b.head = http.Header{"Host": {"evil.example"}, "X-Forwarded-Host": {"evil.example"}, "Referer": {evil}}
			a := b.get(path)
			to := a.header.Get("Location")
			if strings.Contains(to, "evil") || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") {
				t.Errorf("%s leads to %q", path, to)
			}
			if hub := mustURL(t, to); hub.Path == "/hub/api/oauth2/authorize" {
				if to := b.get(b.callback(hub.Query(), owner)).header.Get("Location"); to != prefix {
					t.Errorf("the login that %s has begun leads to %q", path, to)
				}
			}
		}
		b := newBrowser(t, g)
		a := b.get(b.callback(b.begin(), owner) + "&next=" + url.QueryEscape(evil))
		if to := a.header.Get("Location"); to != prefix {
			t.Errorf("a login leads to %q", to)
		}
	}
}

// TestPathConfusion: no spelling of a path gets around who may come in.
func TestPathConfusion(t *testing.T) {
	g := newGateway(t, time.Hour)
	addr := strings.TrimPrefix(g.URL, "http://")
	for _, path := range []string{
		prefix + "./", prefix + "../jane.doe@example.com/", "//user/jane.doe@example.com/", "/user//jane.doe@example.com/", prefix + "/", prefix + "%2e%2e/",
		"/user/jane.doe@example.com%2f", "/user%2Fjane.doe@example.com/", prefix + "assets/../", prefix + "assets/%2e%2e/session", prefix + "assets/..%2f..%2fetc/passwd",
		prefix + "api/../session", prefix + "api/%2e%2e/ws", prefix + "session%00", prefix + "session;x", prefix + ";", prefix + "%3f", prefix + "session/", prefix + "SESSION",
		"http://evil.example" + prefix, "*", prefix + "..\\session",
	} {
		answer := g.raw(t, "GET "+path+" HTTP/1.1\r\nHost: "+addr+"\r\nConnection: close\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(answer)), nil)
		if err != nil {
			t.Errorf("%s: %v %q", path, err, answer)
			continue
		}
		body, _ := io.ReadAll(resp.Body)
		// The way to the hub, or to the page's own spelling; a refusal; or nothing.
		to := resp.Header.Get("Location")
		led := resp.StatusCode == http.StatusFound && (to == prefix || strings.HasPrefix(to, "/hub/api/oauth2/authorize?"))
		if !led && resp.StatusCode < 400 || strings.Contains(string(body), "csrf") || strings.Contains(string(body), "root:") {
			t.Errorf("%s: %d to %q: %.80s", path, resp.StatusCode, to, body)
		}
	}
}

// TestHostTricks: the name by which the gateway is asked comes back in no
// answer, and makes no cookie valid elsewhere.
func TestHostTricks(t *testing.T) {
	g := newGateway(t, time.Hour)
	for _, header := range []http.Header{
		{"Host": {"evil.example"}}, {"X-Forwarded-Host": {"evil.example"}}, {"Host": {"evil.example:99"}}, {"X-Forwarded-Host": {"evil.example, w.example"}},
		{"Forwarded": {"host=evil.example;proto=https"}}, {"X-Original-Url": {"/user/evil.example/"}, "X-Rewrite-Url": {"/evil.example"}},
	} {
		b := newBrowser(t, g)
		b.login(owner)
		for _, path := range []string{prefix, strings.TrimSuffix(prefix, "/"), prefix + "nothing", prefix + "oauth_callback?state=x&code=y"} {
			a := b.do(http.MethodGet, path, header)
			if strings.Contains(a.body+fmt.Sprint(a.header), "evil") || strings.Contains(a.header.Get("Set-Cookie"), "Domain") {
				t.Errorf("%v: %v %.200s", header, a.header, a.body)
			}
		}
	}
	g2 := newGateway(t, time.Hour)
	b := newBrowser(t, g2)
	b.login(owner)
	// What a client claims of the way it came can't make an origin right that
	// isn't: scripts can't set these headers, and the proxies write them anew.
	for _, header := range []http.Header{
		{"Origin": {"https://evil.example"}, "X-Forwarded-Proto": {"https"}}, {"Origin": {"https://evil.example"}, "Forwarded": {"host=evil.example"}},
		{"Origin": {"http://127.0.0.1"}}, {"Origin": {""}}, {"Origin": {"null"}}, {"Origin": {"file://"}}, {"Origin": {g2.URL + ".evil.example"}},
		{"Origin": {"http://evil.example@" + strings.TrimPrefix(g2.URL, "http://")}}, {"Origin": {g2.URL, "https://evil.example"}},
		{"Origin": {"ftp://" + strings.TrimPrefix(g2.URL, "http://")}}, {"Origin": {g2.URL + "/x"}},
	} {
		if _, status := b.socket(header); status != http.StatusForbidden {
			t.Errorf("%v: %d", header, status)
		}
	}
}

// TestSmuggling: a request whose end is told in two ways is one request or none,
// never two.
func TestSmuggling(t *testing.T) {
	g := newGateway(t, time.Hour)
	inner := "GET " + prefix + "api HTTP/1.1\r\nHost: inner\r\nConnection: close\r\n\r\n"
	for name, head := range map[string]string{
		"two lengths":          fmt.Sprintf("Content-Length: 0\r\nContent-Length: %d\r\n", len(inner)),
		"odd length":           "Content-Length: +5\r\n",
		"negative length":      "Content-Length: -1\r\n",
		"unknown encoding":     "Transfer-Encoding: xchunked\r\n",
		"two encodings":        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
		"space before colon":   "Transfer-Encoding : chunked\r\n",
		"folded":               "Transfer-Encoding:\r\n chunked\r\nContent-Length: 0\r\n",
		"newline in a value":   "X: a\rTransfer-Encoding: chunked\r\n",
		"header without colon": "Transfer-Encoding chunked\r\n",
		"two hosts":            "Host: other\r\n",
	} {
		answer := g.raw(t, "POST "+prefix+"check HTTP/1.1\r\nHost: outer\r\n"+head+"\r\n"+inner)
		if n := strings.Count(answer, "HTTP/1.1 "); n != 1 || strings.Contains(answer, `{"version"`) || strings.HasPrefix(answer, "HTTP/1.1 2") != (name == "folded") {
			t.Errorf("%s: %d answers: %.200q", name, n, answer)
		}
	}
	// Both: the chunks count, as RFC 9112 has it, and what they hold is no request.
	both := fmt.Sprintf("POST %scheck HTTP/1.1\r\nHost: outer\r\nConnection: close\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", prefix, len(inner), inner)
	if answer := g.raw(t, both); strings.Count(answer, "HTTP/1.1 ") != 1 || strings.Contains(answer, `{"version"`) {
		t.Errorf("length and chunks: %.300q", answer)
	}
}

// TestLargeHeaders are refused.
func TestLargeHeaders(t *testing.T) {
	g := newGateway(t, time.Hour)
	many := strings.Builder{}
	for n := range 20_000 {
		fmt.Fprintf(&many, "X-%d: y\r\n", n)
	}
	for name, header := range map[string]string{"a large one": "Cookie: x=" + strings.Repeat("x", 100<<10) + "\r\n", "many": many.String()} {
		conn := g.dial(t)
		go func() { _, _ = io.WriteString(conn, "GET "+prefix+"api HTTP/1.1\r\nHost: x\r\n"+header+"\r\n") }()
		// The connection may be reset before the answer is read.
		answer := make([]byte, 12)
		if n, _ := io.ReadFull(conn, answer); n > 0 && string(answer[:n]) != "HTTP/1.1 431" {
			t.Errorf("%s: %q", name, answer[:n])
		}
	}
}

// TestSlowClients: who sends a byte now and then doesn't hold a connection for
// long.
func TestSlowClients(t *testing.T) {
	g := newGateway(t, time.Hour, func(o *server.Options) {
		o.Patience = server.Patience{Header: 50 * time.Millisecond, Request: 100 * time.Millisecond}
	})
	b := newBrowser(t, g)
	b.login(owner)
	for name, text := range map[string]string{
		"header":    "GET " + prefix + " HTTP/1.1\r\nHost: x\r\nX-A: ",
		"body":      "POST " + prefix + "check HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx",
		"chunks":    "POST " + prefix + "restart HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
		"nothing":   "",
		"half line": "GE",
	} {
		conn := g.dial(t)
		_, _ = io.WriteString(conn, text)
		stop := make(chan struct{})
		go func() { // go on until the gateway has had enough
			for {
				select {
				case <-stop:
					return
				case <-time.After(10 * time.Millisecond):
					if _, err := io.WriteString(conn, "a"); err != nil {
						return
					}
				}
			}
		}()
		if name == "nothing" {
			close(stop)
			stop = make(chan struct{})
		}
		_, err := io.Copy(io.Discard, conn)
		close(stop)
		var netErr net.Error
		if errors.As(err, &netErr) && netErr.Timeout() {
			t.Errorf("%s: the connection stays", name)
		}
	}
	want(t, "others", b.get(prefix).status, http.StatusOK)
}

// TestTooManyConnections: more than the gateway can bear wait outside, and come
// in when others leave.
func TestTooManyConnections(t *testing.T) {
	g := newGateway(t, time.Hour)
	var held []net.Conn
	for range 256 {
		held = append(held, g.dial(t))
	}
	// All are let in, in their order, before the next one.
	next := g.dial(t)
	request := "GET " + prefix + "api HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	if _, err := io.WriteString(next, request); err != nil {
		t.Fatal(err)
	}
	if err := next.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, _ := next.Read(make([]byte, 1)); n > 0 {
		t.Error("one more than the limit comes in")
	}
	if err := next.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(held[255], request); err != nil {
		t.Fatal(err)
	}
	if answer, _ := io.ReadAll(held[255]); !strings.HasPrefix(string(answer), "HTTP/1.1 200") {
		t.Fatalf("the last one: %q", answer)
	}
	// It has left: the next one comes in, and one more waits.
	waits := g.dial(t)
	if _, err := io.WriteString(waits, request); err != nil {
		t.Fatal(err)
	}
	if answer, _ := io.ReadAll(next); !strings.HasPrefix(string(answer), "HTTP/1.1 200") {
		t.Errorf("the next one: %q", answer)
	}
	if answer, _ := io.ReadAll(waits); !strings.HasPrefix(string(answer), "HTTP/1.1 200") {
		t.Errorf("the one after it: %q", answer)
	}
}

// handshake opens a websocket by hand, for frames that no client sends.
func (b *browser) handshake(more string) (net.Conn, *bufio.Reader, *http.Response) {
	b.t.Helper()
	conn := b.g.dial(b.t)
	addr := strings.TrimPrefix(b.g.URL, "http://")
	fmt.Fprintf(conn, "GET %sws HTTP/1.1\r\nHost: %s\r\nOrigin: %s\r\nCookie: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n%s\r\n", prefix, addr, b.g.URL, b.cookieHeader(), more)
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return conn, r, resp
}

// frame is one of a client, masked unless bare.
func frame(first byte, payload []byte, bare bool) []byte {
	out := []byte{first}
	mask := byte(0x80)
	if bare {
		mask = 0
	}
	switch n := len(payload); {
	case n < 126:
		out = append(out, mask|byte(n))
	case n < 1<<16:
		out = binary.BigEndian.AppendUint16(append(out, mask|126), uint16(n))
	default:
		out = binary.BigEndian.AppendUint64(append(out, mask|127), uint64(n))
	}
	if bare {
		return append(out, payload...)
	}
	key := make([]byte, 4)
	_, _ = rand.Read(key)
	out = append(out, key...)
	for i, c := range payload {
		out = append(out, c^key[i%4])
	}
	return out
}

// awaitClose reads frames until the gateway's closing one, or the end of the
// connection; the error is that neither came.
func awaitClose(r *bufio.Reader) error {
	for {
		var head [2]byte
		_, err := io.ReadFull(r, head[:])
		if err == nil && head[0] != 0x88 {
			n := uint64(head[1])
			long := make([]byte, map[byte]int{126: 2, 127: 8}[head[1]])
			if len(long) > 0 {
				_, err = io.ReadFull(r, long)
				n = binary.BigEndian.Uint64(append(make([]byte, 8-len(long)), long...))
			}
			if err == nil {
				_, err = io.CopyN(io.Discard, r, int64(n))
			}
		}
		var netErr net.Error
		switch {
		case errors.As(err, &netErr) && netErr.Timeout():
			return err
		case err != nil || head[0] == 0x88:
			return nil //nolint:nilerr // the end is what is waited for, however it comes
		}
	}
}

const helloFrame = `h{"client":"c","columns":80,"rows":24}`

// TestHostileFrames: what no page sends ends the websocket.
func TestHostileFrames(t *testing.T) {
	g := newGateway(t, time.Hour)
	b := newBrowser(t, g)
	b.login(owner)
	hello := frame(0x82, []byte(helloFrame), false)
	huge := []byte{0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0} // claims 2^63-1 bytes, and sends some
	huge = append(huge, make([]byte, 200<<10)...)
	for name, frames := range map[string][]byte{
		"text":               slices.Concat(hello, frame(0x81, []byte("iecho"), false)),
		"text first":         frame(0x81, []byte(helloFrame), false),
		"unmasked":           slices.Concat(hello, frame(0x82, []byte("ix"), true)),
		"reserved bit":       slices.Concat(hello, frame(0xc2, []byte("ix"), false)),
		"compressed":         slices.Concat(hello, frame(0xc2, bytes.Repeat([]byte{0}, 100), false)),
		"reserved opcode":    slices.Concat(hello, frame(0x83, []byte("ix"), false)),
		"large ping":         slices.Concat(hello, frame(0x89, make([]byte, 200), false)),
		"ping in pieces":     slices.Concat(hello, frame(0x09, []byte("x"), false)),
		"too large":          slices.Concat(hello, frame(0x82, append([]byte("i"), make([]byte, 200<<10)...), false)),
		"a length like this": slices.Concat(hello, huge),
		"pieces too large":   slices.Concat(hello, frame(0x02, append([]byte("i"), make([]byte, 60<<10)...), false), frame(0x80, make([]byte, 60<<10), false)),
		"continues nothing":  slices.Concat(hello, frame(0x80, []byte("ix"), false)),
		"empty":              slices.Concat(hello, frame(0x82, nil, false)),
		"not UTF-8 hello":    frame(0x82, []byte("h{\"client\":\"\xff\""), false),
		"a size of millions": slices.Concat(hello, frame(0x82, []byte("r\xff\xff\xff\xff\xff\xff"), false)),
	} {
		t.Run(name, func(t *testing.T) {
			b.t = t
			conn, r, resp := b.handshake("")
			if resp.StatusCode != http.StatusSwitchingProtocols {
				t.Fatal(resp.Status)
			}
			_, _ = conn.Write(frames)
			if err := awaitClose(r); err != nil {
				t.Errorf("the websocket stays open: %v", err)
			}
		})
	}
	b.t = t
	want(t, "the page then", b.get(prefix).status, http.StatusOK)
}

// TestNoCompression: no frame can be larger than it is.
func TestNoCompression(t *testing.T) {
	g := newGateway(t, time.Hour)
	b := newBrowser(t, g)
	b.login(owner)
	_, _, resp := b.handshake("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n")
	if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-WebSocket-Extensions") != "" {
		t.Errorf("%s with %q", resp.Status, resp.Header.Get("Sec-WebSocket-Extensions"))
	}
}

// TestPageThatTakesNothing: a websocket whose page acknowledges no output is
// closed, and meanwhile holds up neither the shell nor other pages.
func TestPageThatTakesNothing(t *testing.T) {
	g := newGateway(t, 20*time.Millisecond, func(o *server.Options) { o.Patience.Write = 100 * time.Millisecond })
	b := newBrowser(t, g)
	b.login(owner)
	conn, _, _ := b.handshake("")
	_, _ = conn.Write(frame(0x82, []byte(helloFrame), false))
	_, _ = conn.Write(frame(0x82, []byte("iyes\r"), false))
	// It doesn't read, either, until the gateway must have had enough of it: the
	// window is much larger than what the kernel holds.
	if err := conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	for b.g.open() > 0 {
		select {
		case <-t.Context().Done():
			t.Fatal("the websocket stays")
		case <-time.After(5 * time.Millisecond):
		}
	}
	fresh, _ := b.socket(nil)
	fresh.SetReadLimit(-1)
	for _, f := range []string{strings.Replace(helloFrame, `"c"`, `"another"`, 1), "i\x03"} {
		if err := fresh.Write(t.Context(), websocket.MessageBinary, []byte(f)); err != nil {
			t.Fatal(err)
		}
	}
	for stopped := false; !stopped; {
		_, f, err := fresh.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if f[0] != 'o' {
			continue
		}
		stopped = strings.HasSuffix(string(f), "ready> ")
		ack := binary.BigEndian.AppendUint64([]byte("a"), binary.BigEndian.Uint64(f[1:])+uint64(len(f)-9))
		if err := fresh.Write(t.Context(), websocket.MessageBinary, ack); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLogoutIsPrompt: the hub's word, or any request with the old cookie, ends
// what is open long before the next check.
func TestLogoutIsPrompt(t *testing.T) {
	for name, tell := range map[string]func(b *browser){
		"the hub says so": func(b *browser) {
			want(t, "check", newBrowser(t, b.g).do(http.MethodPost, prefix+"check", nil).status, http.StatusNoContent)
		},
		"another tab asks": func(b *browser) { want(t, "session", b.get(prefix+"session").status, http.StatusUnauthorized) },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, time.Hour)
			b, admin := newBrowser(t, g), newBrowser(t, g)
			conn := b.open(owner)
			admin.login("admin")
			stays, _ := admin.socket(nil)
			if err := stays.Write(t.Context(), websocket.MessageBinary, []byte(strings.Replace(helloFrame, `"c"`, `"admin"`, 1))); err != nil {
				t.Fatal(err)
			}
			admin.sees(stays, "ready> ")
			g.hub.set(func() {
				for token, user := range g.hub.tokens {
					if user == owner {
						delete(g.hub.tokens, token)
					}
				}
			})
			tell(b)
			if why := b.ends(conn); why.Code != 4001 {
				t.Errorf("closed with %v", why)
			}
			if err := stays.Write(t.Context(), websocket.MessageBinary, []byte("iecho $((40+2))\r")); err != nil {
				t.Fatal(err)
			}
			admin.sees(stays, "42")
		})
	}
	t.Run("it can't be made to ask all the time", func(t *testing.T) {
		g := newGateway(t, time.Hour)
		b := newBrowser(t, g)
		b.open(owner)
		before, start := g.hub.questions(), time.Now()
		for range 200 {
			b.do(http.MethodPost, prefix+"check", nil)
		}
		if asked, most := g.hub.questions()-before, 2+int(time.Since(start)/time.Second); asked > most {
			t.Errorf("the hub was asked %d times, want at most %d", asked, most)
		}
	})
}

// open is how many websockets the gateway has.
func (g *gateway) open() int { return g.server.Sockets() }

func (h *fakeHub) questions() int { h.mu.Lock(); defer h.mu.Unlock(); return h.asked }
