// SPDX-License-Identifier: Apache-2.0
//
// The trainer's notes beside the terminal, and the commands that a click in
// them sends to it. What may send commands, and why, is in docs/terminal.md.
import { element, at } from "./api.js";
import { banner, hide } from "./banner.js";
import { addMenuItem } from "./menu.js";
import * as settings from "./settings.js";
import { term } from "./terminal.js";

const meta = document.querySelector('meta[name="notes"]');
const address = meta.content;
const { pass } = meta.dataset;
const origins = meta.dataset.origins.split(" ").filter(Boolean);

const least = 15, most = 80, step = 5; // percent of the width
const maxText = 16 * 1024; // characters of one command
const maxBurst = 5;        // commands at once, and one a second from then on
const narrow = matchMedia("(max-width: 45rem)");

if (address) start();

function start() {
  const panes = element("panes");
  const terminal = element("pane");

  const pane = document.createElement("section");
  pane.id = "notes";
  pane.setAttribute("aria-label", "Notes");
  const frame = document.createElement("iframe");
  frame.title = "Notes";
  // Never of the hub's own origin, where its scripts could do what this page
  // can. Another site stays of its own, by which its messages are known.
  const elsewhere = !pass && new URL(address).origin !== location.origin;
  frame.setAttribute("sandbox", "allow-scripts allow-forms allow-modals allow-downloads allow-popups allow-popups-to-escape-sandbox" +
    (elsewhere ? " allow-same-origin" : ""));
  frame.allow = "clipboard-write; fullscreen";
  frame.referrerPolicy = "no-referrer";
  pane.append(frame);

  const resizer = document.createElement("div");
  resizer.id = "resizer";
  resizer.tabIndex = 0;
  resizer.setAttribute("role", "separator");
  resizer.setAttribute("aria-orientation", "vertical");
  resizer.setAttribute("aria-label", "Width of the notes");
  resizer.setAttribute("aria-controls", "notes");
  resizer.setAttribute("aria-valuemin", least);
  resizer.setAttribute("aria-valuemax", most);
  panes.prepend(pane, resizer);

  // On a narrow screen there is room for one of the two.
  const toggle = document.createElement("button");
  toggle.id = "notes-toggle";
  toggle.type = "button";
  element("tools").prepend(toggle);

  const shown = () => settings.get("notes", true);
  let front = true; // of the two on a narrow screen, the notes

  function arrange() {
    const both = !narrow.matches;
    const notes = both ? shown() : front;
    const width = Math.min(most, Math.max(least, settings.get("notesWidth", 40)));
    pane.hidden = !notes;
    resizer.hidden = !both || !notes;
    terminal.hidden = !both && notes;
    pane.style.flexBasis = both ? `${width}%` : "100%";
    resizer.setAttribute("aria-valuenow", Math.round(width));
    toggle.textContent = both || !notes ? "Notes" : "Terminal";
    if (both) toggle.setAttribute("aria-pressed", String(notes));
    else toggle.removeAttribute("aria-pressed");
    if (notes && !frame.src) frame.src = address;
  }

  function switchNotes() {
    if (narrow.matches) front = !front;
    else settings.set("notes", !shown());
    arrange();
    if (!terminal.hidden) term.focus();
  }

  toggle.addEventListener("click", switchNotes);
  addMenuItem({ label: "Notes", order: 300, keys: "Alt+Shift+N", checked: () => !pane.hidden, action: switchNotes });
  addMenuItem({ label: "Notes in a new tab", order: 301, action: () => open(pass ? at("notes/") : address, "_blank", "noopener") });
  addEventListener("keydown", (event) => {
    if (!event.altKey || !event.shiftKey || event.ctrlKey || event.metaKey || event.code !== "KeyN") return;
    event.preventDefault();
    event.stopPropagation();
    switchNotes();
  }, { capture: true });
  settings.watch("notes", arrange);
  settings.watch("notesWidth", arrange);
  narrow.addEventListener("change", arrange);

  const setWidth = (percent) => settings.set("notesWidth", Math.min(most, Math.max(least, percent)));
  resizer.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    resizer.focus();
    resizer.setPointerCapture(event.pointerId);
    panes.classList.add("resizing"); // the frame would swallow the pointer
  });
  resizer.addEventListener("pointermove", (event) => {
    if (!resizer.hasPointerCapture(event.pointerId)) return;
    const box = panes.getBoundingClientRect();
    setWidth(((event.clientX - box.left) / box.width) * 100);
  });
  for (const end of ["pointerup", "pointercancel"]) resizer.addEventListener(end, () => panes.classList.remove("resizing"));
  resizer.addEventListener("keydown", (event) => {
    const now = settings.get("notesWidth", 40);
    const to = { ArrowLeft: now - step, ArrowRight: now + step, Home: least, End: most, PageUp: now + 4 * step, PageDown: now - 4 * step }[event.key];
    if (event.key === "Enter") switchNotes();
    else if (to !== undefined) setWidth(to);
    else return;
    event.preventDefault();
  });
  resizer.addEventListener("dblclick", () => setWidth(40));

  // --- commands

  let burst = maxBurst;
  let filled = Date.now();

  // problem says why a message is not to be obeyed; "" if it is.
  function problem(text) {
    if (typeof text !== "string" || !text.trim()) return "There is nothing to run.";
    if (text.length > maxText) return "This is too long to be sent to the terminal.";
    // A click in the frame counts here, too; a page that sends by itself is
    // found out, unless its reader has just done something.
    if (navigator.userActivation && !navigator.userActivation.isActive) return "Only a click sends commands.";
    const now = Date.now();
    burst = Math.min(maxBurst, burst + (now - filled) / 1000);
    filled = now;
    if (burst < 1) return "That was too much at once.";
    burst--;
    return "";
  }

  function run(text) {
    if (/^<ctrl[-+]c>$/i.test(text.trim())) {
      term.input("\x03");
      return;
    }
    // No other control characters than these two: a paste must not steer the
    // terminal, nor end before its end.
    term.paste(text.replace(/\r\n?/g, "\n").replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, "").trimEnd());
    term.input("\r");
  }

  addEventListener("message", (event) => {
    // Only the frame itself: not what it has opened, nor a frame within it.
    if (event.source !== frame.contentWindow || event.data?.type !== "workshop:run") return;
    // A page in a sandbox has no origin. So has one that a link in the notes may
    // have led to: what tells the notes from it is the pass in their address.
    const known = pass ? event.origin === "null" && event.data.pass === pass : elsewhere && origins.includes(event.origin);
    if (!known) return;
    const refused = problem(event.data.text);
    if (refused) {
      banner("notes", refused);
      setTimeout(() => hide("notes"), 4000);
    } else {
      if (narrow.matches && front) switchNotes();
      run(event.data.text);
      if (event.data.focus === true) term.focus();
    }
    frame.contentWindow.postMessage({ type: "workshop:ran", id: event.data.id, refused }, pass ? "*" : event.origin);
  });

  arrange();
}
