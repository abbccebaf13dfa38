// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/workshopctl/workshopctl/pkg/terminal/hubauth"
	"github.com/workshopctl/workshopctl/pkg/terminal/web"
)

// Port is a web app of the attendee's own: PREFIX/proxy/NAME/ leads to the port
// of that number in the session.
type Port struct {
	Name   string
	Number int
}

var portName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// ParsePorts reads "name=8080,other=9090". own is the port that the gateway
// itself has, or 0.
func ParsePorts(list string, own int) ([]Port, error) {
	var ports []Port
	seen := map[string]bool{}
	for entry := range strings.SplitSeq(list, ",") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		name, number, _ := strings.Cut(entry, "=")
		n, err := strconv.Atoi(number)
		switch {
		case !portName.MatchString(name) || err != nil || n < 1 || n > 65535:
			return nil, fmt.Errorf("port %q is not written like web=8080", entry)
		case n == own:
			return nil, fmt.Errorf("port %q is the gateway's own", entry)
		case seen[name]:
			return nil, fmt.Errorf("port %q has the name of another one", entry)
		}
		seen[name] = true
		ports = append(ports, Port{name, n})
	}
	return ports, nil
}

const (
	// maxAppRequests bounds the requests to apps that are under way, websockets
	// among them. There are more connections, so that the terminal stays within
	// reach of an app whose page opens streams without end.
	maxAppRequests = maxConnections / 2
	// appAnswerTime is how long an app may think about an answer. Its body, once
	// begun, may take as long as it likes.
	appAnswerTime = 2 * time.Minute
	appDialTime   = 5 * time.Second
)

// apps leads requests to the attendee's web apps.
type apps struct {
	server    *Server
	transport *http.Transport
	requests  atomic.Uint64 // so far: what counts as activity

	mu   sync.Mutex
	open map[*appRequest]bool
}

// appRequest is one under way.
type appRequest struct {
	session *hubauth.Session
	cancel  context.CancelFunc
}

func newApps(s *Server, answerTime time.Duration) *apps {
	if answerTime == 0 {
		answerTime = appAnswerTime
	}
	dialer := &net.Dialer{Timeout: appDialTime}
	return &apps{
		server: s, open: map[*appRequest]bool{},
		transport: &http.Transport{
			// Whatever proxy the image's environment names, the app is right here.
			Proxy: nil,
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				_, port, err := net.SplitHostPort(address)
				if err != nil {
					return nil, err
				}
				conn, err := dialer.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
				if err == nil || ctx.Err() != nil {
					return conn, err
				}
				if conn, err6 := dialer.DialContext(ctx, network, net.JoinHostPort("::1", port)); err6 == nil {
					return conn, nil
				}
				return nil, err
			},
			// A connection for each request costs nothing on the same machine, an app
			// that was started anew never meets its predecessor's, and what one
			// request leaves on a connection can't become part of the next.
			DisableKeepAlives:      true,
			DisableCompression:     true, // the browser's business
			ResponseHeaderTimeout:  answerTime,
			MaxResponseHeaderBytes: 1 << 20,
		},
	}
}

