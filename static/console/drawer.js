// The assignment drawer: opens beside the list, keeps the focus inside, gives it back, and forgets nothing that was typed.

import { prepareForm } from "./assign_form.js";
import "./extension_picker.js";
import { Refused, send, sessionEnded, wordsOf } from "./net.js";
import { toast } from "./toast.js";

const kept = new Map(); // MAC -> a form that was closed with unsaved entries, in memory only
let opener = null; // MAC of the row that it was opened from
let asked = 0;
let saved = () => {};

const drawer = () => document.getElementById("drawer");

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
    const button = event.target.closest("[data-act]");
    if (button?.dataset.act === "close") closeDrawer();
    if (button?.dataset.act === "reload-form") load(here.querySelector("form").getAttribute("action"), opener, true);
  });
  here.addEventListener("input", () => { here.querySelector("form")?.setAttribute("data-dirty", ""); });
  here.addEventListener("submit", submit);
  here.addEventListener("keydown", keepFocusInside);
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
    toast("What you typed before is still here.");
    return;
  }
  try {
    const answer = await send(url);
    if (mine !== asked) return;
    if (!answer.ok) toast(await wordsOf(answer), "bad");
    else show(formOf(await answer.text()));
  } catch (error) {
    if (!(error instanceof Refused)) toast("The server cannot be reached. Try again in a moment.", "bad");
  }
}

function formOf(html) {
  const form = document.importNode(new DOMParser().parseFromString(html, "text/html").querySelector("form"), true);
  prepareForm(form);
  return form;
}

function show(form) {
  const here = drawer();
  here.replaceChildren(form);
  if (!here.open) here.showModal();
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

export function closeDrawer() {
  const here = drawer();
  if (!here.open) return;
  const form = here.querySelector("form");
  if (form?.hasAttribute("data-dirty")) kept.set(opener, form);
  here.close();
  here.replaceChildren();
  const row = document.querySelector(`tr[data-mac="${opener}"]`);
  (row ?? document.querySelector("[data-act=assign]"))?.focus({ preventScroll: true });
}

async function submit(event) {
  event.preventDefault();
  const form = event.target;
  const button = form.querySelector("button[type=submit]");
  if (!button || button.disabled) return;
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  try {
    const answer = await send(form.getAttribute("action"), { method: "POST", body: new URLSearchParams(new FormData(form)) });
    if (answer.status === 422 || (answer.ok && !isJson(answer))) {
      replaceForm(form, formOf(await answer.text()));
    } else if (answer.ok) {
      const said = await answer.json();
      form.removeAttribute("data-dirty");
      kept.delete(opener);
      closeDrawer();
      toast(said.message);
      saved(said.mac);
    } else {
      toast(await wordsOf(answer), "bad");
    }
  } catch (error) {
    if (error instanceof Refused) sessionEnded();
    else toast("The server cannot be reached. Nothing was saved; your entries are still here.", "bad");
  } finally {
    button.disabled = false;
    button.removeAttribute("aria-busy");
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
  drawer().replaceChildren(fresh);
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
