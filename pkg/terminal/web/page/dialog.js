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

// confirm asks whether to go on; the answer comes as a promise of a boolean.
export async function confirm({ title, text, yes }) {
  const answer = await open(title, (form) => {
    const p = document.createElement("p");
    p.textContent = text;
    const cancel = button("", "Cancel");
    cancel.autofocus = true;
    form.append(p, row(cancel, button("yes", yes, true)));
  });
  return answer === "yes";
}

// tell shows content (elements) until it is closed.
export const tell = (title, ...content) => open(title, (form) => {
  const close = button("", "Close", true);
  close.autofocus = true;
  form.append(...content, row(close));
});
