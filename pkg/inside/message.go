// SPDX-License-Identifier: Apache-2.0

package inside

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// Bounds of a message: characters and lines.
const (
	MaxMessage      = 500
	MaxMessageLines = 10
)

// Message shows a text on the open pages of a session, and says how many there
// are; pages that come within fresh show it, too.
func (s Sessions) Message(ctx context.Context, pod, text string, fresh time.Duration) (pages int, err error) {
	var answer, said limited
	err = s.RunGateway(ctx, pod, Program{Args: []string{"message", "--for", fresh.String(), "--", text}, Out: &answer, ErrOut: &said})
	switch {
	case err != nil && strings.Contains(said.text(), "no gateway that can be joined"):
		return 0, ErrOlder
	case err != nil:
		return 0, told(err, said.text())
	}
	var came struct{ Pages *int }
	if json.Unmarshal([]byte(answer.text()), &came) != nil || came.Pages == nil || *came.Pages < 0 {
		return 0, errors.New("the session doesn't say whether it has shown it")
	}
	return *came.Pages, nil
}
