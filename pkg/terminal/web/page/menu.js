// SPDX-License-Identifier: Apache-2.0
//
// The menu, by the pattern that screen readers know (ARIA's menu button): arrow
// keys, Home, End and first letters move, Escape closes.
import { element } from "./api.js";
import { term } from "./terminal.js";

const button = element("menu-button");
const menu = element("menu");
const items = [];

// addMenuItem adds one. label may be a function, asked whenever the menu opens.
// order sorts; a new hundred begins a group of its own. keys is shown beside the
// label. checked, if given, says whether the item, a switch, is on; hidden
// whether it has no place in the menu now.
export function addMenuItem(item) {
  items.push(item);
  items.sort((a, b) => a.order - b.order);
}

const text = (label) => (typeof label === "function" ? label() : label);

function row(item) {
  const li = document.createElement("button");
  li.type = "button";
  li.tabIndex = -1;
  li.setAttribute("role", "menuitem");
  if (item.checked) {
    li.setAttribute("role", "menuitemcheckbox");
    li.setAttribute("aria-checked", String(item.checked()));
  }
  const words = document.createElement("span");
  words.textContent = text(item.label);
  li.append(words);
  if (item.keys) {
    const keys = document.createElement("kbd");
    keys.textContent = item.keys;
    keys.setAttribute("aria-hidden", "true");
    li.setAttribute("aria-keyshortcuts", item.keys);
    li.append(keys);
  }
  li.addEventListener("click", () => {
    close();
    term.focus();
    item.action();
  });
  return li;
}

const rows = () => [...menu.querySelectorAll("button")];
const isOpen = () => !menu.hidden;

// open opens the menu, on its first item or its last.
export function open(last = false) {
  menu.replaceChildren();
  let group = null;
  for (const item of items) {
    if (item.hidden?.()) continue;
    const hundred = Math.floor(item.order / 100);
    if (group !== null && group !== hundred) {
      const line = document.createElement("hr");
      line.setAttribute("role", "separator");
      menu.append(line);
    }
    group = hundred;
    menu.append(row(item));
  }
  menu.hidden = false;
  button.setAttribute("aria-expanded", "true");
  rows().at(last ? -1 : 0)?.focus();
}

function close() {
  menu.hidden = true;
  button.setAttribute("aria-expanded", "false");
}

button.addEventListener("click", () => { if (isOpen()) close(); else open(); });
button.addEventListener("keydown", (event) => {
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  event.preventDefault();
  open(event.key === "ArrowUp");
});
menu.addEventListener("keydown", (event) => {
  const all = rows();
  const at = all.indexOf(document.activeElement);
  let to = null;
  switch (event.key) {
    case "ArrowDown": to = all[(at + 1) % all.length]; break;
    case "ArrowUp": to = all.at(at - 1); break;
    case "Home": to = all[0]; break;
    case "End": to = all.at(-1); break;
    case "Escape":
      close();
      button.focus();
      break;
    case "Tab":
      close();
      return;
    default:
      if (event.key.length !== 1 || event.ctrlKey || event.metaKey || event.altKey || event.key === " ") return;
      to = [...all.slice(at + 1), ...all.slice(0, at + 1)].find((r) => r.textContent.toLowerCase().startsWith(event.key.toLowerCase()));
  }
  event.preventDefault();
  to?.focus();
});
addEventListener("pointerdown", (event) => {
  if (isOpen() && !menu.contains(event.target) && !button.contains(event.target)) close();
});
menu.addEventListener("focusout", (event) => {
  if (isOpen() && event.relatedTarget && !menu.contains(event.relatedTarget) && event.relatedTarget !== button) close();
});
