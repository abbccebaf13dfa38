// SPDX-License-Identifier: Apache-2.0

package shell_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/workshopctl/workshopctl/pkg/terminal/shell"
	"github.com/workshopctl/workshopctl/pkg/terminal/wire"
)

// TestInterruptInAFlood: a program that prints without end is interrupted though the
// page has shown nothing yet, and what the page still has to show then is bounded:
// by the window, and by what the kernel keeps of a terminal.
func TestInterruptInAFlood(t *testing.T) {
	const kernel = 256 << 10
	term := newTerminal(t, `trap 'echo interrupted' INT; yes; sleep 1000`)
	page := term.Attach(wire.Hello{Client: "c", Size: usual},
		shell.Notify{Size: func(wire.Size) {}, State: func(wire.State) {}, Credit: func(int) {}})
	defer page.Detach(false)
	if err := term.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 0, wire.MaxOutput)
	next := func() (uint64, []byte) {
		t.Helper()
		offset, out, anew, err := page.Next(t.Context(), buf)
		if err != nil || anew != nil {
			t.Fatalf("%v, anew %v", err, anew)
		}
		return offset, bytes.Clone(out)
	}
	var received uint64
	for received < wire.Window {
		offset, out := next()
		received = offset + uint64(len(out))
	}
	if err := page.Input([]byte("\x03")); err != nil {
		t.Fatal(err)
	}
	typed := received
	for tail := []byte(nil); !bytes.Contains(tail, []byte("interrupted")); {
		if err := page.Ack(received); err != nil {
			t.Fatal(err)
		}
		offset, out := next()
		received = offset + uint64(len(out))
		if received-typed > wire.Window+kernel {
			t.Fatal(fmt.Sprint(received-typed, " bytes after Ctrl-C, and no end"))
		}
		tail = append(tail[max(0, len(tail)-20):], out...)
	}
}
