// SPDX-License-Identifier: Apache-2.0

package shell

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/workshopctl/workshopctl/pkg/terminal/wire"
)

// piece is what the kernel hands out of a terminal at once, at most.
const piece = 4095

// BenchmarkOutput passes output through a stream to its pages, in the pieces that a
// terminal gives. Its peer, copy, is one copy of the same bytes.
func BenchmarkOutput(b *testing.B) {
	p := append(bytes.Repeat([]byte("\x1b[32mINFO\x1b[0m created\r\n"), piece/24), bytes.Repeat([]byte("."), piece%24)...)
	b.Run("copy", func(b *testing.B) {
		b.SetBytes(piece)
		to := make([]byte, piece)
		for b.Loop() {
			copy(to, p)
		}
	})
	for _, pages := range []int{0, 1, 2} {
		b.Run(fmt.Sprint("pages=", pages), func(b *testing.B) {
			s := newStream(0)
			defer s.close()
			for i := range pages {
				r := s.attach(fmt.Sprint(i), "", 0)
				go func() {
					buf := make([]byte, 0, wire.MaxOutput)
					for {
						offset, out, _, err := r.Next(b.Context(), buf)
						if err != nil || r.Ack(offset+uint64(len(out))) != nil {
							return
						}
						if len(out) >= 2<<10 && len(out) < cap(buf) {
							r.Gather(b.Context(), 4*time.Millisecond)
						}
					}
				}()
			}
			b.SetBytes(piece)
			for b.Loop() {
				if s.waitForRoom() != nil {
					b.Fatal("closed")
				}
				s.write(p)
			}
		})
	}
}
