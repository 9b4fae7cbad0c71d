// What a listener says of itself can be put aside in this tab, for each listener that says it: another one that says the
// same is told. It comes back when it ends and begins anew.

import { gettext } from "./words.js";

const STORE = "gspnp.hushed";
const NAMED = 3; // as on the server: gspnp/console/listening.py
const hushed = new Set(JSON.parse(sessionStorage.getItem(STORE) || "[]"));

const keep = () => sessionStorage.setItem(STORE, JSON.stringify([...hushed]));
// [[name, words], …], who is to be quoted first. Rows of a console that is one version older say nothing of it.
const saidIn = (notice) => JSON.parse(notice.dataset.hushSaid || "[]");
const keyOf = (notice, name) => JSON.stringify([notice.dataset.hushKey, name]);

/** Hide what was put aside; call it whenever the notices are new. */
export function hush() {
  const present = new Set();
  for (const notice of document.querySelectorAll("[data-hush-key]")) {
    const said = saidIn(notice);
    for (const [name] of said) present.add(keyOf(notice, name));
    const left = said.filter(([name]) => !hushed.has(keyOf(notice, name)));
    notice.hidden = Boolean(said.length) && !left.length;
    if (left.length && left.length < said.length) say(notice, left);
  }
  const before = hushed.size;
  for (const key of hushed) if (!present.has(key)) hushed.delete(key);
  if (hushed.size !== before) keep();
}

/** Of several listeners only these are left, who say so. */
function say(notice, left) {
  const names = left.map(([name]) => name).sort();
  const [count, shown] = [names.length, [...names.slice(0, NAMED), ...(names.length > NAMED ? ["…"] : [])].join(", ")];
  notice.querySelector("[data-hush-speaker]").textContent =
    count > 1 ? gettext("{count} listeners ({names}) say:", { count, names: shown }) : gettext("The listener {name} says:", { name: shown });
  notice.querySelector("[data-hush-words]").textContent = left[0][1];
}

/** Put the notice around this button aside; the focus goes to the next one, or to `fallback`. */
export function putAside(button, fallback) {
  const notice = button.closest("[data-hush-key]");
  for (const [name] of saidIn(notice)) hushed.add(keyOf(notice, name));
  keep();
  hush();
  (document.querySelector("[data-hush-key]:not([hidden]) [data-act=hush]") ?? fallback())?.focus();
}
