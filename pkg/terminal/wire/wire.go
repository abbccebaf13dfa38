// SPDX-License-Identifier: Apache-2.0

// Package wire is the language that the terminal page and the gateway speak
// over their websocket.
//
// Every message is one binary frame: one byte that says what it is, then its
// content. Integers are big-endian. Text frames carry nothing: the gateway
// sends one from time to time to keep routers from closing an idle
// connection, and the page ignores them.
//
// The output of the terminal is one stream of bytes that never restarts while
// the gateway lives, and every byte has its offset in it. The page
// remembers the offset that it has consumed; after a lost connection it names
// it and gets exactly what is missing.
//
// From the page:
//
//	h  Hello, first of all: JSON, see [Hello]
//	i  Input: the bytes typed
//	r  Resize: columns and rows, two bytes each
//	a  Ack: eight bytes, the offset up to which the page has consumed output
//	s  Start: a new shell, after one has ended
//	q  Answer: what the page's terminal answers to a question that a program
//	   has asked it (where is the cursor? what are you?). Of several pages that
//	   show a shell, the one that was used last is heard
//	p  Ping: the gateway answers with the same, so that a page which has doubts
//	   needn't wait for the connection to break
//
// From the gateway:
//
//	w  Welcome: JSON, see [Welcome]; output follows it from the offset it names
//	o  Output: eight bytes of offset, then the bytes
//	c  Credit: four bytes, how many bytes of input were passed on
//	z  Size: the terminal's size now, when another page has changed it
//	t  State: JSON, see [State]
package wire

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
)

// Limits of the protocol, all in bytes.
const (
	// MaxMessage is the largest frame that the gateway accepts.
	MaxMessage = 64 << 10
	// MaxOutput is the most output that one frame carries.
	MaxOutput = 64 << 10
	// Window is how much output the gateway sends ahead of the page's
	// acknowledgements.
	Window = 512 << 10
	// InputWindow is how much input a page may send ahead of the gateway's
	// credits.
	InputWindow = 128 << 10
	// InputCredit is how much input is passed on before the gateway says so:
	// well under [InputWindow], so that a page never waits in vain, and far
	// more than a person types, so that typing costs no answers.
	InputCredit = 32 << 10
)

// maxSide bounds the columns and rows of a terminal: programs allocate by them.
const maxSide = 1000

// Kind is the first byte of a frame.
type Kind byte

// The kinds of frames; see the package's comment.
const (
	KindHello   Kind = 'h'
	KindInput   Kind = 'i'
	KindResize  Kind = 'r'
	KindAck     Kind = 'a'
	KindStart   Kind = 's'
	KindAnswer  Kind = 'q'
	KindPing    Kind = 'p'
	KindWelcome Kind = 'w'
	KindOutput  Kind = 'o'
	KindCredit  Kind = 'c'
	KindSize    Kind = 'z'
	KindState   Kind = 't'
)

// Size is a terminal's size in characters.
type Size struct {
	Columns uint16 `json:"columns"`
	Rows    uint16 `json:"rows"`
}

// Hello is how a page introduces itself.
type Hello struct {
	// Client is the page's own random name; a page that reconnects keeps it.
	Client string `json:"client"`
	// Stream and Offset say how far the page has consumed which stream.
	// A page without output yet leaves them empty.
	Stream string `json:"stream,omitempty"`
	Offset uint64 `json:"offset,omitempty"`
	// Shell is the number of the shell, 1 where there is none. The websocket's
	// address names it as well.
	Shell int `json:"shell,omitempty"`
	Size
}

// Welcome answers Hello.
type Welcome struct {
	Stream string `json:"stream"`
	// Offset is that of the next byte of output.
	Offset uint64 `json:"offset"`
	// Reset says that output between the page's offset and this one is gone
	// (or never was shown): the page must clear its screen first, then write
	// Preamble, which puts the terminal into the modes in force at Offset.
	Reset    bool   `json:"reset,omitempty"`
	Preamble string `json:"preamble,omitempty"`
	// Live is set with Reset: output before this offset is from before the page
	// came, and the questions of programs in it have had their answers.
	Live uint64 `json:"live,omitempty"`
	// Taken is how much input has come from this page so far, by all of its
	// connections. What it sent beyond that is lost; it is to send it again.
	// Without it the page isn't remembered.
	Taken *uint64 `json:"taken,omitempty"`
}

// State says how the shells are.
type State struct {
	// Shell is how the page's own is: "starting", "running" or "ended".
	Shell string `json:"shell"`
	// Shells are all of the session's.
	Shells []Shell `json:"shells,omitempty"`
	// Watchers counts the trainers who see the page's own shell from their
	// machine, Writers those of them who may type there.
	Watchers int `json:"watchers,omitempty"`
	Writers  int `json:"writers,omitempty"`
	// Messages are those of a trainer that the page is to show, the oldest first.
	Messages []FromTrainer `json:"messages,omitempty"`
	End
}

// FromTrainer is a message to everybody who sees a session's page.
type FromTrainer struct {
	// ID tells it from others with the same text.
	ID   string `json:"id"`
	Text string `json:"text"`
	At   int64  `json:"at"` // seconds since 1970
}