// serve answers PREFIX/proxy/…; path is relative to the prefix.
func (a *apps) serve(w http.ResponseWriter, r *http.Request, path string) {
	s := a.server
	name, _, slash := strings.Cut(strings.TrimPrefix(path, "proxy/"), "/")
	port := s.port(name)
	base := s.Config.Prefix + "proxy/" + name + "/"
	rest, ok := "/", true
	if slash {
		rest, ok = a.rest(r.URL, name)
	}
	if port == nil || !ok || r.Method == http.MethodTrace || r.Method == http.MethodConnect {
		http.NotFound(w, r)
		return
	}
	here := base + rest[1:]
	if r.URL.RawQuery != "" {
		here += "?" + r.URL.RawQuery
	}
	session, isPage := a.admit(w, r, here)
	if session == nil {
		return
	}
	if !slash {
		w.Header().Set("Location", here)
		w.WriteHeader(http.StatusTemporaryRedirect)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	request := &appRequest{session, cancel}
	if !a.begin(request) {
		http.Error(w, "too many requests to this session's apps at once", http.StatusServiceUnavailable)
		return
	}
	defer a.end(request)
	// An app has headers of its own, and is no page of ours.
	for _, name := range []string{
		"Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy", "Cross-Origin-Opener-Policy",
		"Cross-Origin-Resource-Policy", "Cache-Control",
	} {
		w.Header().Del(name)
	}
	pace := s.paced(w)
	defer pace.done()
	// Else the server reads what is left of the request, and closes it, before the
	// answer begins; who still reads it for the app fails then, and with it the
	// app's answer is cut off.
	_ = pace.control.EnableFullDuplex()
	r = r.WithContext(ctx)
	if r.Body != http.NoBody {
		r.Body = struct {
			io.Reader
			io.Closer
		}{pace.reader(r.Body), r.Body}
	}
	a.proxy(port, base, rest, isPage).ServeHTTP(finalAnswer{pace}, r)
}

// finalAnswer leaves out what an app says before its answer (103, say), of which
// nothing has been through [backward].
type finalAnswer struct{ *pacedWriter }

func (w finalAnswer) WriteHeader(status int) {
	if status >= http.StatusOK {
		w.pacedWriter.WriteHeader(status)
	}
}

func (s *Server) port(name string) *Port {
	for i := range s.Ports {
		if s.Ports[i].Name == name {
			return &s.Ports[i]
		}
	}
	return nil
}

// admit says whose request it is, and whether it is one for a page that a
// person looks at. here is its address. Without a session it has answered.
func (a *apps) admit(w http.ResponseWriter, r *http.Request, here string) (session *hubauth.Session, isPage bool) {
	s := a.server
	upgrade := r.Header.Get("Upgrade") != ""
	safe := r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions
	if (upgrade || !safe) && !s.sameOrigin(r) || foreign(r) {
		http.Error(w, "wrong origin", http.StatusForbidden)
		return nil, false
	}
	if r.Header.Get("Service-Worker") != "" && !s.Config.Isolated() {
		// It would go on answering in this browser for whoever logs in there next.
		http.Error(w, "service workers need a session with a host of its own: deploy --subdomains", http.StatusForbidden)
		return nil, false
	}
	switch isPage = r.Method == http.MethodGet && !upgrade && strings.Contains(r.Header.Get("Accept"), "text/html"); {
	case isPage:
		var err error
		if session, err = s.gate.Admit(r); errors.Is(err, hubauth.ErrNoSession) {
			s.gate.Login(w, r, here)
			return nil, false
		} else if err != nil {
			s.refuse(w, err)
			return nil, false
		}
	case upgrade:
		session = s.admit(w, r)
	default:
		session = s.admitBy(w, r, s.gate.AdmitPart)
	}
	if session == nil {
		return nil, false
	}
	if !s.mayRun(session) {
		s.notice(w, http.StatusForbidden, "Only "+s.Config.User+" may open this app", onlyOwner, "To the terminal")
		return nil, false
	}
	return session, isPage
}

// onlyOwner is why others don't get to see what attendees make.
const onlyOwner = "What an attendee serves would run in your browser on the hub's own address, and could do there what you may. " +
	"In a workshop with subdomains each session has an address of its own, and you could open it."

// mayRun says whether a session's browser may be shown what the attendee has
// made: it is their own, or can do no harm.
func (s *Server) mayRun(session *hubauth.Session) bool {
	return session.User().Name == s.Config.User || s.Config.Isolated()
}

// rest is the part of the path that the app sees, in the browser's spelling,
// with a slash before it. How proxies have spelt what comes before it isn't
// known, but of how many parts that consists.
func (a *apps) rest(u *url.URL, name string) (string, bool) {
	escaped := u.EscapedPath()
	for range strings.Count(a.server.prefix, "/") - 1 {
		_, after, ok := strings.Cut(escaped[1:], "/")
		if !ok {
			return "", false
		}
		escaped = "/" + after
	}
	rest, ok := strings.CutPrefix(escaped, "/proxy/"+name+"/")
	return "/" + rest, ok
}

func (a *apps) begin(request *appRequest) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.open) >= maxAppRequests {
		return false
	}
	a.open[request] = true
	a.requests.Add(1)
	return true
}

func (a *apps) end(request *appRequest) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.open, request)
}

// sessions adds those that have requests under way: a stream or a websocket may
// outlive the login.
func (a *apps) sessions(all map[*hubauth.Session]bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for request := range a.open {
		all[request.session] = true
	}
}

