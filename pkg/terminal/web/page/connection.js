// SPDX-License-Identifier: Apache-2.0
//
// The connection to the gateway. The frames are described in pkg/terminal/wire.
import { at, filesFate, hubHome, prefix, request, spawn } from "./api.js";
import { banner, hide } from "./banner.js";
import { fitting, place, term } from "./terminal.js";

const inputWindow = 128 * 1024; // bytes typed ahead of the gateway's credits
const inputChunk = 16 * 1024;   // bytes of input in a frame, at most
const ackStep = 64 * 1024;      // bytes shown between two acknowledgements
const silence = 75_000;         // ms without a frame: the connection is dead (one is due every 30 s)
const firstRetry = 500;         // ms
const lastRetry = 15_000;       // ms
const echoTime = 2_000;         // ms without a frame after typing that make a page doubt the connection
const pingTime = 6_000;         // ms that the answer to a ping may take
const patience = 45_000;        // ms until a session that isn't found is taken for stopped
const stopping = 1012;          // code of a gateway that is told to end

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

// numberOf is the shell's number in the page's address.
export const numberOf = () => Number(location.pathname.match(/\/shell\/(\d+)$/)?.[1] ?? 1);

let number = numberOf(); // of the shell that is shown
let socket = null;   // the connection, also while it is being made
let welcomed = false; // whether it has come to the terminal
let over = false;    // whether nothing but a reload helps
let leaving = false; // whether the session was about to be stopped when it was last seen
let stream = "";     // which stream of output this page shows,
let received = 0;    // up to which byte it has it,
let shown = 0;       // xterm.js has shown it,
let acknowledged = 0; // and the gateway knows that
let state = { shell: "unknown" }; // what the gateway last told of it
let heard = 0;       // when the last frame came
let retries = 0;
let lost = 0;        // since when there is no connection
let missed = 0;      // since when the session isn't where it was
let retry = 0;       // timer
let generation = 0;  // of the screen: counts resets, so that late news of an old one is ignored
let typed = [];      // input that waits for credit
let unsure = [];     // input that was sent, but may not have come
let base = 0;        // how many bytes came before that
let uncredited = 0;  // bytes under way
let live = 0;        // up to which byte the output is from before this page came
let doubt = 0;       // timer: the echo of what was typed is due
let pinged = 0;      // timer: the answer to a ping is due
let own = null;      // size of this page's window

const listeners = [];
const closedListeners = [];
const filters = [];

// onState calls f with each state that the gateway tells (wire.State).
export const onState = (f) => listeners.push(f);

// onClosed calls f when the shell that is shown has been closed.
export const onClosed = (f) => closedListeners.push(f);

// current is the number of the shell that is shown.
export const current = () => number;

// show shows another shell.
export function show(another) {
  const s = socket;
  number = another;
  socket = null;
  s?.close(1000);
  trust();
  welcomed = over = false;
  state = { ...state, shell: "unknown" };
  stream = "";
  received = retries = lost = missed = 0;
  forget();
  hide("connection");
  place.classList.remove("refusing");
  clear("", 0, 0); // nothing of one shell stands under the name of another
  connect();
}

// onInput lets f change what was typed before it is sent.
export const onInput = (f) => filters.push(f);

// replaying says whether what the terminal shows just now was printed before
// this page came.
export const replaying = () => shown < live;

// finish ends the connection for good.
export function finish() {
  const s = socket;
  over = true;
  socket = null;
  welcomed = false;
  clearTimeout(retry);
  place.classList.add("refusing");
  tellGone();
  s?.close();
}

// send sends a frame, if there is a connection.
export function send(kind, body = new Uint8Array()) {
  if (welcomed) socket.send(frame(kind, body));
}

// connect connects, for the first time and again.
export function connect() {
  clearTimeout(retry);
  retry = 0;
  const url = new URL(at(number === 1 ? "ws" : `ws?shell=${number}`));
  url.protocol = url.protocol.replace("http", "ws");
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
      came(view.getUint32(0));
      flush();
      break;
    case "p":
      trust();
      break;
    case "z":
      adopt(view.getUint16(0), view.getUint16(2));
      break;
    case "t":
      tell(JSON.parse(decoder.decode(bytes.subarray(1))));
      break;
  }
}

