// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	corev1 "k8s.io/api/core/v1"
)

// ECMA-48 control sequences, and the string sequences of which OSC (titles,
// links) are the ones met in logs. Their ends may be missing.
var controlSequence = regexp.MustCompile(`\x1b\[[0-?]*[ -/]*[@-~]?|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?|\x{9b}[0-?]*[ -/]*[@-~]?`)

// Clean makes text from the cluster fit for a terminal: control sequences and
// other characters that don't print or that change the direction of writing
// are taken out, line breaks and tabs stay.
func Clean(s string) string {
	s = controlSequence.ReplaceAllString(strings.ToValidUTF8(s, "\uFFFD"), "")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return r
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), r == '\u2028', r == '\u2029':
			return -1
		}
		return r
	}, s)
}

// maxLine is how much of one message is worth showing, in characters.
const maxLine = 700

// line makes one clean line of a message.
func line(s string) string {
	s = strings.Join(strings.Fields(Clean(s)), " ")
	if runes := []rune(s); len(runes) > maxLine {
		s = string(runes[:maxLine]) + "…"
	}
	return s
}

// LastLines returns the last n lines of a log that aren't empty, clean.
func LastLines(log string, n int) []string {
	var lines []string
	for l := range strings.Lines(log) {
		if l = strings.TrimRight(Clean(l), " \t\n"); l != "" {
			lines = append(lines, l)
		}
	}
	return lines[max(0, len(lines)-n):]
}

// evidence drops what is empty or said twice.
func evidence(lines ...string) []string {
	var out []string
	for _, l := range lines {
		if l = line(l); l != "" && !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	return out
}

// eventTime is when an event was last seen.
func eventTime(e *corev1.Event) time.Time {
	switch {
	case e.Series != nil && !e.Series.LastObservedTime.IsZero():
		return e.Series.LastObservedTime.Time
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.Time
	case !e.EventTime.IsZero():
		return e.EventTime.Time
	}
	return e.CreationTimestamp.Time
}

// firstTime is when an event was first seen.
func firstTime(e *corev1.Event) time.Time {
	switch {
	case !e.FirstTimestamp.IsZero():
		return e.FirstTimestamp.Time
	case !e.EventTime.IsZero():
		return e.EventTime.Time
	}
	return e.CreationTimestamp.Time
}

func sortByTime(events []*corev1.Event) {
	slices.SortStableFunc(events, func(a, b *corev1.Event) int {
		return cmp.Or(eventTime(a).Compare(eventTime(b)), cmp.Compare(a.Name, b.Name))
	})
}
