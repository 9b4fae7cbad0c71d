// The assignment drawer: opens beside the list, keeps the focus inside, gives it back, and forgets nothing that was typed.

import { prepareForm } from "./assign_form.js";
import "./extension_picker.js";
import "./mended.js";
import { handOver, leave, look, showChanges, watch } from "./meanwhile.js";
import { keptWords, Refused, send, wordsOf } from "./net.js";
import { toast, toFront } from "./toast.js";
import { gettext } from "./words.js";

const kept = new Map(); // MAC -> a form that was closed with unsaved entries, in memory only
let opener = null; // MAC of the row that it was opened from
let asked = 0;
let saved = () => {};

const drawer = () => document.getElementById("drawer");
const formNow = () => drawer().querySelector("form");
const isDirty = (form) => Boolean(form?.hasAttribute("data-dirty"));
const AWAY = () => gettext("The server cannot be reached. Try again in a moment.");

/** Wire it up once; `onSaved(mac)` is called after a save. */
export function prepareDrawer(onSaved) {
  saved = onSaved;
  const here = drawer();
  here.addEventListener("cancel", (event) => {
    event.preventDefault();
    closeDrawer();
  });
  here.addEventListener("pointerdown", (event) => {
    if (event.target === here) closeDrawer();
  });
  here.addEventListener("click", (event) => {
    const act = event.target.closest("[data-act]")?.dataset.act;
    if (act === "close") closeDrawer();
    if (act === "show-changes") showChanges(formNow());
    if (act === "reset" || act === "reload-form") reset();
    if (act === "save-next") save(formNow(), true);
  });
  here.addEventListener("input", () => { formNow()?.setAttribute("data-dirty", ""); });
  here.addEventListener("submit", (event) => {
    event.preventDefault();
    save(event.target, false);
  });
  here.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && formNow()) {
      event.preventDefault();
      save(formNow(), event.shiftKey);
    } else keepFocusInside(event);
  });
  // What was typed is in this page's memory only: it is lost only if the person says so.
  window.addEventListener("beforeunload", (event) => { if (kept.size || isDirty(formNow())) event.preventDefault(); });
  document.addEventListener("gs:heard", ({ detail }) => {
    for (const one of detail.events ?? []) if (one.kind === "forgotten") discard(one.mac);
  });
}

/** Nothing is kept any more of what was typed for this phone. */
export function discard(mac) {
  kept.delete(mac);
}

/** Open it for a phone; `mac` names the row that gets the focus back. */
export function openDrawer(url, mac) {
  return load(url, mac, false);
}

async function load(url, mac, afresh) {
  const mine = (asked += 1);
  opener = mac;
  const before = afresh ? null : kept.get(mac);
  if (before) {
    kept.delete(mac);
    show(before);
    look(before);
    toast(gettext("What you typed before is still here."));
    return;
  }
  try {
    const answer = await send(url);
    if (mine !== asked) return;
    if (!answer.ok) toast(await wordsOf(answer), "bad");
    else show(formOf(await answer.text()));
  } catch (error) {
    if (!(error instanceof Refused)) toast(AWAY(), "bad");
  }
}

/** A form that nobody has touched: what is in it is what is stored. */
function formOf(html, before = null) {
  const form = document.importNode(new DOMParser().parseFromString(html, "text/html").querySelector("form"), true);
  handOver(form, before);
  prepareForm(form);
  return form;
}

function show(form) {
  const here = drawer();
  formNow()?.remove();
  here.prepend(form);
  if (!here.open) here.showModal();
  toFront();
  watch(form);
  focusFirst(form);
}

function focusFirst(form) {
  const bad = form.querySelector("[aria-invalid=true]");
  bad?.closest("details")?.setAttribute("open", "");
  const problem = form.querySelector("[data-testid=form-problem]");
  const target = bad ?? (problem?.querySelector("button") || problem) ?? form.elements["account-1-user_id"]
    ?? form.querySelector("[data-act=close]");
  target?.focus();
  if (!bad && target?.select) target.select();
}

/** Close it, and keep what was typed. */
export function closeDrawer() {
  const here = drawer();
  if (!here.open) return;
  const form = formNow();
  if (isDirty(form) && !("gone" in form.dataset)) kept.set(opener, form);
  leave();
  here.close();
  form?.remove();
  toFront();
  const row = document.querySelector(`tr[data-mac="${opener}"]`);
  (row ?? document.querySelector("[data-act=assign]"))?.focus({ preventScroll: true });
}

