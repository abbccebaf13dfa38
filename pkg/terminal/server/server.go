// SPDX-License-Identifier: Apache-2.0

// Package server is the gateway's web server: the page, the websocket, and the
// rules of who may have them.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/workshopctl/workshopctl/pkg/terminal/hubauth"
	"github.com/workshopctl/workshopctl/pkg/terminal/shell"
	"github.com/workshopctl/workshopctl/pkg/terminal/web"
)

// Options are what a server needs.
type Options struct {
	Config   hubauth.Config
	Version  string // of the gateway
	Workshop string // shown in the page
	// Shells is nil if the image has no shell; Problem then says so to the user.
	Shells  *shell.Set
	Problem string
	Files   Files
	// Ports are the attendee's own web apps; AppAnswerTime is how long one may
	// think about an answer (0: long enough).
	Ports         []Port
	AppAnswerTime time.Duration
	// Notes are shown beside the terminal.
	Notes Notes
	// CheckEvery is how often the users of open websockets are checked at the hub,
	// and activity is reported to it; KeepAlive how often an open websocket carries
	// a frame at least.
	CheckEvery, KeepAlive time.Duration
	Patience              Patience
	// Life is how long the session lives.
	Life Life
	// FilesLost says that the session has no volume, or one that goes with it.
	FilesLost bool
	Logf      func(format string, args ...any)
}

// Server is the gateway's web server.
type Server struct {
	Options
	hub    *hubauth.Hub
	gate   *hubauth.Gate
	site   *web.Site
	apps   *apps
	prefix string // decoded
	// transfers has a token for each upload and download.
	transfers chan struct{}
	use       *use

	// recheck asks for a check of all open websockets before the next is due.
	recheck chan struct{}

	mu         sync.Mutex
	hubVersion string
	sockets    map[*socket]bool
	messages   []message // the newest last
	closing    bool
}

// maxSockets bounds the open pages.
const maxSockets = 32

// New makes a server.
func New(o Options) (*Server, error) {
	prefix, err := url.PathUnescape(o.Config.Prefix)
	if err != nil {
		return nil, err
	}
	o.Patience = o.Patience.orDefault()
	s := &Server{
		Options: o, hub: hubauth.NewHub(o.Config), site: web.NewSite(), prefix: prefix,
		recheck: make(chan struct{}, 1), use: newUse(o.Life), sockets: map[*socket]bool{}, transfers: make(chan struct{}, maxTransfers),
	}
	s.gate = hubauth.NewGate(o.Config, s.hub, s.loginEnded)
	s.apps = newApps(s, o.AppAnswerTime)
	return s, nil
}

// Serve answers on the listener until the context ends, then closes every
// connection within two seconds.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	h := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: s.Patience.Header,
		ReadTimeout:       s.Patience.Request,
		WriteTimeout:      s.Patience.Request,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeader,
		// Requests outlive ctx by a moment: websockets close with a reason.
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	failed := make(chan error, 1)
	go func() { failed <- h.Serve(limit(l, maxConnections)) }()
	go s.watch(ctx)
	go s.report(ctx)
	go s.use.watch(ctx, s.tellEnd)
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	_ = s.closeSockets(nil, errStopping)
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := h.Shutdown(ending); err != nil {
		_ = h.Close()
	}
	return nil
}

