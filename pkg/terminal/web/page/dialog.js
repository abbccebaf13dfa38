// SPDX-License-Identifier: Apache-2.0
//
// Dialogs: the browser's own, which keep the focus inside, end at Escape and
// give the focus back.
import { term } from "./terminal.js";

let count = 0;

function open(title, fill) {
  const dialog = document.createElement("dialog");
  const heading = document.createElement("h2");
  heading.id = `dialog-${++count}`;
  heading.textContent = title;
  dialog.setAttribute("aria-labelledby", heading.id);
  const form = document.createElement("form");
  form.method = "dialog";
  form.append(heading);
  fill(form);
  dialog.append(form);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((done) => dialog.addEventListener("close", () => {
    const answer = dialog.returnValue;
    dialog.remove();
    term.focus();
    done(answer);
  }, { once: true }));
}

function button(value, text, strong) {
  const b = document.createElement("button");
  b.value = value;
  b.textContent = text;
  if (strong) b.className = "strong";
  return b;
}

// row is the line of buttons under a dialog.
function row(...buttons) {
  const r = document.createElement("div");
  r.className = "row";
  r.append(...buttons);
  return r;
}

// choose asks a question with several answers, given as [value, text]. The first
// is the careful one, which has the focus, and the last the one that most
// people want. The promise is of a value, or "" for Escape.
export const choose = (title, text, answers) => open(title, (form) => {
  const p = document.createElement("p");
  p.textContent = text;
  const buttons = answers.map(([value, words], i) => button(value, words, i === answers.length - 1));
  buttons[0].autofocus = true;
  form.append(p, row(...buttons));
});

// confirm asks whether to go on; the answer comes as a promise of a boolean.
export const confirm = async ({ title, text, yes }) => await choose(title, text, [["", "Cancel"], ["yes", yes]]) === "yes";

// tell shows content (elements) until it is closed.
export const tell = (title, ...content) => open(title, (form) => {
  const close = button("", "Close", true);
  close.autofocus = true;
  form.append(...content, row(close));
});
