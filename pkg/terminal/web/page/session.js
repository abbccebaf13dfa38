// SPDX-License-Identifier: Apache-2.0
//
// What the menu does with the shell and the session.
import { hubHome, request } from "./api.js";
import { banner } from "./banner.js";
import { ask, current } from "./connection.js";
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

addMenuItem({ label: "Restart shell", order: 500, action: restart });
addMenuItem({ label: "Back to the hub", order: 520, action: () => location.assign(hubHome) });
