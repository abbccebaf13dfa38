// SPDX-License-Identifier: Apache-2.0
//
// What a trainer has to say to everybody. It stays until it is dismissed, here or
// on another page of this browser; a page that comes later shows what is still of
// use. It is text, whatever is in it.
import "./messages.css";
import { banner, hide } from "./banner.js";
import { onState } from "./connection.js";
import { addMenuItem } from "./menu.js";
import * as settings from "./settings.js";
import { term } from "./terminal.js";

const kept = 50; // of those that were dismissed, by their names
const shown = new Set();

const name = (id) => `message-${id}`;

function dismissed() {
  const list = settings.get("dismissed", []);
  return Array.isArray(list) ? list : [];
}

function dismiss(...ids) {
  settings.set("dismissed", [...dismissed(), ...ids].slice(-kept));
  term.focus();
}

function show({ id, text, at }) {
  if (shown.has(id) || dismissed().includes(id)) return;
  shown.add(id);
  const time = new Date(at * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  banner(name(id), `From your trainer, ${time}: ${text}`, { buttons: [{ text: "Dismiss", action: () => dismiss(id) }] }).classList.add("message");
}

settings.watch("dismissed", () => {
  for (const id of dismissed()) {
    if (shown.delete(id)) hide(name(id));
  }
});
onState(({ messages = [] }) => messages.forEach(show));
addMenuItem({ label: "Dismiss messages", order: 505, hidden: () => shown.size === 0, action: () => dismiss(...shown) });