// close ends the requests of one session, or all.
func (a *apps) close(session *hubauth.Session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for request := range a.open {
		if session == nil || request.session == session {
			request.cancel()
		}
	}
}

func (a *apps) proxy(port *Port, base, rest string, isPage bool) *httputil.ReverseProxy {
	s := a.server
	return &httputil.ReverseProxy{
		Transport: a.transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme = "http"
			r.Out.URL.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(port.Number))
			r.Out.URL.Path, r.Out.URL.RawPath = rest, rest
			if plain, err := url.PathUnescape(rest); err == nil {
				r.Out.URL.Path = plain
			}
			r.Out.URL.RawQuery = r.In.URL.RawQuery // also where it isn't made of pairs
			forward(r, base, s.Config.PublicURL)
		},
		ModifyResponse: func(resp *http.Response) error {
			backward(resp, base, port.Number)
			if !s.Config.Isolated() {
				askEachTime(resp.Header)
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) { a.fail(w, r, port, isPage, err) },
		ErrorLog:     log.New(io.Discard, "", 0), // what apps do wrong doesn't belong into our log
	}
}

// forward makes the headers of a request to an app.
//
// The Host is left as the browser has it, like jupyter-server-proxy does: apps
// compare it with the Origin of a websocket or a form, and make addresses of
// it. An app that serves certain hosts only must be told this one.
func forward(r *httputil.ProxyRequest, base string, public *url.URL) {
	in, out := r.In, r.Out.Header
	r.Out.Host = hubauth.BrowserHost(in)
	out.Set("X-Forwarded-Host", r.Out.Host)
	proto := "http"
	if hubauth.IsHTTPS(in, public) {
		proto = "https"
	}
	out.Set("X-Forwarded-Proto", proto)
	out.Set("X-Forwarded-Prefix", strings.TrimSuffix(base, "/"))
	if f := in.Header.Values("X-Forwarded-For"); len(f) > 0 {
		out["X-Forwarded-For"] = f
	}
	for _, name := range []string{"X-Forwarded-Port", "X-Real-Ip", "X-Forwarded-Context", "X-Proxycontextpath"} {
		out.Del(name) // what proxies say of themselves
	}
	// The hub takes tokens in this header, from programs. What a page of the app
	// itself has set there is the app's.
	scheme, _, _ := strings.Cut(in.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "token") || in.Header.Get("Sec-Fetch-Site") != "same-origin" {
		out.Del("Authorization")
	}
	out.Del("Cookie")
	if kept := foreignCookies(in.Header.Values("Cookie")); kept != "" {
		out.Set("Cookie", kept)
	}
	// Other protocols than this one would let a browser's connection pass by
	// all that is done here.
	if u := out.Get("Upgrade"); u != "" && !strings.EqualFold(u, "websocket") {
		out.Del("Upgrade")
		out.Del("Connection")
	}
}

// foreignCookies are those that are neither the gateway's nor the hub's, as
// the browser has written them.
func foreignCookies(lines []string) string {
	var kept []string
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			pair = strings.TrimSpace(pair)
			name, _, _ := strings.Cut(pair, "=")
			if pair != "" && !hubauth.IsOurs(strings.TrimSpace(name)) {
				kept = append(kept, pair)
			}
		}
	}
	return strings.Join(kept, "; ")
}

// wholeHost are headers by which an app would decide about all that is served
// at this host: the hub and other sessions. Some proxies take an order from the
// last of them, to answer with what is at another path.
var wholeHost = []string{
	"Service-Worker-Allowed", "Clear-Site-Data", "Strict-Transport-Security", "Alt-Svc", "Nel", "Report-To", "Reporting-Endpoints",
	"Public-Key-Pins", "Origin-Agent-Cluster", "X-Jupyterhub-Version", "X-Workshop-Terminal",
	"X-Accel-Redirect", "X-Sendfile",
}

