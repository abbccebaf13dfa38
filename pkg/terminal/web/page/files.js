// SPDX-License-Identifier: Apache-2.0
//
// Files go to the session's volume by drag and drop or by the menu, and come
// from it by a dialog.
import "./files.css";
import { at, element, request } from "./api.js";
import { current } from "./connection.js";
import { choose, tell } from "./dialog.js";
import { addMenuItem } from "./menu.js";
import { term } from "./terminal.js";

const mib = 1024 * 1024;

function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < mib) return `${Math.ceil(bytes / 1024)} KiB`;
  return `${(bytes / mib).toFixed(bytes < 10 * mib ? 1 : 0)} MiB`;
}

// address is that of a file or a folder, by its path on the volume.
const address = (path, query = "") =>
  `files/${path === "." ? "" : path.split("/").map(encodeURIComponent).join("/")}${query}`;

const join = (folder, name) => (folder === "." ? name : `${folder}/${name}`);

// where asks in which folder the shell is.
async function where() {
  const answer = await request(`files?shell=${current()}`);
  if (!answer.ok) throw new Error(answer.status === 401 ? "you are logged out" : "the session doesn't answer");
  return answer.json();
}

// spoken is a folder as people write it in a shell.
function spoken({ root, home }, folder) {
  const path = folder === "." ? root : `${root}/${folder}`;
  if (path === home) return "~";
  return path.startsWith(`${home}/`) ? `~${path.slice(home.length)}` : path;
}

// --- what is said of transfers: a line in the corner, with a bar while it lasts

const corner = document.createElement("div");
corner.id = "transfers";
corner.setAttribute("role", "status");
document.body.append(corner);
let leaving = 0;

function say(text, { bad = false, content = [] } = {}) {
  clearTimeout(leaving);
  const line = document.createElement("p");
  line.className = bad ? "bad" : "";
  const words = document.createElement("span");
  words.textContent = text;
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "Close";
  close.addEventListener("click", () => { corner.replaceChildren(); term.focus(); });
  line.append(words, close);
  corner.replaceChildren(line, ...content);
  if (!bad) leaving = setTimeout(() => corner.replaceChildren(), 8000);
}

function progress(cancel) {
  clearTimeout(leaving);
  const line = document.createElement("p");
  const words = document.createElement("span");
  const bar = document.createElement("progress");
  bar.max = 1;
  bar.setAttribute("aria-label", "Upload");
  const stop = document.createElement("button");
  stop.type = "button";
  stop.textContent = "Cancel";
  stop.addEventListener("click", () => { cancel(); term.focus(); });
  line.append(words, bar, stop);
  corner.replaceChildren(line);
  return (text, done) => {
    if (words.textContent !== text) words.textContent = text;
    bar.value = done;
  };
}

// --- uploads

let uploading = null; // what cancels the one under way

// taken asks what to do about a name that is taken.
const taken = async (name, folder, more) =>
  (await choose(`${name} is there already`,
    `${folder} has a file of that name.${more ? " The answer holds for the other files, too." : ""}`,
    [["skip", "Skip"], ["replace", "Replace"], ["rename", "Keep both"]])) || "skip";

// put sends one file; the promise is of the status, 0 if it broke off.
function put(file, path, exists, shown, signal) {
  return new Promise((done) => {
    const x = new XMLHttpRequest();
    x.open("PUT", at(address(path, exists ? `?exists=${exists}` : "")));
    x.setRequestHeader("X-CSRF-Token", document.querySelector('meta[name="csrf"]').content);
    x.setRequestHeader("Content-Type", "application/octet-stream");
    x.upload.addEventListener("progress", (event) => shown(event.loaded));
    x.addEventListener("loadend", () => done(x));
    signal.addEventListener("abort", () => x.abort());
    x.send(file);
  });
}

const reasons = {
  0: "the connection broke off",
  401: "you are logged out",
  409: "there is something of that name",
  413: "it is too large",
  507: "the volume is full",
};

// upload sends files, given as {file, path}, to the folder that the shell is in.
async function upload(list) {
  if (uploading) {
    say("Wait until the other files are there, or cancel them.", { bad: true });
    return;
  }
  if (list.length === 0) return;
  const abort = new AbortController();
  uploading = () => abort.abort();
  try {
    await uploadAll(list, abort.signal);
  } catch (error) {
    say(`The files were not uploaded: ${error.message}.`, { bad: true });
  } finally {
    uploading = null;
  }
}

async function uploadAll(list, signal) {
  const target = await where();
  const folder = spoken(target, target.directory);
  if (target.limit <= 0) {
    say("Uploads are switched off in this workshop.", { bad: true });
    return;
  }
  const total = list.reduce((n, { file }) => n + file.size, 0) || 1;
  const show = progress(uploading);
  let [before, count, answer, last] = [0, 0, "", ""];
  const failed = [];
  for (const [i, { file, path }] of list.entries()) {
    if (signal.aborted) break;
    const name = list.length > 1 ? `${path} (${i + 1} of ${list.length})` : path;
    show(`Uploading ${name} to ${folder}`, before / total);
    const to = join(target.directory, path);
    if (file.size > target.limit) {
      failed.push(`${path}: it has ${size(file.size)}, and ${size(target.limit)} are possible`);
    } else {
      let exists = answer;
      if (!exists && (await request(address(to), { method: "HEAD" })).ok) {
        exists = answer = await taken(path, folder, i + 1 < list.length);
      }
      if (exists !== "skip") {
        const x = await put(file, to, exists, (n) => show(`Uploading ${name} to ${folder}`, (before + n) / total), signal);
        if (x.status === 201) {
          count++;
          last = JSON.parse(x.responseText).name;
        } else if (!signal.aborted) {
          failed.push(`${path}: ${reasons[x.status] ?? x.responseText.trim()}`);
          if ([0, 401, 507].includes(x.status)) break; // the others would fare alike
        }
      }
    }
    before += file.size;
  }
  const done = count === 1 ? `${last} is in ${folder}.` : `${count} files are in ${folder}.`;
  if (failed.length > 0) {
    const ul = document.createElement("ul");
    for (const text of failed.slice(0, 8)) {
      const li = document.createElement("li");
      li.textContent = text;
      ul.append(li);
    }
    say(count > 0 ? `${done} Not uploaded:` : "Not uploaded:", { bad: true, content: [ul] });
  } else if (signal.aborted) {
    say(count > 0 ? `Cancelled. ${done}` : "Cancelled.");
  } else if (count > 0) {
    say(done);
  } else {
    say("Nothing was uploaded.");
  }
}

