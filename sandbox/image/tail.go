// SPDX-License-Identifier: Apache-2.0

package image

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
)

// tailSize is how much of a tool's output an error carries, in bytes.
const tailSize = 2000

// tail passes output on and remembers its end.
type tail struct {
	to  io.Writer
	end []byte
}

// Write never fails a tool because its log can't be written.
func (t *tail) Write(p []byte) (int, error) {
	t.end = append(t.end, p...)
	if len(t.end) > 2*tailSize {
		t.end = append([]byte(nil), t.end[len(t.end)-tailSize:]...)
	}
	_, _ = t.to.Write(p)
	return len(p), nil
}

// last returns the last whole lines.
func (t *tail) last() string {
	end := t.end
	if len(end) > tailSize {
		end = end[len(end)-tailSize:]
		if i := bytes.IndexByte(end, '\n'); i >= 0 {
			end = end[i+1:]
		}
	}
	return string(bytes.TrimSpace(end))
}

func sha256Hex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
