// SPDX-License-Identifier: Apache-2.0
//
// The terminal page: xterm.js, and its connection to the gateway. The frames
// are described in pkg/terminal/wire.
import { Terminal } from "./xterm.mjs";
import { FitAddon } from "./addon-fit.mjs";

const inputWindow = 128 * 1024; // bytes typed ahead of the gateway's credits
const inputChunk = 16 * 1024;   // bytes of input in a frame, at most
const ackStep = 64 * 1024;      // bytes shown between two acknowledgements
const silence = 75_000;         // ms without a frame: the connection is dead (one is due every 30 s)
const firstRetry = 500;         // ms
const lastRetry = 15_000;       // ms
const patience = 75_000;        // ms until a session that isn't found is taken for stopped

const palettes = {
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
const palette = () => (light.matches ? palettes.light : palettes.dark);

const element = (id) => document.getElementById(id);
const place = element("terminal");
const term = new Terminal({
  fontFamily: 'ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace',
  fontSize: 14,
  lineHeight: 1.15,
  scrollback: 10_000,
  cursorBlink: true,
  theme: palette(),
  macOptionIsMeta: true,
  minimumContrastRatio: 4.5, // programs choose colours for a dark screen, or a light one
});
const fit = new FitAddon();
term.loadAddon(fit);
term.open(place);
light.addEventListener("change", () => { term.options.theme = palette(); });

// --- what the page shows beside the terminal

function banner(text, link) {
  const box = element("banner");
  const [words, anchor] = [box.querySelector("span"), box.querySelector("a")];
  words.textContent = text ?? "";
  anchor.hidden = !link;
  if (link) {
    anchor.textContent = link.text;
    anchor.href = link.href;
  }
  box.hidden = !text;
}

// --- frames

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function frame(kind, body) {
  const bytes = new Uint8Array(1 + body.length);
  bytes[0] = kind.charCodeAt(0);
  bytes.set(body, 1);
  return bytes;
}

function numbers(...values) { // pairs of value and width in bytes
  const view = new DataView(new ArrayBuffer(values.reduce((n, [, width]) => n + width, 0)));
  let at = 0;
  for (const [value, width] of values) {
    if (width === 8) view.setBigUint64(at, BigInt(value));
    else view.setUint16(at, value);
    at += width;
  }
  return new Uint8Array(view.buffer);
}

// --- the connection

const me = Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");

let socket = null;   // the connection, also while it is being made
let welcomed = false; // whether it has come to the terminal
let over = false;    // whether nothing but a reload helps
let stream = "";     // which stream of output this page shows,
let received = 0;    // up to which byte it has it,
let shown = 0;       // xterm.js has shown it,
let acknowledged = 0; // and the gateway knows that
let shell = "starting";
let heard = 0;       // when the last frame came
let retries = 0;
let lost = 0;        // since when there is no connection
let retry = 0;       // timer
let generation = 0;  // of the screen: counts resets, so that late news of an old one is ignored
let typed = [];      // input that waits for credit
let uncredited = 0;  // bytes under way
let own = null;      // size of this page's window

function send(kind, body = new Uint8Array()) {
  if (welcomed) socket.send(frame(kind, body));
}

function connect() {
  clearTimeout(retry);
  retry = 0;
  const url = new URL("ws", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  url.search = url.hash = "";
  const s = new WebSocket(url);
  s.binaryType = "arraybuffer";
  socket = s;
  welcomed = false;
  heard = Date.now();
  s.onopen = () => {
    measure();
    s.send(frame("h", encoder.encode(JSON.stringify({ client: me, stream, offset: received, ...own }))));
  };
  s.onmessage = (event) => {
    if (s !== socket) return;
    heard = Date.now();
    if (typeof event.data !== "string") take(new Uint8Array(event.data));
  };
  s.onclose = (event) => {
    if (s === socket) lose(event.code, event.reason);
  };
}

function take(bytes) {
  const view = new DataView(bytes.buffer, 1);
  switch (String.fromCharCode(bytes[0])) {
    case "w":
      welcome(JSON.parse(decoder.decode(bytes.subarray(1))));
      break;
    case "o":
      output(Number(view.getBigUint64(0)), bytes.subarray(9));
      break;
    case "c":
      uncredited = Math.max(0, uncredited - view.getUint32(0));
      type();
      break;
    case "z":
      adopt(view.getUint16(0), view.getUint16(2));
      break;
    case "t":
      shell = JSON.parse(decoder.decode(bytes.subarray(1))).shell;
      break;
  }
}

function welcome(w) {
  if (w.reset) {
    generation++;
    term.reset();
    term.write(w.preamble ?? "");
    shown = w.offset;
  }
  stream = w.stream;
  received = acknowledged = w.offset;
  uncredited = 0;
  typed = [];
  retries = lost = 0;
  welcomed = true;
  banner(null);
  place.classList.remove("refusing");
}

function output(offset, bytes) {
  if (offset !== received) { // can't be; start anew rather than show nonsense
    stream = "";
    socket.close();
    return;
  }
  received += bytes.length;
  const [upTo, screen] = [received, generation];
  term.write(bytes, () => {
    if (screen !== generation) return;
    shown = upTo;
    if (shown - acknowledged >= ackStep) {
      acknowledged = shown;
      send("a", numbers([shown, 8]));
    }
  });
}

// --- losing the connection, and getting it back

async function lose(code, reason) {
  socket = null;
  welcomed = false;
  if (over) return;
  place.classList.add("refusing");
  if (code === 4000) { // this page has a newer connection; can't be either
    return;
  }
  if (code === 4001 || code === 4003) {
    end(code === 4001 ? 401 : 403);
    return;
  }
  lost ||= Date.now();
  const there = retries > 0 || code !== 1006 ? await ask() : true;
  if (over || socket) return;
  // After a restart of the proxy the hub answers for every session for a minute.
  if (!there && Date.now() - lost > patience) {
    banner("The session has stopped, it seems. Its files are kept.", { text: "Start it again", href: location.pathname });
  } else {
    banner(navigator.onLine ? "Connecting again … What you type is not sent." : "You are offline. The terminal waits for you.");
  }
  clearTimeout(retry);
  const wait = Math.min(lastRetry, firstRetry * 2 ** retries++);
  retry = setTimeout(connect, wait * (0.5 + Math.random() / 2));
}

// ask finds out why a connection isn't had, for a websocket doesn't tell, and
// whether the session is where it was.
async function ask() {
  try {
    const answer = await fetch("session", { redirect: "manual", cache: "no-store", headers: { Accept: "application/json" } });
    const ours = answer.headers.get("X-Workshop-Terminal") !== null;
    if (ours && (answer.status === 401 || answer.status === 403)) end(answer.status);
    return ours || !(answer.type === "opaqueredirect" || [404, 424].includes(answer.status));
  } catch {
    return true; // no network: trying again is all there is
  }
}

function end(status) {
  over = true;
  if (status === 403) banner("You may not use this session any more.", { text: "Open your own", href: element("hub").href });
  else banner("You are logged out here.", { text: "Log in again", href: location.pathname });
}

function again() {
  if (!over && !socket) {
    retries = 0;
    connect();
  }
}

function checkSilence() {
  if (socket && Date.now() - heard > silence) {
    const s = socket;
    lose(1006, "");
    s.close();
  }
}

setInterval(checkSilence, 5000);
addEventListener("online", again);
addEventListener("offline", () => { if (socket) checkSilence(); });
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState !== "visible") return;
  checkSilence();
  again();
});

