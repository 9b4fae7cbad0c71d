// The settings of a layer: search while typing, add and remove rows without a reload. Everything works without it too.

import { Refused, send, wordsOf, wouldArrive } from "./net.js";
import { refresh } from "./times.js";
import { announce, toast } from "./toast.js";
import { gettext, ngettext } from "./words.js";

const SEARCH_MS = 150;
const form = document.querySelector(".gs-settings");
const rows = document.getElementById("setting-rows");
const search = document.getElementById("catalogue-search");
const found = document.getElementById("catalogue-found");
let timer = 0;
let asked = 0;
let dirty = false;

function count() {
  const number = rows.children.length;
  form.querySelector("[data-count]").textContent = ngettext("{count} setting", "{count} settings", number);
  form.querySelector("[data-empty]").hidden = number > 0;
}

async function guarded(work) {
  try {
    await work();
  } catch (error) {
    if (error instanceof TypeError) toast(gettext("The server cannot be reached. What you typed is still here."), "bad");
    else if (!(error instanceof Refused)) throw error;
  }
}

async function look() {
  const mine = (asked += 1);
  const query = search.value.trim();
  if (!query) {
    found.replaceChildren();
    return;
  }
  await guarded(async () => {
    const answer = await send(`${search.dataset.searchUrl}?${new URLSearchParams({ q: query })}`);
    if (mine !== asked) return;
    if (!answer.ok) {
      toast(await wordsOf(answer), "bad");
      return;
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    found.replaceChildren(...[...page.body.childNodes].map((node) => document.importNode(node, true)));
  });
}

const rowOf = (name) => rows.querySelector(`[data-setting="${CSS.escape(name)}"]`);

function enter(row) {
  const field = row.querySelector("select, textarea, input:not([type=hidden])");
  row.scrollIntoView({ block: "center" });
  field?.focus({ preventScroll: true });
}

async function add(name) {
  const present = rowOf(name);
  if (present) {
    enter(present);
    return;
  }
  await guarded(async () => {
    const answer = await send(`${search.dataset.rowUrl}?${new URLSearchParams({ name })}`);
    if (!answer.ok) {
      toast(await wordsOf(answer), "bad");
      return;
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const row = document.importNode(page.body.querySelector("[data-setting]"), true);
    if (rowOf(name)) return;
    rows.append(row);
    dirty = true;
    count();
    for (const open of form.querySelectorAll(".gs-quick details[open]")) open.open = false;
    enter(row);
    announce(gettext("{setting} is added.", { setting: row.querySelector("label").textContent }));
  });
}

function remove(row) {
  const next = row.nextElementSibling ?? row.previousElementSibling;
  announce(gettext("{setting} is removed.", { setting: row.querySelector("label").textContent }));
  row.remove();
  dirty = true;
  count();
  (next?.querySelector("[data-act=remove]") ?? search).focus();
}

if (search) {
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(look, SEARCH_MS);
  });
  search.addEventListener("keydown", (event) => {
    const first = found.querySelector("button");
    if (event.key === "Enter") {
      event.preventDefault();
      clearTimeout(timer);
      look();
    } else if (event.key === "ArrowDown" && first) {
      event.preventDefault();
      first.focus();
    }
  });
  found.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") search.focus();
    if (!step) return;
    event.preventDefault();
    const all = [...found.querySelectorAll("button")];
    (all[all.indexOf(document.activeElement) + step] ?? (step < 0 ? search : null))?.focus();
  });
}

form.addEventListener("click", (event) => {
  const pressed = event.target.closest("[data-act]");
  if (!pressed) return;
  const what = pressed.dataset.act;
  if (!["add", "remove", "search"].includes(what)) return;
  event.preventDefault();
  if (what === "add") add(pressed.dataset.name);
  else if (what === "remove") remove(pressed.closest("[data-setting]"));
  else look();
});
document.addEventListener("click", (event) => {
  for (const open of form.querySelectorAll(".gs-quick details[open]")) if (!open.contains(event.target)) open.open = false;
});
form.addEventListener("keydown", (event) => {
  const open = event.key === "Escape" && event.target.closest(".gs-quick details[open]");
  if (!open) return;
  open.open = false;
  open.querySelector("summary").focus();
});

// What was typed is lost only if the person says so.
form.addEventListener("input", (event) => { if (event.target !== search) dirty = true; });
let asking = false;
let sure = false;
form.addEventListener("submit", async (event) => {
  // Enter in the search box was a search already; Enter elsewhere means the form.
  if (search && event.submitter?.value === "enter") search.value = "";
  if (sure) {
    dirty = false;
    return;
  }
  event.preventDefault();
  if (asking) return;
  asking = true;
  sure = await wouldArrive();
  asking = false;
  if (sure) form.requestSubmit(event.submitter);
  sure = false;
});
window.addEventListener("beforeunload", (event) => { if (dirty) event.preventDefault(); });

form.querySelector("[aria-invalid=true]")?.focus();
refresh();
