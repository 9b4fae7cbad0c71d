// The extension field of the drawer as a combobox over the directory (ARIA 1.2): type a number or a name, choose, and
// the account is filled in. The secret stays on the server: the form only says whose it is. What is typed and is not in
// the directory is taken as it is. Says at once whether another phone has the extension, too.

import { Refused, send } from "./net.js";
import { announce } from "./toast.js";
import { gettext, ngettext } from "./words.js";

const SEARCH_MS = 120;
const drawer = document.getElementById("drawer");
const pending = new WeakMap(); // combobox -> { timer, work }: the look-up that is on its way
let asked = 0;

const comboOf = (node) => node.closest?.("[data-extension] [role=combobox]");
const boxOf = (combo) => combo.closest("[data-extension]");
const listOf = (combo) => boxOf(combo).querySelector("[role=listbox]");
const optionsOf = (combo) => [...listOf(combo).querySelectorAll("[role=option]")];
const isOpen = (combo) => !listOf(combo).hidden;
const activeOf = (combo) => document.getElementById(combo.getAttribute("aria-activedescendant") || "-");

function fieldOf(combo, name) {
  return combo.form.elements[`account-${boxOf(combo).dataset.extension}-${name}`];
}

// --- looking up ---------------------------------------------------------------------------------------------------

function lookUp(combo, { open = true, at = SEARCH_MS } = {}) {
  clearTimeout(pending.get(combo)?.timer);
  const entry = {};
  entry.work = new Promise((resolve) => {
    entry.timer = setTimeout(() => { resolve(ask(combo, open)); }, at);
  }).finally(() => {
    if (pending.get(combo) === entry) pending.delete(combo);
  });
  pending.set(combo, entry);
  return entry.work;
}

async function ask(combo, open) {
  const mine = (asked += 1);
  const text = combo.value.trim();
  const query = new URLSearchParams({ q: text, mac: combo.form.dataset.mac, server: fieldOf(combo, "sip_server").value });
  try {
    const answer = await send(`${boxOf(combo).dataset.findUrl}?${query}`);
    if (!answer.ok || mine !== asked || combo.value.trim() !== text) return;
    const said = await answer.json();
    showHeld(combo, said.held);
    if (open && document.activeElement === combo) showList(combo, said.found, text);
  } catch (error) {
    // Without the directory the field takes what is typed, as it always did.
    if (!(error instanceof Refused || error instanceof TypeError)) throw error;
  }
}

function showList(combo, found, text) {
  const list = listOf(combo);
  list.replaceChildren(...found.map((one, at) => optionFor(combo, one, at)));
  if (!found.length) {
    shut(combo);
    return;
  }
  list.hidden = false;
  combo.setAttribute("aria-expanded", "true");
  // Who typed a whole number means it, and so does who typed a name: it shall not become the phone's SIP user ID.
  activate(combo, found[0].number === text || /\p{L}/u.test(text) ? optionsOf(combo)[0] : null);
  announce(ngettext("{count} extension in the directory", "{count} extensions in the directory", found.length));
}

function optionFor(combo, one, at) {
  const option = document.createElement("div");
  option.id = `${listOf(combo).id}-${at}`;
  option.setAttribute("role", "option");
  option.setAttribute("aria-selected", "false");
  option.chosen = one;
  const part = (name, text, tag = "span") => {
    const node = document.createElement(tag);
    node.dataset.part = name;
    node.textContent = text;
    option.append(node);
    return node;
  };
  part("number", one.number, "b");
  part("name", one.name || "–");
  const [first, ...more] = one.phones;
  const state = part("state", first ? gettext("on {mac}", { mac: first.mac }) + (more.length ? ` +${more.length}` : "")
    : gettext("free"));
  if (first) state.dataset.busy = "";
  const where = [one.site && gettext("site {site}", { site: one.site }), one.sip_server,
    !one.has_secret && gettext("no secret in the directory")];
  part("where", where.filter(Boolean).join(" · "));
  return option;
}

function activate(combo, option) {
  for (const one of optionsOf(combo)) one.setAttribute("aria-selected", String(one === option));
  if (!option) {
    combo.removeAttribute("aria-activedescendant");
    return;
  }
  combo.setAttribute("aria-activedescendant", option.id);
  option.scrollIntoView({ block: "nearest" });
}

function shut(combo) {
  listOf(combo).hidden = true;
  combo.setAttribute("aria-expanded", "false");
  combo.removeAttribute("aria-activedescendant");
}

// --- choosing -----------------------------------------------------------------------------------------------------

function choose(combo, one) {
  shut(combo);
  const put = (name, text) => {
    const field = fieldOf(combo, name);
    field.value = text;
    if (field !== combo) field.dispatchEvent(new Event("input", { bubbles: true }));
  };
  combo.value = one.number;
  put("display_name", one.name);
  put("auth_id", one.auth_id);
  if (one.sip_server) put("sip_server", one.sip_server);
  if (one.voicemail) put("voicemail", one.voicemail);
  if (one.has_secret) put("password", "");
  takeSecret(combo, one.has_secret ? one.id : "");
  combo.form.setAttribute("data-dirty", "");
  combo.form.dispatchEvent(new Event("input")); // the drawing shows who it is
  combo.setSelectionRange(combo.value.length, combo.value.length);
  showHeld(combo, one.phones);
  const words = { number: one.number, name: one.name };
  announce(one.phones.length ? gettext("{number} {name} chosen; another phone has it, too", words)
    : gettext("{number} {name} chosen", words));
}