// --- typing

function type() {
  while (typed.length > 0 && uncredited < inputWindow) {
    const bytes = typed.shift();
    uncredited += bytes.length;
    send("i", bytes);
  }
}

function enter(bytes) {
  if (!welcomed) return; // the banner says so
  if (shell !== "running") {
    if (bytes.includes(13)) send("s");
    return;
  }
  for (let at = 0; at < bytes.length; at += inputChunk) typed.push(bytes.subarray(at, at + inputChunk));
  type();
}

term.onData((text) => enter(encoder.encode(text)));
term.onBinary((text) => enter(Uint8Array.from(text, (c) => c.charCodeAt(0))));

// --- the size: the page that its attendee uses decides, the others follow

function measure() {
  const fits = fit.proposeDimensions();
  own = { columns: Math.max(2, fits?.cols || 80), rows: Math.max(1, fits?.rows || 24) };
  if (term.cols !== own.columns || term.rows !== own.rows) term.resize(own.columns, own.rows);
}

function resize() {
  measure();
  send("r", numbers([own.columns, 2], [own.rows, 2]));
}

function adopt(columns, rows) {
  if (term.cols !== columns || term.rows !== rows) term.resize(columns, rows);
}

let settling = 0;
new ResizeObserver(() => {
  clearTimeout(settling);
  settling = setTimeout(resize, 60);
}).observe(place);
addEventListener("focus", () => { if (welcomed) resize(); });

// --- the header

element("restart").addEventListener("click", () => element("confirm").showModal());
element("confirm").addEventListener("close", async () => {
  const dialog = element("confirm");
  if (dialog.returnValue === "restart") {
    const csrf = document.querySelector('meta[name="csrf"]').content;
    try {
      const answer = await fetch("restart", { method: "POST", headers: { "X-CSRF-Token": csrf } });
      if (!answer.ok) await ask();
    } catch {
      banner("The shell was not restarted: no connection.");
    }
  }
  dialog.returnValue = "";
  term.focus();
});

term.focus();
connect();