/** Show again what is stored; what was typed can be had back. */
async function reset() {
  const before = formNow();
  const [mac, dirty] = [opener, isDirty(before)];
  await load(before.getAttribute("action"), mac, true);
  if (!dirty || formNow() === before) return;
  const run = () => {
    if (opener !== mac || !drawer().open) return;
    show(before);
    look(before);
  };
  toast(gettext("The form shows what is stored."), "good", { label: gettext("Undo"), run });
}

async function save(form, andNext) {
  const buttons = form.querySelectorAll(".gs-drawer-foot :is([type=submit], [data-act=save-next])");
  if (!buttons.length || buttons[0].disabled) return;
  const busy = (is) => buttons.forEach((one) => {
    one.disabled = is;
    if (is) one.setAttribute("aria-busy", "true");
    else one.removeAttribute("aria-busy");
  });
  const body = new URLSearchParams(new FormData(form));
  if (andNext) body.set("then", "next");
  busy(true);
  try {
    const answer = await send(form.getAttribute("action"), { method: "POST", body });
    if (answer.status === 422 || (answer.ok && !isJson(answer))) {
      replaceForm(form, formOf(await answer.text(), form));
    } else if (answer.ok) {
      await done(form, await answer.json());
    } else {
      toast(await wordsOf(answer), "bad");
    }
  } catch (error) {
    if (error instanceof Refused) toast(keptWords(), "bad");
    else toast(gettext("The server cannot be reached. Nothing was saved; your entries are still here."), "bad");
  } finally {
    busy(false);
  }
}

async function done(form, said) {
  form.removeAttribute("data-dirty");
  kept.delete(opener);
  const offer = said.undo ? { label: gettext("Undo"), run: () => takeBack(form), undoes: true } : null;
  if (said.next) await load(said.next.url, said.next.mac, false);
  if (formNow() === form) {
    closeDrawer();
    // Clear of the message below: what becomes of the phone is what one looks at now.
    document.querySelector(`tr[data-mac="${opener}"]`)?.scrollIntoView({ block: "nearest" });
  }
  toast(said.message, "good", offer, said.mac);
  if (said.next === null) toast(gettext("No other new phone is waiting."));
  saved(said.mac);
}

/** The phone gets again what it had before the save; the server knows what that was. */
async function takeBack(form) {
  try {
    const body = new URLSearchParams({ seen_host: form.elements.seen_host.value });
    const answer = await send(form.dataset.undoUrl, { method: "POST", body });
    toast(await wordsOf(answer), answer.ok ? "good" : "bad", null, form.dataset.mac);
    if (answer.ok) saved(form.dataset.mac);
  } catch (error) {
    if (!(error instanceof Refused)) toast(AWAY(), "bad");
  }
}

const isJson = (answer) => (answer.headers.get("content-type") || "").includes("json");

/** The form with its errors; passwords never come back from the server, so what was typed is put in again. */
function replaceForm(old, fresh) {
  for (const input of old.querySelectorAll("input[name$=-password]")) {
    fresh.elements[input.name].value = input.value;
    fresh.elements[input.name].dispatchEvent(new Event("input", { bubbles: true }));
  }
  for (const details of old.querySelectorAll("details[open]")) {
    fresh.querySelector(`details[data-account="${details.dataset.account}"]`)?.setAttribute("open", "");
  }
  const scrolled = old.querySelector(".gs-drawer-body").scrollTop;
  fresh.setAttribute("data-dirty", "");
  show(fresh);
  fresh.querySelector(".gs-drawer-body").scrollTop = scrolled;
  focusFirst(fresh);
}

/** Tab goes round inside; the browser's own dialog would let it out to the address bar. */
function keepFocusInside(event) {
  if (event.key !== "Tab") return;
  const all = [...drawer().querySelectorAll("a[href], button, input, select, summary, [tabindex]")].filter(
    (one) => one.tabIndex >= 0 && !one.disabled && one.type !== "hidden" && one.checkVisibility(),
  );
  const [first, last] = [all[0], all[all.length - 1]];
  const here = document.activeElement;
  if (event.shiftKey ? here === first || here === drawer() : here === last) {
    event.preventDefault();
    (event.shiftKey ? last : first).focus();
  }
}
