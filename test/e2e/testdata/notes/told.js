// Tells the page around the notes, which can't look into them, where things are
// and what a script in here gets at.
const attempt = (f) => {
  try {
    return String(f());
  } catch (e) {
    return e.name;
  }
};
addEventListener("message", (event) => {
  if (event.data?.type !== "tell") return;
  const boxes = {};
  for (const e of document.querySelectorAll("[id], .workshop-buttons button")) {
    const { x, y, width, height } = e.getBoundingClientRect();
    const name = e.id || `${e.textContent} ${e.closest(".workshop-block").querySelector("pre").id}`;
    boxes[name] = { x: x + width / 2, y: y + height / 2 };
  }
  parent.postMessage({
    type: "told", title: document.title, boxes, origin: self.origin,
    cookie: attempt(() => document.cookie), storage: attempt(() => localStorage.length), parent: attempt(() => parent.document.title),
  }, "*");
});
