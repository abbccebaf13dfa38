// SPDX-License-Identifier: Apache-2.0

package progress

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// In a pipe: plain lines with the time, none of them twice in a row, and no
// control sequences, not even those that come from the cluster.
func TestPlain(t *testing.T) {
	var b strings.Builder
	p := New(&b, strings.NewReplacer("workshopctl ", "oc workshop ").Replace)
	now := p.start
	p.now = func() time.Time { return now }
	p.Step("Applying %d objects", 3)
	now = now.Add(1500 * time.Millisecond)
	p.Detail("hub: \x1b[31mpulling\x1b[0m")
	p.Detail("hub: pulling")
	p.Mark("hub ready")
	p.Warn("use workshopctl url")
	p.Note("a note")
	p.Count(1, 0, 3, "ann\x1b[0m")
	p.Count(1, 1, 3, "bob failed")
	p.Done("done")
	p.Stop(errors.New("x"))
	want := "   0.0s  Applying 3 objects\n" +
		"   1.5s  hub: pulling\n" +
		"   1.5s  hub ready\n" +
		"Warning: use oc workshop url\n" +
		"a note\n" +
		"   1.5s  ann (1 of 3)\n" +
		"   1.5s  bob failed (2 of 3)\n" +
		"   1.5s  done\n"
	if got := b.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestFit(t *testing.T) {
	for text, want := range map[string]string{
		"short":            "short",
		"exactly 10":       "exactly 10",
		"longer than that": "longer th…",
		"two\nlines":       "two lines",
		"äöüäöüäöüäöü":     "äöüäöüäöü…",
	} {
		if got := fit(text, 10); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestBar(t *testing.T) {
	for _, test := range []struct {
		done, total int
		want        string
	}{
		{0, 3, "░░░░░░░░░░░░░░░░░░░░"},
		{1, 3, "██████░░░░░░░░░░░░░░"},
		{2, 3, "█████████████░░░░░░░"},
		{3, 3, "████████████████████"},
		{0, 0, "████████████████████"},
	} {
		if got := bar(test.done, test.total); got != test.want {
			t.Errorf("%d of %d: %s, want %s", test.done, test.total, got, test.want)
		}
	}
}
