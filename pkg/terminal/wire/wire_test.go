// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"bytes"
	"testing"

	"github.com/workshopctl/workshopctl/pkg/terminal/wire"
)

func TestParse(t *testing.T) {
	for name, test := range map[string]struct {
		frame string
		want  wire.Message
	}{
		"input":        {"ils -l\r", wire.Message{Kind: wire.KindInput, Input: []byte("ls -l\r")}},
		"empty input":  {"i", wire.Message{Kind: wire.KindInput}},
		"resize":       {"r\x00\x78\x00\x28", wire.Message{Kind: wire.KindResize, Size: wire.Size{Columns: 120, Rows: 40}}},
		"giant resize": {"r\xff\xff\xff\xff", wire.Message{Kind: wire.KindResize, Size: wire.Size{Columns: 1000, Rows: 1000}}},
		"ack":          {"a\x00\x00\x00\x01\x00\x00\x00\x02", wire.Message{Kind: wire.KindAck, Offset: 1<<32 | 2}},
		"start":        {"s", wire.Message{Kind: wire.KindStart}},
		"ping":         {"p", wire.Message{Kind: wire.KindPing}},
		"answer":       {"q\x1b[1;1R", wire.Message{Kind: wire.KindAnswer, Input: []byte("\x1b[1;1R")}},
		"hello": {`h{"client":"c1","stream":"S","offset":7,"columns":80,"rows":24}`, wire.Message{Kind: wire.KindHello,
			Hello: wire.Hello{Client: "c1", Stream: "S", Offset: 7, Size: wire.Size{Columns: 80, Rows: 24}}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := wire.Parse([]byte(test.frame))
			if err != nil {
				t.Fatal(err)
			}
			if got.Kind != test.want.Kind || !bytes.Equal(got.Input, test.want.Input) || got.Size != test.want.Size ||
				got.Offset != test.want.Offset || got.Hello != test.want.Hello {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for name, frame := range map[string]string{
		"nothing":             "",
		"unknown kind":        "x",
		"the gateway's kind":  "o\x00\x00\x00\x00\x00\x00\x00\x00x",
		"short resize":        "r\x00\x50",
		"long resize":         "r\x00\x50\x00\x18\x00",
		"no columns":          "r\x00\x00\x00\x18",
		"short ack":           "a\x01",
		"start with content":  "sx",
		"ping with content":   "px",
		"hello without JSON":  "h",
		"hello without name":  `h{"columns":80,"rows":24}`,
		"hello without size":  `h{"client":"c"}`,
		"hello with a novel":  `h{"client":"` + string(bytes.Repeat([]byte("x"), 65)) + `","columns":80,"rows":24}`,
		"hello, odd offset":   `h{"client":"c","offset":-1,"columns":80,"rows":24}`,
		"hello, giant window": `h{"client":"c","columns":80000,"rows":24}`,
	} {
		t.Run(name, func(t *testing.T) {
			if m, err := wire.Parse([]byte(frame)); err == nil {
				t.Errorf("accepted as %+v", m)
			}
		})
	}
}

// FuzzParse looks for frames that end the gateway or come out of bounds.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "i", "ix", "r\x00\x50\x00\x18", "a\x00\x00\x00\x00\x00\x00\x00\x01", "s", "p", "q\x1b[0n",
		`h{"client":"c","stream":"s","offset":1,"columns":80,"rows":24}`, "h{", "\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		m, err := wire.Parse(frame)
		if err != nil {
			return
		}
		size := m.Size
		switch m.Kind {
		case wire.KindHello:
			size = m.Hello.Size
			if m.Hello.Client == "" || len(m.Hello.Client) > 64 {
				t.Errorf("client %q", m.Hello.Client)
			}
		case wire.KindInput, wire.KindAnswer:
			if !bytes.Equal(m.Input, frame[1:]) {
				t.Errorf("input %q of %q", m.Input, frame)
			}
			return
		case wire.KindAck, wire.KindStart, wire.KindPing:
			return
		case wire.KindResize:
		default:
			t.Fatalf("kind %q", m.Kind)
		}
		if size.Columns < 1 || size.Columns > 1000 || size.Rows < 1 || size.Rows > 1000 {
			t.Errorf("size %+v", size)
		}
	})
}
