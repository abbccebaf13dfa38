// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"compress/flate"
	"math/rand/v2"
	"testing"
)

// BenchmarkDeflate is what permessage-deflate would cost for messages of output,
// at the speed that websocket libraries choose, and what it would save: wire is
// the share of the bytes that is left. docs/performance.md says what follows.
func BenchmarkDeflate(b *testing.B) {
	kinds := map[string]func(*rand.Rand, *bytes.Buffer){"text": textLine, "escapes": escapesLine}
	for name, line := range kinds {
		for size, bytesOfIt := range map[string]int{"message": 60 << 10, "screen": 2 << 10, "prompt": 60} {
			b.Run(name+"/"+size, func(b *testing.B) {
				p := generate(bytesOfIt, line)
				var wire bytes.Buffer
				w, err := flate.NewWriter(&wire, flate.BestSpeed)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(len(p)))
				for b.Loop() {
					wire.Reset()
					w.Reset(&wire)
					if _, err := w.Write(p); err != nil {
						b.Fatal(err)
					}
					if err := w.Flush(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(wire.Len())/float64(len(p)), "wire")
			})
		}
	}
}
