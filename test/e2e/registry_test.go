// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/workshopctl/workshopctl/pkg/image"
)

// TestRegistry: a workshop runs on copies of its images, which come from a
// place that only this machine reaches.
func TestRegistry(t *testing.T) {
	t.Parallel()
	tr := newTrainer(t, newSandbox(t), "registry")
	host := tr.registry(t)
	published, err := image.Defaults("")
	if err != nil {
		t.Fatal(err)
	}
	// What this release takes from the internet, under its own names.
	outside := func(inside string) string { return strings.Replace(inside, "registry.localhost", host, 1) }
	hub, proxy := tr.publish(t, outside(tr.env["WORKSHOPCTL_HUB_IMAGE"]), published.Hub, host), tr.publish(t, outside(tr.env["WORKSHOPCTL_PROXY_IMAGE"]), published.Proxy, host)
	gateway := outside(tr.env["WORKSHOPCTL_GATEWAY_IMAGE"])

	// A sandbox that is kept has what was loaded the last time.
	place := fmt.Sprintf("mirrored-%d", time.Now().Unix())
	load := []string{"mirror", "load", host + "/" + place, "--hub-image", hub, "--proxy-image", proxy, "--gateway-image", gateway,
		"--terminal-image", outside(tr.env["WORKSHOPCTL_TERMINAL_IMAGE"]), "-o", "json"}
	for _, copied := range []bool{true, false} {
		var list struct {
			Items []struct {
				Image, Digest string
				Copied        bool
			}
		}
		if err := json.Unmarshal([]byte(tr.run(t, load...).stdout), &list); err != nil {
			t.Fatal(err)
		}
		for _, i := range list.Items {
			if i.Copied != copied || !strings.HasPrefix(i.Image, host+"/"+place+"/") || i.Digest == "" {
				t.Errorf("loaded %+v, copied should be %v", i, copied)
			}
		}
	}

	// The sandbox's own defaults for hub and proxy must not be found.
	delete(tr.env, "WORKSHOPCTL_HUB_IMAGE")
	delete(tr.env, "WORKSHOPCTL_PROXY_IMAGE")
	mirrored := "registry.localhost/" + place
	tr.env["WORKSHOPCTL_GATEWAY_IMAGE"] = mirrored + "/" + gateway[strings.LastIndex(gateway, "/")+1:]
	tr.run(t, "deploy", "--registry", mirrored)
	spec := func() (s struct {
		Spec struct{ Registry, HubImage, ProxyImage string }
	}) {
		if err := json.Unmarshal([]byte(tr.run(t, "status", "-o", "json").stdout), &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := spec().Spec; s.Registry != mirrored || s.HubImage != mirrored+"/"+hub[strings.LastIndex(hub, "/")+1:] || !strings.HasPrefix(s.ProxyImage, mirrored+"/") {
		t.Errorf("deployed %+v", s)
	}
	if out := tr.run(t, "status").stdout; !strings.Contains(out, mirrored) {
		t.Errorf("status doesn't tell of the registry:\n%s", out)
	}
	if r := tr.try(t, "diff"); r.code != 0 {
		t.Errorf("a redeploy would change something:\n%s", r.stdout)
	}
	// A registry without the copies: what to do is said, and going back works.
	r := tr.try(t, "deploy", "--registry", "registry.localhost/nowhere")
	if r.code != 3 || !strings.Contains(r.stderr, "mirror load registry.localhost/nowhere") {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
	tr.run(t, "deploy", "--registry", mirrored)
	if s := spec().Spec; !strings.HasPrefix(s.HubImage, mirrored+"/") {
		t.Errorf("deployed %+v", s)
	}
	tr.run(t, "delete", "terminals", "--yes")
}

// registry is the address on this machine of the sandbox's registry.
func (s *sandbox) registry(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), filepath.Join(s.bin, "workshop-sandbox"), "status", "--name", sandboxName(t)).Output()
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`registry on (\d+)`).FindSubmatch(out)
	if found == nil {
		t.Fatalf("no registry in %s", out)
	}
	return "127.0.0.1:" + string(found[1])
}

// publish gives an image of the sandbox the name that a release has for it, on
// the sandbox's registry.
func (s *sandbox) publish(t *testing.T, from, published, host string) string {
	t.Helper()
	to := host + "/upstream/" + published[strings.LastIndex(published, "/")+1:]
	source, err := name.ParseReference(from)
	if err != nil {
		t.Fatal(err)
	}
	target, err := name.ParseReference(to)
	if err != nil {
		t.Fatal(err)
	}
	d, err := remote.Get(source, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Push(target, d, remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	return to
}
