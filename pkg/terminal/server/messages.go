// SPDX-License-Identifier: Apache-2.0

package server

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/workshopctl/workshopctl/pkg/terminal/wire"
)

const (
	// maxMessages is how many of a trainer's messages are shown to a page that
	// comes; the newest ones are.
	maxMessages = 5
	// maxFresh is how long one may be shown to pages that come.
	maxFresh = 24 * time.Hour
)

// message is one that pages are told, until it is no longer of use.
type message struct {
	wire.FromTrainer
	until time.Time
}

// serveMessage takes a message from a trainer, and answers how many pages it has
// come to.
func (s *Server) serveMessage(w http.ResponseWriter, r *http.Request) {
	var news wire.News
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 16<<10)).Decode(&news); err != nil {
		http.Error(w, "not a message", http.StatusBadRequest)
		return
	}
	text, err := messageText(news.Text)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fresh := min(time.Duration(news.Fresh)*time.Second, maxFresh)
	writeJSON(w, wire.Told{Pages: s.tellAll(text, fresh)})
}

// messageText is a message as it may be shown: text, and not too much of it.
func messageText(text string) (string, error) {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\t', r == '\u2028', r == '\u2029':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\ufffd"))
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return "", errors.New("the message has no text")
	case len([]rune(text)) > wire.MaxNews, strings.Count(text, "\n") >= wire.MaxNewsLines:
		return "", errors.New("the message is too long")
	}
	return text, nil
}

// tellAll shows a message on every page, and for some time to those that come.
// It says how many pages there are.
func (s *Server) tellAll(text string, fresh time.Duration) (pages int) {
	now := time.Now()
	m := message{wire.FromTrainer{ID: rand.Text(), Text: text, At: now.Unix()}, now.Add(fresh)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, m)
	s.messages = s.messages[max(0, len(s.messages)-maxMessages):]
	for k := range s.sockets {
		if k.watches == nil {
			pages++
			k.tellMessages(s.messages)
		}
	}
	s.Logf("a trainer's message has come to %d pages", pages)
	return pages
}

// tellFresh tells a page that has come what is still of use.
func (s *Server) tellFresh(k *socket) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	var fresh []message
	for _, m := range s.messages {
		if now.Before(m.until) {
			fresh = append(fresh, m)
		}
	}
	if len(fresh) > 0 && k.watches == nil {
		k.tellMessages(fresh)
	}
}

func (k *socket) tellMessages(list []message) {
	all := make([]wire.FromTrainer, len(list))
	for i, m := range list {
		all[i] = m.FromTrainer
	}
	k.tell(func() { k.state.Messages, k.newState = all, true })
}
