// SPDX-License-Identifier: Apache-2.0

package shell

import "github.com/workshopctl/workshopctl/pkg/terminal/wire"

// watching is how somebody else than the attendee shows the terminal.
type watching struct{ types bool }

// Watch adds a page of somebody who helps: it sees what the attendee sees, and
// types if it may. The attendee's pages learn of it. It counts neither for the
// terminal's size nor for its pace. Detach it with [Page.Detach].
func (t *Terminal) Watch(client string, types bool, notify Notify) *Page {
	p := &Page{terminal: t, notify: notify, watches: &watching{types: types}, Reader: t.stream.attachAs(client, "", 0, true)}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pages[p] = true
	notify.Size(t.size)
	t.tellState()
	return p
}

// news is what pages are told of the terminal; the caller holds the lock.
func (t *Terminal) news() wire.State {
	s := wire.State{Shell: t.state}
	for p := range t.pages {
		if p.watches == nil {
			continue
		}
		s.Watchers++
		if p.watches.types {
			s.Writers++
		}
	}
	return s
}

// tellState tells all pages; the caller holds the lock.
func (t *Terminal) tellState() {
	s := t.news()
	for p := range t.pages {
		p.notify.State(s)
	}
}
