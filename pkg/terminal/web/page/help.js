// SPDX-License-Identifier: Apache-2.0
//
// Help: the page's keys and manners, in a dialog.
import { tell } from "./dialog.js";
import { bind } from "./keys.js";
import { addMenuItem, open } from "./menu.js";

const lines = [
  ["Ctrl+Shift+Space", "leaves the terminal, into the menu; Escape and Tab go on from there"],
  ["Ctrl+Shift+F", "searches in what was printed: Enter, Shift+Enter, Escape"],
  ["Ctrl+Shift+C", "copies what is selected"],
  ["Ctrl+Shift+V", "pastes"],
  ["Ctrl+Shift+Up, Down", "makes the text larger, smaller; the browser's own zoom works too"],
  ["Ctrl+click", "opens an address that was printed"],
  ["Shift+drag", "selects where a program takes the mouse"],
];

function help() {
  const list = document.createElement("dl");
  for (const [keys, what] of lines) {
    const dt = document.createElement("dt");
    const dd = document.createElement("dd");
    dt.textContent = keys;
    dd.textContent = what;
    list.append(dt, dd);
  }
  const p = document.createElement("p");
  p.textContent = "On a Mac, Cmd does as well as Ctrl. The shell goes on when this page is closed, reloaded or offline. Screen readers read the output in the menu's screen reader mode. ";
  const licences = document.createElement("a");
  licences.href = new URL("licences.txt", import.meta.url).href;
  licences.target = "_blank";
  licences.rel = "noopener";
  licences.textContent = "Licences";
  p.append(licences);
  tell("Keys and help", list, p);
}

bind("Space", () => open());
addMenuItem({ label: "Keys and help", order: 600, action: help });
