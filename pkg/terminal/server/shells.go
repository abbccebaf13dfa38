// SPDX-License-Identifier: Apache-2.0

package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/workshopctl/workshopctl/pkg/terminal/shell"
	"github.com/workshopctl/workshopctl/pkg/terminal/wire"
)

// shellNumber reads the number of a shell as it stands in addresses, in one
// spelling only. 0 is none.
func shellNumber(text string) int {
	number, err := strconv.Atoi(text)
	if err != nil || number < shell.First || number > shell.MaxShells || strconv.Itoa(number) != text {
		return 0
	}
	return number
}

// shellOf is the shell that a request means by its query, the first without one.
// If there is none it answers, and returns nil.
func (s *Server) shellOf(w http.ResponseWriter, r *http.Request) *shell.Terminal {
	if s.Shells == nil {
		http.Error(w, s.Problem, http.StatusConflict)
		return nil
	}
	number := shell.First
	if text := r.URL.Query().Get("shell"); text != "" {
		number = shellNumber(text)
	}
	t := s.Shells.Get(number)
	if t == nil {
		http.Error(w, shell.ErrUnknown.Error(), http.StatusNotFound)
	}
	return t
}

// serveShellPage is the page of one of the shells. The first one's is the
// session's own.
func (s *Server) serveShellPage(w http.ResponseWriter, r *http.Request, text string) {
	switch number := shellNumber(text); number {
	case 0:
		http.NotFound(w, r)
	case shell.First:
		s.to(w, s.Config.Prefix)
	default:
		s.serveTerminal(w, r, s.Config.Prefix+"shell/"+text, number)
	}
}

// serveShells lists the shells.
func (s *Server) serveShells(w http.ResponseWriter, r *http.Request) {
	if s.admit(w, r) == nil {
		return
	}
	list := struct {
		Shells []wire.Shell `json:"shells"`
		Limit  int          `json:"limit"`
	}{[]wire.Shell{}, shell.MaxShells}
	if s.Shells != nil {
		list.Shells = s.Shells.List()
	}
	writeJSON(w, list)
}

// serveNewShell opens one more.
func (s *Server) serveNewShell(w http.ResponseWriter, r *http.Request) {
	if s.admitChange(w, r) == nil {
		return
	}
	if s.Shells == nil {
		http.Error(w, s.Problem, http.StatusConflict)
		return
	}
	number, err := s.Shells.New()
	switch {
	case errors.Is(err, shell.ErrTooMany):
		http.Error(w, err.Error(), http.StatusConflict)
		return
	case err != nil:
		s.Logf("open a shell: %v", err)
		http.Error(w, "the shell can't be started", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Location", fmt.Sprintf("%sshell/%d", s.Config.Prefix, number))
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(wire.Shell{Number: number, State: shell.Running})
}

// serveCloseShell hangs one up.
func (s *Server) serveCloseShell(w http.ResponseWriter, r *http.Request, text string) {
	if s.admitChange(w, r) == nil {
		return
	}
	err := shell.ErrUnknown
	if s.Shells != nil {
		err = s.Shells.Close(r.Context(), shellNumber(text))
	}
	switch {
	case errors.Is(err, shell.ErrFirst):
		http.Error(w, err.Error(), http.StatusConflict)
	case err != nil:
		http.Error(w, err.Error(), http.StatusNotFound)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// serveRestart ends a shell and starts a new one in its place.
func (s *Server) serveRestart(w http.ResponseWriter, r *http.Request) {
	if s.admitChange(w, r) == nil {
		return
	}
	t := s.shellOf(w, r)
	if t == nil {
		return
	}
	if err := t.Restart(r.Context()); err != nil {
		s.Logf("restart the shell: %v", err)
		http.Error(w, "the shell can't be started", http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