// policy lets the page load its own parts and connect to its own gateway, and
// nobody show it in a frame. xterm.js writes style elements, hence
// 'unsafe-inline' for styles; no script may be inline.
const policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// ownHeaders are those of the gateway's own answers.
func (s *Server) ownHeaders(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Workshop-Terminal", s.Version)
	s.ownHeaders(h)
	if v := s.version(r.Context()); v != "" {
		h.Set("X-JupyterHub-Version", v)
	}
	// Proxies differ in how they spell a path; what it means is compared.
	path, ok := strings.CutPrefix(r.URL.Path, s.prefix)
	if !ok {
		if r.URL.Path+"/" == s.prefix {
			s.to(w, s.Config.Prefix)
			return
		}
		http.NotFound(w, r)
		return
	}
	if path != "api" { // which the hub asks for itself
		s.use.mark()
	}
	switch {
	case path == "api":
		s.answer(w, r, http.MethodGet, s.serveAPI)
	case r.URL.Path == s.Config.CallbackPath():
		s.answer(w, r, http.MethodGet, s.serveCallback)
	case strings.HasPrefix(path, "assets/"):
		s.answer(w, r, http.MethodGet, func(w http.ResponseWriter, r *http.Request) { s.site.ServeAsset(w, r, path) })
	case path == "":
		s.answer(w, r, http.MethodGet, s.servePage)
	case path == "session":
		s.answer(w, r, http.MethodGet, s.serveSession)
	case path == "ws":
		s.answer(w, r, http.MethodGet, s.serveSocket)
	case strings.HasPrefix(path, "shell/"):
		s.answer(w, r, http.MethodGet, func(w http.ResponseWriter, r *http.Request) {
			s.serveShellPage(w, r, strings.TrimPrefix(path, "shell/"))
		})
	case path == "shells" && r.Method == http.MethodPost:
		s.serveNewShell(w, r)
	case path == "shells":
		s.answer(w, r, http.MethodGet, s.serveShells)
	case strings.HasPrefix(path, "shells/"):
		s.answer(w, r, http.MethodDelete, func(w http.ResponseWriter, r *http.Request) {
			s.serveCloseShell(w, r, strings.TrimPrefix(path, "shells/"))
		})
	case path == "check":
		s.answer(w, r, http.MethodPost, s.serveCheck)
	case path == "keep":
		s.answer(w, r, http.MethodPost, s.serveKeep)
	case path == "stop":
		s.answer(w, r, http.MethodPost, s.serveStop)
	case strings.HasPrefix(path, "proxy/"):
		s.apps.serve(w, r, path)
	case path == "notes" || strings.HasPrefix(path, "notes/"):
		s.answer(w, r, http.MethodGet, s.serveNotes)
	case path == "restart":
		s.answer(w, r, http.MethodPost, s.serveRestart)
	case path == "files":
		s.answer(w, r, http.MethodGet, s.serveWhere)
	case strings.HasPrefix(path, "files/"):
		s.serveFiles(w, r, strings.TrimPrefix(path, "files/"))
	default:
		// The hub may have sent the user on to a page of another server.
		s.answer(w, r, http.MethodGet, func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) })
	}
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, method string, f http.HandlerFunc) {
	if r.Method != method && (method != http.MethodGet || r.Method != http.MethodHead) {
		w.Header().Set("Allow", method)
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	f(w, r)
}

// version is the hub's, asked once and again at each check.
func (s *Server) version(ctx context.Context) string {
	s.mu.Lock()
	v := s.hubVersion
	s.mu.Unlock()
	if v == "" {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		v = s.askVersion(ctx)
	}
	return v
}

func (s *Server) askVersion(ctx context.Context) string {
	v, err := s.hub.Version(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.hubVersion = v
	}
	return s.hubVersion
}

func (s *Server) serveAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"version": "`+s.Version+`"}`+"\n")
}

// to sends the browser to a page under the hub's spelling of its path, by
// which its cookies go.
func (s *Server) to(w http.ResponseWriter, page string) {
	w.Header().Set("Location", page)
	w.WriteHeader(http.StatusFound)
}

func (s *Server) servePage(w http.ResponseWriter, r *http.Request) {
	s.serveTerminal(w, r, s.Config.Prefix, shell.First)
}

// serveTerminal is the page, under its address, that shows a shell.
func (s *Server) serveTerminal(w http.ResponseWriter, r *http.Request, address string, number int) {
	if r.URL.EscapedPath() != address {
		s.to(w, address)
		return
	}
	session, err := s.gate.Admit(r)
	switch {
	case errors.Is(err, hubauth.ErrNoSession):
		s.gate.Login(w, r, address)
	case err != nil:
		s.refuse(w, err)
	case s.Shells == nil:
		s.notice(w, http.StatusOK, "No terminal in this image", s.Problem, "Look again")
	case s.Shells.Get(number) == nil:
		s.notice(w, http.StatusNotFound, fmt.Sprintf("Shell %d is closed", number),
			"Its programs have ended; your files are where they were.", "Go to the first shell")
	default:
		page := web.Page{
			Workshop: s.Workshop, User: session.User().Name, Prefix: s.Config.Prefix, HubHome: s.Config.HubHome, CSRF: session.CSRF(),
			FilesLost: s.FilesLost,
		}
		if s.mayRun(session) {
			page.Notes = s.Notes.forPage(s.Config.Prefix, session)
			for _, p := range s.Ports {
				page.Apps = append(page.Apps, p.Name)
			}
		}
		w.Header().Set("Content-Security-Policy", policy+s.Notes.frames())
		s.html(w, http.StatusOK, s.site.Page(page))
	}
}

func (s *Server) serveCallback(w http.ResponseWriter, r *http.Request) {
	// The code and the state are in this page's address: tell them to nobody.
	w.Header().Set("Referrer-Policy", "no-referrer")
	if err := s.gate.Callback(w, r); err != nil {
		s.Logf("login failed: %v", err)
		s.refuse(w, err)
	}
}

// refuse is the page for a reason not to let someone in.
func (s *Server) refuse(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, hubauth.ErrForbidden):
		s.notice(w, http.StatusForbidden, "This is not your session",
			"It belongs to "+s.Config.User+". Your own is reached through the hub.", "Try again")
	case errors.Is(err, hubauth.ErrNoSession):
		s.notice(w, http.StatusBadRequest, "This login didn't work",
			"It was begun in another browser or too long ago. Nothing is lost: log in again.", "Log in again")
	case errors.Is(err, hubauth.ErrHubDown):
		s.notice(w, http.StatusServiceUnavailable, "The hub doesn't answer",
			"It says who may come in here, and has been silent for long. Your session goes on meanwhile.", "Try again")
	default:
		s.Logf("the hub can't be asked: %v", err)
		s.notice(w, http.StatusBadGateway, "The hub doesn't answer", "Your session goes on meanwhile. Try again in a moment.", "Try again")
	}
}

func (s *Server) notice(w http.ResponseWriter, status int, title, text, link string) {
	s.html(w, status, s.site.Notice(web.Notice{
		Workshop: s.Workshop, HubHome: s.Config.HubHome, Prefix: s.Config.Prefix, Title: title, Text: text, Link: link,
	}))
}

func (s *Server) html(w http.ResponseWriter, status int, page string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, page)
}

// admit is for requests that a page's script makes: no login, but a status. A
// browser that the hub knows, but that never got in here, is refused as
// what it is: someone else's.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) *hubauth.Session {
	return s.admitBy(w, r, s.gate.Admit)
}

func (s *Server) admitBy(w http.ResponseWriter, r *http.Request, ask func(*http.Request) (*hubauth.Session, error)) *hubauth.Session {
	session, err := ask(r)
	status := http.StatusServiceUnavailable
	switch {
	case err == nil:
		return session
	case errors.Is(err, hubauth.ErrForbidden):
		status = http.StatusForbidden
	case errors.Is(err, hubauth.ErrNoSession):
		status = http.StatusUnauthorized
		if !s.gate.Knows(r) && hubauth.KnowsHub(r) {
			status = http.StatusForbidden
		}
	}
	http.Error(w, http.StatusText(status), status)
	return nil
}

// admitChange is [Server.admit] for requests that change something: they come
// from the session's own page, and prove it by its CSRF token.
func (s *Server) admitChange(w http.ResponseWriter, r *http.Request) *hubauth.Session {
	if !s.sameOrigin(r) {
		http.Error(w, "wrong origin", http.StatusForbidden)
		return nil
	}
	session := s.admit(w, r)
	if session != nil && !session.ValidCSRF(r) {
		http.Error(w, "the X-CSRF-Token is missing or wrong", http.StatusForbidden)
		return nil
	}
	return session
}

// sameOrigin says whether the request was made by a page of the host that the
// browser has in its address bar. The proxies before us tell its name.
func (s *Server) sameOrigin(r *http.Request) bool {
	if len(r.Header.Values("Origin")) != 1 {
		return false
	}
	origin, err := url.Parse(r.Header.Get("Origin"))
	if err != nil || origin.Host == "" || origin.Scheme != "http" && origin.Scheme != "https" {
		return false
	}
	if *origin != (url.URL{Scheme: origin.Scheme, Host: origin.Host}) {
		return false // no browser says more than that
	}
	if origin.Scheme == "http" && hubauth.IsHTTPS(r, s.Config.PublicURL) {
		return false
	}
	return hostOf(origin.Scheme, origin.Host) == hostOf(origin.Scheme, hubauth.BrowserHost(r))
}

// foreign says whether, by the browser's word, a page of another site asks, or
// of another session's host, to which the same cookies may go. Somebody who
// follows a link from there is welcome.
func foreign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return false
	}
	return r.Method != http.MethodGet || r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Header.Get("Sec-Fetch-Dest") != "document"
}

// hostOf is a host with its port, also where it is the scheme's own.
func hostOf(scheme, host string) string {
	u := url.URL{Host: host}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[scheme]
	}
	return strings.ToLower(u.Hostname()) + ":" + port
}

// watch asks the hub from time to time, and when it says so, whether those with
// open websockets may still be here. While it doesn't answer they stay.
func (s *Server) watch(ctx context.Context) {
	tick := time.NewTicker(s.CheckEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.askVersion(ctx)
		case <-s.recheck:
		case <-ctx.Done():
			return
		}
		for session := range s.sessions() {
			s.gate.Seen(session)
			// Who may no longer be here is told to loginEnded.
			_ = s.gate.Check(ctx, session, 0)
		}
		// Who asks for checks in a row gets one a second.
		select {
		case <-time.After(min(s.CheckEvery, time.Second)):
		case <-ctx.Done():
			return
		}
	}
}

// serveCheck is the hub's word that somebody has logged out: tokens are
// checked now, and not only when the next check is due. It needs no proof of who
// says so, for it changes nothing, and is heeded once a second at most.
func (s *Server) serveCheck(w http.ResponseWriter, _ *http.Request) {
	select {
	case s.recheck <- struct{}{}:
	default:
	}
	w.WriteHeader(http.StatusNoContent)
}

// loginEnded closes what the session has open.
func (s *Server) loginEnded(session *hubauth.Session, err error) {
	why := errLoggedOut
	if errors.Is(err, hubauth.ErrForbidden) {
		why = errForbidden
	}
	if s.closeSockets(session, why) > 0 {
		s.Logf("the terminal of %s is closed: %v", session.User().Name, err)
	}
}

// Sockets is how many websockets are open.
func (s *Server) Sockets() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sockets)
}

func (s *Server) sessions() map[*hubauth.Session]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[*hubauth.Session]bool{}
	for socket := range s.sockets {
		if socket.session != nil {
			all[socket.session] = true
		}
	}
	s.apps.sessions(all)
	return all
}

// report tells the hub when the session was last used, if anything was typed or
// printed since it was last told. It looks more often than it tells: the hub
// counts a session's idle time from there.
func (s *Server) report(ctx context.Context) {
	if s.Shells == nil {
		return
	}
	tick := time.NewTicker(s.CheckEvery)
	defer tick.Stop()
	look := time.NewTicker(max(s.CheckEvery/12, time.Millisecond))
	defer look.Stop()
	var seen, reported uint64
	var at time.Time
	for {
		due := false
		select {
		case <-look.C:
		case <-tick.C:
			due = true
		case <-ctx.Done():
			return
		}
		if traffic := s.Shells.Traffic() + s.apps.requests.Load(); traffic != seen {
			seen, at = traffic, time.Now()
			s.use.mark()
		}
		if !due || seen == reported {
			continue
		}
		if err := s.hub.ReportActivity(ctx, at); err != nil {
			s.Logf("report activity: %v", err)
			continue
		}
		reported = seen
	}
}