// entries are the files in what was dropped, folders looked through.
async function entries(entry, under = "") {
  const path = under + entry.name;
  if (entry.isFile) {
    return [{ file: await new Promise((done, fail) => entry.file(done, fail)), path }];
  }
  const reader = entry.createReader();
  const all = [];
  for (;;) {
    const some = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (some.length === 0) return all;
    for (const one of some) all.push(...(await entries(one, `${path}/`)));
  }
}

// --- drag and drop

const overlay = document.createElement("div");
overlay.id = "drop";
overlay.hidden = true;
overlay.append(document.createElement("p"));
element("pane").append(overlay);

const hasFiles = (event) => event.dataTransfer?.types.includes("Files");

addEventListener("dragenter", async (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  if (!overlay.hidden) return;
  overlay.hidden = false;
  const words = overlay.firstChild;
  words.textContent = "Drop files to upload";
  try {
    const target = await where();
    words.textContent = target.limit > 0
      ? `Drop files to upload to ${spoken(target, target.directory)}`
      : "Uploads are switched off in this workshop";
  } catch { /* it is told when they are dropped */ }
});
addEventListener("dragover", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  event.dataTransfer.dropEffect = "copy";
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) overlay.hidden = true;
});
addEventListener("drop", async (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault(); // the browser would show the file instead of the page
  overlay.hidden = true;
  // Both lists are gone after this moment.
  const found = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const plain = [...event.dataTransfer.files].map((file) => ({ file, path: file.name }));
  let list = [];
  try {
    for (const entry of found) list.push(...(await entries(entry)));
  } catch {
    say("Not uploaded: the browser can't read one of the files.", { bad: true });
    return;
  }
  if (found.length === 0) list = plain;
  term.focus();
  await upload(list);
});

// --- the menu's dialogs

const chooser = document.createElement("input");
chooser.type = "file";
chooser.multiple = true;
chooser.hidden = true;
chooser.id = "upload";
document.body.append(chooser);
chooser.addEventListener("change", async () => {
  const list = [...chooser.files].map((file) => ({ file, path: file.name }));
  chooser.value = "";
  await upload(list);
});

async function browse() {
  let target;
  try {
    target = await where();
  } catch (error) {
    say(`The files can't be listed: ${error.message}.`, { bad: true });
    return;
  }
  const head = document.createElement("p");
  head.className = "files-head";
  const list = document.createElement("ul");
  list.className = "files";
  list.setAttribute("aria-label", "Files");
  const link = (path, text, query = "") => {
    const a = document.createElement("a");
    a.href = at(address(path, query));
    a.download = "";
    a.textContent = text;
    return a;
  };
  const show = async (folder, focus) => {
    const answer = await request(address(folder)).catch(() => null);
    head.replaceChildren();
    const words = document.createElement("strong");
    words.textContent = spoken(target, folder);
    head.append(words, link(folder, "Whole folder, .zip", "?archive=zip"), link(folder, ".tar.gz", "?archive=tar.gz"));
    list.replaceChildren();
    const line = (...what) => {
      const li = document.createElement("li");
      li.append(...what);
      list.append(li);
      return li;
    };
    const step = (text, to) => {
      const b = document.createElement("button");
      b.type = "button";
      b.textContent = text;
      b.addEventListener("click", () => show(to, true));
      line(b);
    };
    if (folder !== ".") step("../", folder.includes("/") ? folder.slice(0, folder.lastIndexOf("/")) : ".");
    if (!answer?.ok) {
      line("This folder can't be listed.");
    } else {
      const { entries: all, more } = await answer.json();
      for (const e of all) {
        if (e.folder) {
          step(`${e.name}/`, join(folder, e.name));
          continue;
        }
        const faint = document.createElement("small");
        faint.textContent = size(e.size);
        line(link(join(folder, e.name), e.name), faint);
      }
      if (all.length === 0) line("There is nothing in this folder.");
      if (more) line("There is more than can be listed here.");
    }
    if (focus) list.querySelector("button, a")?.focus();
  };
  // Arrow keys move in the list, as in other lists of files.
  list.addEventListener("keydown", (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const all = [...list.querySelectorAll("button, a")];
    all.at((all.indexOf(document.activeElement) + by) % all.length)?.focus();
  });
  await show(target.directory, false);
  await tell("Download files", head, list);
}

addMenuItem({ label: "Upload files…", order: 310, action: () => chooser.click() });
addMenuItem({ label: "Download files…", order: 320, action: browse });
