// SPDX-License-Identifier: Apache-2.0
//
// The page in place of an app that isn't there yet: shows the app as soon as it
// is. A page that nobody looks at asks for nothing, and one that is left open
// gives up, or it would keep its session from ever being idle.
const step = 2000; // ms
let left = 300;

async function look() {
  if (document.visibilityState === "visible") {
    left--;
    try {
      const answer = await fetch(location.href, { method: "HEAD", redirect: "manual", cache: "no-store" });
      if (!answer.headers.has("X-Workshop-Waiting")) {
        location.reload();
        return;
      }
    } catch {
      // no network: asked again
    }
  }
  if (left > 0) setTimeout(look, step);
  else document.querySelector("[role=status]").textContent = "Nothing came for ten minutes. Load this page again when your app is started.";
}

setTimeout(look, step);
