// SPDX-License-Identifier: Apache-2.0
//
// Search in what the terminal has printed.
import { element } from "./api.js";
import { bind } from "./keys.js";
import { addMenuItem } from "./menu.js";
import { term } from "./terminal.js";
import { theme } from "./theme.js";

const bar = element("search");
const field = element("search-text");
const count = element("search-count");
const colours = ([found, active]) => ({
  matchBackground: found, matchBorder: found, matchOverviewRuler: found,
  activeMatchBackground: active, activeMatchBorder: active, activeMatchColorOverviewRuler: active,
});
const palettes = { dark: colours(["#4d3b12", "#e2b765"]), light: colours(["#f6e2b3", "#8a5a00"]) };

let loading = null;

const load = () => loading ??= import("../vendored/addon-search.mjs").then(({ SearchAddon }) => {
  const addon = new SearchAddon();
  term.loadAddon(addon);
  addon.onDidChangeResults(({ resultIndex, resultCount }) => {
    count.textContent = field.value === "" ? "" : resultCount === 0 ? "Not found" : resultIndex < 0 ? `${resultCount}+` : `${resultIndex + 1} of ${resultCount}`;
  });
  return addon;
}, (err) => {
  loading = null; // to be tried again
  throw err;
});

async function find(backwards, incremental = false) {
  try {
    const addon = await load();
    const options = { decorations: palettes[theme()], incremental };
    if (field.value === "") {
      addon.clearDecorations();
      count.textContent = "";
    } else if (backwards) addon.findPrevious(field.value, options);
    else addon.findNext(field.value, options);
  } catch {
    count.textContent = "No connection";
  }
}

function show() {
  bar.hidden = false;
  const selected = term.getSelection();
  if (selected && !selected.includes("\n")) field.value = selected;
  field.select();
  field.focus();
  find(true);
}

async function close() {
  bar.hidden = true;
  term.focus();
  (await loading)?.clearDecorations();
}

field.addEventListener("input", () => find(true, true));
bar.addEventListener("keydown", (event) => {
  if (event.key === "Escape") close();
  else if (event.key === "Enter" && event.target === field) find(!event.shiftKey); // the newest first
  else return;
  event.preventDefault();
});
element("search-previous").addEventListener("click", () => find(true));
element("search-next").addEventListener("click", () => find(false));
element("search-close").addEventListener("click", close);
bind("KeyF", show);
addMenuItem({ label: "Search", order: 110, keys: "Ctrl+Shift+F", action: show });
