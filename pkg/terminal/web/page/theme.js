// SPDX-License-Identifier: Apache-2.0
//
// Light and dark: as the system has it, unless the user has chosen.
import * as settings from "./settings.js";

export const palettes = {
  dark: {
    background: "#14171a", foreground: "#dfe4e8", cursor: "#6fbfa5", cursorAccent: "#14171a",
    selectionBackground: "#6fbfa555",
    black: "#22272c", red: "#e5786d", green: "#8ec07c", yellow: "#e2b765",
    blue: "#7aa8dc", magenta: "#c592cf", cyan: "#6fc1bd", white: "#cdd3d8",
    brightBlack: "#7b858e", brightRed: "#f2958b", brightGreen: "#a9d698", brightYellow: "#f0cd87",
    brightBlue: "#9bc1ec", brightMagenta: "#d9afe1", brightCyan: "#90d8d4", brightWhite: "#ffffff",
  },
  light: {
    background: "#ffffff", foreground: "#22282d", cursor: "#26705a", cursorAccent: "#ffffff",
    selectionBackground: "#26705a33",
    black: "#22282d", red: "#b3372c", green: "#2f7033", yellow: "#8a5a00",
    blue: "#245fa8", magenta: "#8a3d97", cyan: "#116f78", white: "#c9ced3",
    brightBlack: "#6a747d", brightRed: "#c9463a", brightGreen: "#3c8241", brightYellow: "#9a6a10",
    brightBlue: "#3671bd", brightMagenta: "#9c4faa", brightCyan: "#1f808a", brightWhite: "#eef0f2",
  },
};

const light = matchMedia("(prefers-color-scheme: light)");
const listeners = [];

// choice is "system", "light" or "dark".
export const choice = () => settings.get("theme", "system");

// theme is what it comes to: "light" or "dark".
export function theme() {
  const chosen = choice();
  return chosen === "light" || chosen === "dark" ? chosen : light.matches ? "light" : "dark";
}

// onTheme calls f now and whenever the theme changes.
export function onTheme(f) {
  listeners.push(f);
  f(theme());
}

function change() {
  document.documentElement.dataset.theme = theme();
  listeners.forEach((f) => f(theme()));
}

light.addEventListener("change", change);
settings.watch("theme", change);
change();
