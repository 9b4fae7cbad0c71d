// The list of phones: live rows, search as you type, keyboard, menu, drawer. Its state is the URL.

import { copy, perform } from "./actions.js";
import { closeDrawer, openDrawer, prepareDrawer } from "./drawer.js";
import { holds, letGo, prepareHolding } from "./holding.js";
import { hush, putAside } from "./hush.js";
import { debounced, follow } from "./live.js";
import { closeMenu, menuIsOpen, openMenu, prepareMenu } from "./menu.js";
import { Refused, send, wordsOf } from "./net.js";
import { prepareOrders } from "./order.js";
import { preparePops } from "./pops.js";
import { markPicked, prepareSelection, selectionKey } from "./select.js";
import { pageUrl } from "./paging.js";
import { lift, stand } from "./standing.js";
import { parse, remember, swapContent, swapRows, updateRows } from "./swap.js";
import { announce, toast } from "./toast.js";
import { refresh } from "./times.js";
import { onLongPress } from "./touch.js";
import { gettext } from "./words.js";

const REFRESH_MS = 60;
const COUNTS_MS = 1000;
const LISTENER_MS = 10000;
// What happens to a phone that is not shown and changes nothing here but counts.
const ELSEWHERE = new Set(["changed", "stage", "notify", "download", "reach"]);
const UNREAD = "rows-unread";
const SEARCH_MS = 200;
const list = document.getElementById("list");
const search = document.getElementById("search-text");
const openedAt = Date.now();
const untouched = new Set(JSON.parse(sessionStorage.getItem("gspnp.new") || "[]"));
const announced = new Map(); // MAC -> when it came
let shown = location.search; // of what the rows are

const body = () => document.getElementById("rows");
const rows = () => [...(body()?.rows ?? [])];
const pageNumber = () => document.querySelector("#pager [data-key=page]");
const rowOf = (node) => node.closest?.("tr[data-mac]");

// --- what the server says -----------------------------------------------------------------------------------------

/** `asks` says that a person has asked for them, who is told at once why there are none. */
async function fetchRows(asks = false) {
  const asked = location.search;
  try {
    const answer = await send(`${list.dataset.rowsUrl}${asked}`);
    if (!answer.ok) {
      if (asks) toast(await wordsOf(answer), "bad");
      else if (answer.status !== 503) stand(UNREAD, await wordsOf(answer));
      return;
    }
    lift(UNREAD);
    const page = parse(await answer.text());
    if (asked === location.search) {
      if (asks || asked !== shown) letGo(); // a mouse may have come onto the rows since: they are those of another question
      shown = asked;
      swapPage(page);
    } else update();
  } catch (error) {
    if (!(error instanceof Refused || error instanceof TypeError)) throw error;
  }
}

/** What the person has asked for: nothing is held any more. */
function fetchAnew() {
  letGo();
  return fetchRows(true);
}

// The server makes rows once for all who ask, and rests in between (gspnp/console/sharing.py): pages that each leave it
// alone for a time of their own would only ask one after the other.
const update = debounced(() => fetchRows(), REFRESH_MS, REFRESH_MS);
const updateAnew = () => {
  letGo();
  update();
};
const updateCounts = debounced(async () => update(), COUNTS_MS);

/** The list as it comes first has new phones on top: only what is shown, or is new, must be fetched at once. In any other
 * one a phone may come and go with whatever happens to it. */
function isElsewhere({ reload, events }) {
  if (reload || location.search) return false;
  const shown = new Set(rows().map((row) => row.dataset.mac));
  return events.every(({ mac, kind }) => ELSEWHERE.has(kind) && !shown.has(mac));
}

function swapPage(page) {
  const before = new Map(rows().map((row) => [row.dataset.mac, row.dataset.firstSeen]));
  const held = holds(page);
  const typed = pageNumber()?.value;
  const isTyping = document.activeElement === pageNumber() && typed !== pageNumber()?.defaultValue;
  for (const id of ["notices", "chips", "pager"]) {
    const [old, fresh] = [document.getElementById(id), page.getElementById(id)];
    if (!held?.keeps(id)) swapContent(old, fresh);
  }
  if (isTyping && pageNumber()) pageNumber().value = typed;
  hush();
  const fresh = page.getElementById("rows");
  if (fresh && body()) {
    swapContent(list.querySelector("thead"), page.querySelector("thead"));
    if (held) updateRows(body(), fresh);
    else swapRows(body(), fresh);
  } else swapContent(document.getElementById("listing"), page.getElementById("listing"));
  // New on the page, or listed before and plugged in now.
  rows().filter((row) => before.get(row.dataset.mac) !== row.dataset.firstSeen).forEach(welcome);
  mark();
  markPicked();
  rove();
  held?.stay();
}

