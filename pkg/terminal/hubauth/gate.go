// SPDX-License-Identifier: Apache-2.0

package hubauth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	loginTime   = 10 * time.Minute // from the start of a login to its end
	maxLogins   = 128              // logins under way; the oldest give way
	maxSessions = 64               // browsers logged in; the least recently seen give way
	// trustTime is how long the hub's last good answer lets pages and new
	// websockets in while the hub doesn't answer: a restart of the hub, or an
	// upgrade, not an outage.
	trustTime = 10 * time.Minute
	// idleTime is how long a browser may stay away (no page, no open websocket)
	// and still be logged in, and maxAge how long it may at all. Then it goes
	// through the hub once more, of which its user sees nothing while the hub's
	// own login lasts.
	idleTime = 24 * time.Hour
	maxAge   = 7 * 24 * time.Hour
	// hubCookie is the cookie that JupyterHub sets on the whole site at login.
	hubCookie = "jupyterhub-session-id"
	// partTime is how long the hub's answer for one part of a page counts for
	// the others.
	partTime = 5 * time.Second
	// cookiePrefix starts the names of the gateway's cookies.
	cookiePrefix = "workshop-terminal-"
)

// The reasons not to let a request in.
var (
	// ErrNoSession: this browser hasn't logged in here, or no longer is.
	ErrNoSession = errors.New("not logged in")
	// ErrForbidden: it has, as somebody who may not use this session.
	ErrForbidden = errors.New("this session belongs to someone else")
	// ErrHubDown: the hub doesn't answer, and its last word is too old.
	ErrHubDown = errors.New("the hub doesn't answer")
)

// Gate decides who comes in.
type Gate struct {
	config Config
	hub    *Hub
	cookie string
	now    func() time.Time
	secret []byte // for CSRF tokens
	// ended is told of sessions that are no longer good.
	ended func(*Session, error)

	mu       sync.Mutex
	logins   map[string]login // by state
	sessions map[[sha256.Size]byte]*Session
}

// login is one under way.
type login struct {
	browser  [sha256.Size]byte // hash of what the browser holds in its cookie
	verifier string
	next     string
	started  time.Time
}

// Session is a browser that has logged in.
type Session struct {
	token  string
	csrf   string
	pass   string
	key    [sha256.Size]byte
	opened time.Time

	mu       sync.Mutex
	user     User
	asked    time.Time // when the hub last vouched for it
	seen     time.Time
	checking sync.Mutex // one question to the hub at a time
}

// User is who logged in, as the hub knew them last.
func (s *Session) User() User {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.user
}

func (s *Session) vouched() (User, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.user, s.asked
}

// CSRF is the token that requests which change something must carry.
func (s *Session) CSRF() string { return s.csrf }

// Pass is a secret that stands for the session in addresses where no cookie
// goes: what a sandboxed frame loads. It opens nothing but what is asked of
// [Gate.AdmitPass].
func (s *Session) Pass() string { return s.pass }

// NewGate makes the gate of a session. ended is called, maybe more than once,
// when a login turns out to be over ([ErrNoSession]), or its user not to be let
// in any more ([ErrForbidden]): whatever it holds open must go.
func NewGate(c Config, hub *Hub, ended func(*Session, error)) *Gate {
	name := sha256.Sum256([]byte(c.ClientID))
	cookie := cookiePrefix + hex.EncodeToString(name[:6])
	if c.OwnHost {
		// Browsers take a cookie of such a name from this host alone, over https.
		cookie = "__Host-" + cookie
	}
	return &Gate{
		config: c, hub: hub, now: time.Now, secret: []byte(rand.Text()), ended: ended,
		cookie:   cookie,
		logins:   map[string]login{},
		sessions: map[[sha256.Size]byte]*Session{},
	}
}

// Admit finds the session of a request and asks the hub about its user. The
// error is [ErrNoSession], [ErrForbidden] or [ErrHubDown], perhaps with more.
func (g *Gate) Admit(r *http.Request) (*Session, error) {
	s := g.session(r)
	if s == nil {
		return nil, ErrNoSession
	}
	if err := g.Check(r.Context(), s, trustTime); err != nil {
		return nil, err
	}
	return s, nil
}

