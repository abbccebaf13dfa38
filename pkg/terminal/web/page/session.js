// SPDX-License-Identifier: Apache-2.0
//
// What the menu does with the shell and the session.
import { element, filesFate, hubHome, prefix, request, spawn } from "./api.js";
import { banner, hide } from "./banner.js";
import { ask, change, current, finish } from "./connection.js";
import { confirm } from "./dialog.js";
import { addMenuItem } from "./menu.js";

async function restart() {
  if (!await confirm({ title: "Restart the shell?", text: "Programs that run in it end. Files stay.", yes: "Restart" })) return;
  await change("restart", "POST", `restart?shell=${current()}`);
}

async function stop() {
  if (!await confirm({ title: "Stop this session?", text: `All programs in it end. ${filesFate} You can start it again.`, yes: "Stop" })) return;
  hide("stop");
  try {
    const answer = await request("stop", { method: "POST" });
    // What doesn't come from the gateway says that the hub was faster than the answer.
    if (!answer.ok && answer.headers.has("X-Workshop-Terminal")) {
      if ([401, 403].includes(answer.status)) await ask();
      else banner("stop", `The session was not stopped: ${(await answer.text()).trim()}.`);
      return;
    }
  } catch { // so does this, or the network is gone
  }
  finish();
  const [title, text] = stopped("Stopping …", "The hub is ending your session.");
  let running = true;
  for (let tries = 0; running && tries < 60; tries++) {
    await new Promise((later) => setTimeout(later, 1000));
    running = !await ended();
  }
  title.textContent = running ? "Your session still runs" : "Your session is stopped";
  text.textContent = running ? "The hub has not stopped it." : filesFate;
  const next = link(running ? "Back to the terminal" : "Start it again", running ? prefix : spawn);
  next.className = "strong";
  const links = document.createElement("p");
  links.append(next, " ", link("Back to the hub", hubHome));
  text.after(links);
  next.focus();
}

// ended says whether the hub has stopped this session, and not just begun to:
// people who want to see it are sent to a page that waits until then. Where it has
// a host of its own it can't tell, for there the hub knows nobody.
async function ended() {
  try {
    return (await request("session", { headers: { Accept: "text/html" }, redirect: "follow" })).status === 424;
  } catch {
    return !await ask();
  }
}

function link(text, href) {
  const a = document.createElement("a");
  a.textContent = text;
  a.href = href;
  return a;
}

// stopped replaces the terminal by a few words.
function stopped(title, text) {
  const words = document.createElement("div");
  words.className = "notice";
  words.setAttribute("role", "status");
  const heading = document.createElement("h2");
  heading.textContent = title;
  const p = document.createElement("p");
  p.textContent = text;
  words.append(heading, p);
  element("panes").replaceChildren(words);
  element("tools").remove();
  element("banners").remove();
  return [heading, p];
}

addMenuItem({ label: "Restart shell", order: 500, action: restart });
addMenuItem({ label: "Stop session", order: 510, action: stop });
addMenuItem({ label: "Back to the hub", order: 520, action: () => location.assign(hubHome) });
