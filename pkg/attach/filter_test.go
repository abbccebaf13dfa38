// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"strings"
	"testing"
)

func filtered(in string, step int) string {
	var b strings.Builder
	f := NewFilter(&b)
	for len(in) > 0 {
		n := min(step, len(in))
		_, _ = f.Write([]byte(in[:n]))
		in = in[n:]
	}
	return b.String()
}

func TestFilter(t *testing.T) {
	for name, test := range map[string]struct{ in, want string }{
		"text":                   {"a\tb\r\n\x08\x07", "a\tb\r\n\x08\x07"},
		"characters":             {"é€😀 ", "é€😀 "},
		"no-break space":         {"\u00a0", "\u00a0"},
		"colours":                {"\x1b[1;38;2;1;2;3mx\x1b[0m", "\x1b[1;38;2;1;2;3mx\x1b[0m"},
		"cursor":                 {"\x1b[2J\x1b[3;4H\x1b7\x1b8\x1bM\x1b[?25l\x1b[4 q", "\x1b[2J\x1b[3;4H\x1b7\x1b8\x1bM\x1b[?25l\x1b[4 q"},
		"charsets":               {"\x1b(0x\x1b(B", "\x1b(0x\x1b(B"},
		"alternate screen":       {"\x1b[?1049h\x1b[?2004h", "\x1b[?1049h\x1b[?2004h"},
		"soft reset":             {"\x1b[!p", "\x1b[!p"},
		"clipboard":              {"a\x1b]52;c;ZXZpbA==\x07b\x1b]52;c;?\x1b\\c", "abc"},
		"title":                  {"\x1b]0;evil\x07x", "x"},
		"colour question":        {"\x1b]11;?\x1b\\x", "x"},
		"device control":         {"\x1bP$qm\x1b\\x\x1bP+q544e\x1b\\y", "xy"},
		"other strings":          {"\x1b_evil\x1b\\\x1b^evil\x1b\\\x1bXevil\x1b\\x", "x"},
		"who are you":            {"\x1b[c\x1b[>c\x1b[=c\x1bZ\x05x\x1b[>q", "x"},
		"where is the cursor":    {"\x1b[6n\x1b[?6n\x1b[5nx", "x"},
		"window":                 {"\x1b[21t\x1b[14t\x1b[8;1;1tx", "x"},
		"mode question":          {"\x1b[?2004$p\x1b[4$px", "x"},
		"keyboard":               {"\x1b[?u\x1b[>1u\x1b[>4;2m\x1b[=1;1ux", "x"},
		"printer":                {"\x1b[5ix\x1b[?5iy", "xy"},
		"mouse":                  {"\x1b[?1000;1006h\x1b[?1004hx", "x"},
		"mouse among others":     {"\x1b[?25;1000;7h", "\x1b[?25;7h"},
		"checksum":               {"\x1b[1;1;1;1;1;1*yx", "x"},
		"8-bit controls":         {"\x9d52;c;x\x9c\x9b6n", "?52;c;x??6n"},
		"8-bit controls, UTF-8":  {"\u009d\u009b6nx", "6nx"},
		"broken character":       {"\xe2\x1b[mx\xc2\x1b[my", "\xe2\x1b[mx\x1b[my"},
		"cancelled":              {"\x1b]52;c;x\x18ab\x1b[3\x1acd", "abcd"},
		"string cut by sequence": {"\x1b]52;c;x\x1b[31mab", "\x1b[31mab"},
		"controls inside":        {"\x1b[3\n1mx", "\n\x1b[31mx"},
		"endless":                {"\x1b[" + strings.Repeat("1;", 500) + "mx", strings.Repeat("1;", 500-63)[1:] + "mx"},
	} {
		for _, step := range []int{1, 2, 1000000} {
			if got := filtered(test.in, step); got != test.want && name != "endless" {
				t.Errorf("%s, %d at once: %q, want %q", name, step, got, test.want)
			} else if strings.Contains(got, "\x1b]") {
				t.Errorf("%s: %q", name, got)
			}
		}
	}
}

// FuzzFilter looks for output that a terminal answers or that changes more than
// what is seen: no string opens, no question passes, and pieces make no
// difference.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{"\x1b]52;c;x\x07", "\x1b[6n", "\x1b\x1b]0;x", "\xc2\x9b6n", "\x1b[\x1b]x\x1b\\", "é\x1bP\x1b\\"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got := filtered(in, len(in)+1)
		if pieces := filtered(in, 1); pieces != got {
			t.Fatalf("%q in pieces is %q, at once %q", in, pieces, got)
		}
		for _, no := range []string{"\x1b]", "\x1bP", "\x1b_", "\x1b^", "\x1bX", "\x1bZ", "\x05", "\xc2\x9b", "\xc2\x9d", "\xc2\x90", "\x1b[6n", "\x1b[c"} {
			if strings.Contains(got, no) {
				t.Fatalf("%q passes %q: %q", in, no, got)
			}
		}
		if again := filtered(got, len(got)+1); again != got {
			t.Fatalf("%q becomes %q, and that %q", in, got, again)
		}
	})
}