// backward makes the headers of an app's answer.
func backward(resp *http.Response, base string, port int) {
	h := resp.Header
	for _, name := range wholeHost {
		h.Del(name)
	}
	if to := h.Get("Location"); to != "" {
		h.Set("Location", relocate(to, base, resp.Request.Host, port))
	}
	if lines := h.Values("Set-Cookie"); len(lines) > 0 {
		h.Del("Set-Cookie")
		for _, line := range lines {
			if c := confine(line, base); c != "" {
				h.Add("Set-Cookie", c)
			}
		}
	}
	// Beside the app's own policy, if it has one: foreign sites can't show it in
	// a frame, where clicks could be stolen.
	h.Add("Content-Security-Policy", "frame-ancestors 'self'")
	if h.Get("Referrer-Policy") == "" {
		h.Set("Referrer-Policy", "same-origin")
	}
}

// active are the types of what browsers run as a page when they are led to it.
var active = regexp.MustCompile(`(?i)^$|html|xml|multipart`)

// askEachTime keeps a browser from showing an app's page without asking us who
// looks at it: somebody else may have logged in there since. Scripts, styles
// and pictures are nothing by themselves, and stay in its cache.
func askEachTime(h http.Header) {
	if active.MatchString(h.Get("Content-Type")) && !strings.Contains(h.Get("Cache-Control"), "no-store") {
		h.Set("Cache-Control", "private, no-cache")
	}
}

// relocate makes of an app's redirect one that leads where the app meant. The
// app thinks that it is at / of its host.
func relocate(to, base, host string, port int) string {
	u, err := url.Parse(to)
	if err != nil {
		return to
	}
	if u.Host != "" {
		name := strings.ToLower(u.Hostname())
		local := (name == "localhost" || name == "127.0.0.1" || name == "::1") && u.Port() == strconv.Itoa(port)
		if !local && !strings.EqualFold(u.Host, host) || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "" {
			return to // to somewhere else
		}
		u.Scheme, u.Host, u.User = "", "", nil
		if u.Path == "" {
			u.Path = "/"
		}
	}
	path := u.EscapedPath()
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, base) || path+"/" == base {
		return u.String() // relative, or from an app that reads X-Forwarded-Prefix
	}
	rest := url.URL{RawQuery: u.RawQuery, ForceQuery: u.ForceQuery, Fragment: u.Fragment, RawFragment: u.RawFragment}
	return base + strings.TrimLeft(path, "/") + rest.String()
}

// confine limits a cookie to the app's own path and this host. "" is no cookie.
func confine(line, base string) string {
	c, err := http.ParseSetCookie(line)
	if err != nil || hubauth.IsOurs(c.Name) {
		return ""
	}
	c.Domain = ""
	switch {
	case strings.HasPrefix(c.Path, base):
	case strings.HasPrefix(c.Path, "/") && c.Path+"/" != base:
		c.Path = base + strings.TrimLeft(c.Path, "/")
	default:
		c.Path = base
	}
	return c.String()
}

// fail answers for an app that doesn't.
func (a *apps) fail(w http.ResponseWriter, r *http.Request, port *Port, isPage bool, err error) {
	s := a.server
	if r.Context().Err() != nil { // the browser has gone, or was logged out
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	status, title := http.StatusBadGateway, "The app gave no proper answer"
	text := fmt.Sprintf("Something listens on port %d of your session, but what it said is no answer of a web app.", port.Number)
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		status, title = http.StatusServiceUnavailable, "Nothing listens on port "+strconv.Itoa(port.Number)+" yet"
		text = "Start your app in the terminal. This page looks for it, and shows it as soon as it is there."
		w.Header().Set(waitingHeader, port.Name)
	case errors.As(err, &timeout) && timeout.Timeout():
		status, title = http.StatusGatewayTimeout, "The app doesn't answer"
		text = fmt.Sprintf("It listens on port %d of your session, but is busy or stuck. Look at what it prints in the terminal.", port.Number)
	default:
		s.Logf("app %s on port %d: %v", port.Name, port.Number, err)
	}
	s.ownHeaders(w.Header())
	switch notice := (web.Notice{
		Workshop: s.Workshop, HubHome: s.Config.HubHome, Prefix: s.Config.Prefix, Title: title, Text: text, Link: "To the terminal",
	}); {
	case !isPage:
		http.Error(w, title+".", status)
	case status == http.StatusServiceUnavailable:
		s.html(w, status, s.site.Waiting(notice))
	default:
		s.html(w, status, s.site.Notice(notice))
	}
}

// waitingHeader is how the page that waits for an app tells our answer from
// the app's.
const waitingHeader = "X-Workshop-Waiting"
