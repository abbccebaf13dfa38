// SPDX-License-Identifier: Apache-2.0
//
// Addresses in the output. They open with Ctrl (or Cmd) and a click: a plain one
// selects, or belongs to the program, and what is printed here is not always
// what its reader would want to open. A finger has no Ctrl and just taps.
import { WebLinksAddon } from "../vendored/addon-web-links.mjs";
import { place, term } from "./terminal.js";

let pointer = "mouse";
addEventListener("pointerdown", (event) => { pointer = event.pointerType; }, true);

const hint = document.createElement("div");
hint.id = "link-hint";
hint.hidden = true;
place.append(hint);

// web is the address, if it is one of the web.
export function web(text) {
  try {
    const url = new URL(text);
    return url.protocol === "http:" || url.protocol === "https:" ? url : null;
  } catch {
    return null;
  }
}

function activate(event, text) {
  const url = web(text);
  if (url && (event.ctrlKey || event.metaKey || pointer === "touch")) open(url.href, "_blank", "noopener,noreferrer");
}

// A link may say one thing and lead to another (OSC 8): the hint says where.
function hover(event, text) {
  const url = web(text);
  if (!url) return;
  hint.textContent = `${url.href.length > 200 ? `${url.href.slice(0, 200)}…` : url.href} (Ctrl+click opens it)`;
  const box = place.getBoundingClientRect();
  hint.style.left = `${Math.max(0, Math.min(event.clientX - box.left, box.width - 320))}px`;
  hint.style.top = `${event.clientY - box.top + (event.clientY > box.top + box.height / 2 ? -44 : 18)}px`;
  hint.hidden = false;
}
const leave = () => { hint.hidden = true; };

term.options.linkHandler = { activate, hover, leave, allowNonHttpProtocols: false };
term.loadAddon(new WebLinksAddon(activate, { hover, leave }));