// News is a message as `workshop-terminal message` hands it to the gateway, and
// Told is the answer.
type News struct {
	Text string `json:"text"`
	// Fresh is for how many seconds pages that come are to show it.
	Fresh int `json:"fresh"`
}

// Told says how many pages a message has come to.
type Told struct {
	Pages int `json:"pages"`
}

// Bounds of a message: characters and lines.
const (
	MaxNews      = 500
	MaxNewsLines = 10
)

// End says when the session ends, if that is near or put off.
type End struct {
	// StopsIn is the time in seconds after which the session will be stopped,
	// when that is near.
	StopsIn int `json:"stopsIn,omitempty"`
	// Why it will be: EndIdle or EndMaxAge.
	Why string `json:"why,omitempty"`
	// UseHelps says that it won't be if it is used now.
	UseHelps bool `json:"useHelps,omitempty"`
	// KeptUntil is the time, in seconds since 1970, until which it is kept, where
	// it would be stopped earlier.
	KeptUntil int64 `json:"keptUntil,omitempty"`
}

// Why a session ends.
const (
	EndIdle   = "idle"    // nobody uses it
	EndMaxAge = "max-age" // it has run for as long as one may
)

// Event is what `workshop-terminal attach` tells beside the terminal's output,
// as a line of JSON on its standard error. One with nothing in it says that the
// connection lives.
type Event struct {
	// Size is that of the terminal, at the beginning and when it changes.
	Size *Size `json:"size,omitempty"`
}

// Shell is one of the session's shells.
type Shell struct {
	Number int `json:"number"`
	// Title is what its programs call their window.
	Title string `json:"title,omitempty"`
	// State is as in [State].
	State string `json:"state"`
}

// Message is a frame from a page. Which of the fields counts is for Kind to say.
type Message struct {
	Kind   Kind
	Hello  Hello
	Input  []byte // shares memory with the frame
	Size   Size
	Offset uint64
}

var errEmpty = errors.New("empty frame")

// Parse reads a frame from a page. It accepts nothing that it doesn't know.
func Parse(frame []byte) (Message, error) {
	if len(frame) == 0 {
		return Message{}, errEmpty
	}
	m := Message{Kind: Kind(frame[0])}
	body := frame[1:]
	var err error
	switch m.Kind {
	case KindHello:
		if err = json.Unmarshal(body, &m.Hello); err != nil {
			return Message{}, fmt.Errorf("hello frame: %w", err)
		}
		if n := len(m.Hello.Client); n == 0 || n > 64 {
			return Message{}, errors.New("hello frame: the client's name must have 1 to 64 bytes")
		}
		m.Hello.Size, err = checkSize(m.Hello.Size)
	case KindInput, KindAnswer:
		m.Input = body
	case KindResize:
		if len(body) != 4 {
			return Message{}, fmt.Errorf("resize frame of %d bytes", len(body))
		}
		m.Size, err = checkSize(Size{Columns: binary.BigEndian.Uint16(body), Rows: binary.BigEndian.Uint16(body[2:])})
	case KindAck:
		if len(body) != 8 {
			return Message{}, fmt.Errorf("ack frame of %d bytes", len(body))
		}
		m.Offset = binary.BigEndian.Uint64(body)
	case KindStart, KindPing:
		if len(body) != 0 {
			return Message{}, fmt.Errorf("frame of kind %q with %d bytes", byte(m.Kind), len(body))
		}
	default:
		return Message{}, fmt.Errorf("frame of unknown kind %q", byte(m.Kind))
	}
	if err != nil {
		return Message{}, err
	}
	return m, nil
}

func checkSize(s Size) (Size, error) {
	if s.Columns == 0 || s.Rows == 0 {
		return Size{}, fmt.Errorf("a terminal of %d columns and %d rows", s.Columns, s.Rows)
	}
	return Size{Columns: min(s.Columns, maxSide), Rows: min(s.Rows, maxSide)}, nil
}

// AppendOutputHeader appends the start of an output frame whose first byte of
// output has the given offset; the output itself follows it.
func AppendOutputHeader(frame []byte, offset uint64) []byte {
	return binary.BigEndian.AppendUint64(append(frame, byte(KindOutput)), offset)
}

// AppendPing appends the answer to a ping.
func AppendPing(frame []byte) []byte { return append(frame, byte(KindPing)) }

// AppendCredit appends a credit frame for n bytes of input.
func AppendCredit(frame []byte, n uint32) []byte {
	return binary.BigEndian.AppendUint32(append(frame, byte(KindCredit)), n)
}

// AppendSize appends a size frame.
func AppendSize(frame []byte, s Size) []byte {
	frame = append(frame, byte(KindSize))
	frame = binary.BigEndian.AppendUint16(frame, s.Columns)
	return binary.BigEndian.AppendUint16(frame, s.Rows)
}

// AppendWelcome appends a welcome frame.
func AppendWelcome(frame []byte, w Welcome) []byte { return appendJSON(frame, KindWelcome, w) }

// AppendState appends a state frame.
func AppendState(frame []byte, s State) []byte { return appendJSON(frame, KindState, s) }

func appendJSON(frame []byte, k Kind, v any) []byte {
	// The types given here are made of strings, numbers and booleans, which
	// always encode.
	body, _ := json.Marshal(v)
	return append(append(frame, byte(k)), body...)
}
