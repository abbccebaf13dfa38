// SPDX-License-Identifier: Apache-2.0
//
// The attendee's own web apps, in the menu.
import { at } from "./api.js";
import { addMenuItem } from "./menu.js";

const names = document.querySelector('meta[name="apps"]').content.split(" ").filter(Boolean);
names.forEach((name, i) => {
  addMenuItem({ label: `Open ${name}`, order: 350 + i / 100, action: () => open(at(`proxy/${name}/`), `workshop-app-${name}`) });
});
