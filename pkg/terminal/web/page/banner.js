// SPDX-License-Identifier: Apache-2.0
//
// What the page has to say beside the terminal. Each part of the page has one
// banner of its own, by a name of its own; they are read out politely.
import { element } from "./api.js";

const box = element("banners");
const banners = new Map();

// banner shows text under a name, with a link ({text, href}) or buttons
// ([{text, action}]) if it is given any; hide takes it away. The words that are
// there already stay as they are, so that nobody hears them twice. It returns the element.
export function banner(name, text, { link, buttons = [] } = {}) {
  let b = banners.get(name);
  if (!b) {
    const root = document.createElement("p");
    root.className = "banner";
    root.dataset.name = name;
    b = { root, words: document.createElement("span"), rest: document.createElement("span"), does: "" };
    root.append(b.words, b.rest);
    box.append(root);
    banners.set(name, b);
  }
  if (b.words.textContent !== text) b.words.textContent = text;
  const does = JSON.stringify([link, buttons.map((button) => button.text)]);
  if (b.does === does) return b.root;
  b.does = does;
  b.rest.replaceChildren();
  if (link) {
    const a = document.createElement("a");
    a.textContent = link.text;
    a.href = link.href;
    b.rest.append(" ", a);
  }
  for (const { text: label, action } of buttons) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = label;
    button.addEventListener("click", action);
    b.rest.append(" ", button);
  }
  return b.root;
}

export function hide(name) {
  banners.get(name)?.root.remove();
  banners.delete(name);
}
