// SPDX-License-Identifier: Apache-2.0
//
// The count-down before a session is stopped: nobody uses it, or it has run for
// as long as one may. The gateway says when to show it; asking would look like use.
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

// clock is a time of day, with the day where that isn't today.
export function clock(date, now = new Date()) {
  const time = { hour: "2-digit", minute: "2-digit" };
  if (date.toDateString() === now.toDateString()) return date.toLocaleTimeString([], time);
  return date.toLocaleString([], { weekday: "long", ...time });
}

// because says why a session is stopped.
export function because({ why, keptUntil }) {
  const kept = keptUntil ? `, and your trainer keeps it only until ${clock(new Date(keptUntil * 1000))}` : "";
  if (why === "max-age") return `This session is stopped soon, because it has run for as long as sessions may${kept}. ${filesFate}`;
  return `This session is stopped soon, because nobody uses it${kept}. ${filesFate}`;
}

function show(news) {
  const buttons = news.useHelps ? [{ text: "Keep it", action: keep }] : [];
  const root = banner("idle", because(news), { buttons });
  let timer = root.querySelector("[role=timer]");
  if (!timer) {
    timer = document.createElement("strong");
    timer.setAttribute("role", "timer"); // not read out at each second
    timer.setAttribute("aria-live", "off");
    root.prepend(timer, " ");
  }
  timer.textContent = remaining((end - Date.now()) / 1000);
}

let read = 0; // the time until which it is kept that was read and put away

function tellKept(keptUntil) {
  if (!keptUntil || keptUntil === read) {
    hide("kept");
    return;
  }
  const action = () => {
    read = keptUntil;
    hide("kept");
    term.focus();
  };
  // A new time has a button of its own.
  hide("kept");
  banner("kept", `Your trainer keeps this session until ${clock(new Date(keptUntil * 1000))}, whether it is used or not.`, { buttons: [{ text: "OK", action }] });
}

let shownUntil = 0;

onState((news) => {
  const { stopsIn = 0, keptUntil = 0 } = news;
  clearInterval(ticking);
  const only = stopsIn > 0 ? 0 : keptUntil;
  if (only !== shownUntil) tellKept(shownUntil = only);
  if (stopsIn <= 0) {
    hide("idle");
    return;
  }
  end = Date.now() + stopsIn * 1000;
  show(news);
  ticking = setInterval(() => show(news), 1000);
});