/** The form says whose secret the server shall take; empty: nobody's. */
function takeSecret(combo, id) {
  const hidden = fieldOf(combo, "extension");
  if (hidden.value === String(id)) return;
  hidden.value = id;
  const box = fieldOf(combo, "password").closest("[data-password]");
  box.dataset.ownSecret ??= String("stored" in box.dataset);
  if (id || box.dataset.ownSecret === "true") box.dataset.stored = "";
  else delete box.dataset.stored;
  showSource(box, Boolean(id));
  box.dispatchEvent(new Event("input"));
}

function showSource(box, isTaken) {
  const typed = box.querySelector("input:not([type=checkbox])").value;
  box.querySelector("[data-from-directory]").hidden = !isTaken || Boolean(typed);
}

function showHeld(combo, phones) {
  const place = boxOf(combo).querySelector(".gs-held");
  place.hidden = !phones.length;
  if (!phones.length) {
    place.replaceChildren();
    return;
  }
  const icon = document.createElement("span");
  icon.className = "material-symbols-outlined";
  icon.setAttribute("aria-hidden", "true");
  icon.textContent = "warning";
  const words = document.createElement("span");
  words.append(`${gettext("Also on")} `);
  phones.forEach((phone, at) => {
    const link = document.createElement("a");
    link.href = phone.url;
    link.target = "_blank";
    link.rel = "noopener";
    link.textContent = phone.model ? `${phone.mac} (${phone.model})` : phone.mac;
    words.append(at ? ", " : "", link);
  });
  place.replaceChildren(icon, words);
}

// --- what the person does -----------------------------------------------------------------------------------------

drawer?.addEventListener("input", (event) => {
  const combo = comboOf(event.target);
  if (combo) {
    takeSecret(combo, "");
    lookUp(combo);
    return;
  }
  const box = event.target.closest?.("[data-password]");
  const number = event.target.name?.match(/^account-(\d+)-/)?.[1];
  const field = number && drawer.querySelector(`[data-extension="${number}"] [role=combobox]`);
  if (!field) return;
  if (box) showSource(box, Boolean(fieldOf(field, "extension").value));
  // Another server may make it another extension.
  if (event.target.name.endsWith("-sip_server") && field.value.trim()) lookUp(field, { open: false });
});

const MOVES = {
  ArrowDown: (all, at) => all[(at + 1) % all.length],
  ArrowUp: (all, at) => all[(at <= 0 ? all.length : at) - 1],
};

drawer?.addEventListener("keydown", (event) => {
  const combo = comboOf(event.target);
  if (!combo || event.isComposing) return;
  if (event.key in MOVES) {
    event.preventDefault();
    const move = () => activate(combo, MOVES[event.key](optionsOf(combo), optionsOf(combo).indexOf(activeOf(combo))));
    if (isOpen(combo)) move();
    else lookUp(combo, { at: 0 }).then(() => { if (isOpen(combo) && !activeOf(combo)) move(); });
  } else if (event.key === "Escape" && isOpen(combo)) {
    event.preventDefault(); // the drawer stays
    event.stopPropagation();
    shut(combo);
  } else if (event.key === "Enter") {
    enter(combo, event);
  } else if (event.key === "Tab") {
    shut(combo);
  }
}, true);

function enter(combo, event) {
  const option = isOpen(combo) && activeOf(combo);
  const saves = event.ctrlKey || event.metaKey; // from anywhere in the drawer, with what is chosen here
  if (option) {
    if (!saves) event.preventDefault();
    choose(combo, option.chosen);
    return;
  }
  // Faster than the answer: a number that is in the directory is chosen all the same, anything else is saved.
  const work = pending.get(combo)?.work;
  if (!work) return;
  event.preventDefault();
  event.stopPropagation();
  const again = new KeyboardEvent("keydown", event);
  work.then(() => {
    const found = isOpen(combo) && activeOf(combo);
    if (found) choose(combo, found.chosen);
    if (saves) combo.dispatchEvent(again);
    else if (!found && combo.form.isConnected) combo.form.requestSubmit();
  });
}

drawer?.addEventListener("pointerdown", (event) => {
  if (event.target.closest(".gs-picker-list")) event.preventDefault(); // the field keeps the focus
});

drawer?.addEventListener("click", (event) => {
  const option = event.target.closest("[data-extension] [role=option]");
  if (option) choose(boxOf(option).querySelector("[role=combobox]"), option.chosen);
});

drawer?.addEventListener("focusout", (event) => {
  const combo = comboOf(event.target);
  if (combo) shut(combo);
});
