// SPDX-License-Identifier: Apache-2.0

// Package password makes the passwords of a workshop and says which are good
// enough. It does no input or output, save for reading random numbers.
package password

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"
)

// Lengths that passwords must have: what JupyterHub wants, in characters, of an
// attendee's and of an admin's, and how much of one a hash can hold, in bytes.
const (
	MinLength      = 8
	MinAdminLength = 32
	MaxBytes       = 72
)

// alphabet of the passwords: lower case, and nothing that a projector or a
// handwritten note could turn into something else (0 and o, 1 and l). It has
// 32 letters, so that five bits of a random byte choose one without bias.
const alphabet = "abcdefghijkmnpqrstuvwxyz23456789"

// Generate returns a password of groups of four letters with "-" between them,
// 20 bits each: three groups for an attendee, eight for an admin.
func Generate(random io.Reader, admin bool) (string, error) {
	groups := 3
	if admin {
		groups = 8
	}
	b := make([]byte, 4*groups)
	if _, err := io.ReadFull(random, b); err != nil {
		return "", err
	}
	var password strings.Builder
	for i, v := range b {
		if i > 0 && i%4 == 0 {
			password.WriteByte('-')
		}
		password.WriteByte(alphabet[v&31])
	}
	return password.String(), nil
}

// Problem says what is wrong with a password that a person has chosen, as a
// clause that doesn't repeat it; "" is nothing.
func Problem(password string, admin bool) string {
	least, whose := MinLength, "a password"
	if admin {
		least, whose = MinAdminLength, "an admin's password"
	}
	switch {
	case !utf8.ValidString(password) || strings.ContainsFunc(password, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "the password has characters that can't be typed"
	case utf8.RuneCountInString(password) < least:
		return fmt.Sprintf("%s needs %d characters or more; leave it out to have one made", whose, least)
	case len(password) > MaxBytes:
		return fmt.Sprintf("a password can have %d bytes at most", MaxBytes)
	}
	return ""
}

// Hash returns what the hub compares a password with.
func Hash(password string) (string, error) {
	// JupyterHub's own authenticators have 12, four times the work, for passwords
	// that people choose; a class logs in within a minute, on one core.
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	return string(hash), err
}
