// SPDX-License-Identifier: Apache-2.0

package workshop

import (
	"fmt"
	"regexp"
	"strings"
)

// StreamTag is a tag of an image stream (image.openshift.io), a name that stands
// for whatever image the tag has at the time.
type StreamTag struct {
	// Project that has the image stream; empty is the workshop's own.
	Project string
	Name    string
	Tag     string
}

// DefaultTag of an image stream, where none is given.
const DefaultTag = "latest"

// What the API server takes for names of image streams and tags, and for those
// of namespaces.
var (
	streamName  = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$`)
	streamTag   = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
	projectName = regexp.MustCompile(`^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$`)
)

// ParseStreamTag reads [PROJECT/]NAME[:TAG].
func ParseStreamTag(s string) (StreamTag, error) {
	fail := func(problem string) (StreamTag, error) {
		return StreamTag{}, fmt.Errorf("image stream tag %q %s; write it like my-terminal:v2 or project/my-terminal:v2", s, problem)
	}
	var t StreamTag
	rest := s
	if project, name, ok := strings.Cut(s, "/"); ok {
		if !projectName.MatchString(project) {
			return fail("doesn't start with a project's name")
		}
		t.Project, rest = project, name
	}
	name, tag, tagged := strings.Cut(rest, ":")
	if !tagged {
		tag = DefaultTag
	}
	t.Name, t.Tag = name, tag
	switch {
	case strings.Contains(rest, "/"):
		return fail("has a slash too many")
	case strings.Contains(rest, "@"):
		return fail("has a digest, where a tag belongs")
	case !streamName.MatchString(name):
		return fail("has no valid name of an image stream")
	case !streamTag.MatchString(tag):
		return fail("has no valid tag after the colon")
	}
	return t, nil
}

// String writes the tag so that ParseStreamTag reads it back.
func (t StreamTag) String() string {
	s := t.Name + ":" + t.Tag
	if t.Project != "" {
		s = t.Project + "/" + s
	}
	return s
}

// Image says what new sessions run, in the words of whoever chose it. Its
// zero value is no choice.
type Image struct {
	// Name is an image name; or, without a slash, a tag of an image stream of
	// the workshop's own project if it has one of that name, as in 2018.
	Name string
	// Stream in place of a Name is [PROJECT/]NAME[:TAG] of an image stream, and
	// nothing else.
	Stream string
}

// ImageOf reads what the hub's variables say (EnvTerminalImage,
// EnvImageStream). An image stream is named in both, so that who sets another
// TERMINAL_IMAGE by hand outdoes it, and a later deploy sees who that was.
func ImageOf(terminalImage, imageStream string) Image {
	if imageStream != "" && (terminalImage == "" || terminalImage == imageStream) {
		return Image{Stream: imageStream}
	}
	return Image{Name: terminalImage}
}

// Image that the Spec chooses.
func (s Spec) Image() Image { return Image{Name: s.TerminalImage, Stream: s.ImageStream} }

// SetImage chooses another image.
func (s *Spec) SetImage(i Image) {
	s.TerminalImage, s.ImageStream = i.Name, i.Stream
}

// String is the image as it was named.
func (i Image) String() string {
	if i.Name != "" {
		return i.Name
	}
	return i.Stream
}

// StreamTag returns the tag that the image may be: surely, if it was called
// one, or if there is an image stream of that name. ok is false for what can
// only be an image name.
func (i Image) StreamTag() (tag StreamTag, surely, ok bool) {
	named := i.Name
	if named == "" {
		named, surely = i.Stream, true
	} else if strings.Contains(named, "/") {
		return StreamTag{}, false, false
	}
	tag, err := ParseStreamTag(named)
	return tag, surely, err == nil
}
