// SPDX-License-Identifier: Apache-2.0

package workshop_test

import (
	"strings"
	"testing"

	"github.com/workshopctl/workshopctl/pkg/workshop"
)

func TestParseStreamTag(t *testing.T) {
	for in, want := range map[string]workshop.StreamTag{
		"my-terminal":                         {Name: "my-terminal", Tag: "latest"},
		"my-terminal:v2":                      {Name: "my-terminal", Tag: "v2"},
		"openshift/cli":                       {Project: "openshift", Name: "cli", Tag: "latest"},
		"team-1/a.b_c__d--e:_1.X-y":           {Project: "team-1", Name: "a.b_c__d--e", Tag: "_1.X-y"},
		"0/1:2":                               {Project: "0", Name: "1", Tag: "2"},
		"x:" + strings.Repeat("a", 128):       {Name: "x", Tag: strings.Repeat("a", 128)},
		strings.Repeat("a", 63) + "/x":        {Project: strings.Repeat("a", 63), Name: "x", Tag: "latest"},
		"project/" + strings.Repeat("x", 200): {Project: "project", Name: strings.Repeat("x", 200), Tag: "latest"},
	} {
		if got, err := workshop.ParseStreamTag(in); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		"":                               "no valid name",
		":v2":                            "no valid name",
		"My-Terminal":                    "no valid name",
		"a b":                            "no valid name",
		"-a":                             "no valid name",
		"a-":                             "no valid name",
		"a:":                             "no valid tag",
		"a:b:c":                          "no valid tag",
		"a:.b":                           "no valid tag",
		"a:" + strings.Repeat("a", 129):  "no valid tag",
		"/a":                             "doesn't start with a project",
		"quay.io/a":                      "doesn't start with a project",
		"Team/a":                         "doesn't start with a project",
		strings.Repeat("a", 64) + "/x":   "doesn't start with a project",
		"quay/team/a:1":                  "a slash too many",
		"a@sha256:0123":                  "a digest, where a tag belongs",
		"registry.example.com:5000/team": "doesn't start with a project",
	} {
		_, err := workshop.ParseStreamTag(in)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "my-terminal:v2") {
			t.Errorf("%q: %v; want %q and an example", in, err, want)
		}
	}
}

func FuzzParseStreamTag(f *testing.F) {
	for _, s := range []string{"a", "a:b", "p/a:b", "p/a", "quay.io/a:b", "a@sha256:0", "a//b", "é:x", "a:b/c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tag, err := workshop.ParseStreamTag(s)
		if err != nil {
			return
		}
		again, err := workshop.ParseStreamTag(tag.String())
		if err != nil || again != tag {
			t.Errorf("%q is %+v, written %q, which is %+v, %v", s, tag, tag, again, err)
		}
		// What is read as a tag is one for a Spec as well.
		spec := workshop.Spec{ImageStream: s}.WithDefaults(images)
		if err := spec.Validate(); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	})
}

func TestImage(t *testing.T) {
	tag := workshop.StreamTag{Name: "my-terminal", Tag: "v2"}
	for _, test := range []struct {
		image  workshop.Image
		text   string
		tag    workshop.StreamTag
		surely bool
		ok     bool
	}{
		{workshop.Image{Name: "quay.io/team/my-terminal:v2"}, "quay.io/team/my-terminal:v2", workshop.StreamTag{}, false, false},
		{workshop.Image{Name: "my-terminal:v2"}, "my-terminal:v2", tag, false, true},
		{workshop.Image{Name: "My-Terminal"}, "My-Terminal", workshop.StreamTag{}, false, false},
		{workshop.Image{Stream: "my-terminal:v2"}, "my-terminal:v2", tag, true, true},
		{workshop.Image{Stream: "a/my-terminal:v2"}, "a/my-terminal:v2", workshop.StreamTag{Project: "a", Name: "my-terminal", Tag: "v2"}, true, true},
		{workshop.Image{Stream: "a/b/c"}, "a/b/c", workshop.StreamTag{}, true, false},
	} {
		got, surely, ok := test.image.StreamTag()
		if got != test.tag || surely != test.surely || ok != test.ok || test.image.String() != test.text {
			t.Errorf("%+v: %+v, %v, %v, %q", test.image, got, surely, ok, test.image)
		}
	}
}

func TestImageOf(t *testing.T) {
	for _, test := range []struct {
		terminalImage, imageStream string
		want                       workshop.Image
	}{
		{"a/b:1", "", workshop.Image{Name: "a/b:1"}},
		{"a/b:1", "a/b:1", workshop.Image{Stream: "a/b:1"}},
		{"", "a/b:1", workshop.Image{Stream: "a/b:1"}},
		// Set by hand after a deploy of an image stream.
		{"team/other:1", "a/b:1", workshop.Image{Name: "team/other:1"}},
		{"", "", workshop.Image{}},
	} {
		if got := workshop.ImageOf(test.terminalImage, test.imageStream); got != test.want {
			t.Errorf("TERMINAL_IMAGE=%s IMAGE_STREAM=%s: %+v, want %+v", test.terminalImage, test.imageStream, got, test.want)
		}
	}
}

// A workshop has one image.
func TestOneImage(t *testing.T) {
	s := workshop.Spec{ImageStream: "my-terminal"}.WithDefaults(workshop.Images{Terminal: "release:1", Gateway: "g:1", Hub: "h:1", Proxy: "p:1"})
	if err := s.Validate(); err != nil || s.TerminalImage != "" {
		t.Errorf("%q, %v", s.TerminalImage, err)
	}
	both := s
	both.TerminalImage = "a/b:1"
	if err := both.Validate(); err == nil || !strings.Contains(err.Error(), `terminalImage "a/b:1" has no place beside imageStream`) {
		t.Errorf("both: %v", err)
	}
	s.SetImage(workshop.Image{Name: "a/b:1"})
	if s.TerminalImage != "a/b:1" || s.ImageStream != "" {
		t.Errorf("%+v", s.Image())
	}
	s.SetImage(workshop.Image{Stream: "x"})
	if s.TerminalImage != "" || s.ImageStream != "x" {
		t.Errorf("%+v", s.Image())
	}
	s.ImageStream = "quay.io/team/a:1"
	if err := s.Validate(); err == nil || !strings.Contains(err.Error(), `imageStream "quay.io/team/a:1" is no image stream tag`) {
		t.Errorf("%v", err)
	}
}
