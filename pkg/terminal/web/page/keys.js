// SPDX-License-Identifier: Apache-2.0
//
// The page's own keys. They are heard before the terminal hears them, wherever
// the focus is. None of them is a key that browsers zoom, find or close with, or
// that shells know: all have Ctrl (or Cmd) and Shift.

const bindings = [];

// bind has a key (as KeyboardEvent.key or code has it) with Ctrl+Shift do something.
export const bind = (key, action) => bindings.push({ key, action });

addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || !event.shiftKey || event.altKey) return;
  const found = bindings.find((b) => b.key === event.code);
  if (!found || document.querySelector("dialog[open]")) return;
  if (found.action() === false) return; // not now
  event.preventDefault();
  event.stopImmediatePropagation();
}, true);
