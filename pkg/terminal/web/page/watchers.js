// SPDX-License-Identifier: Apache-2.0
//
// Says when a trainer sees this terminal from their machine, for as long as
// they do.
import "./watchers.css";
import { element } from "./api.js";
import { onState } from "./connection.js";

// It is there from the beginning: only then do changes of it get read out.
const badge = document.createElement("span");
badge.id = "watchers";
badge.setAttribute("role", "status");
element("tools").before(badge);

onState(({ watchers = 0, writers = 0 }) => {
  let text = "";
  if (writers > 0) text = "A trainer types here, too";
  else if (watchers > 0) text = "A trainer watches this terminal";
  if (watchers > 1) text += ` (${watchers} of them)`;
  if (badge.textContent !== text) badge.textContent = text;
});
