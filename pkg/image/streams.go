// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

var (
	imageStreams    = schema.GroupVersionResource{Group: "image.openshift.io", Version: "v1", Resource: "imagestreams"}
	imageStreamTags = imageStreams.GroupVersion().WithResource("imagestreamtags")
)

// Streams reads the image streams of a cluster that has them
// (capability.Set.Image), as seen by a workshop's project.
type Streams struct {
	client  dynamic.Interface
	project string
}

// NewStreams returns a reader for the workshops of a project.
func NewStreams(client dynamic.Interface, project string) *Streams {
	return &Streams{client: client, project: project}
}

// Session is the image of a session that starts now.
type Session struct {
	// Tag that the image was found by, with its project; nil where the image
	// was named without an image stream.
	Tag *workshop.StreamTag
	// Reference is what the session's pod pulls: by digest where there is a
	// Tag.
	Reference string
	// Digest of the image, "" where only the registry knows it.
	Digest string
}

// Named is the image of a session that is to run an image of that name.
func Named(name string) Session {
	s := Session{Reference: name}
	if n, err := Parse(name); err == nil {
		s.Digest = n.Digest
	}
	return s
}

// Short is the image in few words, for people: the first characters of its
// digest, or its name.
func (s Session) Short() string {
	if s.Digest == "" {
		return s.Reference
	}
	return ShortDigest(s.Digest)
}

// ShortDigest is enough of a digest to tell two apart.
func ShortDigest(digest string) string {
	const enough = len("sha256:") + 12
	return digest[:min(len(digest), enough)]
}

// Session finds out what a session would run, in the way in which the hub
// does when it starts one (templates/jupyterhub_config.py). Errors:
// *explain.Failure where the image stream, the tag, its image or a right is
// missing; or the API's.
func (s *Streams) Session(ctx context.Context, i workshop.Image) (Session, error) {
	tag, surely, ok := i.StreamTag()
	switch {
	case !ok && surely:
		_, err := workshop.ParseStreamTag(i.Stream)
		return Session{}, err
	case !ok:
		return Named(i.Name), nil
	}
	if tag.Project == "" {
		tag.Project = s.project
	}
	o, err := s.client.Resource(imageStreamTags).Namespace(tag.Project).Get(ctx, tag.Name+":"+tag.Tag, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return s.missing(ctx, tag, i, surely)
	case apierrors.IsForbidden(err):
		return Session{}, s.forbidden(tag, err)
	case err != nil:
		return Session{}, fmt.Errorf("read image stream tag %s: %w", tag, err)
	}
	reference, _, _ := unstructured.NestedString(o.Object, "image", "dockerImageReference")
	digest, _, _ := unstructured.NestedString(o.Object, "image", "metadata", "name")
	if reference == "" {
		return Session{}, s.empty(tag, nil, nil)
	}
	return Session{Tag: &tag, Reference: reference, Digest: digest}, nil
}

// missing says what there is none of: the image stream, the tag, or an image
// for it. Without an image stream, what only may have been a tag is an image
// name.
func (s *Streams) missing(ctx context.Context, tag workshop.StreamTag, i workshop.Image, surely bool) (Session, error) {
	o, err := s.client.Resource(imageStreams).Namespace(tag.Project).Get(ctx, tag.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err) && !surely:
		return Named(i.Name), nil
	case apierrors.IsNotFound(err):
		f := &explain.Failure{Code: explain.ImageStreamNotFound, Object: "image stream " + tag.Name,
			Cause:  fmt.Sprintf("project %s has no image stream of that name", tag.Project),
			Remedy: "check the name, and the project before it; an image that has no image stream is named with --terminal-image"}
		// Those who may not list them do without.
		if names, err := s.names(ctx, tag.Project); err == nil {
			f.Evidence = listed("its image streams", names)
		}
		return Session{}, f
	case apierrors.IsForbidden(err):
		return Session{}, s.forbidden(tag, err)
	case err != nil:
		return Session{}, fmt.Errorf("read image stream %s of project %s: %w", tag.Name, tag.Project, err)
	}
	filled, known, reasons := tagsOf(o, tag.Tag)
	if known {
		return Session{}, s.empty(tag, filled, reasons)
	}
	return Session{}, &explain.Failure{Code: explain.ImageTagNotFound, Object: "image stream " + s.short(tag.Project, tag.Name),
		Cause: fmt.Sprintf("it has no tag %s", tag.Tag), Evidence: listed("its tags", filled),
		Remedy: fmt.Sprintf("name one of its tags, or make this one (oc -n %s tag IMAGE %s:%s)", tag.Project, tag.Name, tag.Tag)}
}

