// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/workshopctl/workshopctl/pkg/cmd/choice"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

func TestMoveImages(t *testing.T) {
	published := workshop.Images{Hub: "quay.io/team/hub:2", Proxy: "quay.io/team/proxy:2"}
	deployed := workshop.Spec{Registry: "old.example", TerminalImage: "old.example/terminal:1", GatewayImage: "old.example/gateway:1", HubImage: "old.example/hub:1", ProxyImage: "old.example/proxy:1"}
	for name, test := range map[string]struct {
		change choice.Change
		to     string
		want   func(*workshop.Spec)
	}{
		"no other registry": {to: "old.example", want: func(*workshop.Spec) {}},
		"another": {to: "new.example/x", want: func(s *workshop.Spec) {
			s.HubImage, s.ProxyImage = "new.example/x/hub:1", "new.example/x/proxy:1"
		}},
		"none": {want: func(s *workshop.Spec) { s.HubImage, s.ProxyImage = "quay.io/team/hub:1", "quay.io/team/proxy:1" }},
		"one is named": {to: "new.example", change: choice.Change{Values: map[string]string{"hub-image": "old.example/hub:1"}},
			want: func(s *workshop.Spec) { s.ProxyImage = "new.example/proxy:1" }},
		"a file names one": {to: "new.example", change: choice.Change{Replace: &workshop.Spec{ProxyImage: "old.example/proxy:1"}},
			want: func(s *workshop.Spec) { s.HubImage = "new.example/hub:1" }},
	} {
		t.Run(name, func(t *testing.T) {
			got := deployed
			got.Registry = test.to
			want := got
			test.want(&want)
			moveImages(&got, deployed.Registry, test.change, published)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
