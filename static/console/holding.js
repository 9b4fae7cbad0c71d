// Who points at a row means that phone. While a mouse moves over the rows none comes in, goes or changes its place, and no
// notice above pushes them down: what changes in a row is shown, that its phone is gone too, and a bar says what waits. Whoever
// points no more has the whole truth at once.

import { toast } from "./toast.js";
import { gettext, ngettext } from "./words.js";

// A mouse that lies still for so long points at nothing: a new phone is to be seen within two seconds. Our choice.
const REST_MS = 1500;

let at = null; // { x, y } of the mouse
let timer = 0;
let takeIn = () => {};
let waits = false;
const waiting = new Map(); // MAC -> when it was first seen
const forgotten = new Set(); // MACs

const bar = () => document.getElementById("held");
const macs = (body) => [...body.rows].map((row) => row.dataset.mac);
const notices = (page) => page.getElementById("notices").childElementCount;

/** Wire it up once, for the element around the rows; `work()` fetches what waited. */
export function prepareHolding(list, work) {
  takeIn = work;
  list.addEventListener("pointermove", (event) => {
    const { clientX: x, clientY: y } = event;
    if (event.pointerType !== "mouse" || !event.target.closest("#rows tr, #held")) letGo();
    else if (x !== at?.x || y !== at?.y) {
      at = { x, y };
      rest();
    }
  });
  list.addEventListener("wheel", () => { if (at) rest(); }, { passive: true });
  list.addEventListener("pointerleave", letGo);
  list.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "mouse") letGo();
    else if (event.target.closest("#rows tr")) {
      at = { x: event.clientX, y: event.clientY }; // until it is up again the row stays under it
      rest();
    }
  });
  list.addEventListener("click", (event) => { if (event.target.closest("#held")) letGo(); });
  document.addEventListener("keydown", (event) => {
    if (!["Shift", "Control", "Alt", "Meta"].includes(event.key)) letGo();
  });
  document.addEventListener("visibilitychange", letGo);
  document.addEventListener("gs:heard", ({ detail }) => {
    for (const one of detail.events ?? []) if (one.kind === "forgotten") forgotten.add(one.mac);
  });
  for (const press of ["click", "contextmenu"]) list.addEventListener(press, refuse, true);
}

/** Nothing can be done any more with a phone that is gone: its page would be none, and the list would have been left. */
function refuse(event) {
  if (!event.target.closest("tr[data-gone]")) return;
  event.preventDefault();
  event.stopPropagation();
  toast(gettext("This phone is not listed any more."), "bad");
}

function rest() {
  clearTimeout(timer);
  timer = setTimeout(letGo, REST_MS);
}

/** Nothing is pointed at any more. */
export function letGo() {
  clearTimeout(timer);
  at = null;
  const waited = waits;
  quiet();
  if (waited) takeIn();
}

function quiet() {
  waits = false;
  waiting.clear();
  if (bar()) bar().hidden = true;
}

const pointedAt = () => document.elementFromPoint(at.x, at.y)?.closest("#rows tr, #held");

/** Whether the rows stay where they are although the server has those of `page`: null if they do not. Else `keeps(id)`
 * says what is not to be replaced, and `stay()` puts the row below the mouse there again when one above has become higher. */
export function holds(page) {
  const [body, fresh] = [document, page].map((one) => one.getElementById("rows"));
  const row = at && !document.hidden && body && fresh ? pointedAt() : null;
  if (!row) {
    quiet();
    forgotten.clear();
    return null;
  }
  const noticed = notices(page) !== notices(document);
  say(body, fresh, noticed);
  if (row !== bar() && pointedAt() === bar()) bar().hidden = true; // it never comes between the mouse and a row
  const top = row.getBoundingClientRect().top;
  return {
    keeps: (id) => id === "notices" && noticed,
    stay: () => {
      markGone(body, fresh);
      scrollerOf(row).scrollBy(0, row.getBoundingClientRect().top - top);
    },
  };
}

function scrollerOf(element) {
  for (let one = element.parentElement; one && one !== document.body; one = one.parentElement) {
    if (one.scrollHeight > one.clientHeight && /auto|scroll/.test(getComputedStyle(one).overflowY)) return one;
  }
  return window;
}

function markGone(body, fresh) {
  const there = macs(fresh);
  for (const row of body.rows) row.toggleAttribute("data-gone", forgotten.has(row.dataset.mac) && !there.includes(row.dataset.mac));
}

function say(body, fresh, noticed) {
  const here = macs(body);
  for (const { dataset } of fresh.rows) if (!here.includes(dataset.mac)) waiting.set(dataset.mac, dataset.firstSeen);
  const same = here.join() === macs(fresh).join();
  if (same) waiting.clear();
  waits = noticed || !same;
  const left = here.filter((mac) => !macs(fresh).includes(mac)).length;
  const words = [same ? "" : wordsOfRows(body, left), noticed ? gettext("other notices") : ""];
  bar().querySelector("[data-held]").textContent = words.filter(Boolean).join(" · ");
  bar().hidden = !waits;
}

function wordsOfRows(body, left) {
  if (!waiting.size) return left ? ngettext("{count} phone less", "{count} phones less", left) : gettext("another order");
  const newest = Math.max(...[...body.rows].map((row) => Date.parse(row.dataset.firstSeen)));
  const isNew = [...waiting.values()].every((seen) => Date.parse(seen) > newest);
  if (isNew) return ngettext("{count} new phone", "{count} new phones", waiting.size);
  return ngettext("{count} more phone", "{count} more phones", waiting.size);
}
