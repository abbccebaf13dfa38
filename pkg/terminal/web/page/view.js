// SPDX-License-Identifier: Apache-2.0
//
// How the terminal looks: size of the font, theme, drawing, and what a screen
// reader gets. All of it is kept.
import { resize } from "./connection.js";
import { bind } from "./keys.js";
import { addMenuItem } from "./menu.js";
import * as settings from "./settings.js";
import { term } from "./terminal.js";
import { choice } from "./theme.js";

// --- size of the font. Ctrl with plus, minus and 0 stays the browser's: people
// who need large print zoom the whole page with it.

const [smallest, usual, largest] = [8, 14, 40];
const size = () => Math.min(largest, Math.max(smallest, settings.get("fontSize", usual)));

function scale() {
  if (term.options.fontSize === size()) return;
  term.options.fontSize = size();
  resize();
}
settings.watch("fontSize", scale);
scale();

const larger = () => settings.set("fontSize", Math.min(largest, size() + 1));
const smaller = () => settings.set("fontSize", Math.max(smallest, size() - 1));

bind("ArrowUp", larger);
bind("ArrowDown", smaller);
addMenuItem({ label: "Larger text", order: 200, keys: "Ctrl+Shift+Up", action: larger });
addMenuItem({ label: "Smaller text", order: 201, keys: "Ctrl+Shift+Down", action: smaller });
addMenuItem({ label: "Usual size", order: 202, hidden: () => size() === usual, action: () => settings.set("fontSize", usual) });

// --- light and dark

const names = { system: "as the system", light: "light", dark: "dark" };
for (const [n, name] of Object.keys(names).entries()) {
  addMenuItem({ label: `Theme: ${names[name]}`, order: 220 + n, checked: () => choice() === name, action: () => settings.set("theme", name) });
}

// --- screen readers: xterm.js then keeps the screen as text that they can read

const spoken = () => settings.get("screenReader", false);
const speak = () => { term.options.screenReaderMode = spoken(); };
settings.watch("screenReader", speak);
speak();
addMenuItem({ label: "Screen reader mode", order: 240, checked: spoken, action: () => settings.set("screenReader", !spoken()) });

// --- drawing: with the graphics card where there is one that works. What only
// pretends to be one is slower than the document that xterm.js makes otherwise.

let drawing = null; // the addon, or the promise of it

const renderer = () => settings.get("renderer", "auto"); // or "webgl", also without a card, or "dom"

function capable() {
  const attributes = { failIfMajorPerformanceCaveat: renderer() !== "webgl" };
  const context = document.createElement("canvas").getContext("webgl2", attributes);
  if (!context) return false;
  const about = context.getExtension("WEBGL_debug_renderer_info");
  const name = String(context.getParameter(about ? about.UNMASKED_RENDERER_WEBGL : context.RENDERER));
  context.getExtension("WEBGL_lose_context")?.loseContext(); // browsers have few of them
  return renderer() === "webgl" || !/swiftshader|llvmpipe|software|basic render/i.test(name);
}

async function draw() {
  if (renderer() === "dom" || spoken()) {
    const addon = await drawing;
    drawing = null;
    addon?.dispose();
    return;
  }
  if (drawing || !capable()) return;
  drawing = import("../vendored/addon-webgl.mjs").then(({ WebglAddon }) => {
    const addon = new WebglAddon();
    // Laptops that wake and browsers short of memory take the context away.
    addon.onContextLoss(() => {
      drawing = null;
      addon.dispose();
    });
    term.loadAddon(addon);
    return addon;
  }).catch(() => null); // the other way of drawing is there already
}
settings.watch("renderer", draw);
settings.watch("screenReader", draw);
(window.requestIdleCallback ?? setTimeout)(draw); // after the first paint
addMenuItem({
  label: "Draw with the graphics card", order: 241, checked: () => renderer() !== "dom",
  action: () => settings.set("renderer", renderer() === "dom" ? "auto" : "dom"),
});
