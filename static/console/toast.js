// Short messages in the corner, above everything, also said to a screen reader.

import { gettext } from "./words.js";

const SHOWN_MS = { good: 6000, bad: 12000 };
const OFFERED_MS = 20000; // with a button
const ABOVE_FOOT_PX = 12;

/** Show `words`; `kind` is good or bad. `offer` is a button, `{ label, run, undoes }`, or a link, `{ label, url }`.
 * A message `about` a phone takes the place of the one before about the same phone. */
export function toast(words, kind = "good", offer = null, about = "") {
  const place = document.getElementById("gs-toasts");
  if (about) for (const old of place.querySelectorAll(`[data-about="${CSS.escape(about)}"]`)) old.remove();
  const note = document.createElement("div");
  note.className = `gs-toast gs-toast-${kind}`;
  note.dataset.testid = "toast";
  if (about) note.dataset.about = about;
  const icon = document.createElement("span");
  icon.className = "material-symbols-outlined";
  icon.setAttribute("aria-hidden", "true");
  icon.textContent = kind === "good" ? "check_circle" : "error";
  const text = document.createElement("span");
  text.textContent = words;
  text.dataset.words = "";
  note.append(icon, text);
  const leave = () => {
    note.remove();
    if (!place.childElementCount && place.matches(":popover-open")) place.hidePopover();
  };
  if (offer) note.append(offer.url ? linkOf(offer) : buttonOf(offer));
  note.addEventListener("click", leave);
  place.append(note);
  toFront();
  announce(words);
  setTimeout(leave, offer ? OFFERED_MS : (SHOWN_MS[kind] ?? SHOWN_MS.good));
}

// What was said of a phone that is about to be told something is over once it has come for its file; what can be undone
// can be for as long as before.
document.addEventListener("gs:heard", ({ detail }) => {
  for (const { mac, kind } of detail.events ?? []) if (kind === "download") overtaken(mac);
});

function overtaken(mac) {
  for (const note of document.querySelectorAll(`#gs-toasts [data-about="${CSS.escape(mac)}"]`)) {
    if (note.classList.contains("gs-toast-bad")) continue;
    if (note.querySelector("button, a")) note.querySelector("[data-words]").textContent = gettext("The phone has come for its file.");
    else note.click();
  }
}

function shortcut(text) {
  const made = document.createElement("kbd");
  made.setAttribute("aria-hidden", "true");
  made.textContent = text;
  return made;
}

function linkOf({ label, url }) {
  const link = document.createElement("a");
  link.href = url;
  link.textContent = label;
  return link;
}

function buttonOf({ label, run, undoes = false }) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "gs-toast-button";
  button.dataset.testid = "toast-button";
  button.textContent = label;
  if (undoes) {
    button.dataset.undo = "";
    button.setAttribute("aria-keyshortcuts", "Control+Z");
    if (!document.querySelector("dialog[open]")) button.append(shortcut("Ctrl Z"));
  }
  button.addEventListener("click", run);
  return button;
}

// Without a mouse: what a message offers to undo, as everywhere. Where something is typed or a dialog is open, the keys are theirs.
document.addEventListener("keydown", (event) => {
  const isUndo = event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey;
  if (!isUndo || event.defaultPrevented || document.querySelector("dialog[open]")) return;
  if (event.target.closest?.("input, textarea, select, [contenteditable]")) return;
  const [button] = [...document.querySelectorAll("#gs-toasts [data-undo]")].slice(-1);
  if (button) event.preventDefault();
  button?.click();
});

/** In front of everything, and where it can be pressed: outside an open dialog nothing can. */
export function toFront() {
  const place = document.getElementById("gs-toasts");
  const home = document.querySelector("dialog[open]") ?? document.body;
  if (place.parentElement !== home) home.append(place);
  // Above a drawer's buttons, not over them: one goes on with those.
  const foot = home === document.body ? null : home.querySelector(".gs-drawer-foot");
  place.style.bottom = foot ? `${window.innerHeight - foot.getBoundingClientRect().top + ABOVE_FOOT_PX}px` : "";
  // A popover stands in the top layer; shown again, it is the foremost.
  if (place.matches(":popover-open")) place.hidePopover();
  if (place.childElementCount) place.showPopover();
}

/** Say it to a screen reader only; outside an open dialog it would not be heard. */
export function announce(words) {
  const regions = [document.getElementById("gs-live-region"), document.querySelector("dialog[open] [data-live]")];
  for (const region of regions.filter(Boolean)) {
    const line = document.createElement("p");
    line.textContent = words;
    region.append(line);
    while (region.childElementCount > 5) region.firstElementChild.remove();
  }
}
