// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"context"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/workshopctl/workshopctl/pkg/terminal/wire"
)

// follow reads a terminal's output, acknowledging it, until ok accepts the last of it.
func follow(t *testing.T, conn *websocket.Conn, ok func(tail string) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn.SetReadLimit(1 << 20)
	for tail := ""; !ok(tail); {
		kind, frame, err := conn.Read(ctx)
		if err != nil {
			t.Fatalf("%v; got last %q", err, tail)
		}
		if kind != websocket.MessageBinary || frame[0] != byte(wire.KindOutput) {
			continue
		}
		tail += string(frame[9:])
		tail = tail[max(0, len(tail)-200):]
		end := binary.BigEndian.Uint64(frame[1:]) + uint64(len(frame)-9)
		write(t, conn, string(binary.BigEndian.AppendUint64([]byte{'a'}, end)))
	}
}

// TestPageThatAcknowledgesNothing gets the window and no more, however much is
// printed; one beside it gets all.
func TestPageThatAcknowledgesNothing(t *testing.T) {
	g := newGateway(t, time.Hour)
	b := newBrowser(t, g)
	good := b.open(owner)
	lazy, _ := b.socket(nil)
	lazy.SetReadLimit(1 << 20)
	write(t, lazy, `h{"client":"lazy","columns":80,"rows":24}`)
	write(t, good, "iseq 1 100000; echo do''ne\r")
	follow(t, good, func(all string) bool { return strings.HasSuffix(all, "done\r\nready> ") })
	write(t, lazy, "p") // what was to come before the answer has come
	got := 0
	for {
		_, frame, err := lazy.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if frame[0] == byte(wire.KindOutput) {
			got += len(frame) - 9
		}
		if frame[0] == byte(wire.KindPing) {
			break
		}
	}
	if got > wire.Window {
		t.Errorf("it got %d bytes without a word", got)
	}
}

// TestMessageInPieces: the bound on a message holds for its pieces together.
func TestMessageInPieces(t *testing.T) {
	g := newGateway(t, time.Hour)
	b := newBrowser(t, g)
	conn := b.open(owner)
	w, err := conn.Writer(t.Context(), websocket.MessageBinary)
	if err != nil {
		t.Fatal(err)
	}
	piece := []byte("i" + strings.Repeat("\x00", 8<<10-1))
	for range 3 * wire.MaxMessage / len(piece) {
		if _, err := w.Write(piece); err != nil {
			break // it is closed already
		}
	}
	if why := b.ends(conn); why.Code != websocket.StatusMessageTooBig {
		t.Errorf("closed with %v", why)
	}
}

// TestTextFrames: pages send none.
func TestTextFrames(t *testing.T) {
	g := newGateway(t, time.Hour)
	b := newBrowser(t, g)
	conn := b.open(owner)
	if err := conn.Write(t.Context(), websocket.MessageText, []byte("ix")); err != nil {
		t.Fatal(err)
	}
	if why := b.ends(conn); why.Code != websocket.StatusPolicyViolation {
		t.Errorf("closed with %v", why)
	}
}
