// SPDX-License-Identifier: Apache-2.0
//
// Copy and paste. Pasting goes through xterm.js, which brackets it where the
// shell has asked for that.
import { banner, hide } from "./banner.js";
import { replaying } from "./connection.js";
import { bind } from "./keys.js";
import { addMenuItem } from "./menu.js";
import { term } from "./terminal.js";

const longest = 1 << 20; // characters of base64 that a program may put into the clipboard

async function write(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  throw new Error("no clipboard"); // browsers give it to secure pages only
}

function copy() {
  if (!term.hasSelection()) return false;
  write(term.getSelection()).catch(() => {
    term.focus();
    document.execCommand("copy"); // xterm.js fills in what is selected
  });
  return true;
}

async function paste() {
  try {
    term.paste(await navigator.clipboard.readText());
    hide("paste");
  } catch {
    banner("paste", "The browser doesn't let this page read the clipboard. Paste with its own key or menu (Ctrl+Shift+V, or Cmd+V).",
      { buttons: [{ text: "OK", action: () => hide("paste") }] });
  }
}

bind("KeyC", copy);
addMenuItem({ label: "Copy", order: 100, keys: "Ctrl+Shift+C", hidden: () => !term.hasSelection(), action: copy });
addMenuItem({ label: "Paste", order: 101, keys: "Ctrl+Shift+V", action: paste });
addMenuItem({ label: "Select all", order: 102, action: () => term.selectAll() });

// --- OSC 52: a program in the terminal copies. It can't read what is in the
// clipboard: a question gets no answer.

// copied is the text of an OSC 52, or null if it is none that may be written.
export function copied(data) {
  const at = data.indexOf(";");
  const encoded = data.slice(at + 1);
  if (at < 0 || encoded === "" || encoded === "?" || encoded.length > longest) return null;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0)));
  } catch {
    return null;
  }
}

term.parser.registerOscHandler(52, (data) => {
  const text = copied(data);
  // What was printed before this page came to see it was copied then.
  if (text === null || replaying() || document.visibilityState !== "visible") return true;
  write(text).then(() => hide("osc52"), () => {
    banner("osc52", "A program has text for your clipboard.", { buttons: [
      { text: "Copy", action: () => write(text).finally(() => { hide("osc52"); term.focus(); }) },
      { text: "No", action: () => { hide("osc52"); term.focus(); } },
    ] });
  });
  return true;
});
