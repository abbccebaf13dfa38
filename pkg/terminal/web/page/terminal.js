// SPDX-License-Identifier: Apache-2.0
//
// xterm.js in its place.
import { Terminal } from "../vendored/xterm.mjs";
import { FitAddon } from "../vendored/addon-fit.mjs";
import { Unicode11Addon } from "../vendored/addon-unicode11.mjs";
import "../vendored/xterm.css";
import { element } from "./api.js";
import { onTheme, palettes } from "./theme.js";

export const place = element("terminal");

export const term = new Terminal({
  fontFamily: 'ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace',
  fontSize: 14,
  lineHeight: 1.15,
  scrollback: 10_000,
  cursorBlink: true,
  macOptionIsMeta: true,
  minimumContrastRatio: 4.5, // programs choose colours for a dark screen, or a light one
  allowProposedApi: true,    // widths of characters, and marks of what was found, are still called that
});

const fit = new FitAddon();
term.loadAddon(fit);
term.loadAddon(new Unicode11Addon());
term.unicode.activeVersion = "11";
term.open(place);
onTheme((name) => { term.options.theme = palettes[name]; });

// fitting is how many columns and rows fit into the place.
export function fitting() {
  const fits = fit.proposeDimensions();
  return { columns: Math.max(2, fits?.cols || 80), rows: Math.max(1, fits?.rows || 24) };
}
