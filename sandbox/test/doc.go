// SPDX-License-Identifier: Apache-2.0

// Package test runs the program as a user does, on this machine, as root.
package test
