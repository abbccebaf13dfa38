// SPDX-License-Identifier: Apache-2.0

package ask_test

import (
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/workshopctl/workshopctl/pkg/cmd/ask"
	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
)

// Without a terminal nobody is asked: a "y" on stdin is no consent.
func TestConfirmWithoutTerminal(t *testing.T) {
	streams, in, _, _ := genericiooptions.NewTestIOStreams()
	in.WriteString("y\n")
	f := factory.New([]string{"workshopctl"}, streams, factory.Build{})
	err := ask.Confirm(t.Context(), f, false, "Delete it?")
	var said strings.Builder
	fault.Write(&said, err, f.Reword)
	if fault.Code(err) != fault.Refused || !strings.Contains(said.String(), "--yes") || !strings.Contains(said.String(), "Delete it?") {
		t.Errorf("code %d: %s", fault.Code(err), said.String())
	}
	if err := ask.Confirm(t.Context(), f, true, "Delete it?"); err != nil {
		t.Errorf("with --yes: %v", err)
	}
}
