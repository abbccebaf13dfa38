// SPDX-License-Identifier: Apache-2.0

//go:build integration && openshift

package image_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/image"
	"github.com/workshopctl/workshopctl/pkg/workshop"
	"github.com/workshopctl/workshopctl/test/testcluster"
)

// What OpenShift's own API server says, to a trainer with one project.
func TestOpenShiftSession(t *testing.T) {
	c, others := testcluster.New(t), testcluster.New(t)
	ctx := t.Context()
	c.Tag(t, "my-terminal:v1", 1)
	c.Tag(t, "my-terminal:v2", 2)
	c.Stream(t, "coming", map[string]any{"name": "v1", "from": map[string]any{"kind": "DockerImage", "name": "registry.invalid/nothing:1"}})
	others.Tag(t, "theirs:latest", 3)
	streams := image.NewStreams(c.Trainer.Dynamic, c.Namespace)

	for _, named := range []workshop.Image{{Name: "my-terminal:v2"}, {Stream: "my-terminal:v2"}, {Stream: c.Namespace + "/my-terminal:v2"}} {
		got, err := streams.Session(ctx, named)
		if err != nil || got.Digest != testcluster.Digest(2) || !strings.HasSuffix(got.Reference, "/my-terminal@"+testcluster.Digest(2)) || got.Tag.String() != c.Namespace+"/my-terminal:v2" {
			t.Errorf("%v: %+v, %v", named, got, err)
		}
	}
	if got, err := streams.Session(ctx, workshop.Image{Name: "busybox:1"}); err != nil || got.Tag != nil || got.Reference != "busybox:1" {
		t.Errorf("no stream of that name: %+v, %v", got, err)
	}
	for _, test := range []struct {
		named workshop.Image
		code  explain.Code
		text  string
	}{
		{workshop.Image{Name: "my-terminal:v3"}, explain.ImageTagNotFound, "its tags: v1, v2"},
		{workshop.Image{Name: "coming:v1"}, explain.ImageTagEmpty, "it is to follow registry.invalid/nothing:1"},
		{workshop.Image{Stream: "nothing:v1"}, explain.ImageStreamNotFound, "its image streams: coming, my-terminal"},
		{workshop.Image{Stream: others.Namespace + "/theirs"}, explain.ImageStreamRights, "forbidden"},
	} {
		_, err := streams.Session(ctx, test.named)
		failure, ok := errors.AsType[*explain.Failure](err)
		if !ok || failure.Code != test.code || !strings.Contains(strings.Join(failure.Evidence, "\n"), test.text) {
			t.Errorf("%v: %+v", test.named, err)
		}
	}
	if tags, err := streams.Tags(ctx); err != nil || !slices.Equal(tags, []string{"my-terminal:v1", "my-terminal:v2"}) {
		t.Errorf("tags %v, %v", tags, err)
	}
}