/** A row that was not on the page: if the phone is new, it slides in and is marked until it is touched. */
function welcome(row) {
  const { mac, firstSeen } = row.dataset;
  if (Date.parse(firstSeen) < openedAt - 2000 || announced.get(mac) === firstSeen) return;
  announced.set(mac, firstSeen);
  untouched.add(row.dataset.mac);
  row.classList.add("gs-arrives");
  announce(gettext("New phone {name}", { name: row.dataset.name }));
}

function mark() {
  for (const row of rows()) row.classList.toggle("gs-new", untouched.has(row.dataset.mac));
  sessionStorage.setItem("gspnp.new", JSON.stringify([...untouched].slice(-500)));
}

function touch(row) {
  if (row && untouched.delete(row.dataset.mac)) mark();
}

// --- where one goes -----------------------------------------------------------------------------------------------

function goTo(url, remembered = true) {
  if (remembered) history.pushState(null, "", url);
  else history.replaceState(null, "", url);
  return fetchAnew();
}

function followLink(url) {
  search.value = new URL(url).searchParams.get("q") ?? "";
  return goTo(url);
}

/** Another page by a key: its first row, or its last one, has the focus then. */
async function turnPage(key, last = false) {
  const link = document.querySelector(`#pager a[href][data-key=${key}]`);
  if (!link) return;
  await followLink(link.href);
  const row = rows().at(last ? -1 : 0);
  if (row) focusRow(row);
  row?.scrollIntoView({ block: "nearest" });
}

list.addEventListener("submit", async (event) => {
  if (!event.target.matches("[data-page-form]")) return;
  event.preventDefault();
  await followLink(pageUrl(event.target));
  if (pageNumber()) pageNumber().value = pageNumber().defaultValue; // a page beyond the end is the last one
});

list.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-list-link]");
  if (link && event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey)) {
    event.preventDefault();
    followLink(link.href);
    return;
  }
  const button = event.target.closest("[data-act]");
  if (!button) return;
  const row = rowOf(button);
  touch(row);
  const what = button.dataset.act;
  if (what === "assign" || what === "copy" || what === "notify") choose(what, row);
  else if (what === "copy-text") copy(document.getElementById(button.dataset.from).textContent);
  else if (what === "hush") putAside(button, () => rows()[0] ?? search);
  else if (what === "accept" || what === "dismiss") {
    perform(what, button.dataset.name, button.dataset.url, button.dataset.host).then(updateAnew);
  }
  else if (what === "menu") {
    const box = button.getBoundingClientRect();
    openMenu(row, box.left, box.bottom + 4);
  }
});

window.addEventListener("popstate", () => {
  search.value = new URLSearchParams(location.search).get("q") ?? "";
  fetchAnew();
});

let typing = 0;
function searchNow() {
  clearTimeout(typing);
  const asked = new URLSearchParams(location.search);
  asked.delete("page");
  if (search.value.trim()) asked.set("q", search.value.trim());
  else asked.delete("q");
  const text = asked.toString();
  if (`?${text}` !== location.search && text !== location.search) goTo(text ? `?${text}` : location.pathname, false);
}
search.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(searchNow, SEARCH_MS);
});
document.getElementById("search").addEventListener("submit", (event) => {
  event.preventDefault();
  searchNow();
});

// --- what one does with a row ----------------------------------------------------------------------------------------

/** `go`: the rest of an address below the phone's page, for what is a page of its own. */
function choose(what, row, host = row.dataset.host, go = null) {
  const { mac, colons, name, assignUrl, phoneUrl } = row.dataset;
  touch(row);
  if (go !== null) location.assign(`${phoneUrl}${go}`);
  else if (what === "assign") openDrawer(assignUrl, mac);
  else if (what === "copy") copy(colons);
  else if (what === "timeline") location.assign(phoneUrl);
  else if (what === "swap") location.assign(`${phoneUrl}swap/`);
  else perform(what, name, `${phoneUrl}${what}/`, host).then(updateAnew);
}

