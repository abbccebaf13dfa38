// SPDX-License-Identifier: Apache-2.0

// Package fault is the one place that knows what errors look like to the
// person who runs a command: which exit code they have, and how they are
// written.
package fault

import (
	"context"
	"errors"
	"fmt"

	"github.com/workshopctl/workshopctl/pkg/apply"
	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/users"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// The exit codes, as docs/exit-codes.md describes them.
const (
	OK          = 0
	Failed      = 1
	BadUsage    = 2
	NotReady    = 3
	TimedOut    = 4
	Refused     = 5
	Interrupted = 130
)

// Error is an error with its exit code and what to do about it.
type Error struct {
	// Code is the exit code; 0 means that of Err.
	Code int
	Err  error
	// Hint says what to do next, in whole sentences; may be empty.
	Hint string
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// SilentError is an exit code without a message (`diff` that found differences).
type SilentError int

func (s SilentError) Error() string { return fmt.Sprintf("exit code %d", int(s)) }

// Usage is an error in what the person typed or wrote into a file.
func Usage(format string, args ...any) error {
	return &Error{Code: BadUsage, Err: fmt.Errorf(format, args...)}
}

// Refuse is an error for what is possible but wants a decision first.
func Refuse(hint, format string, args ...any) error {
	return &Error{Code: Refused, Err: fmt.Errorf(format, args...), Hint: hint}
}

// Hint adds what to do next to an error and leaves its exit code as it is.
func Hint(err error, hint string) error {
	return &Error{Err: err, Hint: hint}
}

// Code returns the exit code for an error.
func Code(err error) int {
	var (
		silent        SilentError
		field         *workshop.FieldError
		failure       *explain.Failure
		foreign       *apply.ForeignError
		foreignRecord *record.ForeignError
		conflict      *apply.ConflictError
		clash         *record.ConflictError
		foreignUsers  *users.ForeignError
	)
	coded := given(err, func(e *Error) bool { return e.Code != 0 })
	switch {
	case err == nil:
		return OK
	case errors.As(err, &silent):
		return int(silent)
	case coded != nil:
		return coded.Code
	case errors.Is(err, context.Canceled):
		return Interrupted
	case errors.Is(err, context.DeadlineExceeded):
		return TimedOut
	case errors.As(err, &field):
		return BadUsage
	case errors.As(err, &failure):
		return NotReady
	case errors.As(err, &foreign), errors.As(err, &foreignRecord), errors.As(err, &conflict), errors.As(err, &clash), errors.As(err, &foreignUsers):
		return Refused
	}
	return Failed
}

// given returns the outermost Error that has something to say.
func given(err error, has func(*Error) bool) *Error {
	var e *Error
	for errors.As(err, &e) {
		if has(e) {
			return e
		}
		err = e.Err
	}
	return nil
}
