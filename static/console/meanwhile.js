// Two people, one phone: the open drawer says at once that somebody else saved it, shows what changed, and loses nothing.

import { Refused, send } from "./net.js";
import { announce, toast } from "./toast.js";
import { gettext, ngettext } from "./words.js";

const SAY_AGAIN_MS = 10000;
const GONE_MS = 25000; // who has not said it again for so long is gone

const stored = new WeakMap(); // form -> Map of field name -> values, as they were stored when it was made
let open = null; // the form in the drawer
let looking = false;
let again = false;
let others = new Map(); // who else has this phone open: id -> [name, when it was said]

const ours = (name) => /^(account|key)-/.test(name) && !/-(password|password_clear)$/.test(name);

/** A new form: what is in it is what is stored; or, if it came back with its errors, what was stored `before`. */
export function handOver(form, before) {
  const known = before && stored.get(before);
  stored.set(form, known ?? valuesOf(form));
  if (!known) return;
  form.dataset.events = before.dataset.events;
  const [marks, old] = [form, before].map((one) => one.querySelector("#password-marks"));
  if (marks && old) marks.textContent = old.textContent;
}

/** It is the form in the drawer now. */
export function watch(form) {
  const same = open?.dataset.mac === form.dataset.mac;
  open = form;
  if (same) present();
  else tellOthers(form.dataset.mac);
}

/** Nobody looks at a form any more. */
export function leave() {
  open = null;
  tellOthers(null);
}

/** Ask whether somebody saved this phone since the form was made. */
export async function look(form) {
  if ("gone" in form.dataset) return;
  again = looking;
  if (looking) return;
  looking = true;
  try {
    const asked = new URLSearchParams({ version: form.elements.version?.value ?? "0", after: form.dataset.events });
    const answer = await send(`${form.dataset.newsUrl}?${asked}`);
    if (answer.status === 404) tellGone(form);
    else if (answer.ok && form === open) tell(form, await answer.json());
  } catch (error) {
    if (!(error instanceof Refused || error instanceof TypeError)) throw error;
  } finally {
    looking = false;
    if (again && open) look(open);
  }
}

function tell(form, { changed, by, stage }) {
  const place = form.querySelector("[data-news]");
  tellStage(form, stage);
  if (!form.elements.version || !changed || place.childElementCount || form.querySelector(".gs-drawer-foot [aria-busy]")) return;
  const words = by ? gettext("Saved by {name} just now. What you typed is still here.", { name: by })
    : gettext("Somebody else saved this phone just now. What you typed is still here.");
  form.dataset.by = by ?? "";
  place.append(notice(words, [["show-changes", gettext("Show what changed")], ["reload-form", gettext("Reload the form")]]));
}

/** Somebody put the phone aside, or took it back: what is typed can be saved all the same. */
function tellStage(form, stage) {
  if (stage === form.dataset.stage) return;
  form.dataset.stage = stage;
  const words = {
    ignored: gettext("Somebody else has put this phone aside: it is ignored, and left alone until that is taken back."),
    retired: gettext("Somebody else has retired this phone: it gets nothing more until it is brought back."),
  }[stage];
  const place = form.querySelector("[data-aside]");
  place.replaceChildren(...(words ? [notice(words)] : []));
}

/** The phone is not listed any more: nothing can be saved for it, and what was typed can only be read. */
function tellGone(form) {
  if (form !== open || "gone" in form.dataset) return;
  form.dataset.gone = "";
  form.querySelector("[data-aside]").replaceChildren();
  form.querySelector("[data-news]").replaceChildren(
    notice(gettext("Somebody else forgot this phone, so nothing can be saved for it. It appears anew when it is next heard.")),
  );
  for (const one of form.querySelectorAll(".gs-drawer-foot :is([type=submit], [data-act=save-next]), [data-act=reset]")) one.disabled = true;
  form.querySelector("[data-closing]").hidden = true;
}

function notice(words, buttons = []) {
  const line = document.createElement("p");
  line.className = "gs-notice gs-notice-warn";
  line.dataset.testid = "news";
  const text = document.createElement("span");
  text.className = "gs-grow";
  text.textContent = words;
  line.append(text, ...buttons.map(([act, label]) => button(label, act)));
  return line;
}

