// SPDX-License-Identifier: Apache-2.0

package seed

func Seed(src, dst string, warnf func(format string, args ...any)) error { return nil }