function tell(news) {
  state = news;
  listeners.forEach((f) => f(state));
}

// tellGone says that nothing waits any more for what is at its end.
const tellGone = () => tell({ ...state, stopsIn: 0, keptUntil: 0, watchers: 0, writers: 0 });

function welcome(w) {
  if (w.reset) {
    clear(w.preamble ?? "", w.offset, w.live ?? 0);
  }
  const fresh = stream === "";
  stream = w.stream;
  received = acknowledged = w.offset;
  uncredited = 0;
  if (w.taken === undefined) { // the gateway doesn't know this page yet, or no longer
    const kept = fresh ? typed : [];
    forget();
    typed = kept;
  } else {
    came(w.taken - base);
    typed = [...unsure, ...typed];
    unsure = [];
  }
  retries = lost = missed = 0;
  leaving = false;
  welcomed = true;
  hide("connection");
  place.classList.remove("refusing");
  flush();
}

// clear empties the terminal for the output from offset on. The terminal may have
// much to do before it comes to this: so it is told by what it is to show.
function clear(preamble, offset, old) {
  const screen = ++generation;
  shown = -1; // what is still shown before is old, too
  live = old;
  term.write(`\x18\x1bc${preamble}`, () => {
    if (screen === generation) shown = offset;
  });
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
  trust();
  if (over) return;
  place.classList.add("refusing");
  if (code === 4004) {
    closed();
    return;
  }
  if (code === 4000) { // this page has a newer connection; can't be either
    return;
  }
  if (code === 4001 || code === 4003) {
    end(code === 4001 ? 401 : 403);
    return;
  }
  lost ||= Date.now();
  leaving ||= code === stopping || state.stopsIn > 0;
  const there = retries > 0 || code !== 1006 || leaving ? await ask() : true;
  if (over || socket) return;
  if (there && number !== 1 && retries > 0 && await isClosed()) {
    closed();
    return;
  }
  if (over || socket) return;
  // After a restart of the proxy the hub answers for every session for a while.
  missed = there ? 0 : missed || Date.now();
  if (missed && (leaving || Date.now() - missed > patience)) {
    tellGone();
    banner("connection", `This session has stopped. ${filesFate}`, { link: { text: "Start it again", href: spawn } });
  } else {
    banner("connection", navigator.onLine ? "Connecting again … What you type is not sent." : "You are offline. What you type is not sent.");
  }
  clearTimeout(retry);
  const wait = Math.min(lastRetry, firstRetry * 2 ** retries++);
  retry = setTimeout(connect, wait * (0.5 + Math.random() / 2));
}

// ask finds out why a connection isn't had, for a websocket doesn't tell, and
// whether the session is where it was.
export async function ask() {
  try {
    const answer = await request("session", { headers: { Accept: "application/json" } });
    const ours = answer.headers.get("X-Workshop-Terminal") !== null;
    if (ours && (answer.status === 401 || answer.status === 403)) end(answer.status);
    return ours || !(answer.type === "opaqueredirect" || [404, 424].includes(answer.status));
  } catch {
    return true; // no network: trying again is all there is
  }
}

// isClosed asks whether the session has this shell no more: it doesn't after its
// container was started anew.
async function isClosed() {
  const asked = number;
  try {
    const answer = await request("shells");
    return answer.ok && asked === number && !(await answer.json()).shells.some((s) => s.number === asked);
  } catch {
    return false;
  }
}

// change has the gateway change something. The promise is of its answer, or
// null where it failed, and the banner of that name says why.
export async function change(name, method, path) {
  hide(name);
  try {
    const answer = await request(path, { method });
    if (answer.ok) return answer;
    if ([401, 403].includes(answer.status)) await ask();
    else banner(name, `That didn't work: ${answer.headers.has("X-Workshop-Terminal") ? (await answer.text()).trim() : "the session doesn't answer"}.`);
  } catch {
    banner(name, "That didn't work: no connection.");
  }
  return null;
}

