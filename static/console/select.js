// The selection in the list: it outlives what happens to rows, pages and order. Some phones by their MACs, each with the
// address that the list showed last; or all that the list's query finds, less those that were taken out again.

import { announce } from "./toast.js";
import { gettext, ngettext } from "./words.js";

const SAY_MS = 400;
const picked = new Map(); // MAC -> address
let all = null; // { which, total, without: Set of MACs }
let anchor = null; // MAC where a range begins
let list = null;
let saying = 0;

const bar = () => document.getElementById("selection");
const rows = () => [...(document.getElementById("rows")?.rows ?? [])];
const pager = () => document.querySelector("#pager [data-which]");
const isPicked = (mac) => (all ? !all.without.has(mac) : picked.has(mac));

/** How many phones are selected. */
export const selected = () => (all ? Math.max(0, all.total - all.without.size) : picked.size);

/** Wire it up once, for the element around the rows. */
export function prepareSelection(element) {
  list = element;
  list.addEventListener("click", onClick);
  list.addEventListener("mousedown", (event) => {
    // A range of rows, not of letters.
    if (event.shiftKey && event.target.closest("tr[data-mac]") && !event.target.closest("a, button")) event.preventDefault();
  });
  bar().addEventListener("click", (event) => {
    if (event.target.closest("[data-select-none]")) clearSelection();
    else if (event.target.closest("[data-select-all]")) selectAll();
    else if (event.target.closest("[data-select-more]")) {
      const more = event.target.closest("[data-select-more]");
      more.setAttribute("aria-expanded", String(more.getAttribute("aria-expanded") !== "true"));
    }
  });
}

/** The selection as the server reads it (gspnp/console/selection.py). */
export function selectionForm() {
  const form = new URLSearchParams();
  if (all) {
    form.set("query", all.which);
    form.set("except", JSON.stringify([...all.without]));
  } else form.set("phones", JSON.stringify([...picked]));
  return form;
}

export function clearSelection() {
  const hadFocus = bar().contains(document.activeElement);
  picked.clear();
  all = anchor = null;
  markPicked();
  if (hadFocus) (rows().find((row) => row.tabIndex === 0) ?? document.getElementById("search-text")).focus();
}

/** Write it into the rows that are there now; call it whenever they are new. */
export function markPicked() {
  const now = pager();
  if (all && now) {
    if (all.which !== now.dataset.which) {
      all = null; // another search or filter: what was meant is not on the screen any more
      picked.clear();
    } else all.total = Number(now.dataset.total);
  }
  const here = rows();
  for (const row of here) {
    const on = isPicked(row.dataset.mac);
    if (on && !all) picked.set(row.dataset.mac, row.dataset.host);
    row.classList.toggle("gs-picked", on);
    const box = row.querySelector("[data-pick]");
    if (box) box.checked = on;
  }
  const count = here.filter((row) => isPicked(row.dataset.mac)).length;
  for (const head of list.querySelectorAll("[data-pick-page]")) {
    head.checked = count > 0 && count === here.length;
    head.indeterminate = count > 0 && count < here.length;
  }
  show(here.length > 0 && count === here.length);
}

function show(wholePage) {
  const count = selected();
  const here = bar();
  const words = ngettext("{count} selected", "{count} selected", count);
  here.hidden = count === 0;
  if (here.querySelector("[data-selected]").textContent === words && !count) return;
  here.querySelector("[data-selected]").textContent = words;
  const more = here.querySelector("[data-select-all]");
  const total = Number(pager()?.dataset.total ?? 0);
  more.hidden = !(wholePage && !all && total > rows().length);
  more.textContent = gettext("Select all {total} that match", { total });
  list.classList.toggle("gs-selecting", count > 0);
  clearTimeout(saying);
  if (here.dataset.said !== String(count)) saying = setTimeout(() => say(count), SAY_MS);
}

function say(count) {
  bar().dataset.said = String(count);
  announce(count ? ngettext("{count} phone selected", "{count} phones selected", count) : gettext("Nothing selected"));
}

function selectAll() {
  all = { which: pager().dataset.which, total: Number(pager().dataset.total), without: new Set() };
  picked.clear();
  markPicked();
  bar().querySelector("[data-order], [data-post], [data-select-none]").focus();
}

function pick(row, on) {
  const { mac, host } = row.dataset;
  if (all) {
    if (on) all.without.delete(mac);
    else all.without.add(mac);
  } else if (on) picked.set(mac, host);
  else picked.delete(mac);
}

/** From the row where it began to this one. */
function pickTo(row) {
  const here = rows();
  const [from, to] = [here.findIndex((one) => one.dataset.mac === anchor), here.indexOf(row)];
  const begin = from < 0 ? to : from;
  for (const one of here.slice(Math.min(begin, to), Math.max(begin, to) + 1)) pick(one, true);
  if (from < 0) anchor = row.dataset.mac;
  markPicked();
}

function toggle(row) {
  anchor = row.dataset.mac;
  pick(row, !isPicked(row.dataset.mac));
  markPicked();
}

function pickPage(on) {
  for (const row of rows()) pick(row, on);
  anchor = null;
  markPicked();
}

function onClick(event) {
  if (event.target.matches("[data-pick-page]")) {
    pickPage(event.target.checked);
    return;
  }
  const row = event.target.closest("tr[data-mac]");
  const onBox = event.target.matches("[data-pick]");
  if (!row || (!onBox && event.target.closest("a, button"))) return;
  if (event.shiftKey) pickTo(row);
  else if (onBox || event.ctrlKey || event.metaKey) toggle(row);
}

/** A key of the selection; whether it was one. */
export function selectionKey(event) {
  const row = event.target.closest?.("tr[data-mac]");
  const onRow = event.target === row;
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "a" && !event.shiftKey && !event.altKey) {
    if (!(row || event.target === document.body)) return false;
    pickPage(true);
  } else if (event.ctrlKey || event.metaKey || event.altKey) return false;
  else if (event.key === " " && onRow) {
    if (event.shiftKey) pickTo(row);
    else toggle(row);
  } else if (event.shiftKey && onRow && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
    const next = event.key === "ArrowDown" ? row.nextElementSibling : row.previousElementSibling;
    anchor ??= row.dataset.mac;
    if (!isPicked(row.dataset.mac)) pickTo(row);
    if (next) {
      next.focus();
      next.scrollIntoView({ block: "nearest" });
      pickTo(next);
    }
  } else if (event.key === "Escape" && selected() && event.target.id !== "search-text") clearSelection();
  else return false;
  event.preventDefault();
  return true;
}
