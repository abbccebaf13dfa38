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
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	corev1 "k8s.io/api/core/v1"
)

const (
	soakSessions = 30
	soakWarmUp   = 2 * time.Minute // until rings are full, heaps as large as they get, and all code was run once
	soakTime     = 10 * time.Minute
	soakEvery    = 20 * time.Second // a sample
)

// usage is what a gateway takes, as its node and it itself tell.
type usage struct{ goroutines, heap, sockets, descriptors, threads, rss int }

// measures are those that must not grow, and by how many hundredths they may
// differ between the beginning and the end nevertheless: connections are made and
// lost all the time, and what is freed goes back to the kernel when Go sees fit.
// Go keeps a thread for the most calls that ever waited for the kernel at once; on
// a busy machine that peak still creeps up, ever more slowly. A thread lost with
// each connection would be a hundred hundredths and more.
var measures = []struct {
	name    string
	of      func(usage) int
	percent int
}{
	{"goroutines", func(u usage) int { return u.goroutines }, 1},
	{"descriptors", func(u usage) int { return u.descriptors }, 1},
	{"threads", func(u usage) int { return u.threads }, 10},
	{"KiB in use", func(u usage) int { return u.heap }, 2},
	{"KiB resident", func(u usage) int { return u.rss }, 5},
}

// gateways are the pids of this test's, which run on this node.
func gateways(t *testing.T) (pids []int) {
	t.Helper()
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
		if env, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "environ")); bytes.Contains(env, []byte("\x00JUPYTERHUB_USER=soak")) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			pids = append(pids, pid)
		}
	}
	return pids
}

var inUse = regexp.MustCompile(`in use: (\d+) goroutines, (\d+) KiB of memory, (\d+) websockets`)

// sample is what all gateways together take now. Each is asked by a signal, and
// answers in its log: the n-th line of that kind.
func (tr *trainer) sample(t *testing.T, pids []int, n int) (sum usage) {
	t.Helper()
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGUSR1); err != nil {
			t.Fatalf("gateway %d: %v", pid, err)
		}
	}
	for _, pod := range tr.pods(t, "app.kubernetes.io/component=session") {
		eventually(t, time.Minute, "answer of "+pod.Name, func(ctx context.Context) error {
			log, err := tr.admin.CoreV1().Pods(tr.namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Container: "notebook"}).DoRaw(ctx)
			if err != nil {
				return err
			}
			all := inUse.FindAllSubmatch(log, -1)
			if len(all) != n {
				return fmt.Errorf("%d answers, want %d", len(all), n)
			}
			for i, field := range []*int{&sum.goroutines, &sum.heap, &sum.sockets} {
				value, err := strconv.Atoi(string(all[n-1][i+1]))
				if err != nil {
					return err
				}
				*field += value
			}
			return nil
		})
	}
	for _, pid := range pids {
		dir := fmt.Sprintf("/proc/%d", pid)
		open, err := os.ReadDir(filepath.Join(dir, "fd"))
		if err != nil {
			t.Fatal(err)
		}
		sum.descriptors += len(open)
		status, err := os.ReadFile(filepath.Join(dir, "status"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(status)) {
			var value int
			if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &value); n == 1 {
				sum.rss += value
			}
			if n, _ := fmt.Sscanf(line, "Threads: %d", &value); n == 1 {
				sum.threads += value
			}
		}
	}
	return sum
}

// median is the middle value of a measure.
func median(samples []usage, of func(usage) int) int {
	var values []int
	for _, s := range samples {
		values = append(values, of(s))
	}
	slices.Sort(values)
	return values[len(values)/2]
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
	places := make(chan struct{}, 6) // to open sessions at once, else their start is what takes the machine
	for n := range soakSessions {
		opening.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			client, page, err := openSession(ctx, tr.httpClient(t), address, fmt.Sprintf("soak%02d", n), password)
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
	pids := gateways(t)
	if len(pids) != soakSessions {
		t.Fatalf("%d gateways run here, want %d", len(pids), soakSessions)
	}
	tick := time.NewTicker(soakEvery)
	defer tick.Stop()
	var samples []usage
	for n, started := 1, time.Now(); time.Since(started) < soakWarmUp+soakTime; n++ {
		s := tr.sample(t, pids, n)
		t.Logf("%s: %+v", time.Since(started).Round(time.Second), s)
		if time.Since(started) > soakWarmUp {
			samples = append(samples, s)
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			return
		}
	}
	t.Logf("%d gateways, %d lines typed, %d MiB printed, %d connections lost", len(pids), lines.Load(), printed.Load()>>20, cuts.Load())
	// The first third against the last: a slow leak has had minutes between them.
	third := len(samples) / 3
	for _, m := range measures {
		before, after := median(samples[:third], m.of), median(samples[len(samples)-third:], m.of)
		t.Logf("%-12s %7d, then %7d (%+.1f %%)", m.name, before, after, 100*float64(after-before)/float64(before))
		if (after-before)*100 > before*m.percent {
			t.Errorf("%s grew from %d to %d in all gateways together", m.name, before, after)
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
		if err == nil && resp.StatusCode >= http.StatusBadRequest { // on a slow machine it may not come up in time
			if _, _, err := get(address + "hub/spawn/" + user); err != nil {
				return nil, "", err
			}
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