function button(label, act = "") {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "gs-button gs-button-small";
  if (act) made.dataset.act = act;
  made.textContent = label;
  return made;
}

// --- what changed -------------------------------------------------------------------------------------------------------

/** Mark the fields that the other one changed. Where only they did, theirs stands there now; where both did, mine stays. */
export async function showChanges(form) {
  try {
    const answer = await send(form.getAttribute("action"));
    if (!answer.ok || form !== open) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("form");
    if (!fresh?.elements.version) return;
    const who = form.dataset.by || gettext("Somebody else");
    const found = compare(form, fresh, who);
    const password = passwords(form, fresh, who);
    form.elements.version.value = fresh.elements.version.value;
    form.dataset.events = fresh.dataset.events;
    stored.set(form, valuesOf(fresh));
    form.dispatchEvent(new Event("change", { bubbles: true }));
    say(form, found.taken + password, found.both);
  } catch (error) {
    if (error instanceof Refused) return;
    if (!(error instanceof TypeError)) throw error;
    toast(gettext("The server cannot be reached. Try again in a moment."), "bad");
  }
}

function compare(form, fresh, who) {
  const [before, saved, mine] = [stored.get(form), valuesOf(fresh), valuesOf(form)];
  const found = { taken: 0, both: 0 };
  form.querySelectorAll("[data-theirs]").forEach((old) => old.remove());
  for (const name of new Set([...before.keys(), ...saved.keys(), ...mine.keys()])) {
    const [was, now, here] = [before, saved, mine].map((values) => JSON.stringify(values.get(name) ?? []));
    if (was === now || now === here) continue;
    if (here === was) {
      const old = wordsOf(form, name);
      put(form, fresh, name);
      mark(form, name, old ? gettext("{name} changed this; before: “{old}”.", { name: who, old })
        : gettext("{name} changed this; it was empty before.", { name: who }));
      found.taken += 1;
    } else {
      const theirs = wordsOf(fresh, name);
      const words = theirs ? gettext("{name} changed this too: “{theirs}”.", { name: who, theirs })
        : gettext("{name} emptied this.", { name: who });
      mark(form, name, words, () => put(form, fresh, name));
      found.both += 1;
    }
  }
  return found;
}

function passwords(form, fresh, who) {
  const marks = (one) => JSON.parse(one.querySelector("#password-marks")?.textContent ?? "{}");
  const [before, now] = [marks(form), marks(fresh)];
  let count = 0;
  for (const number of new Set([...Object.keys(before), ...Object.keys(now)])) {
    if (before[number] === now[number]) continue;
    const name = `account-${number}-password`;
    const typed = form.elements[name]?.value;
    const [box, other] = [form, fresh].map((one) => one.querySelector(`[name="${name}"]`)?.closest("[data-password]"));
    box?.toggleAttribute("data-stored", Boolean(other?.hasAttribute("data-stored")));
    mark(form, name, typed ? gettext("{name} changed the password too; if you save, yours takes its place.", { name: who })
      : gettext("{name} changed the password.", { name: who }));
    count += 1;
  }
  form.querySelector("#password-marks").textContent = JSON.stringify(now);
  return count;
}

function say(form, taken, both) {
  const parts = [];
  if (taken) parts.push(ngettext("{count} field shows what was saved.", "{count} fields show what was saved.", taken));
  if (both) parts.push(ngettext("You both changed {count} field: yours stays unless you take the other.",
    "You both changed {count} fields: yours stay unless you take the others.", both));
  if (!parts.length) parts.push(gettext("Nothing that this form shows is different."));
  form.querySelector("[data-testid=form-problem]")?.remove();
  form.querySelector("[data-news]").replaceChildren(notice(`${parts.join(" ")} ${gettext("Save when it is right.")}`));
  const first = form.querySelector("[data-theirs]");
  first?.closest("details")?.setAttribute("open", "");
  first?.scrollIntoView({ block: "center" });
  // The button that was pressed is gone: without this no key would reach the drawer any more.
  const said = form.querySelector("[data-news] p");
  said.tabIndex = -1;
  said.focus({ preventScroll: true });
}

