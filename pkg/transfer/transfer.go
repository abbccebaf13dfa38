// SPDX-License-Identifier: Apache-2.0

// Package transfer is how files travel between a trainer's machine and a
// session: as one stream, which the one end sends and the other one takes in.
// Both ends are programs of ours, so that the image needs no tar.
//
// The stream is a line of JSON, see [Header], a tar, and the SHA-256 of both.
// What is taken in is put beside its place first, and moves there when it has
// come whole, with the sum that it was sent with.
//
// Neither end trusts the other. A session's end is in its attendee's hands: what
// it sends is written below the place that the trainer has named and nowhere
// else (os.Root), with plain modes, no device and no link that leads out, and no
// more of it than is allowed.
package transfer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"unicode"
)

// Header begins a stream.
type Header struct {
	// Folder says that a folder's content follows, and not a file.
	Folder bool `json:"folder,omitempty"`
	// Files and Bytes that follow, as far as the sender knew beforehand.
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
}

// Result says what was sent or taken in.
type Result struct {
	// Path is where it is now.
	Path  string `json:"path,omitempty"`
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
	// Sum of the stream, in hexadecimal.
	Sum string `json:"sha256"`
	// LeftOut is how much couldn't be read, or may not be written.
	LeftOut int `json:"leftOut,omitempty"`
}

// The reasons for which a transfer fails.
var (
	ErrNoRoom   = errors.New("there is no room for it: the volume is full")
	ErrTooLarge = errors.New("it is larger than allowed")
	ErrTooMany  = fmt.Errorf("it is more than %d files", maxEntries)
	// ErrBroken says that the stream isn't what was sent.
	ErrBroken = errors.New("the transfer broke off or was damaged on the way; nothing was changed")
)

// Ready is the line by which who takes in says that they do.
const Ready = "ready"

const (
	// maxHeader bounds the header in bytes.
	maxHeader = 4 << 10
	// maxEntries bounds the files and folders of a stream, and maxPath the path of
	// one in bytes.
	maxEntries = 200_000
	maxPath    = 4096
)

// plainPath says whether a path in a stream is one that may be written: below
// the folder, and of characters that people can see.
func plainPath(name string) bool {
	return fs.ValidPath(name) && name != "." && len(name) <= maxPath && !strings.ContainsFunc(name, hidden)
}

// hidden are characters that change how a name looks without being seen.
func hidden(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
}

// inside says whether a link of the given path, in a folder, leads to somewhere
// in that folder. Way up is possible at a link's beginning only: from there on
// it may go through other links, of which nobody knows where up leads.
func inside(name, target string) bool {
	if target == "" || path.IsAbs(target) || strings.ContainsFunc(target, hidden) || strings.Contains(target, `\`) || len(target) > maxPath {
		return false
	}
	depth := strings.Count(name, "/")
	down := false
	for part := range strings.SplitSeq(target, "/") {
		switch {
		case part == "" || part == ".":
		case part != "..":
			down = true
		case down || depth == 0:
			return false
		default:
			depth--
		}
	}
	return true
}

// explained puts an error of the filesystem into words, about a path.
func explained(name string, err error) error {
	var (
		at   *fs.PathError
		link *os.LinkError
		no   syscall.Errno
	)
	switch {
	case err == nil, errors.Is(err, ErrNoRoom), errors.Is(err, ErrTooLarge), errors.Is(err, ErrBroken), errors.Is(err, ErrTooMany):
		return err
	case errors.Is(err, syscall.ENOSPC), isQuota(err):
		return ErrNoRoom
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: no such file or folder", name)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: permission denied", name)
	case errors.As(err, &at) && !errors.As(at.Err, &no) && strings.Contains(at.Err.Error(), "escapes"):
		return fmt.Errorf("%s: a link there leads out of the folder", name)
	case errors.As(err, &at):
		return fmt.Errorf("%s: %w", name, at.Err)
	case errors.As(err, &link):
		return fmt.Errorf("%s: %w", name, link.Err)
	}
	return fmt.Errorf("%s: %w", name, err)
}
