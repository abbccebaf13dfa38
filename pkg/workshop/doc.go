// SPDX-License-Identifier: Apache-2.0

// Package workshop says what a workshop is: its Spec with defaults and
// validation, the names and labels of its objects, and the file format in
// which people keep a Spec. It does no input or output.
package workshop
