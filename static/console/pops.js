// What opens above the list: filters and columns, fetched when they are opened.

import { Refused, send, wordsOf } from "./net.js";
import { toast } from "./toast.js";
import { gettext } from "./words.js";

const EDGE = 8;
let changed = () => {};

/** Wire it up once: `onLink(url)` for a filter that is chosen, `onColumns()` after other columns were. */
export function preparePops(onLink, onColumns) {
  changed = onColumns;
  for (const button of document.querySelectorAll("[data-pop]")) {
    const pop = document.getElementById(button.dataset.pop);
    button.addEventListener("click", () => open(button, pop));
    pop.addEventListener("toggle", (event) => {
      button.setAttribute("aria-expanded", String(event.newState === "open"));
      if (event.newState === "closed" && pop.contains(document.activeElement)) button.focus();
    });
  }
  document.getElementById("filters").addEventListener("click", (event) => {
    const link = event.target.closest("a[data-list-link]");
    if (!link || event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    document.getElementById("filters").hidePopover();
    document.querySelector("[data-pop=filters]").focus();
    onLink(link.href);
  });
  const columns = document.getElementById("columns");
  columns.addEventListener("change", () => keep(columns));
  columns.addEventListener("submit", (event) => event.preventDefault());
  columns.addEventListener("click", (event) => {
    const button = event.target.closest("[data-move]");
    if (button) move(button, columns);
    else if (event.target.closest("[data-reset]")) keep(columns, new URLSearchParams());
  });
}

async function open(button, pop) {
  if (pop.matches(":popover-open")) {
    pop.hidePopover();
    return;
  }
  try {
    const answer = await send(`${pop.dataset.url}${location.search}`);
    if (!answer.ok) {
      toast(await wordsOf(answer), "bad");
      return;
    }
    put(pop, await answer.text());
  } catch (error) {
    if (!(error instanceof Refused)) toast(gettext("The server cannot be reached. Try again in a moment."), "bad");
    return;
  }
  pop.showPopover();
  const [at, box] = [button.getBoundingClientRect(), pop.getBoundingClientRect()];
  pop.style.left = `${Math.max(EDGE, Math.min(at.left, document.documentElement.clientWidth - box.width - EDGE))}px`;
  pop.style.top = `${at.bottom + 6}px`;
  pop.style.maxHeight = `${window.innerHeight - at.bottom - 6 - EDGE}px`;
  (pop.querySelector("[aria-current], input:not(:disabled), a, button"))?.focus();
}

function put(pop, html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  pop.replaceChildren(...[...page.body.childNodes].map((node) => document.importNode(node, true)));
}

function move(button, pop) {
  const item = button.closest("li");
  const other = button.dataset.move === "1" ? item.nextElementSibling : item.previousElementSibling;
  if (!other) return;
  if (button.dataset.move === "1") other.after(item);
  else other.before(item);
  button.focus();
  keep(pop);
}

/** Store the choice; the list shows it at once. */
async function keep(pop, form = new URLSearchParams(new FormData(pop.querySelector("form")))) {
  const key = document.activeElement?.dataset.key;
  try {
    const answer = await send(pop.dataset.url, { method: "POST", body: form });
    if (!answer.ok) {
      toast(await wordsOf(answer), "bad");
      return;
    }
    if (![...form].length) {
      put(pop, await answer.text());
      (pop.querySelector(key ? `[data-key="${key}"]` : "[data-reset]") ?? pop.querySelector("[data-reset]")).focus();
    }
    changed();
  } catch (error) {
    if (!(error instanceof Refused)) toast(gettext("The server cannot be reached. Nothing was saved; try again."), "bad");
  }
}