// AdmitPart is Admit for the parts of a page, of which there are many at once:
// the hub's word of the last seconds counts for them.
func (g *Gate) AdmitPart(r *http.Request) (*Session, error) { return g.admitPart(r, g.session(r)) }

// AdmitPass is AdmitPart by a session's [Session.Pass].
func (g *Gate) AdmitPass(r *http.Request, pass string) (*Session, error) {
	return g.admitPart(r, g.sessionOf(pass))
}

func (g *Gate) admitPart(r *http.Request, s *Session) (*Session, error) {
	if s == nil {
		return nil, ErrNoSession
	}
	return s, g.checkPart(r.Context(), s, trustTime, partTime)
}

func (g *Gate) sessionOf(pass string) *Session {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range g.sessions {
		if subtle.ConstantTimeCompare([]byte(s.pass), []byte(pass)) == 1 {
			s.seen = g.now()
			return s
		}
	}
	return nil
}

// IsOurs says whether a cookie of that name is the gateway's or the hub's: none
// of anybody else's business.
func IsOurs(name string) bool {
	name = strings.TrimPrefix(name, "__Host-")
	return strings.HasPrefix(name, cookiePrefix) || strings.HasPrefix(name, "jupyterhub-")
}

// KnowsHub says whether the request comes from a browser that is logged in at
// the hub, as far as its cookies tell.
func KnowsHub(r *http.Request) bool {
	_, err := r.Cookie(hubCookie)
	return err == nil
}

// Knows says whether the request carries a cookie of ours, be it an old one.
func (g *Gate) Knows(r *http.Request) bool { return len(r.CookiesNamed(g.cookie)) > 0 }

// session is the one whose number the request carries. Pages of the same host
// can plant cookies here: among several, one that may come in counts, lest the
// planted one hides it.
func (g *Gate) session(r *http.Request) (found *Session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range r.CookiesNamed(g.cookie) {
		s := g.sessions[sha256.Sum256([]byte(c.Value))]
		if s == nil {
			continue
		}
		if found == nil || g.mayEnter(found.User()) != nil {
			found = s
		}
	}
	if found != nil && g.old(found) {
		delete(g.sessions, found.key)
		return nil
	}
	if found != nil {
		found.seen = g.now()
	}
	return found
}

// old says whether a session has been there, or away, for too long; the caller
// holds the lock.
func (g *Gate) old(s *Session) bool {
	now := g.now()
	return now.Sub(s.opened) > maxAge || now.Sub(s.seen) > idleTime
}

// Check asks the hub whether the session's user may still be here. While the
// hub doesn't answer, its last word counts for trust; 0: however old it is. A
// session that is no longer good is forgotten.
func (g *Gate) Check(ctx context.Context, s *Session, trust time.Duration) error {
	return g.checkPart(ctx, s, trust, 0)
}

// checkPart doesn't ask the hub if its last word is younger than fresh.
func (g *Gate) checkPart(ctx context.Context, s *Session, trust, fresh time.Duration) error {
	err := g.check(ctx, s, trust, fresh)
	if errors.Is(err, ErrNoSession) || errors.Is(err, ErrForbidden) {
		g.ended(s, err)
	}
	return err
}