list.addEventListener("contextmenu", (event) => {
  const row = rowOf(event.target);
  if (!row || window.getSelection()?.toString()) return;
  event.preventDefault();
  touch(row);
  focusRow(row);
  const box = row.getBoundingClientRect();
  const byKey = event.clientX === 0 && event.clientY === 0;
  openMenu(row, byKey ? box.left + 40 : event.clientX, byKey ? box.top + 30 : event.clientY);
});

list.addEventListener("focusin", (event) => {
  const row = rowOf(event.target);
  if (row) rove(row);
});
list.addEventListener("pointerdown", (event) => {
  const row = rowOf(event.target);
  touch(row);
  if (row && !event.target.closest("a, button, input") && !window.getSelection()?.toString()) focusRow(row);
});

function focusRow(row) {
  rove(row);
  row.focus({ preventScroll: true });
}

/** One row, and what is in it, can be reached by Tab; the others by the arrows. Until somebody has been on a row it is the
 * first one, so that an arrow goes to the phone that has just arrived. */
let visited = false;
function rove(current = null) {
  const all = rows();
  visited ||= current !== null;
  const chosen = current ?? (visited ? all.find((row) => row.tabIndex === 0) : null) ?? all[0];
  for (const row of all) {
    const mine = row === chosen ? 0 : -1;
    if (row.tabIndex !== mine || current === null) {
      row.tabIndex = mine;
      for (const part of row.querySelectorAll("a, button, input")) part.tabIndex = mine;
    }
  }
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || menuIsOpen() || document.querySelector("dialog[open], .gs-pop:popover-open")) return;
  if (selectionKey(event) || event.ctrlKey || event.metaKey || event.altKey) return;
  const inText = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !inText) {
    event.preventDefault();
    search.focus();
    search.select();
  } else if ((event.key === "[" || event.key === "]") && !inText) {
    event.preventDefault();
    turnPage(event.key === "[" ? "previous" : "next");
  } else if (event.key === "Escape" && event.target === search) {
    if (search.value) {
      search.value = "";
      searchNow();
    } else rows()[0]?.focus();
  } else if (event.key === "ArrowDown" && (event.target === search || event.target === document.body)) {
    event.preventDefault();
    (rows().find((row) => row.tabIndex === 0) ?? rows()[0])?.focus();
  } else if (event.target.matches?.("tr[data-mac]")) onRowKey(event);
});

function onRowKey(event) {
  const all = rows();
  const at = all.indexOf(event.target);
  const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1, PageDown: at + 10, PageUp: at - 10 }[event.key];
  if (event.key === "PageDown" && at === all.length - 1) {
    event.preventDefault();
    turnPage("next");
  } else if (event.key === "PageUp" && at === 0) {
    event.preventDefault();
    turnPage("previous", true);
  } else if (next !== undefined) {
    event.preventDefault();
    const row = all[Math.max(0, Math.min(next, all.length - 1))];
    row.focus();
    row.scrollIntoView({ block: "nearest" });
    if (next < 0 && event.key === "ArrowUp") search.focus();
  } else if (event.key === "Enter") {
    event.preventDefault();
    const button = event.target.querySelector("[data-act=assign]");
    if (button) choose("assign", event.target);
    else location.assign(event.target.dataset.phoneUrl);
  }
}

// --- start ----------------------------------------------------------------------------------------------------------

remember(document);
prepareSelection(list);
prepareOrders(updateAnew);
preparePops(followLink, fetchAnew);
prepareHolding(list, update);
onLongPress(list, "tr[data-mac]", (row, x, y) => {
  touch(row);
  openMenu(row, x, y);
});
refresh();
hush();
mark();
markPicked();
rove();
prepareMenu(choose);
prepareDrawer(updateAnew);
follow({ onEvents: (message) => (isElsewhere(message) ? updateCounts() : update()), onPoll: update });
setInterval(() => { if (!document.hidden) update(); }, LISTENER_MS);
window.addEventListener("pagehide", () => { closeMenu(false); closeDrawer(); });
