// SPDX-License-Identifier: Apache-2.0
//
// What the menu does with the shell and the session.
import { hubHome, prefix, request } from "./api.js";
import { banner, hide } from "./banner.js";
import { ask, current, finish } from "./connection.js";
import { confirm } from "./dialog.js";
import { addMenuItem } from "./menu.js";

async function restart() {
  if (!await confirm({ title: "Restart the shell?", text: "Programs that run in it end. Files stay.", yes: "Restart" })) return;
  try {
    const answer = await request(`restart?shell=${current()}`, { method: "POST" });
    if (!answer.ok) await ask();
  } catch {
    banner("restart", "The shell was not restarted: no connection.");
  }
}

// spawn is where the hub starts this session.
const spawn = hubHome.replace(/home$/, "spawn/") + prefix.slice(prefix.indexOf("/user/") + "/user/".length).replace(/\/$/, "");

async function stop() {
  if (!await confirm({ title: "Stop this session?", text: "All programs in it end. Files are kept, and you can start it again.", yes: "Stop" })) return;
  hide("stop");
  try {
    const answer = await request("stop", { method: "POST" });
    if (!answer.ok) {
      if (answer.headers.get("X-Workshop-Terminal") !== null) banner("stop", `The session was not stopped: ${await answer.text()}`);
      return;
    }
  } catch { // it may have been faster than its answer
  }
  finish();
  const [title, text] = stopped("Stopping …", "The hub is ending your session.");
  for (let tries = 0; tries < 60; tries++) {
    await new Promise((later) => setTimeout(later, 1000));
    try {
      const answer = await request("session", { headers: { Accept: "application/json" } });
      if (answer.headers.get("X-Workshop-Terminal") === null && answer.status !== 503) break;
    } catch { // the proxy has not heard of it yet
    }
  }
  title.textContent = "Your session is stopped";
  text.textContent = "Its files are kept.";
  const again = document.createElement("a");
  again.id = "start-again";
  again.className = "strong";
  again.href = spawn;
  again.textContent = "Start it again";
  const hub = document.createElement("a");
  hub.href = hubHome;
  hub.textContent = "Back to the hub";
  const links = document.createElement("p");
  links.append(again, " ", hub);
  text.after(links);
  again.focus();
}

// stopped replaces the terminal by a few words.
function stopped(title, text) {
  const main = document.createElement("main");
  main.className = "notice";
  main.setAttribute("role", "status");
  const heading = document.createElement("h2");
  heading.textContent = title;
  const p = document.createElement("p");
  p.textContent = text;
  main.append(heading, p);
  document.querySelector("main").replaceWith(main);
  document.getElementById("tools").remove();
  document.getElementById("banners").replaceChildren();
  return [heading, p];
}

addMenuItem({ label: "Restart shell", order: 500, action: restart });
addMenuItem({ label: "Stop session", order: 510, action: stop });
addMenuItem({ label: "Back to the hub", order: 520, action: () => location.assign(hubHome) });
