// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// Marks that no file contains: the shells print them where a measure starts and
// ends.
const (
	begun  = 0x02
	ended  = 0x03
	prompt = 0x04
)

// script is what the shells run: short words, so that no line editor wraps them.
const script = `case $1 in
show) printf '\002'; cat "$2"; printf '\003';;
part) printf '\002'; head -c "$3" "$2"; printf '\003';;
echo) stty -icanon; printf '\003'; exec cat >/dev/null;;
load) printf '\003'; while :; do cat text; done;;
yes) printf '\003'; exec yes;;
esac
`

//go:embed terminado_server.py
var terminadoServer []byte

// material writes what the shells print into a folder, which is their home.
func material(dir string, size int) error {
	files := map[string][]byte{
		"b":                   []byte(script),
		"terminado_server.py": terminadoServer,
		"text":                generate(size, textLine),
		"escapes":             generate(size, escapesLine),
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// expected is how many bytes a terminal makes of a file: it begins lines anew
// with a carriage return.
func expected(content []byte) int { return len(content) + bytes.Count(content, []byte{'\n'}) }

// generate repeats lines until there are n bytes; the same at each call.
func generate(n int, line func(*rand.Rand, *bytes.Buffer)) []byte {
	r := rand.New(rand.NewPCG(5, 5))
	var b bytes.Buffer
	b.Grow(n + 1024)
	for b.Len() < n {
		line(r, &b)
	}
	out := b.Bytes()[:n]
	for i := n - 1; out[i] >= 0x80; i-- { // no half of a character at the end
		out[i] = '.'
	}
	return out
}

var words = []string{
	"kubectl", "the", "session", "of", "deployment", "pod/terminals", "created", "INFO", "2026-11-24T09:15:02Z", "to", "configured",
	"volume", "and", "image", "pulled", "in", "3.2s", "error:", "not", "found", "größer", "→", "return", "if", "err", "!=", "nil", "{", "}", "func",
	"workshop", "a", "with", "restarts=0", "cpu:", "250m", "memory:", "/opt/app-root/src", "127.0.0.1:8080", "sha256:9f86d081884c7d65",
}

// textLine is a line of a log, a listing or a program.
func textLine(r *rand.Rand, b *bytes.Buffer) {
	for range 2 + r.IntN(14) {
		b.WriteString(words[r.IntN(len(words))])
		b.WriteByte(' ')
	}
	fmt.Fprintf(b, "%d\n", r.IntN(100_000))
}

// escapesLine is what coloured listings, progress bars and full-screen programs
// print.
func escapesLine(r *rand.Rand, b *bytes.Buffer) {
	switch r.IntN(4) {
	case 0: // a coloured line
		for range 3 + r.IntN(6) {
			fmt.Fprintf(b, "\x1b[%d;38;5;%dm%s\x1b[0m ", r.IntN(2), r.IntN(256), words[r.IntN(len(words))])
		}
		b.WriteByte('\n')
	case 1: // a progress bar
		fmt.Fprintf(b, "\r\x1b[K\x1b[32m%3d%%\x1b[0m [%-40s]", r.IntN(101), "########################################"[:r.IntN(41)])
	case 2: // a place on the screen
		fmt.Fprintf(b, "\x1b[%d;%dH\x1b[38;2;%d;%d;%dm%s\x1b[m", 1+r.IntN(24), 1+r.IntN(80), r.IntN(256), r.IntN(256), r.IntN(256), words[r.IntN(len(words))])
	default:
		b.WriteString("\x1b[7m")
		textLine(r, b)
		b.WriteString("\x1b[27m")
	}
}