func (g *Gate) check(ctx context.Context, s *Session, trust, fresh time.Duration) error {
	s.checking.Lock()
	defer s.checking.Unlock()
	g.mu.Lock()
	old := g.old(s)
	g.mu.Unlock()
	if old {
		g.forget(s)
		return fmt.Errorf("%w: this login is too old", ErrNoSession)
	}
	if user, asked := s.vouched(); g.now().Sub(asked) < fresh {
		return g.mayEnter(user)
	}
	user, err := g.hub.UserOf(ctx, s.token)
	switch {
	case errors.Is(err, ErrDenied):
		g.forget(s)
		return fmt.Errorf("%w: the hub has ended this login", ErrNoSession)
	case err != nil:
		s.mu.Lock()
		defer s.mu.Unlock()
		if trust > 0 && g.now().Sub(s.asked) > trust {
			return fmt.Errorf("%w: %w", ErrHubDown, err)
		}
		return g.mayEnter(s.user)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.user, s.asked = user, g.now()
	return g.mayEnter(user)
}

// Seen says that the session is in use, though no request tells so.
func (g *Gate) Seen(s *Session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s.seen = g.now()
}

// mayEnter compares scopes as text: the hub lists a user's scopes expanded
// for the server that asks. access:servers without a filter is an admin's.
func (g *Gate) mayEnter(u User) error {
	for _, scope := range u.Scopes {
		if slices.Contains(g.config.AccessScopes, scope) || scope == "access:servers" {
			return nil
		}
	}
	return ErrForbidden
}

func (g *Gate) forget(s *Session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.sessions, s.key)
}

// ValidCSRF says whether the request carries its session's CSRF token.
func (s *Session) ValidCSRF(r *http.Request) bool {
	return subtle.ConstantTimeCompare([]byte(r.Header.Get("X-CSRF-Token")), []byte(s.csrf)) == 1
}

// Login sends the browser to the hub. It comes back to Callback, and then to
// next, a path under the session's prefix.
func (g *Gate) Login(w http.ResponseWriter, r *http.Request, next string) {
	if !g.isOwn(next) {
		next = g.config.Prefix
	}
	state, browser, verifier := rand.Text(), rand.Text(), rand.Text()+rand.Text()
	g.mu.Lock()
	g.expireLogins()
	g.logins[state] = login{browser: sha256.Sum256([]byte(browser)), verifier: verifier, next: next, started: g.now()}
	g.mu.Unlock()

	challenge := sha256.Sum256([]byte(verifier))
	query := url.Values{
		"client_id":             {g.config.ClientID},
		"redirect_uri":          {g.config.Callback},
		"response_type":         {"code"},
		"state":                 {state},
		"code_challenge":        {base64.RawURLEncoding.EncodeToString(challenge[:])},
		"code_challenge_method": {"S256"},
	}
	g.setCookie(w, r, g.stateCookie(state), browser, loginTime)
	redirect(w, g.config.Authorize+"?"+query.Encode())
}

// isOwn says whether a path leads nowhere but into this session.
func (g *Gate) isOwn(path string) bool {
	u, err := url.Parse(path)
	return err == nil && u.Scheme == "" && u.Host == "" && u.Opaque == "" &&
		strings.HasPrefix(path, g.config.Prefix) && !strings.ContainsAny(path, "\\\r\n") &&
		!slices.Contains(strings.Split(u.Path, "/"), "..")
}

// expireLogins makes room for one more; the caller holds the lock.
func (g *Gate) expireLogins() {
	oldest, at := "", g.now()
	for state, l := range g.logins {
		if g.now().Sub(l.started) > loginTime {
			delete(g.logins, state)
		} else if l.started.Before(at) {
			oldest, at = state, l.started
		}
	}
	if len(g.logins) >= maxLogins {
		delete(g.logins, oldest)
	}
}

