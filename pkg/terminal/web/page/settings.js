// SPDX-License-Identifier: Apache-2.0
//
// What a user has chosen here, kept in this browser. It is shared by all
// sessions of this workshop in it, and pages that are open follow at once.

const key = "workshop-terminal";
const listeners = new Map();

function load() {
  try {
    const kept = JSON.parse(localStorage.getItem(key));
    return kept && typeof kept === "object" ? kept : {};
  } catch { // nothing sensible, or no storage at all
    return {};
  }
}

let chosen = load();

// get is the choice of that name, if it is of the fallback's type.
export const get = (name, fallback) => (typeof chosen[name] === typeof fallback ? chosen[name] : fallback);

// set keeps a choice.
export function set(name, value) {
  chosen = { ...load(), [name]: value };
  try {
    localStorage.setItem(key, JSON.stringify(chosen));
  } catch { // it then holds for this page
  }
  listeners.get(name)?.forEach((f) => f());
}

// watch calls f when the choice of that name changes, here or in another page.
export function watch(name, f) {
  listeners.set(name, [...(listeners.get(name) ?? []), f]);
}

addEventListener("storage", (event) => {
  if (event.key !== key && event.key !== null) return;
  const before = chosen;
  chosen = load();
  for (const [name, fs] of listeners) {
    if (before[name] !== chosen[name]) fs.forEach((f) => f());
  }
});
