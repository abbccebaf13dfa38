// SPDX-License-Identifier: Apache-2.0
//
// Fingers: the keys that a tablet's keyboard lacks, and scrolling.
import { element } from "./api.js";
import { onInput } from "./connection.js";
import { addMenuItem } from "./menu.js";
import * as settings from "./settings.js";
import { place, term } from "./terminal.js";

const row = element("keys");
const coarse = matchMedia("(pointer: coarse)");
const wanted = () => settings.get("keys", coarse.matches);

function show() { row.hidden = !wanted(); }
coarse.addEventListener("change", show);
settings.watch("keys", show);
show();
addMenuItem({ label: "Keys on the screen", order: 242, checked: wanted, action: () => settings.set("keys", !wanted()) });

const arrow = (letter) => () => term.input(term.modes.applicationCursorKeysMode ? `\x1bO${letter}` : `\x1b[${letter}`);
const text = (t) => () => term.input(t);
const keys = [
  ["Esc", "", text("\x1b")], ["Tab", "", text("\t")], ["Ctrl", "", hold],
  ["←", "Left", arrow("D")], ["↓", "Down", arrow("B")], ["↑", "Up", arrow("A")], ["→", "Right", arrow("C")],
  ["|", "Pipe", text("|")], ["/", "Slash", text("/")], ["-", "Minus", text("-")], ["~", "Tilde", text("~")],
];
let control = null; // its button

for (const [label, name, action] of keys) {
  const button = document.createElement("button");
  button.type = "button";
  button.tabIndex = -1;
  button.textContent = label;
  if (name) button.setAttribute("aria-label", name);
  // The focus, and with it the tablet's keyboard, stays where it is.
  button.addEventListener("pointerdown", (event) => event.preventDefault());
  button.addEventListener("click", action);
  if (action === hold) {
    control = button;
    button.setAttribute("aria-pressed", "false");
  }
  row.append(button);
}

const held = () => control.getAttribute("aria-pressed") === "true";
function hold() { control.setAttribute("aria-pressed", String(!held())); }

// controlled is what a key sends with Ctrl.
export function controlled(text) {
  if (text.length !== 1) return text;
  if (text === "?") return "\x7f";
  const code = text.toUpperCase().charCodeAt(0);
  return code >= 0x40 && code <= 0x5f ? String.fromCharCode(code & 0x1f) : text === " " ? "\0" : text;
}

onInput((text) => {
  if (!held()) return text;
  hold();
  return controlled(text);
});

// --- scrolling by a finger: the scrollback, or in a program that fills the
// screen its own, by the keys that a wheel would send

let from = null;
let moved = 0;
place.addEventListener("touchstart", (event) => {
  from = event.touches.length === 1 ? event.touches[0].clientY : null;
  moved = 0;
}, { passive: true });
place.addEventListener("touchmove", (event) => {
  if (from === null || term.modes.mouseTrackingMode !== "none") return;
  const height = place.clientHeight / term.rows;
  const lines = Math.trunc((from - event.touches[0].clientY) / height) - moved;
  if (lines === 0) return;
  moved += lines;
  if (term.buffer.active.type === "normal") term.scrollLines(lines);
  else for (let n = Math.abs(lines); n > 0; n--) arrow(lines > 0 ? "B" : "A")();
  event.preventDefault();
}, { passive: false });

// Where a tablet's keyboard covers the page instead of making it smaller.
const visible = window.visualViewport;
visible?.addEventListener("resize", () => {
  if (visible.scale > 1.01) return; // zoomed in by its user
  document.body.style.height = visible.height < innerHeight - 40 ? `${visible.height}px` : "";
});