// empty is about a tag without an image.
func (s *Streams) empty(tag workshop.StreamTag, filled, reasons []string) error {
	return &explain.Failure{Code: explain.ImageTagEmpty, Object: "image stream tag " + s.short(tag.Project, tag.Name+":"+tag.Tag),
		Cause: "it has no image yet", Evidence: slices.Concat(reasons, listed("tags with an image", filled)),
		Remedy: fmt.Sprintf("push or build an image for it, or see why none comes (oc -n %s describe imagestream %s)", tag.Project, tag.Name)}
}

func (s *Streams) forbidden(tag workshop.StreamTag, err error) error {
	return &explain.Failure{Code: explain.ImageStreamRights, Object: "image stream " + s.short(tag.Project, tag.Name),
		Cause: fmt.Sprintf("you may not read the image streams of project %s", tag.Project), Evidence: []string{explain.Clean(err.Error())},
		Remedy: fmt.Sprintf("have an admin of that project let you: `oc policy add-role-to-user registry-viewer YOUR-NAME -n %s`", tag.Project)}
}

// short leaves the workshop's own project out.
func (s *Streams) short(project, name string) string {
	if project == s.project {
		return name
	}
	return project + "/" + name
}

// Tags lists the image stream tags of the workshop's project that have an
// image.
func (s *Streams) Tags(ctx context.Context) ([]string, error) {
	list, err := s.client.Resource(imageStreams).Namespace(s.project).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list the image streams of project %s: %w", s.project, err)
	}
	var all []string
	for i := range list.Items {
		filled, _, _ := tagsOf(&list.Items[i], "")
		for _, tag := range filled {
			all = append(all, list.Items[i].GetName()+":"+tag)
		}
	}
	slices.Sort(all)
	return all, nil
}

func (s *Streams) names(ctx context.Context, project string) ([]string, error) {
	list, err := s.client.Resource(imageStreams).Namespace(project).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range list.Items {
		names = append(names, list.Items[i].GetName())
	}
	return names, nil
}

// tagsOf reads which tags of an image stream have an image, whether it knows
// the one that is asked for, and what it says of that one's import.
func tagsOf(o *unstructured.Unstructured, asked string) (filled []string, known bool, reasons []string) {
	status, _, _ := unstructured.NestedSlice(o.Object, "status", "tags")
	for _, t := range status {
		tag, _ := t.(map[string]any)
		name, _ := tag["tag"].(string)
		if items, _ := tag["items"].([]any); len(items) > 0 {
			filled = append(filled, name)
		}
		if name != asked {
			continue
		}
		known = true
		conditions, _ := tag["conditions"].([]any)
		for _, c := range conditions {
			condition, _ := c.(map[string]any)
			if message, _ := condition["message"].(string); condition["status"] == "False" && message != "" {
				reasons = append(reasons, "its import: "+explain.Clean(message))
			}
		}
	}
	spec, _, _ := unstructured.NestedSlice(o.Object, "spec", "tags")
	for _, t := range spec {
		tag, _ := t.(map[string]any)
		if tag["name"] != asked {
			continue
		}
		known = true
		if from, _, _ := unstructured.NestedString(tag, "from", "name"); from != "" {
			reasons = append(reasons, "it is to follow "+explain.Clean(from))
		}
	}
	slices.Sort(filled)
	return filled, known, reasons
}

// listed is a line of evidence.
func listed(what string, names []string) []string {
	if len(names) == 0 {
		return []string{what + ": none"}
	}
	return []string{what + ": " + explain.Clean(strings.Join(names, ", "))}
}
