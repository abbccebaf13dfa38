// SPDX-License-Identifier: Apache-2.0
//
// The count-down before a session that nobody uses is stopped. The gateway says
// when to show it; asking would look like use.
import { filesFate, request } from "./api.js";
import { banner, hide } from "./banner.js";
import { ask, onState } from "./connection.js";
import { term } from "./terminal.js";

let end = 0; // when it stops, by this browser's clock
let ticking = 0;

// remaining is a time to go, as people say it.
export function remaining(seconds) {
  const s = Math.max(0, Math.round(seconds));
  return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
}

async function keep() {
  term.focus();
  hide("keep");
  try {
    const answer = await request("keep", { method: "POST" });
    if ([401, 403].includes(answer.status)) await ask();
    else if (!answer.ok) throw new Error(answer.statusText);
  } catch {
    banner("keep", "The hub could not be told that you are here. Try again in a moment.", { buttons: [{ text: "OK", action: () => hide("keep") }] });
  }
}

function show() {
  const root = banner("idle", `This session is stopped soon, because nobody uses it. ${filesFate}`, { buttons: [{ text: "Keep it", action: keep }] });
  let clock = root.querySelector("[role=timer]");
  if (!clock) {
    clock = document.createElement("strong");
    clock.setAttribute("role", "timer"); // not read out at each second
    clock.setAttribute("aria-live", "off");
    root.prepend(clock, " ");
  }
  clock.textContent = remaining((end - Date.now()) / 1000);
}

onState(({ stopsIn = 0 }) => {
  clearInterval(ticking);
  if (stopsIn <= 0) {
    hide("idle");
    return;
  }
  end = Date.now() + stopsIn * 1000;
  show();
  ticking = setInterval(show, 1000);
});