/** A note beside the field, with a button if there is something to take. */
function mark(form, name, words, take = null) {
  const field = control(form, name);
  const home = field?.closest("[data-key-editor], .gs-field, [data-codecs]");
  if (!home) return;
  const note = document.createElement("p");
  note.className = "gs-theirs";
  note.dataset.theirs = name;
  const label = home.matches("[data-key-editor]") ? `${field.getAttribute("aria-label")}: ` : "";
  note.append(`${label}${words} `);
  if (take) {
    const use = button(gettext("Take it"));
    use.addEventListener("click", () => {
      note.remove();
      take();
      form.dispatchEvent(new Event("change", { bubbles: true }));
      field.focus();
    });
    note.append(use);
  }
  home.append(note);
  field.dispatchEvent(new Event("input", { bubbles: true })); // the drawing marks the key
}

const control = (form, name) => form.querySelector(`[data-codecs="${CSS.escape(name)}"] [data-codec-add], [name="${CSS.escape(name)}"]:not([type=hidden])`)
  ?? form.querySelector(`[name="${CSS.escape(name)}"]`);

/** Put the other one's value into a field. */
function put(form, fresh, name) {
  const [list, theirs] = [form, fresh].map((one) => one.querySelector(`[data-codecs="${CSS.escape(name)}"] ol`));
  if (list && theirs) {
    list.replaceChildren(...[...theirs.children].map((item) => document.importNode(item, true)));
    list.dispatchEvent(new Event("input", { bubbles: true }));
    return;
  }
  const [field, other] = [form.elements[name], fresh.elements[name]];
  if (!field || field instanceof RadioNodeList) return;
  if (field.type === "checkbox") field.checked = Boolean(other?.checked);
  else field.value = other?.value ?? "";
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

function wordsOf(form, name) {
  const list = form.querySelector(`[data-codecs="${CSS.escape(name)}"] ol`);
  if (list) return [...list.querySelectorAll("[data-codec-label]")].map((one) => one.textContent).join(", ");
  const field = form.elements[name];
  return field?.selectedOptions ? (field.selectedOptions[0]?.textContent ?? "") : (field?.value ?? "");
}

function valuesOf(form) {
  const values = new Map();
  for (const [name, value] of new FormData(form)) {
    if (ours(name)) values.set(name, [...(values.get(name) ?? []), value]);
  }
  return values;
}

// --- who else is here --------------------------------------------------------------------------------------------------

const speak = (words) => document.dispatchEvent(new CustomEvent("gs:speak", { detail: words }));

function tellOthers(mac) {
  others = new Map();
  speak({ open: mac });
}

function present() {
  const place = open?.querySelector("[data-present]");
  if (!place) return;
  const names = [...new Set([...others.values()].map(([name]) => name))];
  const words = names.length ? ngettext("{names} has this phone open too.", "{names} have this phone open too.", names.length,
    { names: names.join(", ") }) : "";
  if (place.textContent === words) return;
  place.textContent = words;
  if (words) announce(words);
}

document.addEventListener("gs:heard", ({ detail }) => {
  if (!open) return;
  const { mac } = open.dataset;
  if (detail.type === "live.hello") tellOthers(mac);
  else if (detail.type === "live.present" && detail.mac === mac) {
    if (detail.here) others.set(detail.who, [detail.name, Date.now()]);
    else others.delete(detail.who);
    present();
  } else if (detail.events?.some((one) => one.mac === mac && one.kind === "forgotten")) {
    tellGone(open);
  } else if (detail.type === "poll" || detail.reload || detail.events?.some((one) => one.mac === mac && one.kind === "stage")) {
    look(open);
  }
});

setInterval(() => {
  if (!open) return;
  speak({ open: open.dataset.mac });
  for (const [who, [, at]] of others) if (Date.now() - at > GONE_MS) others.delete(who);
  present();
}, SAY_AGAIN_MS);
