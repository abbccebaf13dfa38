// SPDX-License-Identifier: Apache-2.0

// Package ask asks a person before something that can't be taken back.
package ask

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/progress"
)

// Confirm returns nil if the person agrees or has agreed by --yes. Where
// nobody can be asked, the error names that flag.
func Confirm(ctx context.Context, f *factory.Factory, yes bool, question string) error {
	if yes {
		return nil
	}
	if !progress.IsTerminal(f.In) || !progress.IsTerminal(f.ErrOut) {
		return fault.Refuse("Add --yes to go ahead without being asked.", "this needs a yes, and there is no terminal to ask on: %s", question)
	}
	_, _ = fmt.Fprintf(f.ErrOut, "%s [y/N] ", question)
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(f.In).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case a := <-answer:
		if a == "y" || a == "yes" {
			return nil
		}
		return fault.Refuse("", "nothing was done")
	case <-ctx.Done():
		_, _ = fmt.Fprintln(f.ErrOut)
		return fmt.Errorf("nothing was done: %w", ctx.Err())
	}
}
