// SPDX-License-Identifier: Apache-2.0

package output

import (
	"fmt"
	"slices"
	"strings"
)

// Count is a number of things: "1 volume", "2 volumes".
func Count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Some are the first of the names, each once, and how many there are beside
// them: a question about forty people must fit a screen.
func Some(names []string) string {
	const shown = 5
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	if more := len(names) - shown; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), more)
	}
	return strings.Join(names, ", ")
}
