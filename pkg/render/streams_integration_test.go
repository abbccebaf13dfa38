// SPDX-License-Identifier: Apache-2.0

//go:build integration

package render_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"

	"github.com/workshopctl/workshopctl/pkg/render"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// imageAPI answers the requests for image stream tags in turn, and remembers
// their paths.
type imageAPI struct {
	*httptest.Server
	answers []answer
	paths   []string
}

type answer struct {
	status int
	body   string
}

func newImageAPI(t *testing.T, answers ...answer) *imageAPI {
	api := &imageAPI{answers: answers}
	api.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		api.paths = append(api.paths, r.Method+" "+r.URL.Path)
		a := answer{http.StatusInternalServerError, "the test has no more answers"}
		if len(api.answers) > 0 {
			a, api.answers = api.answers[0], api.answers[1:]
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, a.body)
	}))
	t.Cleanup(api.Close)
	return api
}

func tagged(reference string) answer {
	return answer{http.StatusOK, fmt.Sprintf(`{"image": {"dockerImageReference": %q}}`, reference)}
}

func refused(status int, kind, message string) answer {
	body, _ := json.Marshal(map[string]any{"kind": "Status", "message": message, "code": status, "details": map[string]any{"kind": kind, "group": "image.openshift.io"}})
	return answer{status, string(body)}
}

func withStreams(change func(*workshop.Spec)) render.Input {
	in := input(change)
	in.Capabilities.Image = true
	return in
}

const (
	first  = "registry.svc:5000/training/my-terminal@sha256:1111111111111111111111111111111111111111111111111111111111111111"
	second = "registry.svc:5000/training/my-terminal@sha256:2222222222222222222222222222222222222222222222222222222222222222"
)

// What a tag stands for is looked up for each session; nothing is left of the
// last one's.
func TestStreamTagOfEachSession(t *testing.T) {
	for _, hub := range hubs {
		t.Run(hub.jupyterhub, func(t *testing.T) {
			t.Parallel()
			api := newImageAPI(t,
				tagged(first),
				answer{http.StatusServiceUnavailable, "not yet"}, tagged(second),
				refused(http.StatusNotFound, "imagestreams", "no such stream"),
				refused(http.StatusNotFound, "imagestreamtags", "no such tag"),
			)
			in := withStreams(func(s *workshop.Spec) {
				s.TerminalImage = "my-terminal"
				s.Annotations = map[string]string{"example.com/note": "by {trainer}"}
			})
			m, _ := probeAt(t, &rest.Config{Host: api.URL}, hub.jupyterhub, in, "ann", "bob", "cleo", "dan")
			const tag = "training/my-terminal:latest"
			for user, want := range map[string][2]string{"ann": {first, tag}, "bob": {second, tag}, "cleo": {"my-terminal", ""}} {
				pod := m.Pods[user]
				if image := pod.Spec.Containers[0].Image; image != want[0] {
					t.Errorf("%s works in %s", user, image)
				}
				for _, c := range pod.Spec.InitContainers {
					wanted := want[0]
					if c.Name == "gateway" {
						wanted = in.Spec.GatewayImage
					}
					if c.Image != wanted {
						t.Errorf("%s's container %s is of %s, want %s", user, c.Name, c.Image, wanted)
					}
				}
				if got := pod.Annotations[workshop.ImageStreamTagAnnotation]; got != want[1] || pod.Annotations["example.com/note"] != "by {trainer}" {
					t.Errorf("%s: annotations %v", user, pod.Annotations)
				}
			}
			want := map[string]string{"dan": "Your session's image can't be found: image stream my-terminal has no image with the tag latest. Please tell your trainer."}
			if diff := cmp.Diff(want, m.Refused); diff != "" {
				t.Error(diff)
			}
			for _, path := range api.paths {
				if path != "GET /apis/image.openshift.io/v1/namespaces/training/imagestreamtags/my-terminal:latest" {
					t.Errorf("the hub asked for %s", path)
				}
			}
		})
	}
}

// What an attendee reads where there is no image, and for whose eyes.
func TestStreamTagMissing(t *testing.T) {
	const account = "system:serviceaccount:training:terminals-hub"
	api := newImageAPI(t,
		refused(http.StatusNotFound, "imagestreams", "no such stream"),
		refused(http.StatusNotFound, "imagestreamtags", "no such tag"),
		refused(http.StatusForbidden, "imagestreamtags", `imagestreamtags.image.openshift.io "my-terminal:v2" is forbidden: User "`+account+`" cannot get resource`),
		answer{http.StatusOK, `{"image": {}}`},
		answer{http.StatusBadRequest, "what?"},
	)
	in := withStreams(func(s *workshop.Spec) { s.ImageStream, s.TerminalImage = "images/my-terminal:v2", "" })
	m, _ := probeAt(t, &rest.Config{Host: api.URL}, hubs[0].jupyterhub, in, "a", "b", "c", "d", "e")
	const start = "Your session's image can't be found: "
	want := map[string]string{
		"a": start + "there is no image stream my-terminal of project images. Please tell your trainer.",
		"b": start + "image stream my-terminal of project images has no image with the tag v2. Please tell your trainer.",
		"c": start + "the hub may not read image stream my-terminal of project images. Please tell your trainer, who can have it allowed: oc policy add-role-to-user registry-viewer " + account + " -n images.",
		"d": start + "image stream my-terminal of project images has no image with the tag v2 yet. Please tell your trainer.",
		"e": start + "the cluster answers 400 Bad Request. Try again.",
	}
	if diff := cmp.Diff(want, m.Refused); diff != "" {
		t.Error(diff)
	}
}

// Names that can be nothing but an image's are not looked for, and none is
// where the cluster has no image streams.
func TestImageNames(t *testing.T) {
	api := newImageAPI(t)
	for _, test := range []struct {
		in   render.Input
		want string
	}{
		{withStreams(nil), "registry.example.com/team/terminal:1"},
		{withStreams(func(s *workshop.Spec) { s.TerminalImage = "busybox@" + first[strings.Index(first, "sha256:"):] }), "busybox@" + first[strings.Index(first, "sha256:"):]},
		{input(func(s *workshop.Spec) { s.TerminalImage = "busybox:1" }), "busybox:1"},
	} {
		m, _ := probeAt(t, &rest.Config{Host: api.URL}, hubs[1].jupyterhub, test.in, "ann")
		pod := m.Pods["ann"]
		if pod.Spec.Containers[0].Image != test.want || pod.Spec.InitContainers[1].Image != test.want {
			t.Errorf("%s and %s, want %s", pod.Spec.Containers[0].Image, pod.Spec.InitContainers[1].Image, test.want)
		}
	}
	if len(api.paths) > 0 {
		t.Errorf("the hub asked for %v", api.paths)
	}
}
