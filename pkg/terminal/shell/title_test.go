// SPDX-License-Identifier: Apache-2.0

package shell

import (
	"strings"
	"testing"
)

func TestTitleInOutput(t *testing.T) {
	long := strings.Repeat("x", 1000)
	for name, test := range map[string]struct{ output, want string }{
		"none":                   {"hello\r\n\x1b[31mred", ""},
		"with BEL":               {"\x1b]0;one\x07rest", "one"},
		"with ST":                {"\x1b]2;two\x1b\\rest", "two"},
		"the last":               {"\x1b]0;one\x07\x1b]2;two\x07", "two"},
		"taken back":             {"\x1b]0;one\x07\x1b]0;\x07", ""},
		"of the icon":            {"\x1b]1;icon\x07", ""},
		"another sequence":       {"\x1b]8;;http://x\x07\x1b]52;c;AAAA\x07\x1b]10;?\x07", ""},
		"without a number":       {"\x1b];x\x07\x1b]x\x07\x1b]\x07", ""},
		"semicolons":             {"\x1b]0;a;b\x07", "a;b"},
		"long":                   {"\x1b]0;" + long + "\x07", long[:longestTitle]},
		"given up":               {"\x1b]0;one\x18\x07", ""},
		"unfinished":             {"\x1b]0;one", ""},
		"broken by a sequence":   {"\x1b]0;one\x1b[31m\x07", ""},
		"broken by another":      {"\x1b]0;one\x1b]0;two\x07", "two"},
		"letters of the world":   {"\x1b]0;gr\u00fc\u00dfe \u4e16\u754c\x07", "gr\u00fc\u00dfe \u4e16\u754c"},
		"steering characters":    {"\x1b]0;a\tb\u202ec\u2028\n\x07", "abc"},
		"bytes that are no text": {"\x1b]0;a\xff\xfeb\x07", "ab"},
		"cut in a letter":        {"\x1b]0;" + long[:longestTitle-1] + "\u4e16\x07", long[:longestTitle-1]},
	} {
		t.Run(name, func(t *testing.T) {
			for _, piece := range []int{1, 2, 3, 10000} {
				var got title
				for p := []byte(test.output); len(p) > 0; p = p[min(piece, len(p)):] {
					got.feed(p[:min(piece, len(p))])
				}
				if got.text != test.want {
					t.Errorf("in pieces of %d: %q, want %q", piece, got.text, test.want)
				}
				if len(got.body) > longestTitle+2 {
					t.Errorf("keeps %d bytes", len(got.body))
				}
			}
		})
	}
	var got title
	if !got.feed([]byte("\x1b]0;x\x07")) || got.feed([]byte("\x1b]0;x\x07 and more")) {
		t.Error("a change is told when there is none, or the other way round")
	}
}