// Callback ends a login: the browser is back from the hub. Errors are
// [ErrForbidden], [ErrNoSession] when the login isn't this browser's, is too
// old or was used before, or tell why the hub couldn't be asked.
func (g *Gate) Callback(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	state := query.Get("state")
	browser, err := r.Cookie(g.stateCookie(state))
	if state == "" || err != nil {
		return fmt.Errorf("%w: this login was started in another browser, or too long ago", ErrNoSession)
	}
	g.mu.Lock()
	l, ok := g.logins[state]
	hash := sha256.Sum256([]byte(browser.Value))
	ok = ok && subtle.ConstantTimeCompare(hash[:], l.browser[:]) == 1 && g.now().Sub(l.started) <= loginTime
	if ok {
		delete(g.logins, state) // once
	}
	g.mu.Unlock()
	if !ok {
		return fmt.Errorf("%w: this login was started in another browser, or too long ago", ErrNoSession)
	}
	g.setCookie(w, r, g.stateCookie(state), "", -1)
	if query.Get("error") != "" || query.Get("code") == "" {
		return fmt.Errorf("%w: the hub gave no permission", ErrForbidden)
	}
	token, err := g.hub.Trade(r.Context(), query.Get("code"), l.verifier)
	if errors.Is(err, ErrDenied) {
		return fmt.Errorf("%w: %w", ErrNoSession, err)
	} else if err != nil {
		return err
	}
	user, err := g.hub.UserOf(r.Context(), token)
	if err != nil {
		return err
	}
	// Somebody else's login is kept too: the hub's word is final, and the answer
	// to everything that this browser asks is that it's forbidden.
	g.open(w, r, token, user)
	if err := g.mayEnter(user); err != nil {
		return err
	}
	redirect(w, l.next)
	return nil
}

func (g *Gate) open(w http.ResponseWriter, r *http.Request, token string, user User) {
	number := rand.Text() + rand.Text()
	mac := hmac.New(sha256.New, g.secret)
	mac.Write([]byte(number))
	s := &Session{
		token: token, user: user, asked: g.now(), seen: g.now(), opened: g.now(), pass: rand.Text(),
		csrf: base64.RawURLEncoding.EncodeToString(mac.Sum(nil)),
		key:  sha256.Sum256([]byte(number)),
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for key, other := range g.sessions {
		if g.old(other) {
			delete(g.sessions, key)
		}
	}
	if len(g.sessions) >= maxSessions {
		var oldest *Session
		for _, other := range g.sessions {
			if oldest == nil || other.seen.Before(oldest.seen) {
				oldest = other
			}
		}
		delete(g.sessions, oldest.key)
	}
	g.sessions[s.key] = s
	g.setCookie(w, r, g.cookie, number, 0)
}

func (g *Gate) stateCookie(state string) string {
	hash := sha256.Sum256([]byte(state))
	return g.cookie + "-login-" + hex.EncodeToString(hash[:6])
}

// setCookie sets a cookie for this session's pages. A login may come through
// another site (an OpenShift cluster's, say), whose redirects bring no strict
// cookie: hence Lax. life 0 lives as long as the browser, less than 0 deletes.
func (g *Gate) setCookie(w http.ResponseWriter, r *http.Request, name, value string, life time.Duration) {
	c := &http.Cookie{
		Name: name, Value: value, Path: g.config.Prefix,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: IsHTTPS(r, g.config.PublicURL),
	}
	if g.config.OwnHost {
		c.Path, c.Secure = "/", true // or browsers don't take it by its name
	}
	switch {
	case life > 0:
		c.MaxAge = int(life / time.Second)
	case life < 0:
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// IsHTTPS says whether the browser came by https, as the proxies before us tell.
// Without their word the public URL decides, if the browser used that host.
func IsHTTPS(r *http.Request, public *url.URL) bool {
	if forwarded := first(r.Header.Get("X-Forwarded-Proto")); forwarded != "" {
		return strings.EqualFold(forwarded, "https")
	}
	return r.TLS != nil || public != nil && public.Scheme == "https" && strings.EqualFold(public.Host, BrowserHost(r))
}

// BrowserHost is the host, with its port, that the browser used.
func BrowserHost(r *http.Request) string {
	if forwarded := first(r.Header.Get("X-Forwarded-Host")); forwarded != "" {
		return forwarded
	}
	return r.Host
}

// first is the first of a list that each proxy adds to: what the browser's
// side said.
func first(list string) string {
	one, _, _ := strings.Cut(list, ",")
	return strings.TrimSpace(one)
}

// redirect answers a GET. Other than http.Redirect it leaves the address as it
// is: the hub's spelling of a user's path matters to cookies.
func redirect(w http.ResponseWriter, to string) {
	w.Header().Set("Location", to)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusFound)
}
