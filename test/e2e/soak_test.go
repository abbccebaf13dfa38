// SPDX-License-Identifier: Apache-2.0

//go:build e2e && soak

package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

const (
	soakSessions = 30
	soakWarmUp   = time.Minute // until rings are full, and heaps as large as they get
	soakTime     = 10 * time.Minute
)

// usage is what a gateway's process has, as its node tells.
type usage struct{ rss, descriptors, threads int }

// gateways are those that run on this node, by pid.
func gateways(t *testing.T) map[int]usage {
	t.Helper()
	all := map[int]usage{}
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range commands {
		args, _ := os.ReadFile(path)
		words := strings.Split(string(args), "\x00")
		if len(words) < 2 || filepath.Base(words[0]) != "workshop-terminal" || words[1] != "serve" {
			continue
		}
		dir := filepath.Dir(path)
		pid, _ := strconv.Atoi(filepath.Base(dir))
		status, _ := os.ReadFile(filepath.Join(dir, "status"))
		open, err := os.ReadDir(filepath.Join(dir, "fd"))
		if err != nil {
			t.Fatal(err)
		}
		u := usage{descriptors: len(open)}
		for line := range strings.Lines(string(status)) {
			fields := strings.Fields(line)
			if len(fields) < 2 {
				continue
			}
			switch fields[0] {
			case "VmRSS:":
				u.rss, _ = strconv.Atoi(fields[1])
			case "Threads:":
				u.threads, _ = strconv.Atoi(fields[1])
			}
		}
		all[pid] = u
	}
	return all
}

func sum(all map[int]usage) (s usage, largest int) {
	for _, u := range all {
		s.rss += u.rss
		s.descriptors += u.descriptors
		s.threads += u.threads
		largest = max(largest, u.rss)
	}
	return s, largest
}

// TestSoak has thirty sessions type and print for ten minutes, losing their
// connections now and then, and wants no gateway to grow. `make soak` runs it.
func TestSoak(t *testing.T) {
	tr := newTrainer(t, newSandbox(t), "soak")
	address := strings.TrimSpace(tr.run(t, "deploy", "--cpu-request", "10m", "--memory-request", "32Mi").stdout)
	password := tr.password(t)
	ctx, cancel := context.WithCancel(t.Context())
	var typing sync.WaitGroup
	defer typing.Wait()
	defer cancel()
	var lines, printed, cuts atomic.Int64
	var opening sync.WaitGroup
	for n := range soakSessions {
		opening.Go(func() {
			client, page, err := openSession(ctx, tr.httpClient(t), address, fmt.Sprintf("user%02d", n), password)
			if err != nil {
				t.Error(err)
				return
			}
			typing.Go(func() {
				for round := 0; ctx.Err() == nil; round++ {
					err := typeAndPrint(ctx, client, page, address, round, &lines, &printed)
					if err != nil && ctx.Err() == nil {
						t.Errorf("session %d: %v", n, err)
						return
					}
					cuts.Add(1)
				}
			})
		})
	}
	opening.Wait()
	if t.Failed() {
		return
	}
	wait := func(d time.Duration) {
		select {
		case <-time.After(d):
		case <-t.Context().Done():
		}
	}
	wait(soakWarmUp)
	before := gateways(t)
	if len(before) < soakSessions {
		t.Fatalf("%d gateways run here, want %d", len(before), soakSessions)
	}
	wait(soakTime)
	after := gateways(t)
	b, bLargest := sum(before)
	a, aLargest := sum(after)
	t.Logf("%d gateways, %d lines typed, %d MiB printed, %d connections lost", len(after), lines.Load(), printed.Load()>>20, cuts.Load())
	t.Logf("before: RSS %d KiB (largest %d), %d descriptors, %d threads", b.rss, bLargest, b.descriptors, b.threads)
	t.Logf("after:  RSS %d KiB (largest %d), %d descriptors, %d threads", a.rss, aLargest, a.descriptors, a.threads)
	for pid, was := range before {
		is, ok := after[pid]
		if !ok {
			t.Errorf("gateway %d is gone", pid)
			continue
		}
		// A connection more or less is under way; memory comes and goes by a collection.
		if is.descriptors > was.descriptors+4 || is.threads > was.threads+4 || is.rss > was.rss+4<<10 {
			t.Errorf("gateway %d: from %+v to %+v", pid, was, is)
		}
	}
}

var xsrfInForm = regexp.MustCompile(`name="_xsrf" value="([^"]+)"`)

// openSession logs a user in, and waits for the page of the session's terminal.
func openSession(ctx context.Context, client *http.Client, address, user, password string) (*http.Client, string, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, "", err
	}
	client.Jar = jar
	get := func(address string) (*http.Response, string, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return nil, "", err
		}
		resp, err := client.Do(req)
		if err != nil {
			return nil, "", err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return resp, string(body), err
	}
	_, body, err := get(address + "hub/login")
	if err != nil {
		return nil, "", err
	}
	xsrf := xsrfInForm.FindStringSubmatch(body)
	if xsrf == nil {
		return nil, "", fmt.Errorf("no login form: %.300s", body)
	}
	resp, err := client.PostForm(address+"hub/login?next=%2Fhub%2Fspawn", url.Values{"username": {user}, "password": {password}, "_xsrf": {xsrf[1]}})
	if err != nil {
		return nil, "", err
	}
	_ = resp.Body.Close()
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	late := time.After(4 * time.Minute)
	for {
		resp, _, err := get(address + "user/" + user + "/")
		if err == nil && resp.StatusCode == http.StatusOK && resp.Header.Get("X-Workshop-Terminal") != "" {
			return client, resp.Request.URL.String(), nil
		}
		select {
		case <-tick.C:
		case <-late:
			return nil, "", fmt.Errorf("no terminal for %s: %v, %w", user, resp, err)
		}
	}
}

// typeAndPrint uses a terminal for a while, then loses the connection.
func typeAndPrint(ctx context.Context, client *http.Client, page, address string, round int, lines, printed *atomic.Int64) error {
	conn, _, err := websocket.Dial(ctx, "wss"+strings.TrimPrefix(page, "https")+"ws",
		&websocket.DialOptions{HTTPClient: client, HTTPHeader: http.Header{"Origin": {strings.TrimSuffix(address, "/")}}})
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(1 << 20)
	say := func(frame []byte) error { return conn.Write(ctx, websocket.MessageBinary, frame) }
	if err := say([]byte(`h{"client":"soak","columns":100,"rows":30}`)); err != nil {
		return err
	}
	for n := range 40 { // a line a second, or less often where there is no time for more
		mark := fmt.Sprintf("<%d.%d>", round, n)
		if err := say([]byte("iseq 1 4000; echo '<'" + mark[1:len(mark)-1] + "'>'\r")); err != nil {
			return err
		}
		lines.Add(1)
		deadline, cancel := context.WithTimeout(ctx, time.Minute)
		var tail []byte
		for !bytes.Contains(tail, []byte("\n"+mark)) {
			kind, frame, err := conn.Read(deadline)
			if err != nil {
				cancel()
				return errors.Join(err, fmt.Errorf("waiting for %s, last %q", mark, tail))
			}
			if kind != websocket.MessageBinary || frame[0] != 'o' {
				continue
			}
			printed.Add(int64(len(frame) - 9))
			tail = append(tail, frame[9:]...)
			tail = tail[max(0, len(tail)-200):]
			if err := say(binary.BigEndian.AppendUint64([]byte{'a'}, binary.BigEndian.Uint64(frame[1:])+uint64(len(frame)-9))); err != nil {
				cancel()
				return err
			}
		}
		cancel()
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}
