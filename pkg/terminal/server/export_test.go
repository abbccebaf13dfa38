// SPDX-License-Identifier: Apache-2.0

package server

import "net/http"

// Transfers is what answers requests about files, without the question who asks.
func Transfers(f Files) func(http.ResponseWriter, *http.Request, string) error {
	s := &Server{Options: Options{Files: f, Patience: Patience{}.orDefault(), Logf: func(string, ...any) {}}}
	return s.transfer
}
