// SPDX-License-Identifier: Apache-2.0

package server

import (
	"net/http"
	"time"

	"github.com/workshopctl/workshopctl/pkg/terminal/wire"
)

// Transfers is what answers requests about files, without the question who asks.
func Transfers(f Files) func(http.ResponseWriter, *http.Request, string) error {
	s := &Server{Options: Options{Files: f, Patience: Patience{}.orDefault(), Logf: func(string, ...any) {}}}
	return s.transfer
}

// News of a session's end at a time.
func (l Life) News(now, used, kept time.Time) (wire.End, time.Time) { return l.news(now, used, kept) }