function closed() {
  over = true;
  closedListeners.forEach((f) => f());
}

function end(status) {
  finish();
  if (status === 403) banner("connection", "You may not use this session any more.", { link: { text: "Open your own", href: hubHome } });
  else banner("connection", "You are logged out here.", { link: { text: "Log in again", href: prefix } });
}

function again() {
  if (!over && !socket) {
    retries = 0;
    connect();
  }
}

// drop takes the connection for dead, whatever the browser thinks of it.
function drop() {
  const s = socket;
  if (!s) return;
  lose(1006, "");
  s.close();
}

function checkSilence() {
  if (Date.now() - heard > silence) drop();
}

// ping makes sure of the connection. It is asked only when there is reason to
// doubt: a page that nobody uses must look like it.
function ping() {
  if (!welcomed || pinged) return;
  const wait = () => {
    const since = Date.now();
    pinged = setTimeout(() => {
      pinged = 0;
      // What came meanwhile may have been on its way before: the answer is still
      // due, behind more of the same, perhaps.
      if (heard > since) wait();
      else drop();
    }, pingTime);
  };
  wait();
  send("p");
}

// trust ends the doubt.
function trust() {
  clearTimeout(pinged);
  pinged = 0;
}

setInterval(checkSilence, 5000);
addEventListener("online", () => { // perhaps another network, where the old connection leads nowhere
  ping();
  again();
});
addEventListener("offline", () => { if (socket) ping(); });
document.addEventListener("visibilitychange", () => { // a laptop awakes
  if (document.visibilityState !== "visible") return;
  checkSilence();
  ping();
  again();
});

// --- typing

function flush() {
  while (typed.length > 0 && uncredited < inputWindow) {
    const bytes = typed.shift();
    uncredited += bytes.length;
    unsure.push(bytes);
    send("i", bytes);
    const at = Date.now();
    doubt ||= setTimeout(() => {
      doubt = 0;
      if (heard < at) ping();
    }, echoTime);
  }
}

// forget drops input that hasn't come.
function forget() {
  [typed, unsure] = [[], []]; // two lists, not one by two names
  base = 0;
}

// came forgets so many bytes of input: the gateway has them.
function came(bytes) {
  base += bytes;
  while (bytes > 0 && unsure.length > 0) {
    const first = unsure[0];
    if (first.length > bytes) unsure[0] = first.subarray(bytes);
    else unsure.shift();
    bytes -= Math.min(bytes, first.length);
  }
}

// answer is what xterm.js answers to a program that asks it something.
const answer = /^(?:\x1b\[[?>=]?[\d;]*(?:c|R|n|t|\$y)|\x1bP[^\x1b]*\x1b\\|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\))$/;

// reply passes an answer on, unless the question is an old one.
function reply(text) {
  if (welcomed && shown >= live) send("q", encoder.encode(text));
}

function enter(bytes) {
  if (lost || over) return; // the banner says so
  if (welcomed && ["starting", "ended"].includes(state.shell)) {
    if (bytes.includes(13)) send("s");
    return;
  }
  for (let at = 0; at < bytes.length; at += inputChunk) typed.push(bytes.subarray(at, at + inputChunk));
  if (welcomed) flush(); // else the shell has just been opened: it gets what is typed when it is there
}

// Whoever else has text for the shell calls term.input or term.paste, which
// come here.
term.onData((text) => (answer.test(text) ? reply(text) : enter(encoder.encode(filters.reduce((t, f) => f(t), text)))));
term.onBinary((text) => enter(Uint8Array.from(text, (c) => c.charCodeAt(0))));

// --- the size: the page that its attendee uses decides, the others follow

function measure() {
  own = fitting();
  if (term.cols !== own.columns || term.rows !== own.rows) term.resize(own.columns, own.rows);
}

// resize fits the terminal into its place.
export function resize() {
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
