// SPDX-License-Identifier: Apache-2.0
//
// Gives the code blocks of a workshop's notes their buttons: Copy, and Run for
// those that are marked as executable, which sends their text to the terminal
// beside the notes. The gateway adds this script to notes that it serves; notes
// on another site include a copy of it. docs/terminal.md says how blocks are
// marked, and what the terminal's page accepts.
(() => {
  "use strict";
  // Notes from the gateway have a secret in their address, by which the page
  // around them knows them: a sandboxed frame has no origin to go by.
  const base = document.currentScript?.src.match(/^(.*\/~([^/]+)\/)\.workshop\/notes\.js$/);
  const pass = base?.[2];
  const besideTerminal = window.parent !== window;

  const marks = /^(?:language-|lang-|highlight-source-|highlight-)?(execute(?:-\d+|-all)?|execute-all|terminal:execute(?:-all)?|copy|workshop:copy)$/;

  // mark is what a block's own classes, or those of the boxes that converters
  // put around it, say that it is.
  function mark(block) {
    for (const name of block.querySelector("code")?.classList ?? []) {
      const found = name.match(marks);
      if (found) return found[1];
    }
    for (let e = block, depth = 0; e && depth < 4 && e !== document.body; e = e.parentElement, depth++) {
      if (depth > 0 && e.querySelectorAll("pre").length > 1) break; // a box around several
      if (e.dataset.execute !== undefined && e.dataset.execute !== "false") return "execute";
      for (const name of e.classList) {
        const found = name.match(marks);
        if (found) return found[1];
      }
    }
    const lang = block.dataset.lang ?? block.querySelector("code")?.dataset.lang ?? "";
    return lang.match(marks)?.[1] ?? "";
  }

  // textOf is a block's text without what numbers its lines, and of a block in
  // the form of Educates its command.
  function textOf(block, kind) {
    const copy = block.cloneNode(true);
    for (const e of copy.querySelectorAll(".linenos, .lineno, .conum, .workshop-buttons, [aria-hidden=true]")) e.remove();
    let text = copy.textContent.replace(/\r\n?/g, "\n").replace(/^\n+|\s+$/g, "");
    if (!kind.includes(":")) return text;
    const key = kind === "workshop:copy" ? "text" : "command";
    const [, first, rest] = text.match(new RegExp(`(?:^|\\n)${key}:[ \\t]*([^\\n]*)((?:\\n(?:[ \\t]+[^\\n]*|(?=\\n|$)))*)`)) ?? [null, "", ""];
    if (!/^[|>][-+]?$/.test(first.trim())) return first.trim().replace(/^(["'])(.*)\1$/, "$2");
    const lines = rest.replace(/^\n/, "").split("\n");
    const indent = Math.min(...lines.filter((l) => l.trim()).map((l) => l.match(/^\s*/)[0].length));
    return lines.map((l) => l.slice(indent)).join(first.trim()[0] === ">" ? " " : "\n").trimEnd();
  }

  async function toClipboard(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch { // not allowed in this frame, or over plain http
      const field = Object.assign(document.createElement("textarea"), { value: text });
      field.style.cssText = "position: fixed; opacity: 0";
      document.body.append(field);
      const focused = document.activeElement;
      field.select();
      const done = document.execCommand("copy");
      field.remove();
      focused?.focus();
      return done;
    }
  }

  let number = 0;
  const waiting = new Map(); // answers, by number of the message

  // run asks the page around us. It answers whether it has done so. With focus,
  // what is typed next goes to the terminal, too.
  function run(text, focus) {
    return new Promise((resolve) => {
      const id = ++number;
      waiting.set(id, resolve);
      // What is in the notes is no secret, and who is around us isn't known.
      window.parent.postMessage({ type: "workshop:run", id, text, focus, pass }, "*");
      setTimeout(() => { if (waiting.delete(id)) resolve("The terminal doesn't answer."); }, 3000);
    });
  }

  addEventListener("message", (event) => {
    if (event.source !== window.parent || event.data?.type !== "workshop:ran") return;
    waiting.get(event.data.id)?.(event.data.refused || "");
    waiting.delete(event.data.id);
  });

  function button(name, what, act) {
    const b = Object.assign(document.createElement("button"), { type: "button", textContent: name });
    b.setAttribute("aria-label", what);
    b.addEventListener("click", async (event) => {
      event.preventDefault();
      event.stopPropagation();
      const problem = await act(event);
      b.textContent = problem ? "✗" : "✓";
      b.title = problem || "";
      status.textContent = problem || (name === "Run" ? "Sent to the terminal" : "Copied");
      setTimeout(() => { b.textContent = name; }, problem ? 4000 : 1200);
    });
    return b;
  }

  // byHand says whether a pointer made this click: who goes from block to block
  // with the keyboard wants to stay among them.
  let pointed = false; // into a block, which then clicks its button
  const byHand = (event) => pointed || event.detail > 0;

  const status = Object.assign(document.createElement("p"), { className: "workshop-status" });
  status.setAttribute("role", "status");

  function dress(block) {
    const kind = mark(block);
    const runs = besideTerminal && /execute/.test(kind);
    // Read at each click, for pages may fill in names; but in the form of
    // Educates only once, as then the command alone is shown.
    const command = kind.includes(":") ? textOf(block, kind) : null;
    const text = () => command ?? textOf(block, kind);
    if (command !== null && block.tagName === "PRE") {
      (block.querySelector("code") ?? block).textContent = command;
    }
    const label = text().split("\n")[0].slice(0, 60);
    const bar = Object.assign(document.createElement("span"), { className: "workshop-buttons" });
    if (runs) bar.append(button("Run", `Run in the terminal: ${label}`, (event) => run(text(), byHand(event))));
    bar.append(button("Copy", `Copy: ${label}`, async () => ((await toClipboard(text())) ? "" : "The browser didn't let it be copied.")));
    if (block.tagName === "PRE") {
      const box = Object.assign(document.createElement("div"), { className: "workshop-block" + (runs ? " workshop-runs" : "") });
      block.replaceWith(box);
      box.append(block, bar);
    } else {
      block.classList.add("workshop-inline");
      block.after(bar);
    }
  }

  // arrange puts the buttons over a block where they would hide what is in it.
  function arrange() {
    const boxes = [...document.querySelectorAll(".workshop-block")];
    for (const box of boxes) box.classList.remove("workshop-tight");
    const tight = boxes.filter((box) => [...box.querySelectorAll("pre, pre > *")].some((e) => e.scrollWidth > e.clientWidth));
    for (const box of tight) box.classList.add("workshop-tight");
  }

  function start() {
    const style = document.createElement("style");
    style.textContent = `
      .workshop-block { position: relative; }
      .workshop-block:not(.workshop-tight) > pre { padding-right: 7.5rem; }
      .workshop-tight { display: flex; flex-direction: column-reverse; margin: 1em 0; }
      .workshop-tight > pre { min-width: 0; margin: .25rem 0 0; }
      .workshop-tight > .workshop-buttons.workshop-buttons { position: static; align-self: flex-end; }
      .workshop-runs > pre { box-shadow: inset 3px 0 0 #2f7d66; cursor: pointer; }
      .workshop-block > .workshop-buttons { position: absolute; top: .35rem; right: .35rem; }
      .workshop-buttons { display: inline-flex; gap: .25rem; margin-left: .35rem; vertical-align: middle; }
      .workshop-buttons button { font: 600 12px/1.4 system-ui, sans-serif; min-width: 2.6rem; padding: .15rem .5rem; border: 1px solid #7b858e;
        border-radius: 5px; background: #ffffff; color: #22282d; cursor: pointer; }
      .workshop-buttons button:first-child:not(:last-child) { background: #26705a; border-color: #26705a; color: #ffffff; }
      .workshop-buttons button:focus-visible { outline: 3px solid #6fbfa5; outline-offset: 1px; }
      .workshop-status { position: fixed; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%); }`;
    document.head.append(style);
    document.body.append(status);
    for (const block of document.querySelectorAll("pre")) {
      if (!block.parentElement.closest("pre")) dress(block);
    }
    for (const code of document.querySelectorAll("code, kbd, [data-execute]")) {
      if (!code.closest("pre") && !code.querySelector("pre") && mark(code).startsWith("execute")) dress(code);
    }
    arrange();
    addEventListener("load", arrange); // styles and fonts have come
    addEventListener("resize", arrange);
    // A click into an executable block runs it, too, unless text was selected.
    document.addEventListener("click", (event) => {
      const block = event.target.closest?.(".workshop-runs > pre");
      if (!block || event.target.closest("a, button") || String(getSelection())) return;
      pointed = true;
      block.nextSibling.firstChild.click();
      pointed = false;
    });
    // Nothing but the notes may be shown in their place; the rest gets a tab.
    for (const link of base ? document.querySelectorAll("a[href]") : []) {
      if (!link.href.startsWith(base[1]) && !link.target && /^https?:/.test(link.protocol)) {
        link.target = "_blank";
        link.rel = "noopener";
      }
    }
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
