// SPDX-License-Identifier: Apache-2.0
//
// Where the gateway's parts are, and requests to it.

const meta = (name) => document.querySelector(`meta[name="${name}"]`)?.content ?? "";

// prefix is the session's path, as the hub spells it: /user/jane/.
export const prefix = meta("prefix");
export const hubHome = meta("hub");

// filesFate says what becomes of the files when the session is stopped.
export const filesFate = meta("files") === "lost" ? "Its files are not kept." : "Its files are kept.";

// spawn is where the hub starts this session.
export const spawn = hubHome.replace(/home$/, "spawn/") + prefix.slice(prefix.indexOf("/user/") + "/user/".length).replace(/\/$/, "");

// at is the address of a path under the prefix, whichever page this one is.
export const at = (path) => new URL(prefix + path, location.origin).href;

// request asks the gateway. A request that changes something carries the token
// which proves that a page of the gateway made it.
export function request(path, { method = "GET", headers = {}, ...rest } = {}) {
  if (method !== "GET") headers = { ...headers, "X-CSRF-Token": meta("csrf") };
  return fetch(at(path), { method, headers, redirect: "manual", cache: "no-store", ...rest });
}

// element finds one that the page is known to have.
export const element = (id) => document.getElementById(id);
