// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/workshopctl/workshopctl/pkg/terminal/local"
	"github.com/workshopctl/workshopctl/pkg/terminal/wire"
)

// TestMessages: what a trainer tells comes to pages that are open, and for some
// time to those that come; as text, and only by the door for trainers.
func TestMessages(t *testing.T) {
	g := newGateway(t, time.Hour)
	address := local.Address(fmt.Sprintf("%s-%d", t.Name(), os.Getpid()))
	l, err := local.Listen(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- g.server.ServeLocal(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	tell := func(text string, fresh int, pages int) {
		t.Helper()
		if told, err := local.Message(t.Context(), address, wire.News{Text: text, Fresh: fresh}); err != nil || told.Pages != pages {
			t.Errorf("%q has come to %d pages, want %d: %v", text, told.Pages, pages, err)
		}
	}
	says := func(texts ...string) func(wire.State) bool {
		return func(s wire.State) bool {
			var got []string
			for _, m := range s.Messages {
				got = append(got, m.Text)
			}
			return slices.Equal(got, texts)
		}
	}
	tell("too early, and of no use later", 0, 0)
	tell("Lunch at 12\nin the <b>canteen</b>\x1b[31m\u202e\x00 ", 600, 0)
	b := newBrowser(t, g)
	b.login(owner)
	conn, _ := b.socket(nil)
	b.hello(conn)
	lunch := "Lunch at 12\nin the <b>canteen</b>[31m"
	b.states(conn, says(lunch))
	tell("Exercise 2", 600, 1)
	b.states(conn, says("too early, and of no use later", lunch, "Exercise 2"))
	another, _ := b.socket(nil)
	if err := another.Write(t.Context(), websocket.MessageBinary, []byte(`h{"client":"another","columns":80,"rows":24}`)); err != nil {
		t.Fatal(err)
	}
	b.states(another, says(lunch, "Exercise 2"))
	for i := range 6 {
		tell(fmt.Sprint(i), 600, 2)
	}
	b.states(conn, says("1", "2", "3", "4", "5"))

	for _, text := range []string{"", " \x07", strings.Repeat("ü", 501), strings.Repeat("a\n", 10) + "a"} {
		if _, err := local.Message(t.Context(), address, wire.News{Text: text}); err == nil {
			t.Errorf("%.10q was shown", text)
		}
	}
	tell(strings.Repeat("ü", 500), 0, 2)
	// Pages have no such door.
	want(t, "message", b.change(http.MethodPost, "message").status, http.StatusMethodNotAllowed)
}
