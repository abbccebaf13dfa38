// SPDX-License-Identifier: Apache-2.0

//go:build integration

package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path"
	"sync"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/workshopctl/workshopctl/pkg/workshop"
	"github.com/workshopctl/workshopctl/test/testcluster"
)

// counted is an API server that counts the watches of each kind.
type counted struct {
	mu      sync.Mutex
	watches map[string]int
}

// countWatches has the commands that follow go through it.
func (tr *trainer) countWatches() *counted {
	tr.t.Helper()
	c := &counted{watches: map[string]int{}}
	target, err := url.Parse(tr.Trainer.Config.Host)
	if err != nil {
		tr.t.Fatal(err)
	}
	transport, err := rest.TransportFor(tr.Trainer.Config)
	if err != nil {
		tr.t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Transport: transport, FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if watch := r.URL.Query().Get("watch"); watch == "true" || watch == "1" {
			c.mu.Lock()
			c.watches[path.Base(r.URL.Path)]++
			c.mu.Unlock()
		}
		proxy.ServeHTTP(w, r)
	}))
	tr.t.Cleanup(server.Close)
	tr.actAs(&testcluster.User{Config: &rest.Config{Host: server.URL, BearerToken: tr.Trainer.Config.BearerToken}})
	return c
}

// However many sessions come and go, each kind is watched once.
func TestOneWatchOfEachKind(t *testing.T) {
	tr, kubelet := newTrainer(t)
	tr.run(append([]string{"deploy"}, deployable...)...)
	counted := tr.countWatches()
	list := tr.watch("sessions", "list", "-w")
	for i := range 5 {
		user := fmt.Sprintf("user%d", i)
		kubelet.Say(workshop.ComponentSession, testcluster.Starting)
		tr.session(user)
		list.shows(user, "starting")
		kubelet.Say(workshop.ComponentSession, testcluster.Running)
		list.shows(user, "running")
	}
	list.ends()
	counted.mu.Lock()
	defer counted.mu.Unlock()
	if counted.watches["pods"] != 1 {
		t.Errorf("%d watches of pods, want 1", counted.watches["pods"])
	}
	for kind, n := range counted.watches {
		if n > 1 {
			t.Errorf("%d watches of %s, want 1", n, kind)
		}
	}
}
