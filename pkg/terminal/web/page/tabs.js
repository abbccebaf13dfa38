// SPDX-License-Identifier: Apache-2.0
//
// The session's shells as tabs, by the pattern that screen readers know (ARIA's
// tabs): arrow keys, Home and End move, Enter shows, Delete closes. Each has an
// address of its own, to which a reload comes back.
import { element, prefix } from "./api.js";
import { banner, hide } from "./banner.js";
import { change, current, numberOf, onClosed, onState, show } from "./connection.js";
import { confirm } from "./dialog.js";
import { addMenuItem } from "./menu.js";
import { term } from "./terminal.js";

const bar = element("tabs");
const list = element("tablist");
const panel = element("terminal");
const title = document.title;
const tabs = new Map(); // by number
let shells = [{ number: current() }];

const address = (number) => (number === 1 ? prefix : `${prefix}shell/${number}`);

// open shows a shell, and its address.
function open(number) {
  hide("shells");
  if (number !== current()) {
    history.pushState(null, "", address(number));
    show(number);
    render();
  }
  term.focus();
}

async function add() {
  const answer = await change("shells", "POST", "shells");
  if (!answer) return;
  const { number } = await answer.json();
  if (!shells.some((s) => s.number === number)) shells = [...shells, { number }];
  open(number);
}

async function close(number) {
  if (number === 1) return;
  if (!await confirm({ title: `Close shell ${number}?`, text: "Programs that run in it end. Files stay.", yes: "Close" })) return;
  await change("shells", "DELETE", `shells/${number}`);
}

function tab(number) {
  const a = document.createElement("a");
  a.href = address(number);
  a.id = `tab-${number}`;
  a.setAttribute("role", "tab");
  a.setAttribute("aria-controls", panel.id);
  const words = document.createElement("span");
  words.className = "title";
  a.append(words);
  if (number !== 1) {
    a.setAttribute("aria-keyshortcuts", "Delete");
    const cross = document.createElement("span"); // for the mouse; keys have Delete and the menu
    cross.className = "close";
    cross.textContent = "\u2715";
    cross.setAttribute("aria-hidden", "true");
    cross.addEventListener("click", (event) => {
      event.preventDefault();
      event.stopPropagation();
      close(number);
    });
    a.append(cross);
  }
  a.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return; // a browser tab of its own
    event.preventDefault();
    open(number);
  });
  return a;
}

function render() {
  const now = current();
  const all = shells.some((s) => s.number === now) ? shells : [...shells, { number: now }].sort((a, b) => a.number - b.number);
  for (const [number, a] of tabs) {
    if (all.some((s) => s.number === number)) continue;
    a.remove();
    tabs.delete(number);
  }
  all.forEach((s, at) => {
    let a = tabs.get(s.number);
    if (!a) {
      a = tab(s.number);
      tabs.set(s.number, a);
    }
    if (list.children[at] !== a) list.insertBefore(a, list.children[at] ?? null);
    const words = s.title ? `${s.number}: ${s.title}` : `Shell ${s.number}`;
    const span = a.firstChild;
    if (span.textContent !== words) span.textContent = words;
    a.title = words;
    a.setAttribute("aria-selected", String(s.number === now));
    a.tabIndex = s.number === now ? 0 : -1;
  });
  bar.hidden = all.length < 2;
  if (bar.hidden) {
    panel.removeAttribute("role");
    panel.removeAttribute("aria-labelledby");
  } else {
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", `tab-${now}`);
  }
  document.title = bar.hidden ? title : `${tabs.get(now).title} · ${title}`;
}

list.addEventListener("keydown", (event) => {
  const all = [...list.children];
  const at = all.indexOf(document.activeElement);
  if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
  let to = null;
  switch (event.key) {
    case "ArrowRight": to = all[(at + 1) % all.length]; break;
    case "ArrowLeft": to = all.at(at - 1); break;
    case "Home": to = all[0]; break;
    case "End": to = all.at(-1); break;
    case "Delete": close(Number(all[at].id.slice("tab-".length))); break;
    case " ": all[at].click(); break;
    default: return;
  }
  event.preventDefault();
  to?.focus();
});

onState((state) => {
  shells = state.shells ?? shells;
  render();
});
onClosed(() => { // somewhere else, perhaps, or by its own exit
  const number = current();
  shells = shells.filter((s) => s.number !== number);
  history.replaceState(null, "", address(1));
  show(1);
  render();
  banner("shells", `Shell ${number} is closed.`);
  setTimeout(() => hide("shells"), 6000);
});
addEventListener("popstate", () => {
  if (numberOf() === current()) return;
  show(numberOf());
  render();
});
element("new-shell").addEventListener("click", add);
addMenuItem({ label: "New shell", order: 501, action: add });
addMenuItem({ label: "Close this shell", order: 502, hidden: () => current() === 1, action: () => close(current()) });
